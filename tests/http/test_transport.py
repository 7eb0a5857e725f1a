"""The edge of HTTP: sizes, framing, headers, routes, keys, the form of errors and of documents."""

import json
import socket
import time

import pytest
from openapi_spec_validator import validate

from clawback.errors import STATUS
from clawback.http.keys import mint
from tests.http.wire import Wire

Keys = dict[str, str]
BODY = b'{"amount":1}'
REFUND = "/api/v1/payments/TXN-MP331BTF-R308/refund"


def request(line: str, *headers: str, body: bytes = b"") -> bytes:
    """A request with exactly these headers."""
    return "\r\n".join([line, *headers]).encode("latin-1") + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (request("GET /" + "a" * 8192 + " HTTP/1.1", "Host: x"), 414, "uri_too_long"),
        (request("GET /x HTTP/1.1", "Host: x", "X-Big: " + "a" * 33000), 431, "headers_too_large"),
        (
            request("GET /x HTTP/1.1", "Host: x", *(f"X-{n}: 1" for n in range(100))),
            431,
            "headers_too_large",
        ),
        (request("GARBAGE"), 400, "invalid_header"),
        (request("GET /x HTTP/1.1", "Host: x", "Bad Header: 1"), 400, "invalid_header"),
        (
            request(
                "POST /api/v1/payments HTTP/1.1",
                "Host: x",
                "Content-Length: 2",
                "Content-Length: 3",
            ),
            400,
            "invalid_header",
        ),
        (
            request(
                "POST /api/v1/payments HTTP/1.1",
                "Host: x",
                "Content-Length: 2",
                "Transfer-Encoding: chunked",
                body=b"0\r\n\r\n",
            ),
            400,
            "invalid_header",
        ),
        (
            request(
                "GET /api/v1/ping HTTP/1.1",
                "Host: x",
                "Authorization: Bearer a",
                "Authorization: b",
            ),
            400,
            "invalid_header",
        ),
        (
            request("POST " + REFUND + " HTTP/1.1", "Host: x", "Content-Length: 70000"),
            413,
            "body_too_large",
        ),
        (
            request(
                "POST " + REFUND + " HTTP/1.1",
                "Host: x",
                "Transfer-Encoding: chunked",
                body=b"11170\r\n" + b"a" * 70000 + b"\r\n0\r\n\r\n",
            ),
            413,
            "body_too_large",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_request_is_refused_in_our_form(
    wire: Wire, raw: bytes, status: int, code: str
) -> None:
    """Malformed or oversized: one JSON error, before anything is looked at."""
    reply = wire.send(raw)
    assert (reply.status, reply.code) == (status, code)
    assert reply.json["error"]["requestId"] == reply.headers["request-id"]


def test_the_largest_request_that_is_allowed_is_served(wire: Wire, keys: Keys) -> None:
    """The control of the limits: one byte less is no fault."""
    start = f"GET /api/v1/ping HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {keys['secret']}\r\n"
    filler = "X-Fill: " + "a" * (32_768 - len(start) - 100)
    assert wire.send((start + filler + "\r\n\r\n").encode()).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/nothing", 404, "route_not_found"),
        ("GET", "/api/v1/payments/", 404, "route_not_found"),
        ("GET", "/api/v1/payments%2fTXN", 404, "route_not_found"),
        ("GET", "/api/v1/../healthz", 404, "route_not_found"),
        ("GET", "/nothing", 404, "route_not_found"),
        ("DELETE", "/api/v1/payments", 405, "method_not_allowed"),
        ("PUT", "/healthz", 405, "method_not_allowed"),
        ("TRACE", "/api/v1/ping", 405, "method_not_allowed"),
    ],
)
def test_unknown_paths_and_methods(
    wire: Wire, keys: Keys, method: str, path: str, status: int, code: str
) -> None:
    """Every path answers in JSON, and a wrong method names the right ones."""
    reply = wire.call(method, path, keys["secret"])
    assert (reply.status, reply.code) == (status, code)
    assert ("allow" in reply.headers) == (status == 405)


