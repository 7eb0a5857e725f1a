"""The embedded server on real data: started, killed in every way, misused, started again."""

import asyncio
import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import asyncpg
import psutil  # type: ignore[import-untyped]  # it comes without types
import pytest

from clawback.db import account, remains
from clawback.db.embedded import EmbeddedError, EmbeddedPostgres
from tests.holder import ROOT
from tests.processes import is_alive, wait_gone

READY_SECONDS = 20.0  # promised are 3; a shared machine may take longer
IS_ROOT = os.geteuid() == 0


class Kept:
    """A server kept by a process of its own, the one that `clawback dev` starts for it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        address = data / "database.url"
        address.unlink(missing_ok=True)
        self.parent = subprocess.Popen(
            [sys.executable, "-m", "clawback.cli.postgres", str(data)],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        until = time.monotonic() + 20
        while not address.exists() and self.parent.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        assert address.exists(), self.parent.stderr and self.parent.stderr.read()
        self.server = int(str(EmbeddedPostgres(data).status()["pid"]))

    def kill_server(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.server, signal.SIGKILL)

    def kill_parent(self) -> None:
        self.parent.kill()
        self.parent.wait()

    def close(self) -> None:
        self.kill_server()
        self.kill_parent()
        assert self.parent.stderr is not None
        self.parent.stderr.close()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder with a table; each test finds it as the one before left it."""
    folder = tmp_path_factory.mktemp("it's a, path") / "data"
    server = EmbeddedPostgres(folder)
    with_connection(server.start(), "CREATE TABLE written (number integer NOT NULL)")
    server.stop()
    yield folder
    starts(folder)  # an orderly stop leaves nothing in the temporary folder
    assert not server.socket_dir.exists()


@pytest.fixture
def kept(data: Path) -> Iterator[Kept]:
    made = Kept(data)
    try:
        yield made
    finally:
        made.close()


def with_connection(dsn: str, statement: str) -> list[asyncpg.Record]:
    async def run() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(dsn)
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()

    return asyncio.run(run())


def starts(data: Path) -> list[asyncpg.Record]:
    """Start it, as quickly as promised, read what is there, stop it."""
    server = EmbeddedPostgres(data)
    before = time.monotonic()
    dsn = server.start()
    took = time.monotonic() - before
    try:
        assert took < READY_SECONDS
        return with_connection(dsn, "SELECT number FROM written ORDER BY number")
    finally:
        server.stop()


def write(data: Path) -> int:
    number = time.monotonic_ns() % 2_000_000_000
    dsn = EmbeddedPostgres(data).dsn
    with_connection(dsn, f"INSERT INTO written VALUES ({number})")  # noqa: S608 - a number of ours
    return number


# What it gives.


def test_the_address_is_that_of_an_owner_who_is_no_superuser(data: Path, kept: Kept) -> None:
    server = EmbeddedPostgres(data)
    (row,) = with_connection(
        server.dsn,
        "SELECT current_user AS who, current_database() AS name, r.rolsuper OR r.rolcreaterole"
        " OR r.rolcreatedb AS is_mighty, d.datlocprovider::text || d.datlocale AS locale,"
        " pg_has_role('clawback_app', 'SET') AND pg_has_role('clawback_reader', 'SET') AS may_set"
        " FROM pg_roles AS r, pg_database AS d"
        " WHERE r.rolname = current_user AND d.datname = current_database()",
    )
    assert dict(row) == {
        "who": "clawback",
        "name": "clawback",
        "is_mighty": False,
        "locale": "bC.UTF-8",
        "may_set": True,
    }


def test_only_the_right_password_opens_it_and_only_over_the_socket(data: Path, kept: Kept) -> None:
    server = EmbeddedPostgres(data)
    password = server.dsn.split(":")[2].split("@")[0]
    for dsn in (server.dsn.replace(password, "0" * 48), server.dsn.replace(f":{password}", "")):
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
            with_connection(dsn, "SELECT 1")
    assert with_connection(server.dsn, "SELECT 1")  # the control
    assert psutil.Process(kept.server).net_connections("inet") == []


def test_what_is_secret_is_private(data: Path, kept: Kept) -> None:
    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    server = EmbeddedPostgres(data)
    assert mode(server.socket_dir) == mode(data / "postgres") == 0o700
    files = [data / f"postgres.{end}" for end in ("json", "log", "conf")]
    assert [mode(path) for path in files] == [0o600] * 3
    words = psutil.Process(kept.server).cmdline()
    assert not any(server.dsn.split(":")[2].split("@")[0] in word for word in words)


