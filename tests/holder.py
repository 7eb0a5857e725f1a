"""Holds what a test run has once, while a process uses it: `python -m tests.holder WHAT FOLDER`.

WHAT is `server`, the run's PostgreSQL, or `tree`, a whole `clawback dev`. The holder is nobody's
child in spirit: whichever test process needs the thing first starts it, and it stays until the
last of them is gone, however they go. Users are counted by a shared lock that each of them holds;
nothing has to be given back for the thing to end.
"""

import asyncio
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import asyncpg

from clawback.db import migrate
from clawback.db.embedded import EmbeddedPostgres
from tests.support.trees import Tree

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = "clawback_template"
SETTINGS = {"shared_buffers": "128MB", "max_connections": "300", "max_wal_size": "1GB"}
READY = "ready"
LOOK_SECONDS = 0.2


def server_of(folder: Path) -> EmbeddedPostgres:
    """The server over this folder, as its holder starts it and its users address it."""
    return EmbeddedPostgres(folder / "server", settings=SETTINGS)


def data_of(folder: Path) -> Path:
    """The data directory of the tree in this folder."""
    return folder / ".clawback"


@contextmanager
def used_server(folder: Path) -> Iterator[EmbeddedPostgres]:
    """The run's server with its template, started if this is the first user."""
    with _used("server", folder):
        yield server_of(folder)


@contextmanager
def used_tree(folder: Path) -> Iterator[Tree]:
    """The run's tree, started if this is the first user."""
    with _used("tree", folder):
        yield Tree.joined(data_of(folder))


@contextmanager
def _used(what: str, folder: Path) -> Iterator[None]:
    with _turn(folder), (folder / "users").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        if not (folder / READY).exists():
            _start_holder(what, folder)
        kept = os.dup(users.fileno())
    try:
        yield
    finally:
        os.close(kept)


@contextmanager
def _turn(folder: Path) -> Iterator[IO[str]]:
    """One process at a time starts or ends the server; a folder that is being removed is left."""
    while True:
        folder.mkdir(mode=0o711, exist_ok=True)
        try:
            lock = (folder / "turn").open("a")
        except FileNotFoundError:
            continue
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.fstat(lock.fileno()).st_nlink:
                yield lock
                return


def _start_holder(what: str, folder: Path) -> None:
    with (folder / "said").open("w") as said:
        holder = subprocess.Popen(
            [sys.executable, "-m", "tests.holder", what, str(folder)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=True,
        )
    assert holder.stdout is not None
    with holder.stdout as ready:
        if ready.readline() != b"ready\n":
            raise AssertionError((folder / "said").read_text())
    holder.returncode = 0  # nobody waits for it: it outlives us if others use the server


async def make_template(server: EmbeddedPostgres) -> None:
    """A migrated database that nobody can connect to, so that it can be cloned at any time."""
    connection = await asyncpg.connect(server.superuser_dsn)
    await connection.execute(f"CREATE DATABASE {TEMPLATE} OWNER clawback")
    await migrate.upgrade(server.dsn.replace("@/clawback?", f"@/{TEMPLATE}?"))
    await connection.execute(f"ALTER DATABASE {TEMPLATE} ALLOW_CONNECTIONS false")
    await connection.close()


@contextmanager
def held_server(folder: Path) -> Iterator[None]:
    """PostgreSQL over this folder, with the template."""
    server = server_of(folder)
    server.start()
    try:
        asyncio.run(make_template(server))
        yield
    finally:
        server.stop()


@contextmanager
def held_tree(folder: Path) -> Iterator[None]:
    """A tree that serves with two API processes."""
    with Tree(data_of(folder)):
        yield


HELD = {"server": held_server, "tree": held_tree}


def main() -> None:
    """Start, say so, wait until nobody uses it, stop, leave nothing behind."""
    folder = Path(sys.argv[2])
    with ExitStack() as held:
        held.enter_context(HELD[sys.argv[1]](folder))
        (folder / READY).touch()
        sys.stdout.write("ready\n")
        sys.stdout.close()
        while True:
            time.sleep(LOOK_SECONDS)
            with _turn(folder), (folder / "users").open("a") as users:
                try:
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                held.close()
                shutil.rmtree(folder)
                return


if __name__ == "__main__":
    main()
