"""The working set of a batch: what was loaded under the head rows, and what the batch made of it.

`BookState` holds one book's rows; a command is decided on a `Draft`, an overlay that sees its
own changes and those of the commands before it in the batch. A refused or failed draft is
dropped, so it changes nothing at all; an accepted one is merged. Nothing here does I/O, reads a
clock or mints a name at random.
"""

from datetime import datetime
from functools import cached_property
from typing import Final

import msgspec

from clawback import clock
from clawback.currencies import USD
from clawback.ids import ClaimId, PaymentId
from clawback.lanes.command import AccountName, NotLoaded, Reads
from clawback.lanes.endpoints import BookEndpoints, Endpoint, EndpointDraft
from clawback.lanes.evidence import BookEvidence, EvidenceDraft
from clawback.lanes.naming import entry_id
from clawback.lanes.payouts import BookPayouts, Payout
from clawback.lanes.records import (
    Attempt,
    Book,
    Claim,
    Entry,
    Fact,
    Head,
    KeyRow,
    Payment,
    Posting,
)
from clawback.ledger import accounts, proof
from clawback.ledger.entries import Recipe

WAITING_AT_ONCE: Final = 200
"""How many waiting claims one commit tops up at the most (contract, section 8.2)."""


QueuePlace = tuple[bool, int, datetime, str]


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """An event to be: its body is rendered from `subject`, the object as of that version."""

    number: int
    type: str
    subject: Payment | Claim | Endpoint
    version: int | None
    from_status: str | None
    to_status: str
    movement: str | None
    actor: str
    note: str | None
    at: datetime


class BookState:
    """One book's rows in this batch, by key; an absent row that was looked for is None."""

    def __init__(self, book: Book, head: Head) -> None:
        """Start from the settings and the locked head row."""
        self.book = book
        self.head = head
        self.loaded_head = head
        self.payments: dict[PaymentId, Payment | None] = {}
        self.claims: dict[ClaimId, Claim | None] = {}
        self.accounts: dict[tuple[str, str], tuple[int, int]] = {}
        self.attempts: dict[ClaimId, tuple[Attempt, ...]] = {}
        self.spent: dict[tuple[str, datetime], int] = {}
        self.facts_of: dict[str, tuple[Fact, ...]] = {}
        self.facts: dict[str, Fact] = {}
        self.keys: dict[tuple[str, str], KeyRow | None] = {}
        self.claims_known: set[PaymentId] = set()
        self.waiting_known = False
        self.waiting_horizon: QueuePlace | None = None
        """Where the loaded part of the queue ends, if there is more of it."""
        self.entries: list[Entry] = []
        self.postings: list[Posting] = []
        self.notices: list[Notice] = []
        self.stored: set[str] = set()
        """Names of the rows that the database has already."""
        self.stored_payments: dict[PaymentId, Payment] = {}
        self.stored_accounts: set[tuple[str, str]] = set()
        self.stored_keys: set[tuple[str, str]] = set()
        self.touched_accounts: dict[tuple[str, str], datetime] = {}
        self.touched_payments: dict[PaymentId, None] = {}
        self.touched_claims: dict[ClaimId, None] = {}
        self.touched_attempts: dict[str, Attempt] = {}
        self.touched_keys: dict[tuple[str, str], None] = {}
        self.touched_facts: dict[str, None] = {}

    @cached_property
    def webhooks(self) -> BookEndpoints:
        """The book's webhook endpoints; made for those batches only that look at them."""
        return BookEndpoints()

    @cached_property
    def evidence(self) -> BookEvidence:
        """The evidence on the book's claims; made for those batches only that look at it."""
        return BookEvidence()

    @cached_property
    def payouts(self) -> BookPayouts:
        """The book's payouts; made for those batches only that look at them."""
        return BookPayouts()

    def take(self, reads: Reads) -> None:
        """Note what a load was asked for: what it did not return is absent, not unknown."""
        for payment_id in reads.payments:
            self.payments.setdefault(payment_id, None)
        for claim_id in reads.claims:
            self.claims.setdefault(claim_id, None)
        for claim_id in reads.attempts_of:
            self.attempts.setdefault(claim_id, ())
        for object_id in reads.facts_of:
            self.facts_of.setdefault(object_id, ())
        for account in reads.accounts:
            self.accounts.setdefault((account.currency, account.name), (0, 0))
        self.claims_known.update(reads.claims_of)
        self.waiting_known = self.waiting_known or reads.waiting > 0

    def note_stored(self) -> None:
        """All changes so far were sent to the database: nothing is new or changed any more."""
        self.loaded_head = self.head
        for payment_id in self.touched_payments:
            payment = self.payments[payment_id]
            assert payment is not None
            self.stored_payments[payment_id] = payment
        self.stored.update(self.touched_claims, self.touched_attempts)
        self.stored_accounts.update(self.touched_accounts)
        self.stored_keys.update(self.touched_keys)
        self.touched_payments = {}
        self.touched_claims = {}
        self.touched_attempts = {}
        self.touched_accounts = {}
        self.touched_keys = {}
        self.touched_facts = {}
        self.entries = []
        self.postings = []
        self.notices = []

    def mark(self) -> dict[str, object]:
        """All of it as it stands, for `back`."""
        return {
            name: value.copy() if isinstance(value, dict | list | set) else value
            for name, value in vars(self).items()
        }

    def back(self, mark: dict[str, object]) -> None:
        """What was decided since the mark never was; what was loaded since will be again."""
        vars(self).update(mark)

    def draft(self, now: datetime) -> "Draft":
        """An overlay for deciding one command at `now`, the book's clock."""
        return Draft(self, now)


