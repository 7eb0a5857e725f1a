"""Everything that `clawback dev` runs, as one tree: database, sandbox provider, API, worker.

Parts start in the order in which they need each other and stop in the reverse one: the API
drains, the worker finishes its calls, the provider and the database go last. A part that dies is
started again. `DIR/dev.json` is there from the moment the API answers until the tree stops.
"""

import asyncio
import base64
import contextlib
import fcntl
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

import msgspec

from clawback import clock, seal
from clawback.cli import place, postgres, seed
from clawback.cli.client import Client
from clawback.cli.output import Stop, note
from clawback.cli.session import environment
from clawback.db.embedded import EmbeddedPostgres
from clawback.lanes.lanes import MAX_LANES
from clawback.settings import Settings
from clawback.work.supervisor import Ended, Part, Supervisor, rotate, tail

HOST: Final = "127.0.0.1"
START_SECONDS: Final = 60.0
WATCH_SECONDS: Final = 0.25
ROOM: Final = 80
"""Connections that the embedded server has for the API and the worker."""

SEAL_KEY: Final = "seal.key"
TRIES: Final = 3


class Options(msgspec.Struct, frozen=True):
    """What a tree is made of. `rate`: requests a second of each key of the demo merchant."""

    data: Path
    port: int
    processes: int
    rate: int


