"""Lists as files: the rows that the list shows, all of them, or a last line that says otherwise."""

import asyncio
import csv
import io
import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise

import pytest

from clawback.dashboard.exporting import Piece, write
from clawback.dashboard.rendering import Pages
from clawback.dashboard.statics import load
from clawback.dashboard.words import Speech
from tests.dashboard.visitor import Shown, Staff, Visitor
from tests.support.databases import Database
from tests.support.shops import Shop

pytestmark = pytest.mark.timeout(120)

BUYER = "Compradora de listas"
LINK = re.compile(r'<a class="quiet-link" href="([^"]+)" download')


def file_rows(shown: Shown) -> list[dict[str, str]]:
    """A file's lines by their titles."""
    assert shown.status == 200, shown
    assert shown.header("content-type").startswith("text/csv")
    return list(csv.DictReader(io.StringIO(shown.text)))


def link_of(shown: Shown) -> str:
    """The link to the file, which must stand in the part that filters renew."""
    live = shown.text.partition('id="live"')[2]
    assert not LINK.search(shown.text.partition('id="live"')[0]), "a link beside the rows is stale"
    found = LINK.search(live)
    assert found is not None, shown
    return found[1].replace("&amp;", "&")


def listed(shown: Shown, prefix: str = "TXN-") -> list[str]:
    """The things that a page lists, in order."""
    return re.findall(rf'<tr data-row><td><a href="[^"]+">({prefix}[0-9A-Z-]+)</a>', shown.text)


@pytest.fixture(scope="module")
def bought(shop: Shop) -> list[str]:
    """Payments of one payer, by two methods; the last one was never paid. The newest first."""
    made = []
    for method, country, is_paid in (("sbx_spei", "MX", True), ("sbx_pix", "BR", True),
                                     ("sbx_spei", "MX", False)):  # fmt: skip
        body = {"amount": 30, "paymentMethodId": method, "country": country, "userName": BUYER}
        made.append(str(shop.post("/payments", body)["id"]))
        if is_paid:
            shop.post(f"/payments/{made[-1]}/simulate", {"action": "paid"}, 200)
    return made[::-1]


@pytest.mark.parametrize(
    ("more", "wanted"),
    [("", [0, 1, 2]), ("&status=completed", [1, 2]), ("&paymentMethodId=sbx_spei", [0, 2]),
     ("&status=completed&paymentMethodId=sbx_spei", [2]), ("&to=2020-01-01", []),
     ("&from=2020-01-01", [0, 1, 2]), ("&disputed=true", []), ("&currencyLocal=BRL", [1])],
)  # fmt: skip
def test_a_search_keeps_to_its_filters_on_the_page_and_in_the_file(
    staff: Staff, owner: Visitor, bought: list[str], more: str, wanted: list[int]
) -> None:
    base, query = staff.book(), f"q={BUYER.replace(' ', '+')}{more}"
    page = owner.get(f"{base}/payments?{query}")
    assert listed(page) == [bought[one] for one in wanted]
    assert 'value="sbx_spei"' in page.text, "methods can be chosen"
    if wanted:
        assert link_of(page) == f"{base}/payments.csv?{query}"
    rows = file_rows(owner.get(f"{base}/payments.csv?{query}"))
    assert [row["id"] for row in rows] == [bought[one] for one in wanted]


def test_a_filter_that_cannot_be_is_refused_alike(staff: Staff, owner: Visitor) -> None:
    for text in ("", "&q=somebody"):
        page = owner.get(f"{staff.book()}/payments?from=yesterday{text}")
        assert (page.status, listed(page), 'class="fault"' in page.text) == (200, [], True)
        assert owner.get(f"{staff.book()}/payments.csv?from=yesterday{text}").status >= 400


def test_each_link_has_the_filters_of_its_rows(
    staff: Staff, owner: Visitor, shop: Shop, bought: list[str]
) -> None:
    base = staff.book()
    claim = shop.post(f"/payments/{bought[1]}/refund", {"amount": 1})["refundId"]
    disputed = shop.take_payment(method="sbx_card")
    shop.post(f"/payments/{disputed}/simulate", {"action": "chargeback"}, 200)
    for path, query in (
        ("/payments", "status=completed"),
        ("/claims", "kind=chargeback"),
        ("/books/entries", "type=capture"),
        ("/events", "type=claim.opened"),
    ):
        whole, few = (owner.get(f"{base}{path}{one}") for one in ("", f"?{query}"))
        assert link_of(few) == f"{base}{path}.csv?{query}"
        assert link_of(whole) == f"{base}{path}.csv?"
        assert file_rows(owner.get(link_of(few))) != file_rows(owner.get(link_of(whole)))
    found = file_rows(owner.get(f"{base}/claims.csv?transactionId={bought[1]}"))
    assert [row["id"] for row in found] == [claim]
    page = owner.get(f"{base}/books/accounts/USD/pending")
    assert link_of(page) == f"{base}/books/entries.csv?account=pending"


