"""A merchant as its own software would be: takes payments, asks for refunds, looks at claims.

Everything goes over the public API with one key; the sandbox provider's own record, read beside
it, is what the merchant's view is compared with.
"""

import asyncio
import json
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

import asyncpg

from clawback.cli import register
from tests.support.trees import Tree
from tests.support.wire import API, Address, Line, Reply, bearer

OPEN: Final = ("pending", "approved")


class Paid(NamedTuple):
    """A refund in the provider's record."""

    reference: str
    charge: str
    amount_minor: int
    effects: int


class Shop:
    """One key on one tree."""

    def __init__(self, address: Address, key: str) -> None:
        """Nothing is asked yet."""
        self.address = address
        self.key = key

    def call(
        self, method: str, path: str, body: object = None, idempotency: str | None = None
    ) -> Reply:
        """A call on a connection of its own."""
        data = None if body is None else json.dumps(body).encode()
        with Line(self.address) as line:
            headers = [*bearer(self.key, idempotency=idempotency), ("Connection", "close")]
            return line.call(method, API + path, headers, data)

    def get(self, path: str, **query: object) -> dict[str, Any]:
        """What a GET answers."""
        found = self.call("GET", f"{path}?{urlencode(query)}" if query else path)
        assert found.status == 200, (path, found)
        return found.json

    def post(self, path: str, body: object, status: int = 201) -> dict[str, Any]:
        """What a POST answers, which must have this status."""
        found = self.call("POST", path, body)
        assert found.status == status, (path, body, found)
        return found.json

    def take_payment(
        self, usd: int = 50, method: str = "sbx_spei", country: str = "MX", action: str = "paid"
    ) -> str:
        """A payment of so many USD, captured (or whatever the action makes of it); its id."""
        body = {"amount": usd, "paymentMethodId": method, "country": country}
        name = str(self.post("/payments", body)["id"])
        if action and method != "sbx_card":
            self.post(f"/payments/{name}/simulate", {"action": action}, 200)
        return name

    def claims_of(self, payment: str) -> list[dict[str, Any]]:
        """All claims on a payment."""
        return list(self.rows("/claims", transactionId=payment))

    def count(self, path: str, **query: object) -> int:
        """How many rows a list has."""
        return int(self.get(path, limit=1, **query)["pagination"]["total"])

    def rows(self, path: str, **query: object) -> Iterator[dict[str, Any]]:
        """Every row of a list, page by page."""
        after: dict[str, object] = {}
        while True:
            page = self.get(path, limit=100, **query, **after)
            yield from page["data"]
            if page["pagination"]["next"] is None or not page["data"]:
                return
            after = {"after": page["pagination"]["next"]}

    def wait_until_settled(self, seconds: float) -> None:
        """Until no claim of the book is open any more."""
        end = time.monotonic() + seconds
        while left := sum(self.count("/claims", status=status) for status in OPEN):
            if time.monotonic() > end:
                rows = [row for one in OPEN for row in self.rows("/claims", status=one)]
                raise AssertionError(f"{left} claims are still open after {seconds} s: {rows[:3]}")
            time.sleep(0.2)


def demo_shop(tree: Tree) -> Shop:
    """The demo merchant of the tree."""
    return Shop(tree.address, tree.dev["secretKey"])


def other_shop(tree: Tree, merchant: str) -> Shop:
    """A new merchant of the tree, in books of its own, as the command line would make it."""
    with ThreadPoolExecutor(1) as beside:  # whoever calls may run a loop of its own
        making = beside.submit(asyncio.run, _register(str(tree.dev["databaseUrl"]), merchant))
        return Shop(tree.address, making.result())


async def _register(dsn: str, merchant: str) -> str:
    session = await asyncpg.connect(dsn)
    try:
        await register.create_merchant(session, merchant, f"Shop of {merchant}", "Main")
        wanted = register.WantedKey(merchant_id=merchant, mode="test", rate=10_000)
        return str((await register.create_key(session, wanted))["secret"])
    finally:
        await session.close()


def ask_provider(tree: Tree, **fault: object) -> None:
    """Script a fault of the sandbox provider."""
    host, _, port = str(tree.dev["sandboxUrl"]).removeprefix("http://").partition(":")
    secret = (tree.data / "sandbox" / "secret").read_text().strip()
    headers = [("Authorization", f"Bearer {secret}"), ("X-Book", "test")]
    with Line((host, int(port))) as line:
        answer = line.call("POST", "/faults", headers, json.dumps(fault).encode())
    assert answer.status == 200, answer


def provider_record(tree: Tree) -> list[Paid]:
    """Every refund that the sandbox provider was asked for, in its own words."""
    url = str(tree.dev["sandboxUrl"]).removeprefix("http://")
    host, _, port = url.partition(":")
    secret = (tree.data / "sandbox" / "secret").read_text().strip()
    headers = [("Authorization", f"Bearer {secret}"), ("X-Book", "test")]
    found: list[Paid] = []
    cursor: int | None = 0
    with Line((host, int(port))) as line:
        while cursor is not None:
            page = line.call("GET", f"/record/refunds?after={cursor}", headers, None)
            assert page.status == 200, page
            found += _lines(page.json["data"])
            cursor = page.json["next"]
    return found


def _lines(rows: Iterable[dict[str, Any]]) -> Iterator[Paid]:
    for row in rows:
        yield Paid(row["reference"], row["chargeReference"], row["amountMinor"], row["effects"])
