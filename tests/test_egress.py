"""Nothing that a stranger writes leads inside: seen at the sockets, with a control that shows it.

Every way in which Python opens a connection passes the interpreter's audit hook, which these tests
read. A form is refused when it is saved, or at the latest when it is about to be dialled.
"""

import asyncio
import ipaddress
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product

import pytest

from clawback.connection import NotSent, Reply
from clawback.egress import Egress, Lookup, Place, Refusal, is_own, is_public, read_place
from clawback.outbound import Timeouts
from tests.support.counts import sampled

_CONNECTED: list[object] = []
_IS_WATCHING = [False]
SHORT = Timeouts(connect=0.5, write=0.5, read=0.5, total=0.5)


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if _IS_WATCHING[0] and event == "socket.connect":
        _CONNECTED.append(arguments[1])


sys.addaudithook(_watch)


@contextmanager
def connections() -> Iterator[list[object]]:
    """The addresses that are connected to meanwhile."""
    _CONNECTED.clear()
    _IS_WATCHING[0] = True
    try:
        yield _CONNECTED
    finally:
        _IS_WATCHING[0] = False


INSIDE_4 = (
    "0.0.0.0",  # noqa: S104 - nothing is bound to it
    "0.1.2.3", "10.0.0.0", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200",
    "100.127.255.255", "127.0.0.1", "127.0.1.1", "127.255.255.254", "169.254.0.1",
    "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.170",
    "192.0.2.1", "192.88.99.1", "192.168.0.1", "192.168.255.255", "198.18.0.1", "198.19.255.255",
    "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
)  # fmt: skip
INSIDE_6 = (
    "::", "::1", "::2", "::127.0.0.1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:7f00:1",
    "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1", "64:ff9b::a00:1", "64:ff9b::169.254.169.254", "64:ff9b:1::1",
    "100::1", "2001::1", "2001:0:7f00:1::", "2001:2::1", "2001:10::1", "2001:20::1",
    "2001:db8::1", "2002:7f00:1::", "2002:a00:1::", "2002:a9fe:a9fe::", "2002:c0a8:1::1",
    "3fff::1", "5f00::1", "fc00::1", "fd00::1", "fd00:ec2::254", "fdff::1", "fe80::1",
    "fe80::a9fe:a9fe", "febf::1", "fec0::1", "feff::1", "ff01::1", "ff02::1", "ff05::2", "ff0e::1",
    "2620:4f:8000::1", "4000::1", "8000::1", "e000::1", "0:0:0:0:0:0:0:1",
    "0000:0000:0000:0000:0000:0000:0000:0001", "0:0:0:0:0:ffff:7f00:1", "::FFFF:127.0.0.1",
    "::ffff:c0a8:1",
)  # fmt: skip


def _spellings(text: str) -> Iterator[str]:
    """Ways to write an IPv4 address that some resolver or other takes."""
    a, b, c, d = (int(part) for part in text.split("."))
    whole = (a << 24) | (b << 16) | (c << 8) | d
    yield from (str(whole), hex(whole), f"0{whole:o}", hex(whole).upper().replace("0X", "0x"))
    yield from (f"{a}.{(b << 16) | (c << 8) | d}", f"{a}.{b}.{(c << 8) | d}")
    yield f"0{a:o}.0{b:o}.0{c:o}.0{d:o}"
    yield f"{a:#x}.{b:#x}.{c:#x}.{d:#x}"
    yield f"{a:#x}.{b}.0{c:o}.{d}"
    yield f"00{a}.{b}.{c}.{d}"
    yield f"{text}."
    yield text.replace(".", "\u3002")
    yield "".join(chr(ord(letter) + 0xFEE0) if letter.isdigit() else letter for letter in text)
    yield f"%{ord(text[0]):02x}{text[1:]}"