@pytest.mark.parametrize(
    ("path", "key", "headers", "status", "code"),
    [
        ("/api/v1/me", "", {}, 401, "missing_api_key"),
        ("/api/v1/me", "", {"Authorization": "Basic abc"}, 401, "missing_api_key"),
        ("/api/v1/me", "sk_test_" + "a" * 36, {}, 401, "invalid_api_key"),
        ("/api/v1/me", "unknown", {}, 401, "invalid_api_key"),
        ("/api/v1/me", "publishable", {}, 403, "key_kind_not_allowed"),
        ("/api/v1/me?key=sk_test_abcdefgh1", "secret", {}, 400, "key_in_url"),
        ("/api/v1/me", "secret", {"Clawback-Version": "2020-01-01"}, 400, "invalid_version"),
        ("/api/v1/payments?nothing=1", "secret", {}, 400, "invalid_parameter"),
        ("/api/v1/payments?limit=1&limit=2", "secret", {}, 400, "invalid_parameter"),
        ("/api/v1/payments?limit=x", "secret", {}, 400, "invalid_parameter"),
        ("/api/v1/payments?offset=10001", "secret", {}, 400, "invalid_parameter"),
        ("/api/v1/payments?offset=1&after=TXN-MP331BTF-R308", "secret", {}, 400,
         "invalid_parameter"),
        ("/api/v1/events?after=evt_x", "secret", {}, 400, "invalid_parameter"),
    ],
)  # fmt: skip
def test_keys_versions_and_parameters(
    wire: Wire,
    keys: Keys,
    path: str,
    key: str,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    """The steps before a handler is called, each with its own code."""
    given = keys | {"unknown": mint("secret", "test").key}
    reply = wire.call("GET", path, given.get(key, key), headers=headers)
    assert (reply.status, reply.code) == (status, code)
    assert "sk_test_abcdefgh1" not in reply.body.decode()


def test_every_answer_carries_the_usual_headers(wire: Wire, keys: Keys) -> None:
    """Request id, version, no caching, no sniffing, and what is left of the rate."""
    reply = wire.call("GET", "/api/v1/ping", keys["publishable"])
    assert reply.status == 200
    assert reply.headers["clawback-version"] == "2026-05-12"
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert int(reply.headers["ratelimit-remaining"]) < int(reply.headers["ratelimit-limit"])
    assert "server" not in reply.headers
    assert reply.headers["date"].endswith("GMT")
    assert reply.headers["request-id"].startswith("req_")


def test_a_large_head_that_comes_in_small_pieces_is_too_large(wire: Wire) -> None:
    """Each piece alone is below the limit; two heads below it, one after the other, are served."""
    half = "X-Half: " + "a" * 17_000
    head = request("GET /api/v1/ping HTTP/1.1", "Host: x", half, half)
    other = request("GET /api/v1/ping HTTP/1.1", "Host: x", half)
    for pieces, wanted in (((head[:17_100], head[17_100:]), b"431 "), ((other, other), b"401 ")):
        with wire.connect() as connection:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(0.2)
            assert connection.recv(4096).startswith(b"HTTP/1.1 " + wanted)


def test_a_slow_request_does_not_hold_a_connection_for_ever(wire: Wire) -> None:
    """Headers that never end are answered with 408 and the connection is closed."""
    with wire.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        began = time.monotonic()
        answer = connection.recv(4096)
        assert b"request_timeout" in answer
        assert time.monotonic() - began < 15


def test_pipelined_and_repeated_requests_share_a_connection(wire: Wire, keys: Keys) -> None:
    """Keep-alive works, and answers keep their order."""
    one = request("GET /api/v1/ping HTTP/1.1", "Host: x", f"Authorization: Bearer {keys['secret']}")
    with wire.connect() as connection:
        connection.sendall(one * 3)
        data = b""
        while data.count(b'"keyId"') < 3:
            data += connection.recv(65536)
    assert data.count(b"HTTP/1.1 200") == 3


def test_many_requests_behind_one_that_waits_are_answered_in_their_order(
    wire: Wire, keys: Keys
) -> None:
    """What is answered at once queues up behind a command that has to ask the database."""
    usual = ("Host: x", f"Authorization: Bearer {keys['secret']}")
    command = request(
        f"POST {REFUND} HTTP/1.1",
        *usual,
        "Idempotency-Key: one-that-waits",
        "Content-Type: application/json",
        "Content-Length: 12",
        body=BODY,
    )
    count = 400
    with wire.connect() as connection:
        connection.sendall(command + request("GET /api/v1/nothing HTTP/1.1", *usual) * count)
        data = b""
        while data.count(b'"requestId"') <= count:
            data += connection.recv(65536)
    assert data.count(b"HTTP/1.1 404") == count + 1
    assert data.index(b'"not_found"') < data.index(b'"route_not_found"')


def test_who_expects_to_be_told_is_told_to_go_on(wire: Wire, keys: Keys) -> None:
    """100 Continue before a body that may come, and at once a refusal of one that may not."""
    headers = (
        "Host: x",
        f"Authorization: Bearer {keys['secret']}",
        "Idempotency-Key: told-to-go-on",
        "Content-Type: application/json",
        "Expect: 100-continue",
    )
    with wire.connect() as connection:
        line = f"POST {REFUND} HTTP/1.1"
        connection.sendall(request(line, *headers, "Content-Length: 12"))
        assert connection.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY[:5])
        connection.sendall(BODY[5:])
        assert b'"not_found"' in connection.recv(4096)
        connection.sendall(request(line, *headers, "Content-Length: 70000"))
        assert connection.recv(4096).startswith(b"HTTP/1.1 413")