class Stack:
    """One tree on one data directory."""

    def __init__(self, options: Options) -> None:
        """Nothing is started yet."""
        self._options = options
        self._data = options.data.absolute()
        self._supervisor = Supervisor(self._hear)
        self._failures: dict[str, int] = {}
        self._dev: place.Dev | None = None
        self._watch: asyncio.Task[None] | None = None
        self._pids: dict[str, int | None] = {}
        self._held = contextlib.ExitStack()

    async def start(self) -> place.Dev:
        """Start every part; returns once the API answers. Raises: Stop."""
        self._take_directory()
        port = self._take_port()
        provider = await self._start_sandbox(port)
        database = await self._start_database()
        keys = await seed.prepare(database, self._known_keys(), rate=self._options.rate)
        await self._until("sandbox", "the sandbox provider", lambda: _text(self._announced))
        with contextlib.suppress(FileExistsError):
            seal.create(self._data / SEAL_KEY)
        settings = settings_of(self._data, database, provider) | {
            "CLAWBACK_PORT": str(port),
            "CLAWBACK_READERS": str(_readers(self._options.processes)),
        }
        await self._supervisor.start(self._part("worker", "clawback", ("worker",), settings))
        share = ("serve", "--share", str(self._options.processes))
        for number in range(1, self._options.processes + 1):
            api = self._part(f"api-{number}", "clawback", share, settings)
            await self._supervisor.start(api)
        url = f"http://{HOST}:{port}"
        client = Client(url, None, timeout=2)
        await self._until("api-1", "the API", lambda: client.is_ready() or None)
        self._dev = place.Dev(
            url=url,
            secret_key=keys.secret,
            publishable_key=keys.publishable,
            live_secret_key=keys.live_secret,
            merchant_id=seed.MERCHANT_ID,
            docs=f"{url}/docs",
            dashboard_url=url + keys.dashboard_path,
            data=str(self._data),
            database_url=database,
            sandbox_url=provider,
            pid=os.getpid(),
        )
        self._write()
        self._watch = asyncio.create_task(self._watch_processes())
        return self._dev

    async def stop(self) -> None:
        """Stop every part in order; says which had to be killed."""
        dev, self._dev = self._dev, None
        if dev is not None and self._watch is not None:
            self._watch.cancel()
            place.running(self._data).replace(place.stopped(self._data))
        killed = await self._supervisor.stop()
        if killed:
            note(f"had to be killed: {', '.join(killed)}")
        self._held.close()

    def kill(self) -> None:
        """End every part at once: nothing that was acknowledged is lost by it."""
        self._supervisor.kill()

    def _hear(self, ended: Ended | None) -> None:
        """A part was started, or has died."""
        if ended is not None:
            self._failures[ended.name] = ended.failures
            cause = f"signal {-ended.code}" if ended.code < 0 else f"exit code {ended.code}"
            note(f"{ended.name} ended ({cause}): starting it again")

    async def _watch_processes(self) -> None:
        """Keep the process ids in the file those of the processes that run."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if self._pids != self._processes():
                self._write()

    def _processes(self) -> dict[str, int | None]:
        """The process of each part; that of PostgreSQL is the server itself, not its keeper."""
        pids = self._supervisor.pids()
        server = EmbeddedPostgres(self._data).status()["pid"]
        assert isinstance(server, int | None), "its own promise"
        return pids | {"postgres-keeper": pids["postgres"], "postgres": server}

    def _write(self) -> None:
        assert self._dev is not None, "written only while the tree answers"
        self._pids = self._processes()
        dev = msgspec.structs.replace(self._dev, pids=self._pids)
        body = msgspec.json.format(msgspec.json.encode(dev), indent=2)
        place.write_private(place.running(self._data), body + b"\n")

    def _take_directory(self) -> None:
        """Make the directory and lock it. Raises: Stop if it is in use or cannot be written."""
        try:
            (self._data / "logs").mkdir(parents=True, exist_ok=True)
            file = self._held.enter_context((self._data / "dev.lock").open("a+"))
            if not _is_locked(file):
                holder = _first_line(file)
                advice = "Stop that one, or choose another directory with --data."
                raise Stop(f"{self._data} is in use by process {holder}", advice)
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            with contextlib.suppress(FileNotFoundError):
                place.running(self._data).replace(place.stopped(self._data))
        except OSError as error:
            text = f"{self._data} cannot be written: {error.strerror}"
            raise Stop(text, "Choose another directory with --data.") from error

    def _take_port(self) -> int:
        """Hold the port for our API processes alone. Raises: Stop if somebody listens on it."""
        port = self._options.port
        try:
            if port:
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((HOST, port))
            return self._hold(port, socket.SO_REUSEPORT)
        except (OSError, OverflowError) as error:
            text = f"port {port} cannot be used: it is taken, or not ours to take"
            raise Stop(text, "Choose another with --port, or 0 for any free one.") from error

    def _hold(self, port: int, option: int) -> int:
        """Keep a port from others while the parts that listen on it come and go."""
        held = self._held.enter_context(socket.socket())
        held.setsockopt(socket.SOL_SOCKET, option, 1)
        held.bind((HOST, port))
        return int(held.getsockname()[1])

    def _known_keys(self) -> seed.Keys | None:
        """The keys of an earlier start on this directory."""
        old = place.read_dev(place.stopped(self._data))
        if old is None:
            return None
        return seed.Keys(old.secret_key, old.publishable_key, old.live_secret_key)

    async def _start_database(self) -> str:
        part = self._part("postgres", "clawback.cli.postgres", (str(self._data),), environment())
        postgres.address_file(self._data).unlink(missing_ok=True)
        await self._supervisor.start(part)
        return await self._until(
            "postgres", "PostgreSQL", lambda: _text(postgres.address_file(self._data))
        )

    @property
    def _announced(self) -> Path:
        """The file that is there once the provider peer answers."""
        return self._data / "sandbox" / "port"

    async def _start_sandbox(self, api_port: int) -> str:
        """Start the provider peer; returns its address, which stays when it is started again.

        It needs nothing of the others, and comes up beside PostgreSQL.
        """
        folder = self._data / "sandbox"
        folder.mkdir(mode=0o700, exist_ok=True)
        _keep_secret(folder / "secret", f"sbx_{secrets.token_hex(24)}")
        noted = base64.b64encode(secrets.token_bytes(32)).decode()
        _keep_secret(folder / "notice-secret", f"whsec_{noted}")
        self._announced.unlink(missing_ok=True)
        port = self._hold(0, socket.SO_REUSEADDR)
        arguments = (
            "--port", str(port), "--port-file", str(self._announced),
            "--data", str(folder / "record.sqlite3"), "--secret-file", str(folder / "secret"),
            "--notice-url", f"http://{HOST}:{api_port}/api/v1/providers/sandbox/webhooks",
            "--notice-secret-file", str(folder / "notice-secret"),
        )  # fmt: skip
        part = self._part("sandbox", "clawback.sandbox", arguments, environment())
        await self._supervisor.start(part)
        return f"http://{HOST}:{port}"

    def _part(
        self, name: str, module: str, arguments: tuple[str, ...], settings: dict[str, str]
    ) -> Part:
        log = self._data / "logs" / f"{name}.log"
        rotate(log)
        return Part(name=name, module=module, arguments=arguments, environment=settings, log=log)

    async def _until(self, part: str, what: str, look: Callable[[], object | None]) -> str:
        """Look until there is something. Raises: Stop if the part keeps failing, or is too slow."""
        until = clock.monotonic() + START_SECONDS
        while clock.monotonic() < until and self._failures.get(part, 0) < TRIES:
            found = await asyncio.to_thread(look)
            if found is not None:
                return str(found)
            await asyncio.sleep(0.02)
        log = self._data / "logs" / f"{part}.log"
        note(tail(log))
        raise Stop(f"{what} did not start", f"Its log is {log}.")


def _readers(processes: int) -> int:
    """Reading connections of each process, so that all of them and an audit find room."""
    return max(1, min(Settings().readers, ROOM // (processes + 1) - 2 * MAX_LANES))


def settings_of(data: Path, database: str, sandbox: str) -> dict[str, str]:
    """What processes are told that work on a data directory."""
    return environment() | {
        "DATABASE_URL": database,
        "CLAWBACK_HOST": HOST,
        "CLAWBACK_SANDBOX_URL": sandbox,
        "CLAWBACK_SANDBOX_SECRET_FILE": str(data / "sandbox" / "secret"),
        "CLAWBACK_SANDBOX_NOTICE_SECRET_FILE": str(data / "sandbox" / "notice-secret"),
        "CLAWBACK_SEAL_KEY_FILE": str(data / SEAL_KEY),
        "CLAWBACK_ALLOW_LOOPBACK_WEBHOOKS": "1",
    }


def _is_locked(file: IO[str]) -> bool:
    """Lock the file for this process; False if another one has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _first_line(file: IO[str]) -> str:
    file.seek(0)
    return file.readline().strip() or "of another user"


def _keep_secret(path: Path, fresh: str) -> None:
    """Have a secret in a file: the one that is there, or this fresh one."""
    if not path.exists():
        place.write_private(path, fresh.encode())


def _text(path: Path) -> str | None:
    """What a file says; None if it is not there or empty."""
    try:
        return path.read_text(encoding="ascii").strip() or None
    except FileNotFoundError:
        return None