NAMES = (
    "localhost", "LOCALHOST", "localhost.", "localhost.localdomain", "a.localhost",
    "lo\u0441alhost", "ip6-localhost", "[::1%25lo]", "[::1%lo]", "[fe80::1%25eth0]", "[::1", "::1",
    "127.0.0.1:443:80", "[127.0.0.1]", "[v1.127.0.0.1]", "127.0.0.1%00.shop.example",
    "127.0.0.1\\.shop.example",
    "\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3", "0", "0x0", "00", "0x", "1", "127.1",
    "127.0.1", "[::]", "[0:0:0:0:0:0:0:0]", "shop..example", "-shop.example", "shop_.example-",
    "", ".", "..", "a" * 64 + ".example", "x." * 130 + "example",
)  # fmt: skip
WHOLE = (
    "http://8.8.8.8/", "ftp://8.8.8.8/", "file:///etc/passwd", "gopher://127.0.0.1:70/x",
    "HTTP://127.0.0.1/", "//127.0.0.1/", "127.0.0.1", "https:127.0.0.1", "https:/127.0.0.1/",
    "https:\\\\127.0.0.1\\", "https://8.8.8.8:80/", "https://8.8.8.8:22/", "https://8.8.8.8:0/",
    "https://8.8.8.8:65536/", "https://8.8.8.8:-1/", "https://8.8.8.8:4 43/", "https://8.8.8.8:/",
    "https://8.8.8.8:\u0664\u0664\u0663/", "https://a@127.0.0.1/", "https://a:b@127.0.0.1/",
    "https://8.8.8.8@127.0.0.1/", "https://127.0.0.1@8.8.8.8/", "https://8.8.8.8#@127.0.0.1/",
    "https://127.0.0.1#", "https://8.8.8.8/#a", "https://8.8.8.8/a b", "https://8.8.8.8/\r\nx: y",
    "https://8.8.8.8/\t", " https://127.0.0.1/", "https://127.0.0.1/ ", "https://\x00127.0.0.1/",
    "https://127.0.0.1\n/", "https://8.8.8.8\\@127.0.0.1/", "https://127.0.0.1\\@8.8.8.8/",
    "https://8.8.8.8/" + "x" * 2040, "javascript:alert(1)", "data:text/plain,x", "", "https://",
    "https://?", "https://:443/", "unix:///run/x.sock", "wss://127.0.0.1/",
    "https://8.8.8.8/\u00e9",
)  # fmt: skip
FORMS = tuple(dict.fromkeys((
    *(f"https://{one}/" for one in INSIDE_4),
    *(f"https://[{one}]/" for one in INSIDE_6),
    *(f"https://{form}/" for one in INSIDE_4[7:18] for form in _spellings(one)),
    *(f"https://{name}/" for name in NAMES),
    *(f"https://{one}:8443/hooks?a=b" for one in INSIDE_4[:14]),
    *WHOLE,
)))  # fmt: skip


def test_there_are_three_hundred_forms() -> None:
    assert len(FORMS) >= 300


async def test_no_form_is_ever_connected_to() -> None:
    """Neither saved nor dialled, in either mode, also where loopback is allowed for http."""
    wrong = []
    with connections() as seen:
        for allow, mode in product((False, True), ("test", "live")):
            egress = Egress(allow_loopback=allow, timeouts=SHORT)
            for url in FORMS:
                if allow and mode == "test" and url.lower().startswith("http:"):
                    continue  # that is what the operator allowed; see below
                rule = await egress.check(url, mode)
                ending = await egress.post(url, mode, {}, b"{}")
                if rule is None or not isinstance(ending, Refusal | NotSent):
                    wrong.append((url, mode, rule, ending))
            await egress.close()
    assert wrong == []
    assert seen == []


def _answering(*found: str) -> Lookup:
    async def lookup(host: str, port: int) -> tuple[str, ...]:
        return found

    return lookup


@pytest.mark.parametrize("inside", sampled([*INSIDE_4, *INSIDE_6], every=4))
async def test_one_forbidden_address_refuses_the_name(inside: str) -> None:
    for found in ((inside,), ("8.8.8.8", inside), (inside, "8.8.8.8")):
        egress = Egress(lookup=_answering(*found), timeouts=SHORT)
        with connections() as seen:
            assert await egress.check("https://shop.example/", "live") == "address"
            ending = await egress.post("https://shop.example/", "live", {}, b"{}")
        await egress.close()
        assert ending == NotSent("address_refused")
        assert seen == []


async def test_the_control_a_public_address_is_dialled_as_it_was_checked() -> None:
    """The recorder sees it: the address of the look-up, on the port of the URL."""
    egress = Egress(lookup=_answering("8.8.8.8"), timeouts=SHORT)
    with connections() as seen:
        assert await egress.check("https://shop.example:8443/", "live") is None
        assert seen == [], "saving connects to nobody"
        await egress.post("https://shop.example:8443/", "live", {}, b"{}")
    await egress.close()
    assert seen == [("8.8.8.8", 8443)]


async def test_a_name_that_changes_its_address_is_caught_at_the_next_try() -> None:
    answers = [("8.8.8.8",), ("127.0.0.1",)]

    async def turning(_: str, __: int) -> tuple[str, ...]:
        return answers.pop(0)

    egress = Egress(lookup=turning, timeouts=SHORT)
    assert await egress.check("https://shop.example/", "live") is None
    await asyncio.sleep(1.1)  # as long as checked addresses serve
    with connections() as seen:
        ending = await egress.post("https://shop.example/", "live", {}, b"{}")
    await egress.close()
    assert ending == NotSent("address_refused")
    assert seen == []


