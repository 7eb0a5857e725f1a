"""Who may call what, on whose objects: each call, each kind of key, own and not.

The calls and their scopes are the contract's table (section 2), typed in here; each cell is
computed from it by the contract's order of checks (section 3, steps 2, 3 and 8). Calls of the
table that are not served yet are left out; a call that is served and not in the table fails.
"""

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import asyncpg
import pytest

from clawback.cli import register
from tests.support.databases import Database
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree
from tests.support.wire import API, Line, Reply, bearer

MERCHANT: Final = "MCH-MATRIX"
SCOPES: Final = (
    "payments:read", "payments:write", "claims:read", "claims:write", "claims:approve",
    "balance:read", "ledger:read", "events:read", "webhooks:manage", "sandbox:use",
)  # fmt: skip
CONTRACT: Final = """
any GET /ping
any GET /payment-methods
secret GET /me
payments:write POST /payments
payments:read GET /payments
payments:read GET /payments/{id}
payments:read GET /payments/{id}/refundability
claims:write POST /payments/{id}/refund
claims:write POST /refunds/batch
claims:read GET /claims
claims:read GET /claims/{id}
claims:approve POST /claims/{id}/approve
claims:approve POST /claims/{id}/reject
claims:write POST /claims/{id}/cancel
claims:write POST /claims/{id}/submit
claims:write POST /claims/{id}/accept
claims:write POST /claims/{id}/payer-details
claims:write POST /claims/{id}/evidence
claims:write DELETE /claims/{id}/evidence/{evidenceId}
balance:read GET /me/balance
ledger:read GET /ledger/accounts
ledger:read GET /ledger/entries
ledger:read GET /ledger/statement
ledger:read GET /ledger/proof
events:read GET /events
webhooks:manage POST /webhooks
webhooks:manage GET /webhooks
webhooks:manage GET /webhooks/{id}
webhooks:manage PATCH /webhooks/{id}
webhooks:manage DELETE /webhooks/{id}
webhooks:manage POST /webhooks/{id}/rotate-secret
webhooks:manage POST /webhooks/{id}/replay
webhooks:manage GET /webhooks/{id}/inbox
webhooks:manage GET /webhooks/{id}/deliveries
webhooks:manage POST /webhooks/{id}/deliveries/{deliveryId}/replay
sandbox:use POST /payments/{id}/simulate
sandbox:use GET /sandbox/clock
sandbox:use POST /sandbox/clock
sandbox:use GET /sandbox/faults
sandbox:use POST /sandbox/faults
sandbox:use DELETE /sandbox/faults
"""
BODIES: Final[dict[str, dict[str, Any]]] = {
    "POST /payments/{id}/refund": {"amount": 1},
    "POST /payments/{id}/simulate": {"action": "processing"},
    "POST /claims/{id}/reject": {"reason": "no"},
    "POST /claims/{id}/evidence": {"type": "other", "text": "It was delivered."},
    "POST /webhooks/{id}/replay": {"since": "2026-01-01T00:00:00Z"},
    "POST /claims/{id}/payer-details": {
        "rail": "spei",
        "holderName": "A B",
        "account": "999180000000100177",
    },
}
"""What is sent; `{}` for every other call with a body."""
OWN: Final = {
    "GET /ledger/statement": (400, "invalid_parameter"),
    "POST /payments": (400, "missing_field"),
    "POST /payments/{id}/refund": (409, "payment_not_refundable"),
    "POST /payments/{id}/simulate": (409, "simulate_not_possible"),
    "POST /claims/{id}/cancel": (409, "claim_transition_invalid"),
    "POST /claims/{id}/approve": (409, "claim_transition_invalid"),
    "POST /claims/{id}/reject": (409, "claim_transition_invalid"),
    "POST /claims/{id}/payer-details": (409, "claim_transition_invalid"),
}
"""What a permitted call answers on an own, failed payment and an own, canceled claim."""
VARIES: Final = {"date", "request-id", "ratelimit-remaining", "ratelimit-reset"}
_COPY: Final = """
INSERT INTO {table} SELECT (jsonb_populate_record(t, jsonb_build_object(
    'book_id', b.book_id, 'shard', b.shard, '{id}', $2::text))).*
FROM {table} AS t, books AS b WHERE t.{id} = $1 AND b.merchant_id = $3 AND b.mode = 'live'
"""
_DROP: Final = "DELETE FROM {table} WHERE {id} = $1"

