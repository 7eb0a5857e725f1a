"""Whatever another server does, a call ends in time, bounded, and says only what is proven."""

import asyncio
import os
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from clawback.clock import monotonic, real_now
from clawback.connection import Ending, Lost, NotSent, Reply
from clawback.outbound import Origin, Outbound, Timeouts, split_url

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

QUICK = Timeouts(pool=0.2, connect=0.3, write=0.2, read=0.2, total=0.5)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def serving(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that treats each connection as told."""

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def saying(*parts: bytes, then_hold: bool = False) -> Serve:
    """Read a request, say these bytes, then close or hold the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        if then_hold:
            await asyncio.sleep(5)

    return serve


async def call(port: int, *, timeouts: Timeouts = QUICK, body_cap: int = 65536) -> Ending:
    outbound = Outbound(Origin("http", "127.0.0.1", port), timeouts=timeouts, body_cap=body_cap)
    try:
        return await outbound.call("POST", "/x", headers={"a": "b"}, body=b"{}")
    finally:
        await outbound.close()


HOSTILE = {
    "silence": (saying(then_hold=True), "read_timeout"),
    "closes at once": (saying(), "cut"),
    "half a status line": (saying(b"HTTP/1.1 20"), "cut"),
    "cut body": (saying(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"), "cut"),
    "body without an end": (saying(b"HTTP/1.1 200 OK\r\n\r\n{}"), "cut"),
    "cut chunk": (saying(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}"), "cut"),
    "not HTTP": (saying(b"SSH-2.0-OpenSSH_9.2\r\n"), "unreadable"),
    "two lengths": (
        saying(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}"),
        "unreadable",
    ),
    "compressed": (
        saying(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}"),
        "encoded",
    ),
    "huge headers": (saying(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000), "too_large"),
    "huge body": (
        saying(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + b" " * 100_000),
        "too_large",
    ),
    "switches protocols": (
        saying(b"HTTP/1.1 101 X\r\nupgrade: y\r\nconnection: upgrade\r\n\r\n", then_hold=True),
        "unreadable",
    ),
}


@pytest.mark.parametrize("behaviour", HOSTILE)
async def test_a_hostile_answer_is_lost_with_its_reason(behaviour: str) -> None:
    serve, reason = HOSTILE[behaviour]
    async with serving(serve) as port:
        assert await call(port) == Lost(reason)


async def test_a_whole_answer_comes_back_with_its_headers() -> None:
    answer = b"HTTP/1.1 429 X\r\nRetry-After: 7\r\ncontent-length: 2\r\n\r\n{}"
    async with serving(saying(answer)) as port:
        reply = await call(port)
    assert reply == Reply(429, {"retry-after": "7", "content-length": "2"}, b"{}")


async def test_chunks_and_interim_answers_are_put_together() -> None:
    parts = (
        b"HTTP/1.1 100 Continue\r\nx: y\r\n\r\nHTTP/1.1 200 OK\r\n",
        b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n",
        b"1\r\n}\r\n0\r\n\r\n",
    )
    async with serving(saying(*parts)) as port:
        reply = await call(port)
    assert isinstance(reply, Reply)
    assert (reply.status, reply.body) == (200, b"{}")
    assert "x" not in reply.headers


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    visited = asyncio.Event()

    async def target(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visited.set()
        writer.write(OK)

    async with serving(target) as elsewhere:
        location = f"location: http://127.0.0.1:{elsewhere}/\r\ncontent-length: 0\r\n\r\n"
        async with serving(saying(b"HTTP/1.1 307 X\r\n" + location.encode())) as port:
            reply = await call(port)
    assert isinstance(reply, Reply)
    assert reply.status == 307
    assert not visited.is_set()


async def test_a_drip_ends_at_the_total_time() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for byte in b"HTTP/1.1 200 OK\r\nx: " + b"y" * 1000:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)

    async with serving(drip) as port:
        started = monotonic()
        assert await call(port) == Lost("total_timeout")
        assert monotonic() - started < 1


async def test_an_endless_answer_costs_no_memory() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(1000):
            writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            await writer.drain()

    tracemalloc.start()
    async with serving(endless) as port:
        assert await call(port) == Lost("too_large")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


async def test_a_server_that_does_not_read_ends_the_write() -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    async with serving(deaf) as port:
        outbound = Outbound(Origin("http", "127.0.0.1", port), timeouts=QUICK)
        ending = await outbound.call("POST", "/", headers={}, body=b"x" * 30_000_000)
    assert ending == Lost("write_timeout")


async def test_nobody_listening_is_proven_unsent() -> None:
    async with serving(saying(OK)) as port:
        pass
    ending = await call(port)
    assert ending == NotSent("connect_failed:ConnectionRefusedError")


async def test_a_name_that_does_not_resolve_is_proven_unsent() -> None:
    async def resolver(host: str, port: int) -> str:
        raise OSError(-2, "no such name")

    outbound = Outbound(Origin("http", "nowhere", 80), timeouts=QUICK, resolver=resolver)
    assert isinstance(await outbound.call("GET", "/", headers={}), NotSent)


async def test_the_address_that_was_checked_is_the_one_that_is_dialled() -> None:
    async with serving(saying(OK)) as port:

        async def resolver(host: str, port: int) -> str:
            assert host == "shop.example"
            return "127.0.0.1"

        outbound = Outbound(Origin("http", "shop.example", port), resolver=resolver)
        assert isinstance(await outbound.call("GET", "/", headers={}), Reply)


async def test_a_resolver_that_hangs_ends_as_a_connect_timeout() -> None:
    async def resolver(host: str, port: int) -> str:
        await asyncio.sleep(5)
        return "127.0.0.1"

    outbound = Outbound(Origin("http", "slow", 80), timeouts=QUICK, resolver=resolver)
    assert await outbound.call("GET", "/", headers={}) == NotSent("connect_timeout")


async def test_a_full_pool_is_proven_unsent() -> None:
    async with serving(saying(then_hold=True)) as port:
        timeouts = Timeouts(pool=0.1, read=0.4)
        outbound = Outbound(Origin("http", "127.0.0.1", port), connections=1, timeouts=timeouts)
        first = asyncio.create_task(outbound.call("GET", "/", headers={}))
        await asyncio.sleep(0.05)
        assert await outbound.call("GET", "/", headers={}) == NotSent("pool_timeout")
        assert isinstance(await first, Lost)


async def test_connections_are_used_again_and_never_more_than_allowed() -> None:
    opened = 0

    async def polite(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)

    async with serving(polite) as port:
        outbound = Outbound(Origin("http", "127.0.0.1", port), connections=3)
        calls = (outbound.call("GET", "/", headers={}) for _ in range(60))
        endings = await asyncio.gather(*calls)
        await outbound.close()
    assert all(isinstance(ending, Reply) for ending in endings)
    assert opened <= 3


async def test_a_second_answer_is_never_read_as_the_next_calls() -> None:
    opened = 0

    async def doubling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK + OK.replace(b"{}", b"[]"))

    async with serving(doubling) as port:
        outbound = Outbound(Origin("http", "127.0.0.1", port), timeouts=QUICK)
        for _ in range(3):
            reply = await outbound.call("GET", "/", headers={})
            assert isinstance(reply, Reply)
            assert reply.body == b"{}"
        await outbound.close()
    assert opened == 3, "nothing more is believed of such a connection"


async def test_an_answer_that_nobody_asked_for_ends_its_connection() -> None:
    async def eager(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await asyncio.sleep(0.05)
        writer.write(OK.replace(b"{}", b"[]"))
        await asyncio.sleep(1)

    async with serving(eager) as port:
        outbound = Outbound(Origin("http", "127.0.0.1", port), timeouts=QUICK)
        await outbound.call("GET", "/", headers={})
        await asyncio.sleep(0.15)
        reply = await outbound.call("GET", "/", headers={})
        assert isinstance(reply, Reply)
        assert reply.body == b"{}"
        await outbound.close()


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert os.environ["http_proxy"]
    async with serving(saying(OK)) as port:
        assert isinstance(await call(port), Reply)


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for this name, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(real_now() - timedelta(days=1))
        .not_valid_after(real_now() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pem, key_file


@pytest.mark.parametrize(
    ("trusted", "named", "kind"),
    [(True, "localhost", Reply), (False, "localhost", NotSent), (True, "other.example", NotSent)],
)
async def test_a_certificate_must_be_trusted_and_of_the_right_name(
    tmp_path: Path, *, trusted: bool, named: str, kind: type[Ending]
) -> None:
    pem, key = certificate(tmp_path, named)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(pem, key)
    roots = ssl.create_default_context(cafile=str(pem)) if trusted else None
    async with serving(saying(OK), server_side) as port:
        outbound = Outbound(Origin("https", "localhost", port), tls=roots, resolver=loopback)
        ending = await outbound.call("GET", "/", headers={})
        await outbound.close()
    assert isinstance(ending, kind)
    if isinstance(ending, NotSent):
        assert ending.reason == "certificate_refused"


async def loopback(host: str, port: int) -> str:
    return "127.0.0.1"


@pytest.mark.parametrize("check", ["check_hostname", "verify_mode"])
def test_checks_cannot_be_switched_off(check: str) -> None:
    lax = ssl.create_default_context()
    lax.check_hostname = False
    if check == "verify_mode":
        lax.verify_mode = ssl.CERT_NONE
    with pytest.raises(AssertionError):
        Outbound(Origin("https", "localhost", 443), tls=lax)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x/",
        "http://",
        "//x",
        "http://a@x/",
        "http://a:b@x/",
        "http://x/#y",
        "http://x:99999/",
    ],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        split_url(url)


def test_an_address_is_split_into_origin_and_target() -> None:
    assert split_url("https://x.example/a?b=c") == (Origin("https", "x.example", 443), "/a?b=c")
    origin, target = split_url("http://[::1]:8080")
    assert (origin.host_header, target) == ("[::1]:8080", "/")


@pytest.mark.parametrize(
    ("target", "headers"),
    [("/a b", {}), ("/a\r\nx: y", {}), ("/", {"a": "b\r\nc: d"}), ("/", {"a b": "c"})],
)
async def test_what_would_break_out_of_its_line_is_a_bug(
    target: str, headers: dict[str, str]
) -> None:
    outbound = Outbound(Origin("http", "127.0.0.1", 1))
    with pytest.raises(AssertionError):
        await outbound.call("GET", target, headers=headers)
