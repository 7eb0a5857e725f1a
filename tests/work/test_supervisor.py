"""The process tree: what dies is started again, what is stopped stays stopped, in order."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from clawback.work.supervisor import Ended, Part, Supervisor, rotate, tail
from tests.processes import is_alive, wait_gone

pytestmark = pytest.mark.anyio

SERVE = "import time\nprint('up', flush=True)\ntime.sleep(600)\n"
STUBBORN = """
import signal, time
signal.signal(15, lambda *_: None)
print('up', flush=True)
while True:
    time.sleep(0.01)
"""
FAILS = "raise SystemExit(3)\n"
MARKS_ITS_END = """
import pathlib, signal, sys, time
def end(*_):
    with open('order', 'a') as file:
        file.write(sys.argv[1])
    sys.exit(0)
signal.signal(15, end)
print('up', flush=True)
time.sleep(600)
"""


class Tree:
    """A supervisor over parts made from a few lines of Python."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ended: list[Ended] = []
        self.first_end = asyncio.Event()
        self.supervisor = Supervisor(self.hear)

    def hear(self, ended: Ended | None) -> None:
        if ended is not None:
            self.ended.append(ended)
            self.first_end.set()

    async def start(self, name: str, code: str, stop_seconds: float = 5) -> None:
        module = f"part_{name.replace('-', '_')}"
        (self.folder / f"{module}.py").write_text(code)
        paths = os.pathsep.join((str(self.folder), str(Path.cwd())))
        environment = os.environ | {"PYTHONPATH": paths}
        part = Part(
            name=name,
            module=module,
            arguments=(name,),
            environment=environment,
            log=self.folder / f"{name}.log",
            stop_seconds=stop_seconds,
        )
        await self.supervisor.start(part)

    async def pid(self, name: str, other_than: int | None = None) -> int:
        """The part's process once it is up, and is not the one named."""
        for _ in range(500):
            pid = self.supervisor.pids()[name]
            log = self.folder / f"{name}.log"
            starts = log.read_text().count("up") if log.exists() else 0
            if pid not in {None, other_than} and starts > (other_than is not None):
                return pid or 0
            await asyncio.sleep(0.01)
        raise AssertionError(f"{name} did not come up")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Tree]:
    root = Path.cwd()
    made = Tree(tmp_path)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert (root / "clawback").is_dir()
    yield made
    made.supervisor.kill()
    await made.supervisor.stop()


async def test_a_killed_part_is_started_again(tree: Tree) -> None:
    await tree.start("api-1", SERVE)
    first = await tree.pid("api-1")
    os.kill(first, signal.SIGKILL)
    assert await tree.pid("api-1", other_than=first) != first
    assert tree.ended == [Ended("api-1", -signal.SIGKILL, 1)]


async def test_a_part_that_keeps_failing_is_started_ever_more_rarely(tree: Tree) -> None:
    await tree.start("worker", FAILS)
    await asyncio.sleep(1.2)
    failures = [ended.failures for ended in tree.ended]
    assert failures == list(range(1, len(failures) + 1))
    assert 2 <= len(failures) <= 4


async def test_parts_stop_in_the_reverse_order_of_starting(tree: Tree) -> None:
    here = f"import os\nos.chdir({str(tree.folder)!r})\n"
    for name in ("1postgres", "2sandbox", "3worker"):
        await tree.start(name, here + MARKS_ITS_END.replace("sys.argv[1]", "sys.argv[1][0]"))
        await tree.pid(name)
    assert await tree.supervisor.stop() == []
    assert (tree.folder / "order").read_text() == "321"
    assert tree.ended == []


async def test_a_part_that_does_not_stop_is_killed_and_named(tree: Tree) -> None:
    await tree.start("worker", STUBBORN, stop_seconds=0.3)
    pid = await tree.pid("worker")
    assert await tree.supervisor.stop() == ["worker"]
    assert not is_alive(pid)


async def test_a_part_that_is_between_two_starts_can_be_stopped(tree: Tree) -> None:
    await tree.start("worker", FAILS)
    await asyncio.wait_for(tree.first_end.wait(), 5)
    assert await tree.supervisor.stop() == []


PARENT = """
import asyncio, os, pathlib, sys
from clawback.work.supervisor import Part, Supervisor
async def main():
    supervisor = Supervisor(lambda ended: None)
    part = Part(name="child", module="sleeper", environment=dict(os.environ))
    await supervisor.start(part)
    print(supervisor.pids()["child"], flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


def test_a_part_dies_with_its_parent(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text("import time\ntime.sleep(600)\n")
    paths = os.pathsep.join((str(tmp_path), str(Path.cwd())))
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": paths},
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(0.2)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_gone([child], 5) == []


def test_logs_of_earlier_starts_are_kept_three_times(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    for number in range(6):
        rotate(log)
        log.write_text(str(number))
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {"api.log": "5", "api.log.1": "4", "api.log.2": "3", "api.log.3": "2"}


def test_the_tail_of_a_log_is_short_and_of_none_is_empty(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_text("".join(f"line {number}\n" for number in range(5000)))
    assert tail(log).splitlines()[-1] == "line 4999"
    assert len(tail(log).splitlines()) == 12
    assert tail(tmp_path / "none.log") == ""
