"""What a book gives out is checked without it: the export always holds, and any change shows.

The lines are made here with the standard library from the form in docs/reference/ledger.md, and
checked twice: by `clawback verify`'s own code, and by the verifier that the page prints.
"""

import json
import random
import re
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clawback.claims.ending import CancelRefund
from clawback.errors import Refused
from clawback.lanes.records import Claim
from clawback.ledger.papers import Against
from clawback.ledger.verify import Broken, walk
from clawback.money import major_text
from clawback.payments.model import SettleDue
from tests.holder import ROOT
from tests.model_checks import check
from tests.model_world import KEY, World
from tests.support.counts import count

CASES: Final = settings(
    max_examples=count(30, 3_000),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
TAMPERS: Final = count(300, 30_000)
STEPS: Final = st.lists(
    st.tuples(st.sampled_from(["pay", "refund", "carry", "cancel", "settle"]), st.integers(0, 9)),
    max_size=30,
)


def lived(steps: list[tuple[str, int]]) -> World:
    """A book in which these things happened."""
    world = World(reserve_percent_e4=50_000)
    for kind, number in steps:
        payments, claims = world.payments, world.claims
        world.later(seconds=7)
        if kind == "pay" and len(payments) < 5:
            rail = (("spei", "MX", "MXN"), ("card", "US", "USD"), ("card", "CL", "CLP"))[number % 3]
            world.pay(rail=rail, fee=(29_000, 3_000) if number % 2 else (0, 0))
        elif kind == "refund" and payments:
            payment = payments[number % len(payments)]
            part = max(1, payment.amount_minor * (number + 1) // 20)
            world.refund(payment, major_text(part, 0 if payment.currency == "CLP" else 2))
        elif kind == "settle":
            world.later(hours=48)
            for payment in payments:
                world.accepted(SettleDue(payment_id=payment.payment_id))
        elif claims:
            _act(world, kind, claims[number % len(claims)])
    check(world)
    return world


def _act(world: World, kind: str, claim: Claim) -> None:
    if kind == "cancel":
        done = world.run(CancelRefund(claim_id=claim.claim_id, reason=None, actor=KEY))
        assert isinstance(done, Refused) or world.claim(claim.claim_id).status == "canceled"
    elif kind == "carry" and world.start(claim).attempt is not None:
        world.report(claim, "settled")


def ms(at: datetime) -> int:
    """Unix milliseconds, by the standard library."""
    return round(at.timestamp() * 1000)


def rows_of(world: World) -> list[list[Any]]:
    """The entries as the page says that they are written."""
    legs: dict[int, list[list[Any]]] = {}
    for p in world.postings:
        legs.setdefault(p.height, []).append(
            [p.currency, p.account, p.seq, p.amount, p.balance_after]
        )
    return [
        [e.previous_hash, e.book_id, e.height, e.entry_id, e.type, e.cause, e.payment_id,
         e.claim_id, ms(e.created_at), ms(e.effective_at), legs[e.height]]
        for e in world.entries
    ]  # fmt: skip


def line_of(row: object) -> bytes:
    """A line of an export."""
    return json.dumps(row, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def ended(lines: list[bytes]) -> list[bytes]:
    """With the last line that belongs to them."""
    last = sha256(lines[-1][:-1]).hexdigest() if lines else "0" * 64
    return [*lines, line_of({"bookId": "bk_00000001", "height": len(lines), "hash": last})]


def export_of(world: World) -> list[bytes]:
    """The export of a book."""
    return ended([line_of(row) for row in rows_of(world)])


def chained(rows: list[list[Any]]) -> list[bytes]:
    """Rows with hashes that follow from each other, as somebody would forge them."""
    lines: list[bytes] = []
    last = "0" * 64
    for height, row in enumerate(rows, 1):
        lines.append(line_of([last, row[1], height, *row[3:]]))
        last = sha256(lines[-1][:-1]).hexdigest()
    return ended(lines)


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[bytes]], str]:
    """The verifier of the page: returns the head that it finds, or raises."""
    page = (ROOT / "docs/reference/ledger.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert source.count("\n") <= 40
    space: dict[str, Any] = {"__name__": "printed"}
    exec(compile(source, "ledger.md", "exec"), space)  # noqa: S102 - the page's own example
    file = tmp_path_factory.mktemp("printed") / "book.jsonl"

    def verify(lines: list[bytes]) -> str:
        file.write_bytes(b"".join(lines))
        return ":".join(map(str, space["verify"](file)))

    return verify


@CASES
@given(steps=STEPS)
def test_whatever_happened_the_export_holds(
    printed: Callable[[list[bytes]], str], steps: list[tuple[str, int]]
) -> None:
    world = lived(steps)
    lines = export_of(world)
    head = world.state.head
    found = walk(lines)
    assert (found.height, found.hash) == (head.height, head.hash)
    assert printed(lines) == f"{head.height}:{head.hash}"
    assert found.accounts == {key: (seq, total) for key, (total, seq)
                              in world.state.accounts.items() if seq}  # fmt: skip


@pytest.fixture(scope="module")
def export() -> list[bytes]:
    """A book with something of everything."""
    kinds = [(kind, n) for n in range(6) for kind in ("pay", "refund", "carry", "cancel")]
    lines = export_of(lived([*kinds, ("settle", 0), *kinds]))
    assert len(lines) > 30
    return lines


def refused(lines: list[bytes], *, heads: dict[int, str] | None = None) -> bool:
    """Whether something is found to be wrong."""
    against = Against([], [], heads or {})
    try:
        walk(lines, against.see)
        against.end()
    except Broken as broken:
        return broken.row != ""  # it names the row
    return False


def test_any_flipped_byte_is_found(export: list[bytes]) -> None:
    body = b"".join(export)
    chance = random.Random(7)
    places = {*range(len(export[0])), *range(len(body) - len(export[-1]), len(body))}
    places |= {chance.randrange(len(body)) for _ in range(TAMPERS)}
    for place in places:
        flipped = body[place] ^ (1 << chance.randrange(8))
        changed = body[:place] + bytes((flipped,)) + body[place + 1 :]
        assert refused(changed.splitlines(keepends=True)), f"byte {place}"


def test_deleted_swapped_inserted_and_cut_entries_are_found(export: list[bytes]) -> None:
    assert not refused(export)  # the control
    for place in range(len(export) - 1):
        cut = [*export[:place], *export[place + 1 :]]
        assert refused(cut), f"without entry {place + 1}"
        assert refused([*export[:place], export[place], *export[place:]]), "an entry twice"
        if place:
            swapped = list(export)
            swapped[place - 1], swapped[place] = swapped[place], swapped[place - 1]
            assert refused(swapped), f"entries {place} and {place + 1} swapped"
    for kept in range(len(export)):
        assert refused(export[:kept]), "the end is missing"
        if kept < len(export) - 1:
            assert refused([*export[:kept], export[-1]]), "cut before the last line"
    assert refused([*export, export[-1]])
    assert refused([*export[:-1], export[-1][:-1]]), "the last line has no end"


def test_a_whole_rewrite_shows_against_a_head_only(
    export: list[bytes], printed: Callable[[list[bytes]], str]
) -> None:
    rows = [json.loads(line) for line in export[:-1]]
    heads = {len(rows): sha256(export[-2][:-1]).hexdigest()}
    assert not refused(export, heads=heads)
    shorter = ended(export[:-3])
    assert not refused(shorter)
    assert printed(shorter)
    assert refused(shorter, heads=heads), "cut off the end"
    forged = [list(row) for row in rows]
    forged[3][5] = "another cause"
    rewritten = chained(forged)
    assert not refused(rewritten)
    assert refused(rewritten, heads=heads), "rewritten from an entry on"
    assert chained(rows) == export, "the control: rows as they are make the same lines"


def test_wrong_sums_numbers_and_balances_are_found_though_the_hashes_fit(
    export: list[bytes],
) -> None:
    rows = [json.loads(line) for line in export[:-1]]

    def changed(change: Callable[[list[Any]], object]) -> bool:
        forged = json.loads(json.dumps(rows))
        change(forged)
        return refused(chained(forged))

    assert not changed(lambda _rows: None)
    assert changed(lambda rows: rows[0][10][0].__setitem__(3, rows[0][10][0][3] + 1))
    assert changed(lambda rows: rows[0][10][0].__setitem__(4, rows[0][10][0][4] + 1))
    assert changed(lambda rows: rows[0][10][0].__setitem__(2, 2))
    assert changed(lambda rows: rows[2].__setitem__(10, []))
    assert changed(lambda rows: rows[2].__setitem__(10, rows[2][10][:1]))
    assert changed(lambda rows: rows[2].__setitem__(1, "bk_00000002"))
    assert changed(lambda rows: rows.append([*rows[0][:10], [["USD", "fees", 1, 0, 0]] * 2]))


def test_an_empty_book_is_a_head_alone(printed: Callable[[list[bytes]], str]) -> None:
    lines = ended([])
    assert walk(lines).height == 0
    assert printed(lines) == f"0:{'0' * 64}"
    assert refused([])


def test_the_printed_verifier_sees_what_ours_sees(
    export: list[bytes], printed: Callable[[list[bytes]], str]
) -> None:
    """All but what JSON forgives in the last line, which ours compares byte for byte."""
    for changed in ([*export[:5], *export[6:]], export[:-1], [*export, export[-1]],
                    [*export[:-2], export[-1]]):  # fmt: skip
        with pytest.raises(AssertionError):
            printed(changed)


def test_the_example_of_the_page_is_an_entry() -> None:
    page = (ROOT / "docs/reference/ledger.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```json\n(.*?\n)```", page, re.DOTALL)
    assert walk(ended([text.encode()])).height == 1
