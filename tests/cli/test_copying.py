"""`clawback db copy`: a book with all it can have, a kill in the middle, and what is refused."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from clawback import seal
from clawback.cli import copying
from clawback.cli.output import Stop
from clawback.db import moving
from clawback.db.embedded import EmbeddedPostgres
from tests.conftest import new_database
from tests.dashboard.visitor import Staff, Visitor
from tests.support.books import look, open_book, open_lanes, proved, take_payment
from tests.support.databases import Database
from tests.support.registry import Registry
from tests.support.shops import Shop
from tests.support.trees import ROOT, Tree

RARE = {"endpoint_failures", "files", "inbox", "payouts", "replays", "reviews"}
"""Tables that the book of the first test has no rows in."""
TEXT = {"type": "communication", "text": "It was sent."}
OURS = "SELECT book_id FROM books WHERE mode = 'test' ORDER BY created_at DESC LIMIT 1"
COPYING = """
SELECT count(*) = 0 FROM pg_stat_activity
WHERE application_name = 'clawback db copy' AND datname = current_database()
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """A tree of its own: a book of it is held for good."""
    with Tree(tmp_path_factory.mktemp("copying") / "data", processes=1) as made:
        yield made


def arguments(source: str, *more: str) -> dict[str, Any]:
    """How a copy from this database is started."""
    ours = {name: value for name, value in os.environ.items() if name[:9] != "CLAWBACK_"}
    return {
        "args": [sys.executable, "-m", "clawback", "db", "copy", *more],
        "env": ours | {"DATABASE_URL": source, "PYTHONPATH": str(ROOT)},
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }


def copied(source: str, *more: str) -> dict[str, Any]:
    """What a copy answers that is run to its end."""
    done = subprocess.run(**arguments(source, *more, "--json"), timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def complained(source: str, *more: str) -> str:
    """What a copy says that ends with an error."""
    done = subprocess.run(**arguments(source, *more), timeout=120, check=False)
    assert done.returncode == 1, done.stdout
    return str(done.stderr)


async def refused(source: str, target: str, *names: str, key_file: Path | None = None) -> str:
    """Why a copy is refused."""
    with pytest.raises(Stop) as caught:
        await copying.copy(source, target, names, key_file, lambda *_: None)
    return caught.value.text


@asynccontextmanager
async def pair(server: EmbeddedPostgres) -> AsyncIterator[tuple[str, str]]:
    """Two databases, in the first two books with a payment each."""
    async with new_database(server) as source, new_database(server) as target:
        made = [await open_book(source, number, shard=number - 1) for number in (1, 2)]
        async with open_lanes(source) as lanes:
            for book in made:
                await take_payment(lanes, book)
        yield source, target


def full_shop(tree: Tree) -> tuple[Shop, str]:
    """A merchant's test book with payments, claims, evidence, events and webhooks; and its id."""
    with Registry(tree) as registry:
        shop = registry.shop()
        shop.post("/webhooks", {"url": "http://127.0.0.1:9/hook", "events": ["*"]})
        given_back = shop.take_payment()
        made = shop.call("POST", f"/payments/{given_back}/refund", {"amount": 10}, "once")
        assert made.status == 201, made
        disputed = shop.take_payment()
        shop.post(f"/payments/{disputed}/simulate", {"action": "chargeback"}, 200)
        [claim] = shop.claims_of(disputed)
        shop.post(f"/claims/{claim['id']}/evidence", TEXT)
    with Database(str(tree.dev["databaseUrl"])) as rows:
        return shop, str(rows.rows(OURS)[0]["book_id"])


async def test_a_full_book_of_a_running_deployment_is_moved(
    tree: Tree, server: EmbeddedPostgres
) -> None:
    shop, book = await asyncio.to_thread(full_shop, tree)
    owner = await asyncio.to_thread(owner_of, tree, shop)
    source = str(tree.dev["databaseUrl"])
    key = ("--key-file", str(tree.data / "seal.key"))
    async with new_database(server) as target:
        await look(target, "INSERT INTO shards SELECT generate_series(2, 5)")
        wanted = ("--to", target, "--book", book)
        assert "no key file is named" in await refused(source, target, book)
        first = copied(source, *wanted, *key)
        [moved] = first["moved"]
        assert (moved["book"], first["auditClean"]) == (book, True)
        there = await moving.connect(target)
        try:
            empty = {
                name
                for name in moving.TABLES
                if not (await moving.read(there, name, moved["shard"], book)).rows
            }
        finally:
            await there.close()
        assert empty <= RARE
        again = copied(source, *wanted, *key)
        assert (again["moved"], again["alreadyThere"]) == ([], 1)
        backwards = await refused(target, source, key_file=tree.data / "seal.key")
        assert "is on the target, and is not held here" in backwards
    await asyncio.to_thread(held_book_refuses, shop, owner)
    tree.audit()


def owner_of(tree: Tree, shop: Shop) -> tuple[Visitor, str]:
    """A person who looks at the book in the dashboard, and where it is."""
    staff = Staff(tree, shop.get("/me")["id"])
    visitor = staff.visitor(staff.hire("owner@copied.example", test="owner"))
    assert visitor.get(staff.book() + "/").status == 200, "the control"
    return visitor, staff.book()


def held_book_refuses(shop: Shop, owner: tuple[Visitor, str]) -> None:
    """What is asked of a held book is refused for now; what it holds can still be read."""
    payment = shop.get("/payments", limit=1)["data"][0]["id"]
    path = f"/payments/{payment}/refund"
    for asked in (
        shop.call("POST", path, {"amount": 1}, "new"),
        shop.call("POST", "/refunds/batch", {"rows": [{"transactionId": payment, "amount": 1}]}),
        shop.call("GET", f"/payments/{payment}/refundability"),
        shop.call("POST", "/payments", {"amount": 5, "paymentMethodId": "sbx_spei"}),
    ):
        assert (asked.status, asked.code) == (503, "unavailable")
    for read in ("/me", "/me/balance", "/payments", "/claims", "/events", "/ledger/entries",
                 "/ledger/proof", "/ledger/accounts", "/sandbox/clock", "/webhooks"):  # fmt: skip
        assert shop.call("GET", read).status in {200, 503}, read
    visitor, base = owner
    for page in ("/", "/payments", "/books", "/sandbox", "/settings"):
        assert visitor.get(base + page).status in {200, 503}, page


@pytest.mark.long
async def test_a_copy_that_is_killed_is_run_again(server: EmbeddedPostgres) -> None:
    async with pair(server) as (source, target):
        lock = await asyncpg.connect(target)
        process = subprocess.Popen(**arguments(source, "--to", target))  # noqa: ASYNC220 - killed
        try:
            async with lock.transaction():
                await lock.execute("LOCK TABLE postings IN EXCLUSIVE MODE")
                await until(source, "SELECT count(*) = 1 FROM held_books")
                await until(target, "SELECT count(*) = 1 FROM pg_locks WHERE NOT granted")
                assert "somebody else copies" in await refused(source, target)
                process.send_signal(signal.SIGKILL)
        finally:
            process.kill()
            process.communicate()
            await lock.close()
        await until(target, COPYING)
        assert await look(target, "SELECT FROM books") == []
        done = copied(source, "--to", target)
        assert [one["book"] for one in done["moved"]] == ["bk_00000001", "bk_00000002"]
        assert set((await proved(target)).heads) == {"bk_00000001", "bk_00000002"}
        assert (await proved(source)).heads == {}
        # The control: the audit that follows every copy looks at what lies on the target.
        await look(target, "UPDATE accounts SET balance = balance + 1 WHERE name = 'pending'")
        assert "the books there are wrong" in complained(source, "--to", target)


async def until(dsn: str, query: str) -> None:
    """Ask until it is so."""
    for _ in range(600):
        if (await look(dsn, query))[0][0]:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(query)


async def test_what_is_held_for_one_database_is_not_brought_to_another(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    async with pair(server) as (source, target), new_database(server) as other:
        here = await moving.connect(source)
        there = await moving.connect(target)
        try:
            [first, _] = await moving.list_books(here)
            await moving.hold(here, first, await moving.identity(there))
        finally:
            await here.close()
            await there.close()
        assert "held here for another database" in await refused(source, other)
        assert await copying.let_go(source, other, []) == []
        row = {"book": first.book_id, "merchant": "MCH-1", "mode": "test"}
        assert await copying.let_go(source, target, []) == [row]
        assert len((await proved(source)).heads) == 2
        assert "lead to one database" in await refused(source, source)
        assert "there is no book bk_x" in await refused(source, target, "bk_x")
        await refuses_secrets_that_nobody_there_could_open(source, target, tmp_path)


async def refuses_secrets_that_nobody_there_could_open(
    source: str, target: str, tmp_path: Path
) -> None:
    """And nothing is held for them."""
    paths = [tmp_path / name for name in ("ours", "theirs")]
    for path in paths:
        seal.create(path)
    sealed = seal.load(paths[0]).close("secret", about="x")
    await look(
        source,
        "INSERT INTO provider_accounts VALUES ('sandbox', 'default', 'test', $1, $1, now())",
        sealed,
    )
    said = await refused(source, target, key_file=paths[1])
    assert f"key {sealed[1:7].hex()}, which is not in" in said
    assert await look(source, "SELECT FROM held_books") == []
    done = await copying.copy(source, target, [], paths[0], lambda *_: None)
    assert len(done["moved"]) == 2