_ADDRESSES: Final = (f"127.8.{high}.{low}" for high in range(250) for low in range(1, 250))


Ids = tuple[str, str, str]
"""A payment, a claim and a webhook endpoint."""


class Key(NamedTuple):
    """A key, and what it is by its making."""

    name: str
    text: str
    kind: str
    mode: str
    scopes: tuple[str, ...]


class Things(NamedTuple):
    """The keys, and a payment, a claim and an endpoint of each relation, by mode of the key."""

    keys: tuple[Key, ...]
    objects: dict[tuple[str, str], Ids]


def calls_of(table: str) -> list[tuple[str, str]]:
    rows = [line.partition(" ") for line in table.strip().splitlines()]
    return [(scope, call) for scope, _, call in rows]


@pytest.fixture(scope="module")
def things(tree: Tree) -> Iterator[Things]:
    own, foreign = other_shop(tree, MERCHANT), other_shop(tree, "MCH-MATRIX-B")
    mine, theirs = _objects(own), _objects(foreign)
    live = mine[0][:4] + "0" + mine[0][5:], mine[1][:4] + "0" + mine[1][5:], "wh_0"
    dsn = tree.dev["databaseUrl"]
    keys = asyncio.run(_keys(dsn))
    tables = {"payments": "payment_id", "claims": "claim_id"}
    with Database(dsn) as database:
        for (table, column), old, new in zip(tables.items(), mine[:2], live[:2], strict=True):
            # A live book has no call yet that fills it: its rows are copies, for this test only.
            database.execute(_COPY.format(table=table, id=column), old, new, MERCHANT)
        yield Things(
            keys,
            {
                ("test", "own"): mine, ("test", "foreign"): theirs, ("test", "other mode"): live,
                ("live", "own"): live, ("live", "foreign"): theirs, ("live", "other mode"): mine,
            },
        )  # fmt: skip
        for (table, column), name in zip(tables.items(), live[:2], strict=True):
            database.execute(_DROP.format(table=table, id=column), name)


def _objects(shop: Shop) -> Ids:
    """A payment that failed, a claim that was canceled, both done with, and an inbox."""
    inbox = str(shop.post("/webhooks", {"events": ["*"]})["id"])
    claim = shop.post(f"/payments/{shop.take_payment(method='sbx_oxxo')}/refund", {"amount": 1})
    shop.post(f"/claims/{claim['refundId']}/cancel", {}, 200)
    return shop.take_payment(action="failed"), str(claim["refundId"]), inbox


async def _keys(dsn: str) -> tuple[Key, ...]:
    """Whole and publishable keys of both modes, and restricted ones of each scope."""
    wanted = [(f"{kind} {mode}", kind, mode, ("*",)) for kind in ("secret", "publishable")
              for mode in ("test", "live")]  # fmt: skip
    wanted += [(f"{scope} {mode}", "secret", mode, (scope,)) for scope in SCOPES
               for mode in ("test", "live")]  # fmt: skip
    made = [Key("none", "", "none", "test", ())]
    connection = await asyncpg.connect(dsn)
    try:
        for name, kind, mode, scopes in wanted:
            key = await register.create_key(connection, _wanted(mode, kind, scopes))
            made.append(Key(name, str(key["secret"]), kind, mode, scopes))
    finally:
        await connection.close()
    return tuple(made)


def _wanted(mode: str, kind: str, scopes: tuple[str, ...]) -> register.WantedKey:
    return register.WantedKey(
        merchant_id=MERCHANT, mode=mode, kind=kind, scopes=scopes, rate=10_000
    )


def expected(scope: str, call: str, key: Key, relation: str) -> tuple[int, str | None] | None:
    """Status and code by the contract; None: permitted, and what comes then is not asked here."""
    if key.kind == "none":
        return 401, "missing_api_key"
    if scope != "any":
        if key.kind == "publishable":
            return 403, "key_kind_not_allowed"
        if scope != "secret" and scope not in key.scopes and "*" not in key.scopes:
            return 403, "scope_missing"
    if scope == "sandbox:use" and key.mode == "live":
        return 403, "sandbox_only"
    if "{id}" in call and relation != "own":
        return 404, "not_found"
    is_plain_read = call.startswith("GET ") and "/webhooks/{id}" not in call  # which is deleted
    return OWN.get(call) or ((200, None) if is_plain_read else None)