async def test_a_name_that_changes_at_every_look_is_dialled_only_where_it_was_checked() -> None:
    """An alternating resolver, nothing kept: each try goes to what it has checked, or nowhere."""
    turns = [("8.8.8.8",), ("169.254.169.254",), ("1.1.1.1",), ("::1",), ("8.8.8.8", "10.0.0.1")]
    answers = turns * 4

    async def turning(_: str, __: int) -> tuple[str, ...]:
        return answers.pop(0)

    endings = []
    with connections() as seen:
        for _ in range(len(answers)):
            egress = Egress(lookup=turning, timeouts=Timeouts(connect=0.2, total=5.0))
            endings.append(await egress.post("https://shop.example/", "live", {}, b"{}"))
            await egress.close()
    assert endings.count(NotSent("address_refused")) == 3 * 4
    assert set(seen) == {("8.8.8.8", 443), ("1.1.1.1", 443)}
    assert len(seen) == 2 * 4


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308])
async def test_a_redirect_inside_is_an_answer_and_opens_nothing(status: int) -> None:
    """To metadata, by address and by name, whatever the kind of redirect."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status} X\r\nlocation: http://169.254.169.254/latest/\r\n"
        writer.write(
            f"{head}refresh: 0; url=http://10.0.0.1/\r\ncontent-length: 0\r\n\r\n".encode()
        )
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    egress = Egress(allow_loopback=True, timeouts=SHORT)
    with connections() as seen:
        reply = await egress.post(f"http://127.0.0.1:{port}/", "test", {}, b"{}")
    server.close()
    await egress.close()
    assert isinstance(reply, Reply)
    assert (reply.status, seen) == (status, [("127.0.0.1", port)])


@pytest.mark.parametrize(
    "name", ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"]
)
async def test_no_variable_leads_elsewhere(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    egress = Egress(lookup=_answering("8.8.8.8"), timeouts=SHORT)
    with connections() as seen:
        await egress.post("https://shop.example/", "live", {}, b"{}")
    await egress.close()
    assert seen == [("8.8.8.8", 443)]


async def test_loopback_is_for_http_of_test_books_where_the_operator_allows_it() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 204 X\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    allowed, strict = Egress(allow_loopback=True), Egress()
    with connections() as seen:
        assert isinstance(await strict.post(url, "test", {}, b"{}"), Refusal)
        assert isinstance(await allowed.post(url, "live", {}, b"{}"), Refusal)
        assert await allowed.check(url, "live") == "scheme"
        assert seen == []
        assert await allowed.check(url, "test") is None
        reply = await allowed.post(url, "test", {}, b"{}")
        assert len(seen) == 1
    server.close()
    for one in (allowed, strict):
        await one.close()
    assert isinstance(reply, Reply)
    assert reply.status == 204


@pytest.mark.parametrize(
    "url", ["http://8.8.8.8/", "http://10.0.0.1/", "http://[::ffff:127.0.0.1]/"]
)
async def test_http_leads_to_loopback_only(url: str) -> None:
    egress = Egress(allow_loopback=True, timeouts=SHORT)
    with connections() as seen:
        assert await egress.check(url, "test") == "address"
        assert await egress.post(url, "test", {}, b"{}") == NotSent("address_refused")
    await egress.close()
    assert seen == []


@pytest.mark.parametrize(("url", "host", "port", "target"), [
    ("https://shop.example", "shop.example", 443, "/"),
    ("https://Shop.Example:443/Hooks?a=b&c", "shop.example", 443, "/Hooks?a=b&c"),
    ("HTTPS://shop.example:8443/a%20b", "shop.example", 8443, "/a%20b"),
    ("https://xn--caf-dma.example/?x", "xn--caf-dma.example", 443, "/?x"),
    ("https://8.8.8.8/", "8.8.8.8", 443, "/"),
    ("https://[2606:4700:4700::1111]:8443/", "2606:4700:4700::1111", 8443, "/"),
])  # fmt: skip
def test_usual_urls_are_taken(url: str, host: str, port: int, target: str) -> None:
    place = read_place(url, allow_loopback=False)
    assert isinstance(place, Place), place
    assert (place.origin.host, place.origin.port, place.target) == (host, port, target)


def test_public_is_what_is_in_no_special_range() -> None:
    for text in ("8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1",
                 "192.167.1.1", "223.255.255.255", "2606:4700:4700::1111", "2a00::1",
                 "2001:4860:4860::8888"):  # fmt: skip
        assert is_public(ipaddress.ip_address(text)), text
    for text in (*INSIDE_4, *INSIDE_6):
        assert not is_public(ipaddress.ip_address(text)), text


def test_an_address_of_this_machine_is_its_own() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing
        mine = probe.getsockname()[0]
    assert is_own(ipaddress.ip_address(mine))
    assert is_own(ipaddress.ip_address("127.0.0.1"))
    assert not is_own(ipaddress.ip_address("8.8.8.8"))
    assert not is_own(ipaddress.ip_address("2606:4700:4700::1111"))


async def test_a_slow_name_holds_up_its_own_name_only() -> None:
    async def lookup(host: str, _: int) -> tuple[str, ...]:
        if host == "slow.example":
            await asyncio.sleep(30)
        return ("8.8.8.8",)

    egress = Egress(lookup=lookup, timeouts=SHORT)
    slow = asyncio.create_task(egress.check("https://slow.example/", "live"))
    async with asyncio.timeout(0.2):
        assert await egress.check("https://fast.example/", "live") is None
    assert await slow == "address"
    await egress.close()
