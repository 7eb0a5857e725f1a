"""A `clawback dev` in a process of its own, for tests that look at it from outside only.

It is known by its `dev.json`, its processes by their ids in it; of the product only commands are
used to talk to it. Whatever a test does, `close` leaves no process behind.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import clawback
from tests.processes import descendants, is_alive, wait_gone
from tests.support.closing import Closing
from tests.support.commands import run_here

ROOT: Final = Path(clawback.__file__).resolve().parents[1]
START_SECONDS: Final = 180.0


class Tree(Closing):
    """One `clawback dev` and everything that it started."""

    _process: "subprocess.Popen[bytes] | None" = None
    """Its first process, if it is ours to end."""

    def __init__(
        self,
        data: Path,
        *,
        processes: int = 2,
        more: Mapping[str, str] | None = None,
        paths: tuple[Path, ...] = (),
    ) -> None:
        """Start it. `more` is laid over the environment, `paths` go before ours on PYTHONPATH."""
        self._know(data, more, paths)
        with self._said.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "clawback", "dev", "--port", "0", "--data", str(data),
                 "--processes", str(processes)],
                cwd=data.parent,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            self.until("the tree is ready", self._is_ready, START_SECONDS)
        except AssertionError:
            self.close()
            raise

    @classmethod
    def joined(cls, data: Path) -> "Tree":
        """One that another process started, and will end."""
        tree = cls.__new__(cls)
        tree._know(data, None, ())
        return tree

    def _know(self, data: Path, more: Mapping[str, str] | None, paths: tuple[Path, ...]) -> None:
        self.data = data
        self._more = {"PYTHONPATH": os.pathsep.join(map(str, (*paths, ROOT))), **(more or {})}
        self._said = data.with_name(f"{data.name}.out")

    def _environment(self) -> dict[str, str]:
        """Ours, without what would lead a command elsewhere."""
        ours = {name: value for name, value in os.environ.items() if name[:9] != "CLAWBACK_"}
        ours.pop("DATABASE_URL", None)
        return ours | self._more

    def _is_ready(self) -> bool:
        assert self._process is not None, "it is not ours"
        assert self._process.poll() is None, f"it ended: {self.said}"
        return (self.data / "dev.json").exists() and "Serving until" in self.said

    @property
    def said(self) -> str:
        """What it has printed so far."""
        return self._said.read_text(errors="replace")

    @property
    def dev(self) -> dict[str, Any]:
        """What dev.json says now."""
        found: dict[str, Any] = json.loads((self.data / "dev.json").read_text())
        return found

    @property
    def address(self) -> tuple[str, int]:
        """Where the API listens."""
        host, _, port = str(self.dev["url"]).removeprefix("http://").partition(":")
        return host, int(port)

    def pid(self, part: str) -> int | None:
        """The process of a part, if it runs this moment."""
        pid = self.dev["pids"].get(part)
        return int(pid) if pid is not None and is_alive(int(pid)) else None

    def backends(self) -> list[int]:
        """PostgreSQL's processes for our connections, this moment."""
        return [pid for pid in self.server_processes()[1:] if b"clawback" in _title(pid)]

    def server_processes(self) -> list[int]:
        """The postmaster and all its children; empty while it is away."""
        pid = self.pid("postgres")
        return [] if pid is None else [pid, *descendants(pid)]

    def run(self, *arguments: str, seconds: float = 120.0) -> "subprocess.CompletedProcess[str]":
        """A `clawback` command on this tree's data, run to its end."""
        return subprocess.run(
            [sys.executable, "-m", "clawback", *arguments, "--data", str(self.data)],
            cwd=self.data.parent,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def told(self, *arguments: str) -> dict[str, Any]:
        """What a command answers with `--json`; it runs in this process, for most set the scene."""
        code, out, err = run_here([*arguments, "--data", str(self.data), "--json"], self._more)
        assert code == 0, out + err
        found: dict[str, Any] = json.loads(out)
        return found

    def audit(self) -> None:
        """The books of the whole database are right."""
        with self.books():
            told = self.told("audit")
        assert told["clean"] is True, told

    @contextmanager
    def books(self, *, spoiled: bool = False) -> Iterator[None]:
        """While all books are looked at, or one of them is spoiled: one waits for the other."""
        with (self.data / "books.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX if spoiled else fcntl.LOCK_SH)
            yield

    def until(self, what: str, look: Callable[[], bool], seconds: float) -> None:
        """Look until it is so."""
        end = time.monotonic() + seconds
        while not look():
            assert time.monotonic() < end, f"not within {seconds} s: {what}\n{self.said[-2000:]}"
            time.sleep(0.05)

    def close(self) -> None:
        """Stop it, in order if it can, and leave no process behind."""
        if self._process is None or self._process.poll() is not None:
            return
        everything = [self._process.pid, *descendants(self._process.pid)]
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(40)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        alive = wait_gone(everything, 20)
        for pid in alive:
            os.kill(pid, signal.SIGKILL)
        assert not alive, f"still there after the end: {alive}"


def _title(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
