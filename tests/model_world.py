"""A book in memory: commands go through the same drafts as in a lane, without a database.

What a lane would load is either here or was never made. `run` decides a command as a lane does:
from an empty draft, again whenever rows are named that it had not asked for, merged if accepted.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypedDict, TypeVar, Unpack

import msgspec

from clawback.balances import model as balances
from clawback.claims import (
    decisions,
    details,
    disputes,
    ending,
    evidence,
    fold,
    outside,
    reviews,
)
from clawback.claims import model as claims
from clawback.errors import Refused
from clawback.ids import BookId, ClaimId, PaymentId, ShopId
from clawback.lanes.command import Command, Decided, NotLoaded, Reads
from clawback.lanes.records import (
    Book,
    Claim,
    Entry,
    Fact,
    Head,
    Payment,
    PaymentDetails,
    Posting,
)
from clawback.lanes.state import BookState, Draft, Notice
from clawback.ledger import proof
from clawback.money import read_amount
from clawback.payments import model as payments
from clawback.providers import port

DECIDE = {
    **balances.DECIDE,
    **payments.DECIDE,
    **claims.DECIDE,
    **ending.DECIDE,
    **fold.DECIDE,
    **disputes.DECIDE,
    **outside.DECIDE,
    **evidence.DECIDE,
    **decisions.DECIDE,
    **details.DECIDE,
    **reviews.DECIDE,
}
START = datetime(2026, 5, 12, 20, 0, tzinfo=UTC)
KEY = "key:key_test"

ResultT = TypeVar("ResultT")


class Words(TypedDict, total=False):
    """What a network may say of a case, where it is not the usual."""

    case: str
    round: int
    amount_minor: int
    event: str
    currency: str
    next_case: str


def book(**settings: object) -> Book:
    """A book's settings, as a new one has them but for those given."""
    usual: dict[str, object] = {
        "book_id": BookId("bk_00000001"),
        "shard": 0,
        "merchant_id": "MCH-NORTE",
        "mode": "test",
        "api_version": "2026-05-12",
        "approval_threshold_usd_e4": None,
        "require_idempotency_key": False,
        "idempotency_hours": 24,
        "reserve_percent_e4": 0,
        "reserve_days": 90,
        "settle_hours": 48,
        "credit_line_usd_e4": 0,
        "dispute_fee_usd_e4": 150_000,
        "fees": {},
    }
    return Book(**{**usual, **settings})  # type: ignore[arg-type]  # by name


