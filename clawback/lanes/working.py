"""A batch's working set over all its books: filled from loaded rows, emptied into changes.

Keyed by book everywhere, so that commands of several books meet in one batch without ever
seeing each other's rows; a row of another book than the one that asked for it is not there.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from clawback import clock
from clawback.ids import BookId, ClaimId, PaymentId
from clawback.lanes.command import Decide, Reads
from clawback.lanes.endpoints import Endpoint
from clawback.lanes.naming import event_id
from clawback.lanes.records import (
    Account,
    Attempt,
    Changes,
    Claim,
    Event,
    Fact,
    Payment,
    PaymentAmounts,
    Rows,
)
from clawback.lanes.state import BookState, Notice, queue_place

RenderObject = Callable[..., bytes]

_ENCODER: Final = msgspec.json.Encoder()


class Rules(msgspec.Struct, frozen=True):
    """What the slices tell the lanes at start-up: how to decide, and how objects are shown."""

    decide: Mapping[type, Decide]
    render: Mapping[type, RenderObject]


class _EventData(msgspec.Struct, frozen=True, rename="camel"):
    object: msgspec.Raw
    previous_status: str | None
    version: int | None


class EventBody(msgspec.Struct, frozen=True, rename="camel"):
    """The body of an event, fixed when it happens (contract, section 10.1)."""

    id: str
    type: str
    created_at: str
    api_version: str
    mode: str
    merchant_id: str
    data: _EventData


class WorkingSet:
    """The rows of one batch, book by book."""

    def __init__(self) -> None:
        """Nothing loaded yet."""
        self.books: dict[BookId, BookState] = {}

    def fill(
        self,
        rows: Rows,
        reads: Iterable[tuple[BookId, Reads]],
        keys: Iterable[tuple[BookId, str, str]],
    ) -> None:
        """Take loaded rows in; what the batch has changed already stays as it made it."""
        settings = {book.book_id: book for book in rows.books or ()}
        for head in rows.heads or ():
            if head.book_id not in self.books:
                self.books[head.book_id] = BookState(settings[head.book_id], head)
        for spent in rows.spent or ():
            if state := self.books.get(spent.book_id):
                state.spent.setdefault((spent.actor, spent.since), spent.usd_e4)
        self._fill_objects(rows)
        self._fill_places(rows)
        for book_id, read in reads:
            if book_id in self.books:
                self.books[book_id].take(read)
                self._fill_queue(rows, book_id, read.waiting)
                self._fill_extras(rows, book_id, read)
        for book_id, route, name in keys:
            if book_id in self.books:
                self.books[book_id].keys.setdefault((route, name), None)

    def _fill_places(self, rows: Rows) -> None:
        for key in rows.keys or ():
            if state := self.books.get(key.book_id):
                state.stored_keys.add((key.route, key.key))
                state.keys.setdefault((key.route, key.key), key)
        for account in rows.accounts or ():
            if state := self.books.get(account.book_id):
                place = (account.currency, account.name)
                state.stored_accounts.add(place)
                state.accounts.setdefault(place, (account.balance, account.seq))

    def _fill_extras(self, rows: Rows, book_id: BookId, read: Reads) -> None:
        """What only few commands ask for."""
        if rows.webhooks is not None and (read.webhooks or read.deliveries):
            self.books[book_id].webhooks.fill(rows.webhooks, book_id, read.deliveries)
        if rows.evidence is not None and (read.evidence_of or read.reviews_of):
            kept = self.books[book_id].evidence
            kept.fill(rows.evidence.evidence, book_id, read.evidence_of)
            kept.fill_reviews(rows.evidence.reviews, book_id, read.reviews_of)
        if rows.payouts is not None and read.payouts:
            self.books[book_id].payouts.fill(rows.payouts, book_id, read.payouts)

    def _fill_objects(self, rows: Rows) -> None:
        for payment in rows.payments or ():
            if state := self.books.get(payment.book_id):
                state.stored_payments.setdefault(payment.payment_id, payment)
                state.payments.setdefault(payment.payment_id, payment)
        for claim in (*(rows.claims or ()), *(rows.claims_of or ()), *(rows.waiting or ())):
            if state := self.books.get(claim.book_id):
                state.stored.add(claim.claim_id)
                if state.claims.get(claim.claim_id) is None:
                    state.claims[claim.claim_id] = claim
        self._fill_histories(rows)

    def _fill_queue(self, rows: Rows, book_id: BookId, limit: int) -> None:
        """Note how far the queue of waiting claims was read, if it may go on."""
        if limit:
            waiting = [claim for claim in rows.waiting or () if claim.book_id == book_id]
            if len(waiting) >= limit:
                self.books[book_id].waiting_horizon = max(map(queue_place, waiting))

    def _fill_histories(self, rows: Rows) -> None:
        tries: dict[tuple[BookId, ClaimId], list[Attempt]] = {}
        for attempt in rows.attempts or ():
            tries.setdefault((attempt.book_id, attempt.claim_id), []).append(attempt)
        for (book_id, claim_id), attempts in tries.items():
            if state := self.books.get(book_id):
                state.stored.update(attempt.attempt_id for attempt in attempts)
                state.attempts.setdefault(claim_id, tuple(attempts))
        told: dict[tuple[BookId, str], list[Fact]] = {}
        for fact in rows.facts or ():
            owner = fact.book_id or self._book_with(fact.object_id)
            if owner is not None and fact.object_id is not None:
                told.setdefault((owner, fact.object_id), []).append(fact)
        for (book_id, object_id), facts in told.items():
            if state := self.books.get(book_id):
                state.facts_of.setdefault(object_id, tuple(facts))

    def _book_with(self, object_id: str | None) -> BookId | None:
        """The book of a payment or claim that was spoken of before it was there."""
        if object_id is None:
            return None
        for book_id, state in self.books.items():
            payment = state.payments.get(PaymentId(object_id))
            if payment is not None or state.claims.get(ClaimId(object_id)) is not None:
                return book_id
        return None

    def take_changes(self, render: Mapping[type, RenderObject]) -> Changes:
        """What accepted commands changed since the last call, each row once, ready to be applied.

        From here on the database is taken to have it: a later change of a new row is a change.
        """
        out = Changes()
        for state in self.books.values():
            if state.head is not state.loaded_head:
                out.heads.append(state.head)
            _add_accounts(out, state)
            _add_objects(out, state)
            out.entries.extend(state.entries)
            out.postings.extend(state.postings)
            out.events.extend(_event(notice, state, render) for notice in state.notices)
            if "webhooks" in vars(state):
                state.webhooks.take_changes(out.webhooks)
            if "evidence" in vars(state):
                state.evidence.take_changes(out.evidence)
            if "payouts" in vars(state):
                state.payouts.take_changes(out.payouts)
            state.note_stored()
        return out


def _add_accounts(out: Changes, state: BookState) -> None:
    for place, at in state.touched_accounts.items():
        balance, seq = state.accounts[place]
        account = Account(
            book_id=state.book.book_id,
            currency=place[0],
            name=place[1],
            balance=balance,
            seq=seq,
            updated_at=at,
        )
        (out.account_changes if place in state.stored_accounts else out.accounts).append(account)


def _is_recharged(before: Payment, after: Payment) -> bool:
    """Whether more than its amounts changed: it was charged, captured or settled."""
    return (
        before.captured_minor == 0
        or before.settled_at != after.settled_at
        or before.due_at != after.due_at
        or before.reserve_release_at != after.reserve_release_at
    )


def _add_payment(out: Changes, state: BookState, payment: Payment) -> None:
    """A new payment whole, one that was charged or settled whole, else only its amounts."""
    before = state.stored_payments.get(payment.payment_id)
    if before is None:
        out.payments.append(payment)
    elif _is_recharged(before, payment):
        out.payment_changes.append(payment)
    else:
        out.payment_amounts.append(
            PaymentAmounts(
                payment_id=payment.payment_id,
                book_id=payment.book_id,
                status=payment.status,
                version=payment.version,
                claimed_minor=payment.claimed_minor,
                forced_minor=payment.forced_minor,
                claimed_usd_e4=payment.claimed_usd_e4,
                refunded_minor=payment.refunded_minor,
                charged_back_minor=payment.charged_back_minor,
                refunds_used=payment.refunds_used,
                pending_usd_e4=payment.pending_usd_e4,
                reserve_usd_e4=payment.reserve_usd_e4,
                open_dispute_id=payment.open_dispute_id,
                updated_at=payment.updated_at,
            )
        )


def _add_objects(out: Changes, state: BookState) -> None:
    for payment_id in state.touched_payments:
        payment = state.payments[payment_id]
        assert payment is not None
        _add_payment(out, state, payment)
    for claim_id in state.touched_claims:
        claim = state.claims[claim_id]
        assert claim is not None
        (out.claim_changes if claim_id in state.stored else out.claims).append(claim)
    for attempt in state.touched_attempts.values():
        changed = out.attempt_changes if attempt.attempt_id in state.stored else out.attempts
        changed.append(attempt)
    for place in state.touched_keys:
        key = state.keys[place]
        assert key is not None
        (out.key_changes if place in state.stored_keys else out.keys).append(key)
    out.facts.extend(state.facts[fact_id] for fact_id in state.touched_facts)


def _name(subject: Payment | Claim | Endpoint) -> str:
    match subject:
        case Payment():
            return subject.payment_id
        case Claim():
            return subject.claim_id
        case Endpoint():
            return subject.endpoint_id


def _event(notice: Notice, state: BookState, render: Mapping[type, RenderObject]) -> Event:
    """The event's row, its body rendered once and for all."""
    subject = notice.subject
    name = event_id(notice.at, notice.number, state.book.book_id)
    body = EventBody(
        id=name,
        type=notice.type,
        created_at=clock.wire_time(notice.at),
        api_version=state.book.api_version,
        mode=state.book.mode,
        merchant_id=state.book.merchant_id,
        data=_EventData(
            object=msgspec.Raw(render[type(subject)](subject, state)),
            previous_status=notice.from_status,
            version=None if isinstance(subject, Endpoint) else subject.version,
        ),
    )
    return Event(
        book_id=state.book.book_id,
        number=notice.number,
        event_id=name,
        type=notice.type,
        object_id=_name(subject),
        version=notice.version,
        from_status=notice.from_status,
        to_status=notice.to_status,
        movement=notice.movement,
        actor=notice.actor,
        note=notice.note,
        created_at=notice.at,
        body=msgspec.Raw(_ENCODER.encode(body)),
    )
