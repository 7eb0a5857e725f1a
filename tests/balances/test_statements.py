"""Statements over HTTP: they add up, chain at every cut, and say what the entries say."""

import json
import random
import subprocess
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import pytest

from clawback.balances.statements import PIECE, guarded
from tests.support.counts import count
from tests.support.shops import Shop, other_shop
from tests.support.statements import ask, chains, lines_of, read
from tests.support.trees import Tree
from tests.support.wire import API, Line, bearer

MERCHANT: Final = "MCH-STATEMENT"
CUTS: Final = count(8, 200)

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def shop(served: Tree) -> Shop:
    """A book over nine days: fees, a reserve, settled payments, refunds of every fate."""
    made = other_shop(served, MERCHANT)
    served.told("books", "set", MERCHANT, "reserve=10", "reserve-days=5")
    for _ in range(3):
        spei, card = made.take_payment(), made.take_payment(method="sbx_card", country="BR")
        usd = made.take_payment(method="sbx_card", country="US")
        made.post(f"/payments/{spei}/refund", {"amount": 10})
        made.post(f"/payments/{card}/refund", {"amount": 26.97})
        made.post(f"/payments/{usd}/refund", {"amount": 1.01})
        made.wait_until_settled(60)
        oxxo = made.take_payment(method="sbx_oxxo")
        claim = made.post(f"/payments/{oxxo}/refund", {"amount": 1})["refundId"]
        made.post(f"/claims/{claim}/cancel", {}, 200)
        advance(served, made, 3 * 86_400)
    return made


def advance(tree: Tree, shop: Shop, seconds: int) -> None:
    """Move the book's clock."""
    shop.post("/sandbox/clock", {"advanceSeconds": seconds}, 200)
    tree.until("its clock is there", lambda: shop.get("/sandbox/clock")["status"] == "ready", 60)


def at(text: str, **more: float) -> str:
    """A time of the API, so much later."""
    moved = datetime.fromisoformat(text) + timedelta(**more)
    return moved.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.fixture(scope="module")
def entries(shop: Shop) -> list[dict[str, Any]]:
    """All entries, as they are listed; numbers keep their text."""
    rows: list[dict[str, Any]] = []
    after = ""
    while True:
        found = shop.call("GET", f"/ledger/entries?limit=100{after}")
        page = json.loads(found.body, parse_float=Decimal)
        rows += page["data"]
        if page["pagination"]["next"] is None:
            return rows
        after = f"&after={page['pagination']['next']}"


def test_every_accounts_statement_says_what_the_entries_say(
    shop: Shop, entries: list[dict[str, Any]]
) -> None:
    begin, end = at(entries[-1]["createdAt"], days=-1), at(entries[0]["createdAt"], seconds=1)
    accounts = shop.get("/ledger/accounts")["data"]
    assert len(accounts) >= 12
    for row in accounts:
        account, currency = row["account"], row["currency"]
        found = ask(shop, account, currency, begin, end)
        assert found.lines == lines_of(entries, account, currency), account
        assert (found.opening["seq"], found.opening["balanceAfter"]) == ("0", "0")
        assert found.closing["seq"] == str(row["seq"])
        assert Decimal(found.closing["balanceAfter"]) == Decimal(str(row["balance"]))
        assert found.opening["postedAt"] == found.opening["effectiveAt"] == begin


def test_statements_chain_wherever_a_period_is_cut(
    shop: Shop, entries: list[dict[str, Any]]
) -> None:
    times = sorted({entry["createdAt"] for entry in entries})
    begin, end = at(times[0], days=-1), at(times[-1], seconds=1)
    chance = random.Random(11)
    cuts = {*times[:3], at(times[5], milliseconds=1), at(times[5], milliseconds=-1)}
    cuts |= {at(chance.choice(times), milliseconds=chance.randrange(-2, 3)) for _ in range(CUTS)}
    ordered = [begin, *sorted(cuts), end]
    for account, currency in (("available", "USD"), ("pending", "USD"), ("fx", "BRL")):
        parts = [ask(shop, account, currency, *period) for period in pairwise(ordered)]
        assert all(chains(one, other) for one, other in pairwise(parts))
        lines = [line for part in parts for line in part.lines]
        assert lines == ask(shop, account, currency, begin, end).lines
        for part, (start, stop) in zip(parts, pairwise(ordered), strict=True):
            assert all(start <= line["postedAt"] < stop for line in part.lines)


