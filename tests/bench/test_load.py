"""The load generator: what it sends, what it counts, and that it tells bad answers from good."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from clawback.bench.load import Generator, Job, Sample, build_requests

ANSWER = b"HTTP/1.1 %d X\r\ncontent-length: 2\r\n\r\n{}"


def job(port: int = 1, **changed: object) -> Job:
    fields: dict[str, object] = {
        "port": port, "connections": 2, "warm_up": 0.0, "seconds": 5.0, "first": 100,
        "payments": 3, "keys": ["key-a", "key-b", "key-c"], "turn": 0, "count": 6,
    }  # fmt: skip
    return Job(**(fields | changed))  # type: ignore[arg-type]  # a mapping of its fields


class Server(threading.Thread):
    """Answers each request on each connection with what the script says, in small pieces."""

    def __init__(self, script: list[bytes]) -> None:
        super().__init__(daemon=True)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._script = iter(script)
        self._lock = threading.Lock()
        self._serving: list[threading.Thread] = []
        self.received: list[bytes] = []

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._listening.accept()
                one = threading.Thread(target=self._serve, args=(caller,), daemon=True)
                one.start()
                self._serving.append(one)

    def _serve(self, caller: socket.socket) -> None:
        with contextlib.suppress(OSError), caller:
            while data := caller.recv(65_536):
                with self._lock:
                    self.received.append(data)
                    answer = next(self._script, ANSWER % 201)
                if not answer:
                    return
                caller.sendall(answer[:20])
                caller.sendall(answer[20:])

    def stop(self) -> None:
        """Stop listening, and wait for those who serve: they end with their callers."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.join()
        for one in self._serving:
            one.join()


@contextlib.contextmanager
def serving(*script: bytes) -> Iterator[Server]:
    server = Server(list(script))
    server.start()
    try:
        yield server
    finally:
        server.stop()


def test_each_request_has_its_own_key_payment_and_idempotency_key() -> None:
    requests = [one.decode() for one in build_requests(job(turn=2, count=3))]
    assert [one.split()[1] for one in requests] == [
        f"/api/v1/payments/TXN-{number:08d}-BNCH/refund" for number in (102, 100, 101)
    ]
    for request, key, turn in zip(requests, ("key-c", "key-a", "key-b"), (2, 3, 4), strict=True):
        head, body = request.split("\r\n\r\n")
        assert f"Authorization: Bearer {key}\r\n" in head
        assert head.endswith(f"Idempotency-Key: refund-{turn}")
        assert f"Content-Length: {len(body)}\r\n" in head
    assert len(set(requests)) == 3


def test_every_request_is_sent_once_and_every_answer_counted() -> None:
    with serving() as server:
        result = Generator(job(server.port)).run()
    assert (result.sent, result.sample.count, result.bad) == (6, 6, {})
    assert sorted(server.received) == sorted(build_requests(job(server.port)))
    assert 0 < result.sample.p50_us <= result.sample.p99_us


def test_answers_that_are_not_201_and_ended_connections_are_counted_apart() -> None:
    with serving(ANSWER % 503, ANSWER % 409, b"", ANSWER % 200) as server:
        result = Generator(job(server.port)).run()
    assert result.bad == {"503": 1, "409": 1, "200": 1, "ended": 1}
    assert (result.sent, result.sample.count) == (6, 2)


def test_open_loop_keeps_to_its_rate_and_drops_nothing() -> None:
    with serving() as server:
        result = Generator(job(server.port, rate=200.0, seconds=0.5, count=1_000)).run()
    assert result.bad == {}
    assert 50 < result.sent < 200
    assert result.sample.count <= result.sent


def test_open_loop_ends_when_its_requests_are_used_up() -> None:
    with serving() as server:
        result = Generator(job(server.port, rate=1_000.0, count=4)).run()
    assert (result.sent, result.bad) == (4, {})


@pytest.mark.parametrize(
    ("latencies", "expected"),
    [([], Sample(0.0, 0.0, 0.0, 0)), ([1.0, 2.0, 3.0, 9.0], Sample(2.0, 3.0, 9.0, 4))],
)
def test_sample_of_latencies(latencies: list[float], expected: Sample) -> None:
    assert Sample.of(latencies, 2.0) == expected
