"""The load generator: a process of its own that refunds over raw sockets, and little else.

Requests are built before the clock starts, answers are read with the least that tells them apart:
status, length, nothing of the body. One thread, one epoll. It counts every answer that is not 201
and every connection that ends, and measures its own CPU time, so that it can be seen whether it
is the bottleneck. A job comes as one line of JSON on standard input, its result goes out as one.
"""

import contextlib
import random
import resource
import select
import socket
import sys
from collections import Counter, deque
from collections.abc import Iterator
from typing import Final

import msgspec

from clawback import clock

AMOUNT_MINOR: Final = 1_000
"""What is refunded of each payment: the 10 MXN of the refund page."""

GIVE_UP_SECONDS: Final = 10.0
_RECEIVE: Final = 65_536
_LENGTH: Final = b"content-length: "
_END: Final = b"\r\n\r\n"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to send: refunds number `turn` and up to `count` more, of the pool's payments in turn.

    The pool's payments are numbered from `first` on; payment `first + n` belongs to key `n` modulo
    their number. `rate`: open loop, requests a second; without it each connection sends its next
    request once it has its answer.
    """

    port: int
    connections: int
    warm_up: float
    seconds: float
    first: int
    payments: int
    keys: list[str]
    turn: int
    count: int
    rate: float | None = None


class Sample(msgspec.Struct, frozen=True):
    """One measurement: answers a second, and how long they took in microseconds."""

    rate: float
    p50_us: float
    p99_us: float
    count: int

    @classmethod
    def of(cls, sorted_us: list[float], seconds: float) -> "Sample":
        """The figures of so many latencies within a window."""
        count = len(sorted_us)
        if count == 0 or seconds <= 0:
            return cls(0.0, 0.0, 0.0, count)
        return cls(count / seconds, sorted_us[count // 2], sorted_us[int(count * 0.99)], count)


class Result(msgspec.Struct, frozen=True):
    """What a job came to. `sent` and `cpu_us` cover the warm-up too; `bad` counts by status."""

    sample: Sample
    sent: int
    bad: dict[str, int]
    cpu_us: float


def build_requests(job: Job) -> list[bytes]:
    """Every request whole: its own key, payment and Idempotency-Key."""
    body = b'{"amount": 10, "reason": "requested_by_customer"}'
    heads = [
        (
            f"HTTP/1.1\r\nHost: 127.0.0.1:{job.port}\r\nUser-Agent: bench\r\nAccept: */*\r\n"
            f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nIdempotency-Key: refund-"
        )
        for key in job.keys
    ]
    return [
        (
            f"POST /api/v1/payments/TXN-{job.first + turn % job.payments:08d}-BNCH/refund "
            f"{heads[turn % len(heads)]}{turn}\r\n\r\n"
        ).encode()
        + body
        for turn in range(job.turn, job.turn + job.count)
    ]


class _Connection:
    """A socket, when its request was due, and what has come of its answer so far."""

    __slots__ = ("due", "part", "socket")

    def __init__(self, port: int) -> None:
        """Connect; blocks until it stands."""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=GIVE_UP_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(0)
        self.due = 0.0
        self.part = b""


class Generator:
    """One job while it runs."""

    def __init__(self, job: Job) -> None:
        """Build the requests and connect: none of it is measured."""
        self._job = job
        self._requests = iter(build_requests(job))
        self._epoll = select.epoll()
        self._by_fd: dict[int, _Connection] = {}
        for _ in range(job.connections):
            self._connect()
        self._done: list[tuple[float, float]] = []
        self._bad: Counter[str] = Counter()
        self._sent = 0
        self._busy = 0

    def _connect(self) -> _Connection:
        made = _Connection(self._job.port)
        self._by_fd[made.socket.fileno()] = made
        self._epoll.register(made.socket.fileno(), select.EPOLLIN)
        return made

    def run(self) -> Result:
        """Send and count until the time is over or the requests are used up."""
        begin = clock.monotonic()
        cpu = cpu_seconds()
        if self._job.rate is None:
            self._closed(begin + self._job.warm_up + self._job.seconds)
        else:
            self._open(begin, self._job.rate)
        cpu = cpu_seconds() - cpu
        for connection in self._by_fd.values():
            connection.socket.close()
        first = begin + self._job.warm_up
        last = min(first + self._job.seconds, self._done[-1][0] if self._done else first)
        taken = sorted(took * 1e6 for at, took in self._done if first < at <= last)
        sample = Sample.of(taken, last - first)
        return Result(sample, self._sent, dict(self._bad), cpu * 1e6)

    def _send(self, connection: _Connection, due: float) -> bool:
        """Send the next request; False when there is none left."""
        request = next(self._requests, None)
        if request is None:
            return False
        connection.due = due
        connection.socket.send(request)
        self._sent += 1
        self._busy += 1
        return True

    def _answers(self, seconds: float) -> Iterator[_Connection]:
        """Connections whose answer is whole, each counted."""
        for fd, _ in self._epoll.poll(seconds):
            connection = self._by_fd[fd]
            try:
                data = connection.socket.recv(_RECEIVE)
            except OSError:
                data = b""
            if not data:
                yield self._replace(fd, connection)
                continue
            if connection.part:
                data = connection.part + data
            end = data.find(_END)
            place = data.find(_LENGTH, 0, end)
            if end < 0 or len(data) < end + 4 + int(data[place + 16 : data.find(b"\r", place)]):
                connection.part = data
                continue
            connection.part = b""
            now = clock.monotonic()
            self._busy -= 1
            if data[9:12] == b"201":
                self._done.append((now, now - connection.due))
            else:
                self._bad[data[9:12].decode("latin-1")] += 1
            yield connection

    def _replace(self, fd: int, connection: _Connection) -> _Connection:
        """A connection that the server ended is counted and made anew."""
        self._bad["ended"] += 1
        self._busy -= 1
        self._epoll.unregister(fd)
        del self._by_fd[fd]
        connection.socket.close()
        return self._connect()

    def _closed(self, until: float) -> None:
        for connection in list(self._by_fd.values()):
            self._send(connection, clock.monotonic())
        while self._busy:
            is_over = clock.monotonic() >= until
            if clock.monotonic() > until + GIVE_UP_SECONDS:
                self._bad["unanswered"] += self._busy
                return
            for connection in self._answers(GIVE_UP_SECONDS):
                if not is_over:
                    self._send(connection, clock.monotonic())

    def _open(self, begin: float, rate: float) -> None:
        """Requests fall due at random moments, whatever the server does; latency is from then."""
        gaps = random.Random(self._job.turn)
        free = list(self._by_fd.values())
        late: deque[float] = deque()
        due = begin
        until = begin + self._job.warm_up + self._job.seconds
        while True:
            now = clock.monotonic()
            while due <= now and due < until:
                late.append(due)
                due += gaps.expovariate(rate)
            while late and free:
                if not self._send(free.pop(), late.popleft()):
                    late.clear()
                    until = now
            if now >= until and not (self._busy or late):
                return
            if now > until + GIVE_UP_SECONDS:
                self._bad["unanswered"] += self._busy + len(late)
                return
            wait = due - now if due < until else GIVE_UP_SECONDS
            if wait > 0 and not (late and free):
                select.select([self._epoll.fileno()], [], [], wait)
            free += self._answers(0)


def cpu_seconds(whose: int = resource.RUSAGE_SELF) -> float:
    """CPU time of this process so far, or of its children that have ended."""
    usage = resource.getrusage(whose)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Do jobs until standard input ends."""
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        for line in sys.stdin.buffer:
            result = Generator(msgspec.json.decode(line, type=Job)).run()
            sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
