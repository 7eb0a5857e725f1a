"""A book proves itself over HTTP, and what it gives out is checked without it, file by file."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from threading import Event
from typing import Any, Final, NamedTuple

import pytest

from tests.support.databases import Database
from tests.support.shapes import check, load
from tests.support.shops import Shop, other_shop
from tests.support.statements import ask
from tests.support.trees import Tree

MERCHANT: Final = "MCH-PROOF"
CHECKS: Final = (
    "entries_balance", "balances_equal_postings", "frozen_equals_claims", "payable_equals_claims",
    "cap_holds", "sequence_gapless",
)  # fmt: skip
_CHANGE: Final = """
UPDATE {table} SET {column} = {column} {{}} 1
WHERE {which} AND book_id = (SELECT book_id FROM books WHERE merchant_id = $1 AND mode = 'test')
"""
_HASH: Final = """
UPDATE heads SET hash = translate(hash, $2, $3)
WHERE book_id = (SELECT book_id FROM books WHERE merchant_id = $1 AND mode = 'test')
"""
PLANTED: Final = {
    "balances_equal_postings": ("accounts", "balance", "name = 'fees'"),
    "frozen_equals_claims": ("accounts", "balance", "name = 'frozen'"),
    "payable_equals_claims": ("accounts", "balance", "name = 'payable'"),
    "cap_holds": ("payments", "refunded_minor", "refunded_minor > 0"),
}
"""A column of a table that nobody but the database's owner can change: plus one."""


class Scene(NamedTuple):
    """A book with a refund that was released, one that waits for its payer, and a card's fee."""

    shop: Shop
    released: str
    waiting: str


@pytest.fixture(scope="module")
def scene(served: Tree) -> Scene:
    shop = other_shop(served, MERCHANT)
    spei, card = shop.take_payment(), shop.take_payment(method="sbx_card", country="BR")
    released = shop.post(f"/payments/{spei}/refund", {"amount": 10})["refundId"]
    shop.post(f"/payments/{card}/refund", {"amount": 1})
    shop.wait_until_settled(60)
    oxxo = shop.take_payment(method="sbx_oxxo")
    waiting = shop.post(f"/payments/{oxxo}/refund", {"amount": 2})["refundId"]
    return Scene(shop, str(released), str(waiting))


def prove(shop: Shop, query: str = "") -> dict[str, Any]:
    found = shop.call("GET", f"/ledger/proof{query}")
    assert found.status == 200, found
    told: dict[str, Any] = load(found.body)
    return told


def test_a_book_that_holds_says_so(scene: Scene) -> None:
    found = prove(scene.shop)
    check(found, "PROOF")
    assert found["balanced"] is True
    assert found["currencies"] == [{"currency": c, "sum": 0} for c in ("USD", "BRL", "MXN")]
    assert found["checks"] == [{"name": name, "ok": True} for name in CHECKS]
    newest = scene.shop.get("/ledger/entries", limit=1)["data"][0]
    assert found["chain"] == {"height": newest["height"], "hash": newest["hash"], "intact": True}
    assert found["computedAt"] >= newest["createdAt"]


def test_an_empty_book_holds(served: Tree) -> None:
    found = prove(other_shop(served, "MCH-PROOF-EMPTY"))
    check(found, "PROOF")
    assert (found["balanced"], found["currencies"]) == (True, [])
    assert found["chain"] == {"height": 0, "hash": "0" * 64, "intact": True}


def test_a_claim_brings_its_entries_and_what_their_hashes_cover(scene: Scene) -> None:
    found = prove(scene.shop, f"?claimId={scene.released}")
    claim = found.pop("claim")
    check(found, "PROOF")
    check(claim, "CLAIM_PROOF")
    listed = scene.shop.get("/ledger/entries", claimId=scene.released)["data"][::-1]
    texts = [entry.pop("canonical") for entry in claim["entries"]]
    assert claim["entries"] == listed
    assert [entry["type"] for entry in listed] == ["freeze", "resolve_approved", "release"]
    for entry, text in zip(listed, texts, strict=True):
        assert sha256(text.encode()).hexdigest() == entry["hash"]
        row = json.loads(text)
        assert row[:4] == [entry["previousHash"], claim["bookId"], entry["height"], entry["id"]]


@pytest.mark.parametrize("name", ["CLM-MP331G7R-9F49", "CLM-1", "x", "TXN-MP331BTF-R308"])
def test_a_claim_that_is_not_there_is_not_found(scene: Scene, name: str) -> None:
    found = scene.shop.call("GET", f"/ledger/proof?claimId={name}")
    assert (found.status, found.code) == (404, "not_found")


