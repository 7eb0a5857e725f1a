"""Volleys: many requests on as many sockets, held back by their last byte and released at once.

The sockets belong to several client processes. Each sends its requests up to the last byte, waits
at a barrier for all others, and lets go; then it reads. A shot's manner says how its client
behaves: it reads the answer, or leaves before or during it, or never sends the whole request.
"""

import multiprocessing
import random
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.support.closing import Closing
from tests.support.wire import BROKEN, Address, Line, Reply

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

READS: Final = "reads"
LEAVES: Final = "leaves"
LEAVES_LATE: Final = "leaves late"
CUT: Final = "cut"
MANNERS: Final = (READS, LEAVES, LEAVES_LATE, CUT)
WAIT_SECONDS: Final = 60.0


class Shot(NamedTuple):
    """One request and how its client behaves. `seed` decides the details."""

    request: bytes
    manner: str = READS
    seed: int = 0


class Gunners(Closing):
    """The client processes."""

    def __init__(self, address: Address, count: int = 4) -> None:
        """Start them; they wait for volleys."""
        method = multiprocessing.get_context("spawn")
        barrier = self._barrier = method.Barrier(count)  # kept: a child may start after this
        self._ours: list[Connection[Any, Any]] = []
        self._processes = []
        for _ in range(count):
            ours, theirs = method.Pipe()
            process = method.Process(target=_serve, args=(theirs, barrier, address), daemon=True)
            process.start()
            theirs.close()
            self._ours.append(ours)
            self._processes.append(process)

    def fire(self, shots: Sequence[Shot]) -> list[Reply | None]:
        """Release all at once; the answers in the order of the shots, None where none was read."""
        many = len(self._ours)
        for number, pipe in enumerate(self._ours):
            pipe.send(list(shots[number::many]))
        found: list[Reply | None] = [None] * len(shots)
        for number, pipe in enumerate(self._ours):
            assert pipe.poll(WAIT_SECONDS), "a client process is stuck"
            found[number::many] = pipe.recv()
        return found

    def close(self) -> None:
        """End the processes."""
        for pipe in self._ours:
            pipe.close()
        for process in self._processes:
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()


def _serve(pipe: "Connection[Any, Any]", barrier: "Barrier", address: Address) -> None:
    """A client process: volley after volley, until the pipe is closed."""
    with suppress(EOFError):
        while True:
            shots: list[Shot] = pipe.recv()
            lines = [Line(address) for _ in shots]
            for line, shot in zip(lines, shots, strict=True):
                line.send(shot.request[: _held_back(shot)])
            barrier.wait(WAIT_SECONDS)
            for line, shot in zip(lines, shots, strict=True):
                _release(line, shot)
            pipe.send([_ending(line, shot) for line, shot in zip(lines, shots, strict=True)])


def _held_back(shot: Shot) -> int:
    """How much is sent before the barrier: all but a byte; of a cut request some part."""
    if shot.manner == CUT:
        return random.Random(shot.seed).randrange(1, len(shot.request))
    return len(shot.request) - 1


def _release(line: Line, shot: Shot) -> None:
    if shot.manner != CUT:
        line.send(shot.request[-1:])
    if shot.manner in {CUT, LEAVES}:
        _leave(line, shot)


def _leave(line: Line, shot: Shot) -> None:
    if shot.seed % 2:
        line.reset()
    else:
        line.close()


def _ending(line: Line, shot: Shot) -> Reply | None:
    """Read the answer, or leave while it comes."""
    if shot.manner == READS:
        try:
            return line.read()
        except BROKEN as error:
            sys.stderr.write(f"no answer: {error!r}\n")
            return None
        finally:
            line.close()
    if shot.manner == LEAVES_LATE:
        time.sleep(shot.seed % 7 / 1000)
        _leave(line, shot)
    return None