def test_an_account_that_was_never_used_opens_and_closes_with_nothing(shop: Shop) -> None:
    for account, currency in (("loss", "USD"), ("paid_out", "USD"), ("provider:sandbox", "PEN"),
                              ("fx", "CLP")):  # fmt: skip
        found = ask(shop, account, currency, "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
        edges = [(edge["seq"], edge["balanceAfter"]) for edge in (found.opening, found.closing)]
        assert (edges, found.lines) == ([("0", "0")] * 2, [])


def test_a_period_that_has_not_ended_closes_now(shop: Shop, entries: list[dict[str, Any]]) -> None:
    now = shop.get("/sandbox/clock")["now"]
    found = ask(shop, "pending", "USD", at(now, days=-30), at(now, days=30))
    assert now <= found.closing["postedAt"] < at(now, seconds=60)
    assert len(found.lines) == len(lines_of(entries, "pending", "USD"))
    after = ask(shop, "pending", "USD", at(now, days=1), at(now, days=2))
    assert after.lines == []
    assert after.opening["balanceAfter"] == found.closing["balanceAfter"]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"account": "pendings"}, "account"),
        ({"account": "provider:none"}, "account"),
        ({"account": "provider:SANDBOX"}, "account"),
        ({"account": "pending", "currency": "MXN"}, "account"),
        ({"account": "provider:sandbox", "currency": "EUR"}, "currency"),
        ({"currency": "usd"}, "currency"),
        ({"to": "2026-04-03T00:00:00.001Z"}, "to"),
        ({"to": "2025-12-31T23:59:59.999Z"}, "to"),
        ({"from": "2026-01-01"}, "from"),
        ({"to": "2026-01-02T00:00:00"}, "to"),
        ({"limit": "5"}, "limit"),
        ({"account": None, "to": None}, "account"),
        ({"currency": None, "from": None}, "currency"),
        ({"from": None}, "from"),
        ({"to": None}, "to"),
    ],
)
def test_parameters_at_fault_are_named(
    shop: Shop, query: dict[str, str | None], param: str
) -> None:
    usual = {"account": "pending", "currency": "USD", "from": "2026-01-01T00:00:00Z",
             "to": "2026-01-02T00:00:00Z"}  # fmt: skip
    given = {name: value for name, value in (usual | query).items() if value is not None}
    found = shop.call("GET", f"/ledger/statement?{urlencode(given)}")
    assert (found.status, found.code) == (400, "invalid_parameter")
    assert found.json["error"]["param"] == param


def test_the_longest_period_is_92_days(shop: Shop) -> None:
    assert ask(shop, "fees", "USD", "2026-01-01T00:00:00Z", "2026-04-03T00:00:00Z").lines == []


@pytest.fixture(scope="module")
def long(served: Tree) -> Shop:
    """A book with more postings than are read at once."""
    made = other_shop(served, "MCH-LONG-STATEMENT")
    payment = made.take_payment(method="sbx_oxxo")
    rows = [{"transactionId": payment, "amount": 0.01}] * 700
    for _ in range(2):
        made.post("/refunds/batch", {"rows": rows})
    return made


def test_a_long_statement_comes_in_pieces_and_whole(long: Shop) -> None:
    now = long.get("/sandbox/clock")["now"]
    found = ask(long, "frozen", "USD", at(now, days=-1), at(now, days=1))
    assert len(found.lines) == 1_400 > PIECE
    query = urlencode({"account": "frozen", "currency": "USD", "from": at(now, days=-1),
                       "to": at(now, days=1)})  # fmt: skip
    path = f"{API}/ledger/statement?{query}"
    with Line(long.address) as line:
        reply = line.call("GET", path, bearer(long.key), None)
        assert reply.header("transfer-encoding") == "chunked"
        assert reply.header("content-length") is None
        assert len(read(reply.body).lines) == 1_400
        again = line.call("GET", f"{API}/ping", bearer(long.key), None)
        assert again.status == 200, "the connection goes on"
        old = f"GET {path} HTTP/1.0\r\nAuthorization: Bearer {long.key}\r\n\r\n"
    with Line(long.address) as line:
        line.send(old.encode())
        reply = line.read("GET")
    assert reply.header("transfer-encoding") is None, "HTTP/1.0 knows no chunks"
    assert len(read(reply.body).lines) == 1_400
    for _ in range(20):  # nobody waits for the rest
        with Line(long.address) as line:
            line.send(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {long.key}\r\n\r\n"
                      .encode())  # fmt: skip
            line.socket.recv(100)
            line.reset()
    assert long.call("GET", "/ping").status == 200


def test_the_command_line_writes_what_the_api_answers(
    served: Tree, shop: Shop, entries: list[dict[str, Any]], tmp_path: Path
) -> None:
    begin, end = at(entries[-1]["createdAt"], days=-1), at(entries[0]["createdAt"], seconds=1)
    key = tmp_path / "key"
    key.write_text(shop.key)
    asked = ("statement", "--account", "pending", "--from", begin, "--to", end, "--key",
             f"@{key}")  # fmt: skip
    body = ask(shop, "pending", "USD", begin, end).body
    out = tmp_path / "pending.csv"
    assert served.run(*asked, "--out", str(out)).returncode == 0
    assert out.read_bytes() == body
    printed = served.run(*asked)
    assert printed.stdout.encode().replace(b"\n", b"\r\n") == body or (
        printed.stdout.encode() == body
    )
    refused: subprocess.CompletedProcess[str] = served.run(
        *asked[:2], "cash", *asked[3:], "--out", str(tmp_path / "no.csv")
    )
    assert refused.returncode == 1
    assert "invalid_parameter" in refused.stderr
    assert not list(tmp_path.glob("no.csv*"))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_text_that_a_spreadsheet_would_run_has_an_apostrophe(text: str) -> None:
    assert guarded(text) == f"'{text}"
    assert guarded(f"x{text}") == f"x{text}"