def test_a_foreign_claim_is_not_found_either(served: Tree, scene: Scene) -> None:
    other = other_shop(served, "MCH-PROOF-FOREIGN")
    found = other.call("GET", f"/ledger/proof?claimId={scene.released}")
    assert (found.status, found.code) == (404, "not_found")


def test_many_who_ask_at_once_wait_for_each_other(scene: Scene) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: prove(scene.shop), range(16)))
    assert all(one["balanced"] and one["chain"]["intact"] for one in found)


@pytest.mark.parametrize("name", PLANTED)
def test_what_its_owner_changed_shows(served: Tree, scene: Scene, name: str) -> None:
    table, column, which = PLANTED[name]
    change = _CHANGE.format(table=table, column=column, which=which)
    with served.books(spoiled=True), Database(served.dev["databaseUrl"]) as database:
        database.execute(change.format("+"), MERCHANT)
        try:
            found = prove(scene.shop)
            refused = served.run("proof", "--key", scene.shop.key)
        finally:
            database.execute(change.format("-"), MERCHANT)
    wrong = {one["name"] for one in found["checks"] if not one["ok"]}
    assert name in wrong
    assert refused.returncode == 1
    assert f"WRONG {name}" in refused.stdout
    assert all(one["ok"] for one in prove(scene.shop)["checks"])


def test_who_spoils_a_book_waits_for_who_looks_at_all(served: Tree) -> None:
    is_in = Event()

    def spoil() -> None:
        with served.books(spoiled=True):
            is_in.set()

    with ThreadPoolExecutor(1) as beside:
        with served.books():
            spoiling = beside.submit(spoil)
            assert not is_in.wait(0.3)
        spoiling.result(60)
    assert is_in.is_set()


def test_a_head_that_is_not_the_last_hash_shows(served: Tree, scene: Scene) -> None:
    with served.books(spoiled=True), Database(served.dev["databaseUrl"]) as database:
        database.execute(_HASH, MERCHANT, "0123456789abcdef", "123456789abcdef0")
        try:
            assert prove(scene.shop)["chain"]["intact"] is False
        finally:
            database.execute(_HASH, MERCHANT, "123456789abcdef0", "0123456789abcdef")
    assert prove(scene.shop)["chain"]["intact"] is True


# Without the book


class Papers(NamedTuple):
    """What a book gave out, as files."""

    export: Path
    proof: Path
    statement: Path
    before: Path


NAMES: Final = ("book.jsonl", "proof.json", "now.csv", "a.csv")


@pytest.fixture
def papers(given: Papers, tmp_path: Path) -> Papers:
    """Copies that a test may change."""
    return Papers(*(Path(shutil.copy(file, tmp_path)) for file in given))


