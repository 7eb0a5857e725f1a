"""Holds the test run's PostgreSQL while a test process uses it: `python -m tests.holder FOLDER`.

It is nobody's child in spirit: whichever test process needs the server first starts this one, and
it stays until the last of them is gone, however they go. Users are counted by a shared lock that
each of them holds; nothing has to be given back for the server to end.
"""

import asyncio
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import asyncpg

from clawback.db import migrate
from clawback.db.embedded import EmbeddedPostgres

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = "clawback_template"
SETTINGS = {"shared_buffers": "128MB", "max_connections": "300", "max_wal_size": "1GB"}
LOOK_SECONDS = 0.2


def server_of(folder: Path) -> EmbeddedPostgres:
    """The server over this folder, as its holder starts it and its users address it."""
    return EmbeddedPostgres(folder / "server", settings=SETTINGS)


@contextmanager
def used(folder: Path) -> Iterator[EmbeddedPostgres]:
    """The run's server with its template, started if this is the first user."""
    with _turn(folder), (folder / "users").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        if not server_of(folder).status()["running"]:
            _start_holder(folder)
        kept = os.dup(users.fileno())
    try:
        yield server_of(folder)
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


def _start_holder(folder: Path) -> None:
    with (folder / "said").open("w") as said:
        holder = subprocess.Popen(
            [sys.executable, "-m", "tests.holder", str(folder)],
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


def main() -> None:
    """Start, say so, wait until nobody uses it, stop, leave nothing behind."""
    folder = Path(sys.argv[1])
    server = server_of(folder)
    server.start()
    try:
        asyncio.run(make_template(server))
        sys.stdout.write("ready\n")
        sys.stdout.close()
        while True:
            time.sleep(LOOK_SECONDS)
            with _turn(folder), (folder / "users").open("a") as users:
                try:
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                server.stop()
                shutil.rmtree(folder)
                return
    finally:
        server.stop()


if __name__ == "__main__":
    main()
