"""A client in its own process that asks for refunds and keeps an account of what it was promised.

`python -m tests.crash.refunder SPEC LOG` works through the jobs of SPEC (JSON) until standard input
ends. Before a job's first byte is sent its intent is in LOG, and every answer of 201 is in LOG,
flushed to disk, before the next job begins. Whatever else happens, a cut, a refused connection, a
5xx, is noted as doubt, and the same request is sent again under the same key until it is answered.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.support.wire import API, BROKEN, Line, Reply, bearer, request

GIVE_UP_SECONDS: Final = 60.0
PAUSE_SECONDS: Final = 0.05
PER_PAYMENT: Final = 2_500
"""So many refunds of 0.01, 0.02, 0.03 … together stay below a payment of 2,000 USD in pesos."""
RETRIED: Final = frozenset({500, 503})


class Log:
    """Lines of JSON, appended whole; `keep` returns once they are on disk."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, **line: object) -> None:
        os.write(self._file, json.dumps(line).encode() + b"\n")

    def keep(self, **line: object) -> None:
        self.write(**line)
        os.fsync(self._file)


class Refunder:
    """Callers that share a list of jobs."""

    def __init__(self, spec: dict[str, Any], log: Log) -> None:
        self._address = (spec["host"], spec["port"])
        self._pause = spec["pauseSeconds"]
        self._stubborn = spec["stubborn"]
        self._jobs = jobs_of(spec)
        self._lock = threading.Lock()
        self._log = log
        self.stopped = threading.Event()

    def run(self, callers: int) -> None:
        """Work until stopped."""
        threads = [threading.Thread(target=self._call_on) for _ in range(callers)]
        for thread in threads:
            thread.start()
        sys.stdin.read()
        self.stopped.set()
        for thread in threads:
            thread.join()

    def _call_on(self) -> None:
        line: Line | None = None
        while not self.stopped.is_set():
            with self._lock:
                job = next(self._jobs, None)
            if job is None:
                return
            self._log.write(intent=job["key"], **job)
            line = self._ask(line, job)
            time.sleep(self._pause)

    def _ask(self, line: Line | None, job: dict[str, Any]) -> Line | None:
        """Send one job until it is answered, or until there is no sense in it any more."""
        end: float | None = None
        data = request_of(job)
        while end is None or time.monotonic() < end:
            try:
                line = line or Line(self._address, seconds=10)
                line.send(data)
                reply = line.read()
                why = f"{reply.status} {reply.code}"
                if reply.status not in RETRIED:
                    self._note(job, reply)
                    return line
            except BROKEN as error:
                why = type(error).__name__
                if line is not None:
                    line.close()
                line = None
            self._log.write(doubt=job["key"], why=why)
            if self.stopped.is_set():
                if not self._stubborn:
                    return line
                end = end or time.monotonic() + GIVE_UP_SECONDS
            time.sleep(PAUSE_SECONDS)
        return line

    def _note(self, job: dict[str, Any], reply: Reply) -> None:
        body = reply.body.decode()
        if reply.status == 201:
            self._log.keep(ack=job["key"], body=body)
        else:
            self._log.keep(refused=job["key"], body=body)


def jobs_of(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Refunds of all payments in turn; no two of one payment ask for the same amount."""
    for minor in range(1, PER_PAYMENT + 1):
        for place, payment in enumerate(spec["payments"]):
            yield {
                "key": f"{spec['name']}-{place}-{minor}",
                "payment": payment["id"],
                "secret": payment["secret"],
                "minor": minor,
            }


def request_of(job: dict[str, Any]) -> bytes:
    """The bytes of a job, the same at every try; the key is also the refund's reason."""
    amount = f"{job['minor'] // 100}.{job['minor'] % 100:02}"
    body = f'{{"amount":{amount},"reason":"{job["key"]}"}}'.encode()
    path = f"{API}/payments/{job['payment']}/refund"
    return request("POST", path, bearer(job["secret"], idempotency=job["key"]), body)


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text())
    Refunder(given, Log(Path(sys.argv[2]))).run(given["callers"])
