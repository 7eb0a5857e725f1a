"""A book in memory: commands go through the same drafts as in a lane, without a database.

What a lane would load is either here or was never made. `run` decides a command as a lane does:
from an empty draft, again whenever rows are named that it had not asked for, merged if accepted.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from clawback.balances import model as balances
from clawback.claims import decisions, details, ending, fold
from clawback.claims import model as claims
from clawback.errors import Refused
from clawback.ids import BookId, ClaimId, PaymentId, ShopId
from clawback.lanes.command import Command, Decided, NotLoaded
from clawback.lanes.records import Book, Claim, Entry, Head, Payment, PaymentDetails, Posting
from clawback.lanes.state import BookState, Draft, Notice
from clawback.ledger import proof
from clawback.money import read_amount
from clawback.payments import model as payments

DECIDE = {
    **balances.DECIDE,
    **payments.DECIDE,
    **claims.DECIDE,
    **ending.DECIDE,
    **fold.DECIDE,
    **decisions.DECIDE,
    **details.DECIDE,
}
START = datetime(2026, 5, 12, 20, 0, tzinfo=UTC)
KEY = "key:key_test"

ResultT = TypeVar("ResultT")


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
                for actor, since in missing.reads.spent:
                    self.state.spent.setdefault((actor, since), 0)
                self.state.take(missing.reads)
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

    def look(self, see: Callable[[Draft], ResultT]) -> ResultT:
        """What a pure look sees; it changes nothing."""
        while True:
            try:
                return see(self.state.draft(self.now))
            except NotLoaded as missing:
                for actor, since in missing.reads.spent:
                    self.state.spent.setdefault((actor, since), 0)
                self.state.take(missing.reads)

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
                provider="sandbox",
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

    def released(self, payment: Payment, amount: str | None = None) -> Claim:
        """A refund whose money has left."""
        claim = self.opened(payment, amount)
        self.start(claim)
        return self.report(claim, "settled")


def check(world: World) -> None:
    """The invariants that can be seen from the books, the payments and the claims alone."""
    _check_books(world)
    _check_claims(world)
    _check_payments(world)
    _check_events(world)


def _check_books(world: World) -> None:
    balances_: dict[tuple[str, str], tuple[int, int]] = {}
    entries: dict[tuple[int, str], int] = {}
    for posting in world.postings:
        place = (posting.currency, posting.account)
        before, seq = balances_.get(place, (0, 0))
        assert posting.seq == seq + 1, "L3: numbers without a gap"
        assert posting.balance_after == before + posting.amount, "L3: each balance follows"
        balances_[place] = (posting.balance_after, posting.seq)
        key = (posting.height, posting.currency)
        entries[key] = entries.get(key, 0) + posting.amount
        if posting.account in {"pending", "available", "reserve", "frozen", "payable"}:
            assert posting.balance_after >= 0, "L6: never below zero"
        if posting.account in {"debt", "loss"}:
            assert posting.balance_after <= 0, "L6: never above zero"
    assert not any(entries.values()), "L1: every entry balances in each currency"
    known = {key: one for key, one in world.state.accounts.items() if one[1]}
    assert known == balances_, "L3: balances are the sums of their postings"
    previous = proof.GENESIS
    for number, entry in enumerate(world.entries, start=1):
        assert entry.height == number, "L12: heights without a gap"
        assert entry.previous_hash == previous, "L12: the chain holds"
        previous = entry.hash
    assert world.state.head.hash == previous, "L12: the head knows the last hash"
    causes = [entry.cause for entry in world.entries]
    assert len(set(causes)) == len(causes), "L11: one cause, one entry"


def _check_claims(world: World) -> None:
    held = sum(claim.frozen_usd_e4 for claim in world.claims)
    assert world.balance("frozen") == held, "L7: frozen is what claims hold"
    leaving = sum(claim.payable_usd_e4 for claim in world.claims)
    assert world.balance("payable") == leaving, "L7: payable is what is on its way"
    for claim in world.claims:
        assert claim.frozen_usd_e4 + claim.missing_usd_e4 <= claim.amount_usd_e4, "L8"
        counts = claim.status in {"pending", "approved", "released"}
        assert (claim.claimed_share_minor == claim.amount_minor) == counts, "C2: shares"
        if claim.status == "approved":
            assert claim.payable_usd_e4 == claim.amount_usd_e4, "C6: approved when fully frozen"
    waiting = sum(claim.missing_usd_e4 > 0 for claim in world.claims)
    assert world.state.head.waiting == waiting, "C6: the head counts who waits"
    if waiting and not world.state.head.top_up_due:
        assert world.balance("available") == 0, "C6: nobody waits while there is money"


def _check_payments(world: World) -> None:
    assert world.balance("pending") == sum(p.pending_usd_e4 for p in world.payments), "L7"
    assert world.balance("reserve") == sum(p.reserve_usd_e4 for p in world.payments), "L7"
    for payment in world.payments:
        mine = [c for c in world.claims if c.payment_id == payment.payment_id]
        counted = [c for c in mine if c.status in {"pending", "approved", "released"}]
        assert sum(c.amount_minor for c in counted) == payment.claimed_minor, "C2: the cap's sum"
        assert payment.claimed_minor <= payment.captured_minor, "C1: never more than captured"
        gone = sum(c.amount_minor for c in mine if c.status == "released")
        assert gone == payment.refunded_minor, "what was given back is what was released"
        assert sum(c.amount_usd_e4 for c in counted) == payment.claimed_usd_e4, "L10: USD claimed"
        if payment.claimed_minor == payment.captured_minor and len(mine) == len(counted) > 0:
            assert payment.claimed_usd_e4 == payment.amount_usd_e4, "L10: all parts add up"


def _check_events(world: World) -> None:
    versions: dict[str, list[int]] = {}
    for number, notice in enumerate(world.notices, start=1):
        assert notice.number == number, "E1: events numbered without a gap"
        subject = notice.subject
        assert isinstance(subject, Payment | Claim), "no command of this model is about an endpoint"
        name = subject.claim_id if isinstance(subject, Claim) else subject.payment_id
        if notice.version is not None:
            versions.setdefault(name, []).append(notice.version)
    for found in versions.values():
        assert found == list(range(1, len(found) + 1)), "E1: versions 1, 2, 3 …"