@pytest.fixture(scope="module")
def given(served: Tree, scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Papers:
    folder = tmp_path_factory.mktemp("papers")
    found = Papers(*(folder / name for name in NAMES))
    done = served.run("books", "export", MERCHANT, "--out", str(found.export))
    assert done.returncode == 0, done.stderr
    asked = served.run("proof", "--claim", scene.released, "--key", scene.shop.key, "--json")
    assert asked.returncode == 0, asked.stderr
    found.proof.write_text(asked.stdout)
    rows = scene.shop.get("/ledger/entries")["data"]
    middle, end = rows[len(rows) // 2]["createdAt"], scene.shop.get("/sandbox/clock")["now"]
    begin = (datetime.fromisoformat(end) - timedelta(days=80)).isoformat()
    for file, period in ((found.before, (begin, middle)), (found.statement, (middle, end))):
        file.write_bytes(ask(scene.shop, "pending", "USD", *period).body)
    return found


def verify(*files: Path, more: tuple[str, ...] = ()) -> "subprocess.CompletedProcess[str]":
    """`clawback verify`, without database, server or environment."""
    return subprocess.run(
        [sys.executable, "-m", "clawback", "verify", *map(str, files), *more],
        env={"PATH": "", "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        cwd=files[0].parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_all_papers_hold_together(papers: Papers) -> None:
    done = verify(*papers)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 entries hash to what it says" in done.stdout
    assert "has all that 3 others say" in done.stdout
    assert all(line.startswith("ok ") for line in done.stdout.splitlines())
    told = json.loads(verify(*papers, more=("--json",)).stdout)
    assert (told["ok"], told["broken"], len(told["held"])) == (True, None, 5)
    height, head = _head(papers.export)
    assert verify(papers.export, more=("--head", f"{height}:{head}")).returncode == 0


def _head(export: Path) -> tuple[int, str]:
    last = json.loads(export.read_bytes().splitlines()[-1])
    return last["height"], last["hash"]


def _cut(export: Path) -> None:
    lines = export.read_bytes().splitlines(keepends=True)[:-2]
    head = {"bookId": json.loads(lines[0])[1], "height": len(lines),
            "hash": sha256(lines[-1][:-1]).hexdigest()}  # fmt: skip
    export.write_bytes(b"".join(lines) + json.dumps(head, separators=(",", ":")).encode() + b"\n")


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_bytes()
    assert old.encode() in text
    file.write_bytes(text.replace(old.encode(), new.encode(), 1))


TAMPERS: Final[dict[str, tuple[Callable[[Papers], None], str]]] = {
    "an entry of the export": (lambda p: _replace(p.export, '"freeze"', '"fraeze"'), "entry "),
    "the end of the export, well": (lambda p: _cut(p.export), "is not in the export"),
    "a line of a statement, so that it adds up": (
        lambda p: _replace(p.before, "TXN-", "TXM-"), "is not what the export has"),
    "an amount of a statement": (lambda p: _replace(p.before, ",50,", ",51,"), "line "),
    "what a statement closes with": (lambda p: _replace(p.before, "closing", "losing"), "line "),
    "an entry of the proof": (lambda p: _replace(p.proof, '"seq":', '"seq":1'), "entry "),
    "the text of an entry of the proof": (
        lambda p: _replace(p.proof, "resolve_approved:", "resolve_approved;"), "another hash"),
    "the head of the proof": (lambda p: _replace(p.proof, '"intact":true', '"intact":false'),
                              "says itself"),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERS)
def test_what_was_tampered_with_is_named(papers: Papers, what: str) -> None:
    change, word = TAMPERS[what]
    change(papers)
    done = verify(*papers)
    assert done.returncode == 1, done.stdout
    assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_statements_that_do_not_chain_are_named(papers: Papers) -> None:
    opening, *lines = papers.statement.read_text().splitlines(keepends=True)
    first = lines[0].split(",")
    assert first[3] == "opening"
    kept = [opening, *lines]
    papers.statement.write_bytes("".join(kept).replace("\n", "\r\n").encode())
    assert verify(papers.before, papers.statement).returncode == 0
    shifted = [line.split(",") for line in lines]
    for row in shifted:
        row[8] = str(int(row[8]) + 1)
    body = opening + "".join(",".join(row) for row in shifted)
    papers.statement.write_bytes(body.replace("\n", "\r\n").encode())
    assert verify(papers.statement).returncode == 0, "by itself it adds up"
    done = verify(papers.before, papers.statement)
    assert done.returncode == 1
    assert "does not open with what a.csv closes with" in done.stderr


def test_files_that_are_none_of_these_are_refused(tmp_path: Path, papers: Papers) -> None:
    other = tmp_path / "other"
    other.write_text("hello")
    assert "is no export" in verify(other).stderr
    assert "cannot be read" in verify(tmp_path / "absent").stderr
    assert "is no head" in verify(papers.export, more=("--head", "12")).stderr
    assert "none was given" in verify(papers.proof, more=("--head", f"1:{'0' * 64}")).stderr
    old = verify(papers.export, more=("--head", f"1:{'0' * 64}"))
    assert old.returncode == 1
    assert "is not in the export" in old.stderr


def test_the_trial_balance_comes_to_zero_in_each_currency(served: Tree, scene: Scene) -> None:
    found = served.told("books", "trial-balance", MERCHANT)["data"]
    sums = [row for row in found if row["account"] == "all"]
    assert [row["currency"] for row in sums] == ["USD", "BRL", "MXN"]
    assert all(row["debit"] == row["credit"] > 0 for row in sums)
    with served.books(spoiled=True), Database(served.dev["databaseUrl"]) as database:
        change = _CHANGE.format(table="accounts", column="balance", which="name = 'fees'")
        database.execute(change.format("+"), MERCHANT)
        try:
            refused = served.run("books", "trial-balance", MERCHANT)
        finally:
            database.execute(change.format("-"), MERCHANT)
    assert refused.returncode == 1
    assert "differ in USD" in refused.stderr


def test_the_lists_of_the_command_line(served: Tree, scene: Scene) -> None:
    accounts = served.told("ledger", "accounts", "--key", scene.shop.key)["data"]
    assert {"pending", "frozen", "provider:sandbox"} <= {row["account"] for row in accounts}
    of_claim = ("ledger", "entries", "--claim", scene.released, "--key", scene.shop.key)
    assert [row["type"] for row in served.told(*of_claim)["data"]][-1] == "freeze"
    plain = served.run(*of_claim).stdout
    assert "resolve_approved" in plain
    assert "payable" in plain