def served_calls(tree: Tree) -> set[str]:
    with Line(tree.address) as line:
        paths = line.call("GET", "/openapi.json", [], None).json["paths"]
    found = {f"{method.upper()} {path}" for path, one in paths.items() for method in one}
    return found - {"POST /providers/{provider}/webhooks"}


def ask(tree: Tree, line: Line, call: str, key: Key, ids: Ids) -> Reply:
    method, path = call.split(" ")
    for kind, name in zip(("/payments", "/claims", "/webhooks"), ids, strict=True):
        if path.startswith(kind):
            path = path.replace("{id}", name)
    path = path.replace("{evidenceId}", "evi_1").replace("{deliveryId}", "dlv_1")
    body = None if method in {"GET", "DELETE"} else _encoded(BODIES.get(call, {}))
    if not key.text:  # each from an address of its own: wrong keys slow an address down
        with Line(tree.address, source=next(_ADDRESSES)) as other:
            return other.call(method, API + path, [("Content-Type", "application/json")], body)
    return line.call(method, API + path, bearer(key.text), body)


def _encoded(body: dict[str, Any]) -> bytes:
    return str(body).replace("'", '"').encode()


def test_every_cell_is_the_contracts(tree: Tree, things: Things) -> None:
    calls, there = calls_of(CONTRACT), served_calls(tree)
    assert there <= {call for _, call in calls}, "a call that the contract does not know"
    asked, wrong = 0, []
    with Line(tree.address) as line:
        for (scope, call), key in itertools.product(calls, things.keys):
            relations = ("own", "foreign", "other mode") if "{id}" in call else ("own",)
            for relation in relations if call in there else ():
                reply = ask(tree, line, call, key, things.objects[key.mode, relation])
                asked += 1
                cell = expected(scope, call, key, relation)
                found = reply.status, reply.code
                refused = reply.status in {401, 403}
                if (cell is None and refused) or (cell is not None and found != cell):
                    wrong.append(f"{call}, {key.name}, {relation}: {found} instead of {cell}")
                if reply.code == "scope_missing":
                    assert reply.json["error"]["details"] == {"scope": scope}
    assert not wrong, wrong
    assert asked >= 15 * len(things.keys)


def test_foreign_absent_and_malformed_are_one_answer(tree: Tree, things: Things) -> None:
    whole = next(key for key in things.keys if key.name == "secret test")
    ids = [things.objects["test", "foreign"], things.objects["test", "other mode"],
           ("TXN-MP331BTF-R308", "CLM-MP331G7R-9F49", "wh_0"), ("x", "y", "z"),
           ("CLM-MP331G7R-9F49",) * 3, ("TXN-MP331BTF-R308",) * 3]  # fmt: skip
    with Line(tree.address) as line:
        for call in served_calls(tree):
            if "{id}" in call:
                found = {_bare(ask(tree, line, call, whole, one)) for one in ids}
                assert len(found) == 1, (call, found)


def _bare(reply: Reply) -> tuple[object, ...]:
    """The answer without what differs from request to request."""
    name = reply.header("request-id")
    assert name is not None
    headers = tuple(one for one in reply.headers if one[0] not in VARIES)
    return reply.status, headers, reply.body.replace(name.encode(), b"")


def test_the_sandboxs_header_needs_its_scope_and_a_test_key(tree: Tree, things: Things) -> None:
    body = b'{"amount":1,"paymentMethodId":"sbx_none"}'
    for key in things.keys:
        if "payments:write" in key.scopes or key.name.startswith("secret"):
            headers = [*bearer(key.text), ("Sandbox-Simulate", "paid")]
            with Line(tree.address) as line:
                found = line.call("POST", f"{API}/payments", headers, body)
            wanted = "sandbox_only" if key.mode == "live" else "payment_method_unavailable"
            if "payments:write" in key.scopes:
                wanted = "scope_missing"
                assert found.json["error"]["details"] == {"scope": "sandbox:use"}
            assert found.code == wanted, key.name


def test_a_cell_that_is_wrong_is_seen(things: Things) -> None:
    whole = next(key for key in things.keys if key.name == "secret test")
    reader = next(key for key in things.keys if key.name == "claims:read test")
    call = "POST /payments/{id}/refund"
    assert expected("claims:write", call, whole, "own") == (409, "payment_not_refundable")
    assert expected("claims:write", call, whole, "foreign") == (404, "not_found")
    assert expected("claims:write", call, reader, "foreign") == (403, "scope_missing")
    assert expected("claims:read", "GET /claims", reader, "own") == (200, None)