class World:
    """One book and all that happened in it."""

    def __init__(self, **settings: object) -> None:
        """An empty book."""
        head = Head(
            book_id=BookId("bk_00000001"),
            height=0,
            hash=proof.GENESIS,
            event_number=0,
            clock_offset_seconds=0,
            waiting=0,
            top_up_due=False,
            gross_volume_usd_e4=0,
            platform_fees_usd_e4=0,
            flat_fees_usd_e4=0,
            dispute_fees_usd_e4=0,
            returned_usd_e4=0,
        )
        self.state = BookState(book(**settings), head)
        self.now = START
        self.entries: list[Entry] = []
        self.postings: list[Posting] = []
        self.notices: list[Notice] = []
        self._made = 0

    def run(self, command: Command) -> Refused | Decided:
        """Decide one command and, if it is accepted, what follows from it."""
        while True:
            draft = self.state.draft(self.now)
            try:
                outcome = DECIDE[type(command)](draft, command, self.now)
            except NotLoaded as missing:
                self._load(missing.reads)
                continue
            break
        if isinstance(outcome, Refused):
            return outcome
        draft.merge()
        self.entries += self.state.entries
        self.postings += self.state.postings
        self.notices += self.state.notices
        self.state.note_stored()
        for following in outcome.follow_up:
            self.run(following)
        return outcome

    def _load(self, reads: Reads) -> None:
        """What a lane would load is all here already, or was never made."""
        for actor, since in reads.spent:
            self.state.spent.setdefault((actor, since), 0)
        self.state.evidence.fill((), self.state.book.book_id, reads.evidence_of)
        self.state.evidence.fill_reviews((), self.state.book.book_id, reads.reviews_of)
        self.state.payouts.fill((), self.state.book.book_id, reads.payouts)
        self.state.take(reads)

    def look(self, see: Callable[[Draft], ResultT]) -> ResultT:
        """What a pure look sees; it changes nothing."""
        while True:
            try:
                return see(self.state.draft(self.now))
            except NotLoaded as missing:
                self._load(missing.reads)

    def accepted(self, command: Command) -> Decided:
        """Run a command that must be accepted."""
        outcome = self.run(command)
        assert isinstance(outcome, Decided), outcome
        return outcome

    def later(self, **span: float) -> None:
        """Let the book's clock go on."""
        self.now += timedelta(**span)

    # What is there.

    def payment(self, payment_id: PaymentId) -> Payment:
        """A payment that exists."""
        found = self.state.payments[payment_id]
        assert found is not None
        return found

    def claim(self, claim_id: ClaimId) -> Claim:
        """A claim that exists."""
        found = self.state.claims[claim_id]
        assert found is not None
        return found

    @property
    def claims(self) -> list[Claim]:
        """All claims."""
        return [claim for claim in self.state.claims.values() if claim is not None]

    @property
    def payments(self) -> list[Payment]:
        """All payments."""
        return [payment for payment in self.state.payments.values() if payment is not None]

    def balance(self, account: str, currency: str = "USD") -> int:
        """An account's balance."""
        return self.state.accounts.get((currency, account), (0, 0))[0]

    # Making things.

    def _number(self) -> str:
        self._made += 1
        return f"{self._made:04d}"

    def pay(
        self,
        *,
        usd_e4: int = 500_000,
        local_minor: int = 86_118,
        rail: tuple[str, str, str] = ("spei", "MX", "MXN"),
        provider: str = "sandbox",
        fee: tuple[int, int] = (0, 0),
        window_days: int | None = 180,
        captured: bool = True,
    ) -> Payment:
        """A payment, captured unless told otherwise."""
        method, country, currency = rail
        payment_id = PaymentId(f"TXN-MP331BTF-{self._number()}")
        self.accepted(
            payments.CreatePayment(
                payment_id=payment_id,
                shop_id=ShopId("SHP-MP2Z7QK4-5T1C"),
                amount_usd_e4=usd_e4,
                currency=currency,  # type: ignore[arg-type]  # a plain text here
                amount_minor=local_minor,
                provider=provider,
                provider_account="default",
                method_id=f"sbx_{method}",
                method=method,
                country=country,
                default_fee=fee,
                merchant_order_id=None,
                details=PaymentDetails(fx_rate="17.2236", fx_at=START, fx_source="test"),
                lease_until=START,
                actor=KEY,
            )
        )
        if captured:
            self.accepted(
                payments.RecordCharge(
                    payment_id=payment_id,
                    status="completed",
                    actor="provider:sandbox",
                    amount_minor=local_minor,
                    currency=currency,
                    window_days=window_days,
                )
            )
        return self.payment(payment_id)

    def refund(
        self,
        payment: Payment,
        amount: str | None = None,
        *,
        expected: str | None = None,
        max_claim_usd_e4: int | None = None,
        max_day_usd_e4: int | None = None,
        principal: str | None = None,
    ) -> Claim | Refused:
        """Ask for money back."""
        claim_id = ClaimId(f"CLM-MP331G7R-{self._number()}")
        outcome = self.run(
            claims.OpenRefund(
                payment_id=payment.payment_id,
                claim_id=claim_id,
                amount=None if amount is None else read_amount(amount),
                reason="requested_by_customer",
                expected_remaining=None if expected is None else read_amount(expected),
                actor=KEY,
                principal=principal,
                max_claim_usd_e4=max_claim_usd_e4,
                max_day_usd_e4=max_day_usd_e4,
            )
        )
        return outcome if isinstance(outcome, Refused) else self.claim(claim_id)

    def opened(self, payment: Payment, amount: str | None = None) -> Claim:
        """A refund that must be accepted."""
        claim = self.refund(payment, amount)
        assert isinstance(claim, Claim), claim
        return claim

    def dispute(
        self,
        payment: Payment,
        status: str,
        kind: str = "chargeback",
        **words: Unpack[Words],
    ) -> Claim | None:
        """The network says something of a case; the claim that it touched."""
        found = self.accepted(self.told(payment, status, kind, **words)).response
        if found is None:
            return None
        assert isinstance(found, ending.Changed), found
        return self.claim(found.claim.claim_id)

    def touched(
        self,
        payment: Payment,
        status: str,
        kind: str = "chargeback",
        **words: Unpack[Words],
    ) -> Claim:
        """The same, of a case that must have its claim."""
        claim = self.dispute(payment, status, kind, **words)
        assert claim is not None, (status, kind, words)
        return claim

    def refunded_outside(
        self,
        payment: Payment,
        amount_minor: int,
        status: str = "settled",
        *,
        name: str = "out_1",
    ) -> Claim | None:
        """The provider tells of a refund that it made by itself."""
        number = self._number()
        found = self.accepted(
            outside.RecordOutsideRefund(
                payment_id=payment.payment_id,
                claim_id=ClaimId(f"CLM-MP331G7R-{number}"),
                report=fold.Report(
                    status=status,
                    provider_reference=name,
                    amount_minor=amount_minor,
                    currency=payment.currency,
                    at=self.now,
                ),
                fact=self.fact(f"ntc_{number}"),
                actor="provider:sandbox",
            )
        ).response
        assert found is None or isinstance(found, ending.Changed), found
        return None if found is None else self.claim(found.claim.claim_id)

    def told(
        self,
        payment: Payment,
        status: str,
        kind: str = "chargeback",
        **words: Unpack[Words],
    ) -> disputes.RecordDispute:
        """What the network says of a case, as a command."""
        number = self._number()
        name = words.get("event", f"ntc_{number}")
        days = {"chargeback": 14, "inquiry": 7, "med": 3}[kind]
        return disputes.RecordDispute(
            payment_id=payment.payment_id,
            claim_id=ClaimId(f"CLM-MP331G7R-{number}"),
            notice=port.DisputeNotice(
                id=name,
                case=words.get("case", "case_1"),
                kind=msgspec.convert(kind, port.DisputeKind),
                charge_reference="TXNMP331BTFR3080001",
                status=msgspec.convert(status, port.DisputeStatus),
                round=words.get("round", 1),
                amount_minor=words.get("amount_minor", payment.amount_minor),
                currency=words.get("currency", payment.currency),
                evidence_due_at=START + timedelta(days=days),
                next_case=words.get("next_case"),
                at=self.now,
            ),
            fact=self.fact(name),
            actor="provider:sandbox",
        )

    def fact(self, event: str, kind: str = "", object_id: str | None = None) -> Fact:
        """Something a provider tells by itself, under this name."""
        return Fact(
            fact_id=f"fct_{self._number()}",
            book_id=None,
            provider="sandbox",
            provider_account="default",
            source="notice",
            event_key=event,
            type=kind,
            reference="R",
            object_id=object_id,
            received_at=self.now,
        )

    def start(self, claim: Claim) -> fold.AttemptStarted:
        """Let the worker take the claim's next step."""
        outcome = self.accepted(
            fold.StartAttempt(
                claim_id=claim.claim_id,
                attempt_id=f"att_{self._number()}",
                real_now=self.now,
                lease_seconds=30,
                actor="worker",
            )
        )
        assert isinstance(outcome.response, fold.AttemptStarted)
        return outcome.response

    def report(self, claim: Claim, status: str, number: int | None = None) -> Claim:
        """Bring an outcome of the newest attempt, or of the one named."""
        self.accepted(
            fold.RecordOutcome(
                claim_id=claim.claim_id,
                number=self.claim(claim.claim_id).attempts if number is None else number,
                report=self.said(claim, status),
                fact_id=f"fct_{self._number()}",
                real_now=self.now,
                actor="provider:sandbox",
            )
        )
        return self.claim(claim.claim_id)

    def notice(self, claim: Claim, status: str, event: str | None = None) -> Claim:
        """The provider tells by itself what became of a refund."""
        name = event or f"ntc_{self._number()}"
        fact = self.fact(name, f"refund.{status}", claim.claim_id)
        self.accepted(
            fold.RecordNotice(
                claim_id=claim.claim_id,
                fact=msgspec.structs.replace(fact, effective_at=self.now),
                report=self.said(claim, status),
                actor="provider:sandbox",
            )
        )
        return self.claim(claim.claim_id)

    def said(self, claim: Claim, status: str) -> fold.Report:
        """What the provider would say of the claim's refund."""
        return fold.Report(
            status=status,
            provider_reference="sbx_re_1",
            amount_minor=claim.amount_minor,
            currency=claim.currency,
            settles_at=self.now + timedelta(seconds=2) if status == "accepted" else None,
            reason="refused" if status == "declined" else None,
        )

    def settle(self, payment: Payment) -> None:
        """Let what is due of a payment become available."""
        self.accepted(payments.SettleDue(payment_id=payment.payment_id))

    def released(self, payment: Payment, amount: str | None = None) -> Claim:
        """A refund whose money has left."""
        claim = self.opened(payment, amount)
        self.start(claim)
        return self.report(claim, "settled")