def test_a_client_that_goes_away_harms_nobody(wire: Wire, keys: Keys) -> None:
    """A body cut short is never read as a request."""
    with wire.connect() as connection:
        connection.sendall(
            request(
                f"POST {REFUND} HTTP/1.1",
                f"Authorization: Bearer {keys['secret']}",
                "Content-Type: application/json",
                "Content-Length: 50",
                body=b"{}",
            )
        )
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(5)
        assert b"201" not in connection.recv(4096)
    assert wire.call("GET", "/healthz").status == 200


def test_health_and_readiness(wire: Wire) -> None:
    """They say no more than they must."""
    assert wire.call("GET", "/healthz").json == {"ok": True}
    assert wire.call("GET", "/readyz").json == {"ready": True}


def test_the_document_is_valid_and_lists_every_call(wire: Wire) -> None:
    """OpenAPI 3.1, with money as a number without a format."""
    reply = wire.call("GET", "/openapi.json")
    document = reply.json
    validate(document)
    assert document["openapi"] == "3.1.0"
    assert "/payments/{id}/refund" in document["paths"]
    schemas = document["components"]["schemas"]
    assert schemas["RefundOpened"]["properties"]["amountUsd"] == {"type": "number"}
    assert list(schemas["RefundOpened"]["properties"]) == [
        "refundId", "transactionId", "amount", "amountUsd", "currency", "status", "reason",
        "createdAt",
    ]  # fmt: skip
    assert "float" not in json.dumps(document)


def test_the_manual_works_offline(wire: Wire) -> None:
    """Two pages, no script, nothing from elsewhere; every error has its anchor."""
    manual, errors = wire.call("GET", "/docs"), wire.call("GET", "/docs/errors")
    assert manual.status == errors.status == 200
    for page in (manual, errors):
        text = page.body.decode()
        assert "<script" not in text
        assert "http://" not in text.replace("http://www.w3.org", "")
        assert "default-src 'none'" in page.headers["content-security-policy"]
    assert all(f'id="{code}"' in errors.body.decode() for code in STATUS)


def test_metrics_name_no_tenant(wire: Wire) -> None:
    """OpenMetrics text on loopback."""
    reply = wire.call("GET", "/metrics")
    assert reply.status == 200
    assert b"clawback_claims_open" in reply.body
    assert b"MCH-" not in reply.body
    assert reply.body.endswith(b"# EOF\n")
