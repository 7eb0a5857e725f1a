"""Lives of disputes through a lane and a real database, with the whole audit after each."""

import asyncpg
import msgspec
import pytest

from clawback.claims.disputes import RecordDispute
from clawback.claims.evidence import AcceptDispute, AddEvidence, RemoveEvidence, SubmitEvidence
from clawback.errors import Refused
from clawback.ids import ClaimId, PaymentId
from clawback.lanes.lanes import Lanes
from clawback.lanes.records import Fact
from clawback.ledger.audit import audit
from clawback.providers.port import DisputeKind, DisputeNotice, DisputeStatus
from clawback.route import BookRef
from tests.support import books

pytestmark = pytest.mark.anyio
KEY = "key:key_test"


async def say(
    lanes: Lanes,
    book: BookRef,
    payment_id: PaymentId,
    status: str,
    kind: str = "chargeback",
    *,
    round_: int = 1,
    amount_minor: int = books.CAPTURED,
) -> ClaimId:
    """The network says something of the payment's one case of this kind."""
    number = books.number()
    command = RecordDispute(
        payment_id=payment_id,
        claim_id=ClaimId(f"CLM-MP331G7R-{number}"),
        notice=DisputeNotice(
            id=number,
            case=f"case_{kind}",
            kind=msgspec.convert(kind, DisputeKind),
            charge_reference="R",
            status=msgspec.convert(status, DisputeStatus),
            round=round_,
            amount_minor=amount_minor,
            currency="MXN",
            next_case="case_next" if status == "escalated" else None,
            at=books.START,
        ),
        fact=Fact(
            fact_id=f"fct_{number}",
            book_id=None,
            provider="sandbox",
            provider_account="default",
            source="notice",
            event_key=f"ntc_{number}",
            type="",
            reference="",
            object_id=None,
            received_at=books.START,
        ),
        actor="provider:sandbox",
    )
    done = await lanes.submit(book, command, None)
    assert not isinstance(done, Refused), done
    return command.claim_id


async def test_each_turn_is_stored_and_the_books_are_whole(database: str) -> None:
    """Opened, accepted, lost in part, reversed, reopened, won; an inquiry escalated beside it."""
    book = await books.open_book(database, credit_line_usd_e4=10_000)
    async with books.open_lanes(database) as lanes:
        payment = await books.take_payment(lanes, book)
        asked = books.refund(payment, "100")
        await lanes.submit(book, asked, None)
        inquiry = await say(lanes, book, payment, "opened", "inquiry", amount_minor=50_000)
        await books.proved(database)
        claim = await say(lanes, book, payment, "opened")
        await books.proved(database)
        await say(lanes, book, payment, "escalated", "inquiry", amount_minor=50_000)
        accept = AcceptDispute(claim_id=claim, refund_id=ClaimId("CLM-MP331G7R-0RFD"), actor=KEY)
        done = await lanes.submit(book, accept, None)
        assert not isinstance(done, Refused), done
        await books.proved(database)
        for status, amount, round_ in (
            ("lost", 40_000, 1),
            ("reversed", books.CAPTURED, 1),
            ("reopened", books.CAPTURED, 2),
            ("won", books.CAPTURED, 2),
        ):
            await say(lanes, book, payment, status, round_=round_, amount_minor=amount)
            await books.proved(database)
    rows = await books.look(database, "SELECT kind, status, resolution FROM claims ORDER BY 1, 2")
    assert [tuple(row) for row in rows] == [
        ("chargeback", "pending", None),
        ("chargeback", "rejected", "won"),
        ("inquiry", "canceled", "escalated"),
        ("user_dispute", "canceled", "superseded_by_dispute"),
    ]
    (row,) = await books.look(
        database, "SELECT related_claim_id FROM claims WHERE claim_id = $1", inquiry
    )
    assert row[0] is not None
    acts = await books.look(database, "SELECT action, actor FROM acts")
    assert [tuple(act) for act in acts] == [("accepted", KEY)]


async def test_what_a_network_took_is_not_refunded_again(database: str) -> None:
    """After a case that was lost in part the rest may be refunded, and not a centavo more."""
    book = await books.open_book(database, credit_line_usd_e4=10_000_000)
    async with books.open_lanes(database) as lanes:
        payment = await books.take_payment(lanes, book)
        await say(lanes, book, payment, "opened")
        await say(lanes, book, payment, "lost", amount_minor=40_000)
        above = await lanes.submit(book, books.refund(payment, "461.19"), books.shown)
        assert isinstance(above, Refused)
        assert above.code == "refund_exceeds_remaining"
        rest = await lanes.submit(book, books.refund(payment, "461.18"), books.shown)
        assert not isinstance(rest, Refused), rest
    await books.proved(database)


async def test_evidence_is_stored_beside_the_claim(database: str) -> None:
    """Added, removed, submitted; each act in the trail, which nobody can change."""
    book = await books.open_book(database)
    async with books.open_lanes(database) as lanes:
        payment = await books.take_payment(lanes, book)
        claim = await say(lanes, book, payment, "opened", "med")
        for name in ("evi_1", "evi_2"):
            add = AddEvidence(
                claim_id=claim,
                evidence_id=name,
                type="receipt",
                content="It was delivered.",
                filename=None,
                content_type=None,
                size_bytes=17,
                sha256=None,
                note=None,
                actor=KEY,
            )
            assert not isinstance(await lanes.submit(book, add, None), Refused)
        for command in (
            RemoveEvidence(claim_id=claim, evidence_id="evi_1", actor=KEY),
            SubmitEvidence(claim_id=claim, actor=KEY),
        ):
            assert not isinstance(await lanes.submit(book, command, None), Refused)
        again = await lanes.submit(book, SubmitEvidence(claim_id=claim, actor=KEY), None)
        assert isinstance(again, Refused)
        assert again.code == "evidence_closed"
    rows = await books.look(database, "SELECT evidence_id, removed_at IS NULL FROM evidence")
    assert sorted(tuple(row) for row in rows) == [("evi_1", False), ("evi_2", True)]
    acts = [row[0] for row in await books.look(database, "SELECT action FROM acts ORDER BY at")]
    assert acts == ["evidence_added", "evidence_added", "evidence_removed", "evidence_submitted"]
    await books.proved(database)
    for change in ("UPDATE acts SET actor = 'x'", "DELETE FROM acts", "TRUNCATE acts"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await books.look(database, change)


@pytest.mark.parametrize(
    ("check", "harm"),
    [
        ("cap_holds", "UPDATE payments SET forced_minor = forced_minor + 1"),
        ("cap_holds", "UPDATE payments SET claimed_usd_e4 = claimed_usd_e4 + 1"),
        ("disputes_known", "UPDATE payments SET open_dispute_id = 'CLM-MP331G7R-XXXX'"),
        ("loss_equals_claims", "UPDATE claims SET sources = '[[\"loss\", 5]]'"),
        ("releases_have_facts", "DELETE FROM facts"),
        ("one_case_each", "UPDATE claims SET kind = 'chargeback', provider_reference = 'x'"),
    ],
)
async def test_the_audit_sees_what_is_wrong(database: str, check: str, harm: str) -> None:
    """The controls: each harm is found by the check that is there for it."""
    book = await books.open_book(database)
    async with books.open_lanes(database) as lanes:
        for kind in ("chargeback", "med"):
            payment = await books.take_payment(lanes, book)
            await say(lanes, book, payment, "opened", kind)
            await say(lanes, book, payment, "lost", kind)
    await books.proved(database)
    await books.look(database, harm)
    report = await audit(database)
    assert check in [one.name for one in report.checks if not one.ok]
