"""A `clawback dev` in a process of its own, and the commands that are run beside it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from tests.processes import descendants, is_alive, wait_gone

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 45.0


def environment(**more: str) -> dict[str, str]:
    """Ours, without what would lead a command elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CLAWBACK_")}
    kept.pop("DATABASE_URL", None)
    return kept | {"PYTHONPATH": str(ROOT)} | more


def clawback(*arguments: str, cwd: Path = ROOT, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "clawback", *arguments],
        cwd=cwd,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@contextmanager
def serving(folder: Path) -> "Iterator[Tree]":
    """A tree that serves for a while; its directory is called .clawback."""
    made = Tree(folder / ".clawback")
    try:
        yield made.wait("Serving until")  # the example was played: nothing happens by itself now
    finally:
        made.close()


class Tree:
    """One `clawback dev` and everything that it started."""

    def __init__(self, data: Path, *arguments: str) -> None:
        """Start it; it is ready after `wait`."""
        self.data = data
        self.said = data.parent / f"{data.name}.out"
        with self.said.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "clawback", "dev", "--port", "0", "--processes", "2",
                 "--data", str(data), *arguments],
                cwd=data.parent,
                env=environment(),
                stdout=out,
                stderr=subprocess.STDOUT,
            )  # fmt: skip

    def wait(self, said: str = "") -> "Tree":
        """Until dev.json is there, so the API answers, and it has said this."""
        until = time.monotonic() + SECONDS
        while not (self.data / "dev.json").exists() or said not in self.said.read_text():
            assert self.process.poll() is None, self.said.read_text()
            assert time.monotonic() < until, self.said.read_text()
            time.sleep(0.02)
        return self

    @property
    def dev(self) -> dict[str, Any]:
        """What dev.json says now."""
        found: dict[str, Any] = json.loads((self.data / "dev.json").read_text())
        return found

    def processes(self) -> list[int]:
        """The tree's processes, this moment."""
        return [self.process.pid, *descendants(self.process.pid)]

    def call(self, method: str, path: str, body: object = None, key: str = "") -> dict[str, Any]:
        """A call of the API: its body decoded."""
        dev = self.dev
        data = None if body is None else json.dumps(body)
        headers = {"Authorization": f"Bearer {key or dev['secretKey']}"}
        if data is not None:
            headers["Content-Type"] = "application/json"
        connection = HTTPConnection(dev["url"].removeprefix("http://"), timeout=10)
        try:
            connection.request(method, path, data, headers)
            found: dict[str, Any] = json.load(connection.getresponse())
            return found
        finally:
            connection.close()

    def is_ready(self) -> bool:
        """Whether /readyz says so."""
        try:
            return bool(self.call("GET", "/readyz").get("ready"))
        except (OSError, HTTPException):
            return False

    def kill(self, name: str) -> int:
        """Kill -9 a part; returns what was its process."""
        pid = int(self.dev["pids"][name])
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_for_another(self, name: str, pid: int) -> None:
        """Until the part runs again as another process, and the API is ready."""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            now = self.dev["pids"][name]
            if now not in {None, pid} and is_alive(now) and self.is_ready():
                return
            time.sleep(0.05)
        raise AssertionError(f"{name} did not come back: {self.said.read_text()}")

    def refund(self) -> str:
        """Take a payment and refund a part of it; returns the claim's id once it is released."""
        body = {"amount": 50, "paymentMethodId": "sbx_spei", "country": "MX"}
        path = f"/api/v1/payments/{self.call('POST', '/api/v1/payments', body)['id']}"
        self._until(path, "completed", lambda: self._simulate_paid(path))
        claim = self.call("POST", f"{path}/refund", {"amount": 10})["refundId"]
        self._until(f"/api/v1/claims/{claim}", "released", lambda: None)
        return str(claim)

    def _simulate_paid(self, path: str) -> None:
        self.call("POST", f"{path}/simulate", {"action": "paid"})

    def _until(self, path: str, status: str, push: Callable[[], None]) -> None:
        """Push and look, until the object has the status."""
        until = time.monotonic() + SECONDS
        push()
        while (found := self.call("GET", path))["status"] != status:
            assert time.monotonic() < until, found
            time.sleep(0.1)
            push()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop; returns its exit code once every process of the tree is gone."""
        tree = self.processes()
        self.process.send_signal(number)
        code = self.process.wait(SECONDS)
        assert wait_gone(tree, 5) == [], self.said.read_text()
        return code

    def close(self) -> None:
        """Leave nothing behind, whatever happened."""
        if self.process.poll() is None:
            tree = self.processes()
            self.process.kill()
            self.process.wait()
            wait_gone(tree, 20)