def test_durability_stands_above_what_a_superuser_wrote_down(data: Path) -> None:
    def shown(dsn: str) -> list[str]:
        names = ("fsync", "full_page_writes", "work_mem", "jit", "log_parameter_max_length")
        return [str(with_connection(dsn, f"SHOW {name}")[0][0]) for name in names]

    server = EmbeddedPostgres(data)
    server.start()
    try:
        for change in ("fsync = off", "full_page_writes = off", "work_mem = '5MB'"):
            with_connection(server.superuser_dsn, f"ALTER SYSTEM SET {change}")
        server.stop()
        assert shown(server.start()) == ["on", "on", "5MB", "off", "0"]  # 5 MB: the control
        with_connection(server.superuser_dsn, "ALTER SYSTEM RESET ALL")
    finally:
        server.stop()


def test_a_test_can_lower_what_it_is_about(data: Path) -> None:
    server = EmbeddedPostgres(data, settings={"synchronous_commit": "off", "work_mem": "6MB"})
    try:
        dsn = server.start()
        assert with_connection(dsn, "SHOW synchronous_commit")[0][0] == "off"
        assert with_connection(dsn, "SHOW work_mem")[0][0] == "6MB"
    finally:
        server.stop()


def test_a_path_too_long_for_a_socket_gets_a_private_folder(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / ("x" * 90) / "data")
    dsn = server.start()
    try:
        folder = server.socket_dir
        assert unquote(dsn).endswith(str(folder))
        assert len(str(folder)) < 60
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert with_connection(dsn, "SELECT 1")
    finally:
        server.stop()
    assert not folder.exists()
    # A link that somebody put there meanwhile is not followed.
    (tmp_path / "theirs").mkdir(mode=0o755)
    folder.symlink_to(tmp_path / "theirs")
    try:
        server.start()
        assert server.socket_dir != folder
        assert stat.S_IMODE((tmp_path / "theirs").stat().st_mode) == 0o755
    finally:
        server.stop()
        folder.unlink()


# Twice, and killed.


def test_a_second_start_names_the_process_that_holds_the_folder(data: Path, kept: Kept) -> None:
    with pytest.raises(EmbeddedError, match=rf"in use by process {kept.parent.pid}: stop"):
        EmbeddedPostgres(data).start()
    assert with_connection(EmbeddedPostgres(data).dsn, "SELECT 1")  # and disturbs nobody
    kept.parent.terminate()
    assert kept.parent.wait(10) == 0
    starts(data)  # the control


KILLS = ("server", "parent", "server parent", "parent server")


@pytest.mark.parametrize("kills", KILLS)
def test_what_was_acknowledged_is_there_after_a_kill(data: Path, kept: Kept, kills: str) -> None:
    number = write(data)
    for name in kills.split():
        kept.kill_server() if name == "server" else kept.kill_parent()
    kept.parent.wait(10)  # a keeper whose server died lets go of the folder
    assert number in [row["number"] for row in starts(data)]


def test_the_server_ends_with_its_parent(kept: Kept) -> None:
    kept.kill_parent()
    assert wait_gone([kept.server], 10) == []


def test_an_orphan_is_stopped_first_whatever_the_folder_is_called(data: Path, kept: Kept) -> None:
    server = psutil.Process(kept.server)
    number = write(data)
    server.suspend()  # so that it outlives its parent
    kept.kill_parent()
    link = data.with_name("link")
    link.unlink(missing_ok=True)
    link.symlink_to(data)
    assert remains.postmaster(link / "postgres") == kept.server
    resumed = subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -CONT {kept.server}"])
    assert number in [row["number"] for row in starts(link)]
    assert resumed.wait() == 0
    assert not is_alive(kept.server)


def test_backends_that_outlived_their_server_are_ended(data: Path, kept: Kept) -> None:
    asking = subprocess.Popen(
        [
            str(EmbeddedPostgres.binary("psql")),
            EmbeddedPostgres(data).dsn,
            "-Xqc",
            "SELECT count(*) FROM generate_series(1, 10000000000)",
        ],
        stderr=subprocess.DEVNULL,
    )
    server = psutil.Process(kept.server)

    def busy() -> list[psutil.Process]:
        return [one for one in server.children() if "SELECT" in "".join(one.cmdline())]

    until = time.monotonic() + 10
    while not (found := busy()):
        assert time.monotonic() < until
        time.sleep(0.02)
    kept.kill_server()
    kept.kill_parent()
    assert is_alive(found[0].pid)  # the fault fired: nothing but it holds the data's memory
    starts(data)
    assert not is_alive(found[0].pid)
    asking.wait(10)


@pytest.mark.parametrize("content", ["{pid}\n/data\n0\n5432\n", "", "nonsense\n"])
def test_a_pid_file_that_names_a_stranger_harms_nobody(data: Path, content: str) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        text = content.format(pid=stranger.pid)
        (data / "postgres" / "postmaster.pid").write_text(text)
        assert EmbeddedPostgres(data).status()["running"] is False
        starts(data)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_another_clusters_server_is_not_ours(data: Path, kept: Kept, tmp_path: Path) -> None:
    """As after `cp -r` of a running folder: the copied pid file names the original's server."""
    copy = tmp_path / "postgres"
    copy.mkdir(mode=0o700)
    pid_file = (data / "postgres" / "postmaster.pid").read_text()
    (copy / "postmaster.pid").write_text(pid_file)
    assert remains.postmaster(copy) is None
    remains.end(copy, account.choose((data / "postgres",), ()))
    assert not (copy / "postmaster.pid").exists()
    assert psutil.pid_exists(kept.server)


