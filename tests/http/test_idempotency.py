"""What an idempotency key stands for: its route, and everything that was asked.

Numbers that are equal are one amount however they are written; anything else that differs makes
another request of it.
"""

import msgspec

from clawback.claims.api import ROUTES, RefundBody
from clawback.http.idempotency import read_key
from clawback.money import Amount, read_amount
from clawback.route import IdempotencyKey, Route

REFUND = next(route for route in ROUTES if route.path == "/payments/{id}/refund")
CANCEL = next(route for route in ROUTES if route.path == "/claims/{id}/cancel")


def amount(text: str) -> Amount:
    return read_amount(text)


def key(
    body: object,
    *,
    route: Route = REFUND,
    name: str = "TXN-MP331BTF-R308",
    query: bytes = b"",
    version: str = "2026-05-12",
    simulate: str | None = None,
) -> IdempotencyKey:
    return read_key(b"one", route, {"id": name}, query, version, simulate, body)


def test_a_key_is_of_its_route() -> None:
    body = RefundBody(amount=amount("10"))
    assert key(body).route != key(body, route=CANCEL).route
    assert key(body).key == key(body, route=CANCEL).key == "one"


def test_a_fingerprint_is_of_everything_that_was_asked() -> None:
    body = RefundBody(amount=amount("10"), reason="once", expected_remaining=amount("861.18"))
    asked = [
        key(body),
        key(msgspec.structs.replace(body, amount=amount("10.01"))),
        key(msgspec.structs.replace(body, amount=msgspec.UNSET)),
        key(msgspec.structs.replace(body, reason="twice")),
        key(msgspec.structs.replace(body, reason=None)),
        key(msgspec.structs.replace(body, expected_remaining=amount("861.17"))),
        key(body, name="TXN-MP331BTF-R309"),
        key(body, query=b"x=1"),
        key(body, version="2027-01-01"),
        key(body, simulate="decline"),
        key(body, route=CANCEL),
    ]
    assert len({one.fingerprint for one in asked}) == len(asked)
    for same in ("10", "10.0", "1e1", "10.000"):
        again = key(msgspec.structs.replace(body, amount=amount(same)))
        assert again == asked[0], same
