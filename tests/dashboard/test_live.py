"""News: that something changed and nothing else, to those who may see the book, while they may."""

import re
import socket
import time

import pytest

from tests.dashboard.visitor import COOKIE, Staff, Visitor
from tests.support.shops import Shop
from tests.support.trees import Tree

pytestmark = pytest.mark.timeout(180)


class Stream:
    """A stream of a book, read as it comes."""

    def __init__(self, tree: Tree, path: str, cookie: str) -> None:
        """Open it."""
        self._socket = socket.create_connection(tree.address, timeout=30)
        head = f"GET {path} HTTP/1.1\r\nHost: clawback.test\r\nCookie: {COOKIE}={cookie}\r\n\r\n"
        self._socket.sendall(head.encode())
        self.text = ""

    def until(self, pattern: str, seconds: float = 30) -> str:
        """Read on until this is there."""
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.text)):
            assert time.monotonic() < end, self.text
            piece = self._socket.recv(4096)
            assert piece, f"it ended: {self.text}"
            self.text += piece.decode()
        return found[0]

    def close(self) -> None:
        """Go away."""
        self._socket.close()


def test_news_is_a_number(
    served: Tree, staff: Staff, shop: Shop, browsers: dict[str, Visitor]
) -> None:
    stream = Stream(served, f"{staff.book()}/live", browsers["read-only"].cookie)
    try:
        assert stream.until("HTTP/1.1 200").endswith("200")
        first = int(stream.until(r"data: \d+").split()[1])
        name = shop.take_payment()
        stream.until(rf"data: (?!{first}\b)\d+")
        said = stream.text.partition("\r\n\r\n")[2]
        assert name not in said
        assert re.fullmatch(r"([0-9a-f]+\r\n|retry: 3000|data: \d+|: still here|\r|\n)*", said)
    finally:
        stream.close()


def test_strangers_hear_nothing(served: Tree, staff: Staff, browsers: dict[str, Visitor]) -> None:
    other = Staff(served, "MCH-NORTE")
    assert browsers["owner"].get(f"{other.book()}/live").status == 404
    assert browsers["owner"].get(f"{staff.book('live')}/live").status == 404
    assert Visitor(served).get(f"{staff.book()}/live").status == 303


@pytest.mark.long
def test_a_stream_ends_with_its_session(served: Tree, staff: Staff) -> None:
    visitor = staff.visitor(staff.hire("listener@test.example", test="read-only"))
    stream = Stream(served, f"{staff.book()}/live", visitor.cookie)
    try:
        stream.until(r"data: \d+")
        assert visitor.post("/dashboard/sign-out").status == 303
        stream.until("event: end", 40)
    finally:
        stream.close()