# Data is kept.


def test_data_without_its_passwords_is_refused_and_kept(data: Path) -> None:
    secret, aside = data / "postgres.json", data / "aside.json"
    before = starts(data)
    secret.rename(aside)
    try:
        with pytest.raises(EmbeddedError, match=r"postgres\.json .* is gone: put that file back"):
            EmbeddedPostgres(data).start()
    finally:
        aside.rename(secret)
    assert starts(data) == before


def test_data_of_another_postgresql_is_refused(data: Path) -> None:
    version = data / "postgres" / "PG_VERSION"
    version.write_text("17\n")
    try:
        with pytest.raises(EmbeddedError, match=r"made by PostgreSQL 17, this release brings 18"):
            EmbeddedPostgres(data).start()
    finally:
        version.write_text("18\n")
    starts(data)


def test_a_first_start_that_was_cut_off_is_made_anew(tmp_path: Path) -> None:
    half = tmp_path / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    (tmp_path / "postgres.json").write_text("{}")
    server = EmbeddedPostgres(tmp_path)
    try:
        assert with_connection(server.start(), "SELECT 1")
    finally:
        server.stop()
    assert not half.exists()


def test_a_server_that_cannot_start_says_why(data: Path) -> None:
    server = EmbeddedPostgres(data, settings={"max_connections": "none"})
    with pytest.raises(EmbeddedError, match=r"(?s)did not start; .*max_connections"):
        server.start()
    starts(data)


def test_a_folder_that_cannot_be_one_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedError, match=r"cannot use .*file.*choose another folder"):
        EmbeddedPostgres(tmp_path / "file" / "data").start()


def test_a_program_that_the_wheel_lacks_is_named() -> None:
    assert EmbeddedPostgres.binary("pgbench").exists()
    with pytest.raises(EmbeddedError, match="no program psqlx"):
        EmbeddedPostgres.binary("psqlx")


def test_the_log_is_begun_anew_when_it_has_grown(data: Path) -> None:
    log = data / "postgres.log"
    starts(data)
    os.truncate(log, 17 * 1024 * 1024)
    starts(data)
    assert log.stat().st_size < 100_000
    assert log.with_suffix(".log.1").stat().st_size == 17 * 1024 * 1024


# As root.


def test_it_runs_as_somebody_without_rights(data: Path, kept: Kept) -> None:
    process = psutil.Process(kept.server)
    assert process.uids().effective != 0
    assert process.gids().effective != 0
    status = Path(f"/proc/{kept.server}/status").read_text()
    held = int(status.split("CapEff:\t")[1].split()[0], 16)
    # pytest's folders are closed to others, so it may look past that, and nothing else.
    assert held in {0, 1 << account.CAP_DAC_READ_SEARCH, 1 << account.CAP_DAC_OVERRIDE}


CONTAINER = (
    "-all,+chown,+dac_override,+fsetid,+fowner,+mknod,+net_raw,+setgid,+setuid,+setfcap,+setpcap,"
    "+net_bind_service,+sys_chroot,+kill,+audit_write"
)
ORPHANED = """
import os, signal, subprocess, sys
from pathlib import Path
from tests.db.test_embedded import Kept, starts
kept = Kept(Path(sys.argv[1]))
os.kill(kept.server, signal.SIGSTOP)
kept.kill_parent()
subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -CONT {kept.server}"])
starts(Path(sys.argv[1]))
kept.close()
"""


def test_somebody_in_a_container_can_do_the_same(data: Path) -> None:
    """Containers leave root without the right to look into others' processes and folders."""
    fewer = ["setpriv", "--bounding-set", CONTAINER] if IS_ROOT else []
    done = subprocess.run(
        [*fewer, sys.executable, "-c", ORPHANED, str(data)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not IS_ROOT, reason="only root hands its data to another account's server")
def test_root_that_cannot_reach_its_data_says_what_to_open(data: Path) -> None:
    start = "import sys; from pathlib import Path; from clawback.db.embedded import *; "
    start += "EmbeddedPostgres(Path(sys.argv[1])).start()"
    no_rights = "-dac_override,-dac_read_search"
    done = subprocess.run(
        ["setpriv", "--bounding-set", no_rights, sys.executable, "-c", start, str(data)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "cannot reach" in done.stderr
    assert "chmod o+x" in done.stderr


def test_a_copy_that_was_restored_is_handed_over(data: Path, tmp_path: Path) -> None:
    starts(data)
    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    assert (copy / "postgres").stat().st_uid == os.geteuid()  # root's is not the server's
    assert starts(copy) == starts(data)