def test_entries_come_with_every_posting(
    staff: Staff, owner: Visitor, shop: Shop, bought: list[str]
) -> None:
    name = bought[2]
    rows = file_rows(owner.get(f"{staff.book()}/books/entries.csv?transactionId={name}"))
    told = shop.get("/ledger/entries", transactionId=name)["data"]
    assert {row["transactionId"] for row in rows} == {name}
    assert len(rows) == sum(len(entry["postings"]) for entry in told) > 0
    legs = [leg for entry in told for leg in entry["postings"]]
    assert [Decimal(row["amount"]) for row in rows] == [Decimal(str(leg["amount"])) for leg in legs]
    for currency in {row["currency"] for row in rows}:
        mine = [Decimal(row["amount"]) for row in rows if row["currency"] == currency]
        assert (sum(mine), any(mine)) == (0, True)
        assert sum(mine[1:]) != 0, "the control: one posting less is seen"


def test_events_come_as_they_are_numbered(
    staff: Staff, owner: Visitor, rows: Database, bought: list[str]
) -> None:
    found = file_rows(owner.get(f"{staff.book()}/events.csv"))
    book = staff.places["test"].book_id
    stored = rows.rows("SELECT number, event_id, type FROM events WHERE book_id = $1", book)
    assert len(found) > 0
    assert sorted((int(row["number"]), row["id"], row["type"]) for row in found) == sorted(
        (row["number"], row["event_id"], row["type"]) for row in stored
    )
    numbers = [int(row["number"]) for row in found]
    assert all(one > two for one, two in pairwise(numbers))
    only = file_rows(owner.get(f"{staff.book()}/events.csv?objectId={bought[0]}"))
    assert {row["objectId"] for row in only} == {bought[0]}


def test_who_takes_a_list_along_is_noted(staff: Staff, owner: Visitor, rows: Database) -> None:
    book = staff.places["test"].book_id
    noted = "SELECT action, note FROM acts WHERE book_id = $1 AND action = ANY ($2::text[])"
    actions = ["payments_exported", "entries_exported", "events_exported"]
    before = len(rows.rows(noted, book, actions))
    for path in ("/payments", "/books/entries", "/events"):
        owner.get(f"{staff.book()}{path}")
    assert len(rows.rows(noted, book, actions)) == before, "the control: looking is no act"
    for path in ("/payments.csv?q=mine&status=completed", "/books/entries.csv", "/events.csv"):
        file_rows(owner.get(staff.book() + path))
    after = rows.rows(noted, book, actions)
    assert len(after) == before + 3
    assert ("payments_exported", "q=mine status=completed") in {tuple(row) for row in after}


def pieces(sizes: list[int]) -> list[Piece]:
    """A list in pieces of so many rows."""
    ends = [str(at) for at in range(1, len(sizes))]
    return [
        Piece([[at, row] for row in range(many)], many, after)
        for at, (many, after) in enumerate(zip(sizes, [*ends, None], strict=True))
    ]


def written(made: list[Piece], most: int, lost_at: str = "") -> list[list[str]]:
    """What a file of these pieces says."""

    async def fetch(after: str) -> Piece | None:
        return None if after == lost_at else made[int(after)]

    async def read() -> Iterator[str]:
        return iter([part async for part in write(made[0], fetch, Speech("en"), most)])

    return list(csv.reader(io.StringIO("".join(asyncio.run(read())))))


def test_a_list_that_is_too_long_says_so_before() -> None:
    text = '{% import "parts.html" as m with context %}{{ m.keep("/x.csv", "a=b", is_long) }}'
    template = Pages(load())._environment.from_string(text)
    speech = Speech("en")
    for is_long, said in ((True, "Keep the newest 10,000 as CSV"), (False, "Keep as CSV")):
        shown = template.render(base="", number=speech.number, _=speech.say, is_long=is_long)
        assert f'href="/x.csv?a=b" download>{said}</a>' in shown


def test_a_file_that_is_not_the_whole_list_says_so() -> None:
    made = pieces([2, 2, 1])
    assert written(made, 5) == [["0", "0"], ["0", "1"], ["1", "0"], ["1", "1"], ["2", "0"]]
    assert written(made, 4)[4:] == [["There are more than 4 rows."]]
    assert written(made, 3)[4:] == [["There are more than 4 rows."]]
    assert written(made[:1], 2) == [*written(made, 5)[:2], ["There are more than 2 rows."]]
    assert written(pieces([2, 2]), 4)[4:] == [], "the control: all of it is no more than that"
    assert written(made, 9, lost_at="2")[4:] == [["Broken off after 4 rows."]]
    cut = [Piece([[0, 0]], 1, None, is_cut=True)]
    assert written(cut, 9) == [["0", "0"], ["There are more than 1 row."]]