class Draft:
    """What one command sees and changes. Reads raise NotLoaded for rows nobody asked for yet."""

    def __init__(self, state: BookState, now: datetime) -> None:
        """An empty overlay on the book's state."""
        self._state = state
        self.book = state.book
        self.head = state.head
        self.now = now
        self.payments: dict[PaymentId, Payment] = {}
        self.claims: dict[ClaimId, Claim] = {}
        self.attempts: dict[ClaimId, tuple[Attempt, ...]] = {}
        self.facts: dict[str, Fact] = {}
        self.accounts: dict[tuple[str, str], tuple[int, int]] = {}
        self.entries: list[Entry] = []
        self.postings: list[Posting] = []
        self.notices: list[Notice] = []
        self.keys: dict[tuple[str, str], KeyRow] = {}
        self.payouts: list[Payout] = []
        self._spent: dict[tuple[str, datetime], int] = {}

    # Reading.

    @cached_property
    def webhooks(self) -> EndpointDraft:
        """The book's webhook endpoints; made for those commands only that look at them."""
        return EndpointDraft(self._state.webhooks)

    @cached_property
    def evidence(self) -> EvidenceDraft:
        """The evidence on the book's claims; made for those commands only that look at it."""
        return EvidenceDraft(self._state.evidence, self.book.book_id, self.now)

    def payment(self, payment_id: PaymentId) -> Payment | None:
        """The payment, or None if this book has none of that name."""
        if payment_id in self.payments:
            return self.payments[payment_id]
        if payment_id not in self._state.payments:
            raise NotLoaded(Reads(payments=(payment_id,)))
        return self._state.payments[payment_id]

    def known_payment(self, payment_id: PaymentId) -> Payment:
        """The payment of a claim that exists. Bug: it does not exist."""
        payment = self.payment(payment_id)
        assert payment is not None, payment_id
        return payment

    def need_payments(self, payment_ids: tuple[PaymentId, ...]) -> None:
        """Make sure that all of these are loaded, with one load for all that are not."""
        unknown = tuple(
            one
            for one in payment_ids
            if one not in self.payments and one not in self._state.payments
        )
        if unknown:
            raise NotLoaded(Reads(payments=unknown))

    def need_claims(self, claim_ids: tuple[ClaimId, ...]) -> None:
        """Make sure that all of these are loaded, with one load for all that are not."""
        unknown = tuple(
            one for one in claim_ids if one not in self.claims and one not in self._state.claims
        )
        if unknown:
            raise NotLoaded(Reads(claims=unknown))

    def claim(self, claim_id: ClaimId) -> Claim | None:
        """The claim, or None if this book has none of that name."""
        if claim_id in self.claims:
            return self.claims[claim_id]
        if claim_id not in self._state.claims:
            raise NotLoaded(Reads(claims=(claim_id,)))
        return self._state.claims[claim_id]

    def _all_claims(self) -> dict[ClaimId, Claim]:
        seen = {key: claim for key, claim in self._state.claims.items() if claim is not None}
        return seen | self.claims

    def claims_of(self, payment_id: PaymentId) -> list[Claim]:
        """All claims on the payment, oldest first."""
        if payment_id not in self._state.claims_known:
            raise NotLoaded(Reads(claims_of=(payment_id,)))
        found = [claim for claim in self._all_claims().values() if claim.payment_id == payment_id]
        return sorted(found, key=lambda claim: (claim.created_at, claim.claim_id))

    def waiting(self) -> list[Claim]:
        """The first claims that wait for funds: earliest deadline (none: last), then oldest."""
        if not self._state.waiting_known:
            raise NotLoaded(Reads(waiting=WAITING_AT_ONCE + 1))
        found = [claim for claim in self._all_claims().values() if claim.missing_usd_e4 > 0]
        horizon = self._state.waiting_horizon
        if horizon is not None:  # beyond it stand claims that were not loaded
            found = [claim for claim in found if queue_place(claim) <= horizon]
        return sorted(found, key=queue_place)[:WAITING_AT_ONCE]

    @property
    def is_queue_cut(self) -> bool:
        """Whether more claims wait for funds than were loaded."""
        return self._state.waiting_horizon is not None

    def attempts_of(self, claim_id: ClaimId) -> tuple[Attempt, ...]:
        """The claim's attempts in order."""
        if claim_id in self.attempts:
            return self.attempts[claim_id]
        if claim_id not in self._state.attempts:
            raise NotLoaded(Reads(attempts_of=(claim_id,)))
        return self._state.attempts[claim_id]

    def facts_about(self, object_id: str) -> list[Fact]:
        """All that was told about the object, oldest first."""
        if object_id not in self._state.facts_of:
            raise NotLoaded(Reads(facts_of=(object_id,)))
        known = {fact.fact_id: fact for fact in self._state.facts_of[object_id]}
        fresh = (*self._state.facts.values(), *self.facts.values())
        known |= {fact.fact_id: fact for fact in fresh if fact.object_id == object_id}
        return list(known.values())

    def has_fact(self, object_id: str, event_key: str) -> bool:
        """Whether the provider has told us this about the object before."""
        return any(fact.event_key == event_key for fact in self.facts_about(object_id))

    def spent(self, actor: str, since: datetime) -> int:
        """What the actor claimed back since then, in 1/10,000 USD, whatever became of it."""
        if (actor, since) not in self._state.spent:
            raise NotLoaded(Reads(spent=((actor, since),)))
        return self._state.spent[actor, since] + self._spent.get((actor, since), 0)

    def add_spent(self, actor: str, since: datetime, usd_e4: int) -> None:
        """Note that the actor claimed this much more back."""
        self._spent[actor, since] = self._spent.get((actor, since), 0) + usd_e4

    def kept(self, route: str, name: str) -> KeyRow | None:
        """What is kept under this name, or None."""
        place = (route, name)
        if place in self.keys:
            return self.keys[place]
        if place not in self._state.keys:
            raise NotLoaded(Reads(keys=(place,)))
        return self._state.keys[place]

    def payout(self, reference: str) -> Payout | None:
        """The payout that was recorded under this reference, or None."""
        return self._state.payouts.find(reference)

    def balance(self, account: str, currency: str = USD) -> int:
        """The account's balance, credit positive, in minor units (USD in 1/10,000)."""
        return self._account(currency, account)[0]

    def _account(self, currency: str, name: str) -> tuple[int, int]:
        key = (currency, name)
        if key in self.accounts:
            return self.accounts[key]
        if key not in self._state.accounts:
            raise NotLoaded(Reads(accounts=(AccountName(currency, name),)))
        return self._state.accounts[key]

    # Changing.

    def set_head(self, **fields: int | str | bool | None) -> None:
        """Change counters of the head row."""
        self.head = msgspec.structs.replace(self.head, **fields)

    def put_payment(self, payment: Payment) -> Payment:
        """Note the payment's new state."""
        self.payments[payment.payment_id] = payment
        return payment

    def put_claim(self, claim: Claim) -> Claim:
        """Note the claim's new state; the head counts the claims that wait for funds."""
        before = self.claims.get(claim.claim_id) or self._state.claims.get(claim.claim_id)
        waited = before is not None and before.missing_usd_e4 > 0
        waits = claim.missing_usd_e4 > 0
        if waits != waited:
            self.set_head(waiting=self.head.waiting + (1 if waits else -1))
        self.claims[claim.claim_id] = claim
        return claim

    def put_attempt(self, attempt: Attempt) -> None:
        """Add an attempt or note its outcome."""
        others = [one for one in self.attempts_of(attempt.claim_id) if one.number != attempt.number]
        self.attempts[attempt.claim_id] = (*others, attempt)

    def keep(self, row: KeyRow) -> None:
        """Keep something under a route and a name, until it expires."""
        self.keys[row.route, row.key] = row

    def put_fact(self, fact: Fact) -> None:
        """Store a fact; a repeat of a stored one is seen by its key before this is called."""
        self.facts[fact.fact_id] = fact

    def post(
        self,
        recipe: Recipe,
        cause: str,
        *,
        payment_id: PaymentId | None = None,
        claim_id: ClaimId | None = None,
    ) -> None:
        """Write an entry at the end of the book; a recipe without legs writes nothing.

        Bug: a balance would stand on the side where its account may never be.
        """
        if not recipe.legs:
            return
        height = self.head.height + 1
        fields = proof.EntryFields(
            book_id=self.book.book_id,
            height=height,
            entry_id=entry_id(height, self.book.book_id),
            type=recipe.type,
            cause=cause,
            payment_id=payment_id,
            claim_id=claim_id,
            created_at=self.now,
            effective_at=self.now,
        )
        legs = [self._post_leg(height, leg, recipe) for leg in range(len(recipe.legs))]
        shown = [(p.currency, p.account, p.seq, p.amount, p.balance_after) for p in legs]
        previous = self.head.hash
        digest = proof.entry_hash(previous, fields, shown)
        self.entries.append(
            Entry(
                book_id=self.book.book_id,
                height=height,
                entry_id=fields.entry_id,
                type=recipe.type,
                cause=cause,
                payment_id=payment_id,
                claim_id=claim_id,
                created_at=self.now,
                effective_at=self.now,
                previous_hash=previous,
                hash=digest,
            )
        )
        self.postings.extend(legs)
        self.set_head(height=height, hash=digest)

    def _post_leg(self, height: int, index: int, recipe: Recipe) -> Posting:
        leg = recipe.legs[index]
        balance, seq = self._account(leg.currency, leg.account)
        balance += leg.amount
        assert accounts.allows(leg.account, balance), (recipe.type, leg, balance)
        self.accounts[leg.currency, leg.account] = (balance, seq + 1)
        return Posting(
            book_id=self.book.book_id,
            height=height,
            leg=index + 1,
            currency=leg.currency,
            account=leg.account,
            seq=seq + 1,
            amount=leg.amount,
            balance_after=balance,
        )

    def tell(
        self,
        kind: str,
        subject: Payment | Claim | Endpoint,
        *,
        actor: str,
        from_status: str | None = None,
        movement: str | None = None,
        note: str | None = None,
        is_notice: bool = False,
    ) -> None:
        """Note that something happened to the object as it stands now."""
        number = self.head.event_number + 1
        self.set_head(event_number=number)
        self.notices.append(
            Notice(
                number=number,
                type=kind,
                subject=subject,
                version=None if is_notice else subject.version,
                from_status=from_status,
                to_status=subject.status,
                movement=movement,
                actor=actor,
                note=note,
                at=self.now,
            )
        )

    # Ending.

    def merge(self) -> None:
        """Make the draft's changes part of the batch: the command was accepted."""
        state = self._state
        state.head = self.head
        for payment_id, payment in self.payments.items():
            state.touched_payments[payment_id] = None
            state.payments[payment_id] = payment
        for claim_id, claim in self.claims.items():
            state.touched_claims[claim_id] = None
            state.claims[claim_id] = claim
        for claim_id, attempts in self.attempts.items():
            known = set(state.attempts.get(claim_id, ()))
            changed = ((one.attempt_id, one) for one in attempts if one not in known)
            state.touched_attempts.update(changed)
            state.attempts[claim_id] = attempts
        state.facts |= self.facts
        for name, row in self.keys.items():
            state.touched_keys[name] = None
            state.keys[name] = row
        for place, usd_e4 in self._spent.items():
            state.spent[place] = state.spent.get(place, 0) + usd_e4
        state.touched_facts.update(dict.fromkeys(self.facts))
        for key, account in self.accounts.items():
            state.accounts[key] = account
            state.touched_accounts[key] = self.now
        state.entries += self.entries
        state.postings += self.postings
        state.notices += self.notices
        if "webhooks" in vars(self):
            state.webhooks.merge(self.webhooks)
        if "evidence" in vars(self):
            state.evidence.merge(self.evidence)
        if self.payouts:
            state.payouts.merge(self.payouts)


def queue_place(claim: Claim) -> QueuePlace:
    """Where a waiting claim stands: earliest deadline first, none last, then age, then name."""
    given = (claim.refund_deadline_at, claim.payer_details_due_at, claim.evidence_due_at)
    deadline = min((at for at in given if at is not None), default=None)
    at = 0 if deadline is None else clock.milliseconds(deadline)
    return (deadline is None, at, claim.created_at, claim.claim_id)
