"""What can be made to happen to a test payment: the table of actions, and which of them fit now.

Pure. An action is of the payment's charge, of a refund, of a network's case, or of money given
back outside; each says what it needs (contract, section 12). Whether it fits is decided under the
book's head row in the commit that takes the request's idempotency key; what comes of it is read in
the commit that brings the answer.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

import msgspec

from clawback.claims.moves import REFUND
from clawback.currencies import exponent
from clawback.errors import InvalidAmount, NotFound, Refused
from clawback.ids import ClaimId, PaymentId
from clawback.lanes.command import Command, Decide, Decided, Reads
from clawback.lanes.records import Claim, Payment
from clawback.lanes.state import Draft
from clawback.money import Amount, AmountError
from clawback.payments.model import UNPAID
from clawback.payments.refusals import SimulateNotPossible
from clawback.providers import port

OPEN: Final = frozenset({"pending", "approved"})
CAPTURED: Final = frozenset({"completed", "refunded", "chargeback"})

_CHARGES: Final[dict[str, tuple[port.ChargeAction, frozenset[str]]]] = {
    "paid": ("completed", frozenset({"pending", "processing", "failed", "expired"})),
    "processing": ("processing", frozenset({"pending"})),
    "failed": ("failed", UNPAID),
    "expired": ("expired", UNPAID),
}
"""What becomes of the payment, and from which statuses."""

_OPENINGS: Final[tuple[port.DisputeKind, ...]] = ("chargeback", "inquiry", "med")
_TURNS: Final[dict[port.DisputeAction, tuple[str, frozenset[str]]]] = {
    "chargeback_won": ("chargeback", OPEN),
    "med_won": ("med", OPEN),
    "inquiry_won": ("inquiry", OPEN),
    "chargeback_lost": ("chargeback", OPEN),
    "med_lost": ("med", OPEN),
    "chargeback_withdrawn": ("chargeback", OPEN),
    "inquiry_escalated": ("inquiry", OPEN),
    "chargeback_reopened": ("chargeback", frozenset({"rejected", "canceled", "reversed"})),
    "chargeback_reversed": ("chargeback", frozenset({"released"})),
}
"""Claims of which kind, in which statuses."""

_REFUNDS: Final[dict[str, tuple[port.RefundAction, frozenset[str]]]] = {
    "refund_paid": ("settled", frozenset({"approved"})),
    "refund_failed": ("declined", frozenset({"approved"})),
    "refund_failed_late": ("returned", frozenset({"released"})),
    "refund_paid_late": ("settled", frozenset({"failed", "reversed"})),
}
"""What the provider says of the refund, and of claims in which statuses."""

ACTIONS: Final[tuple[str, ...]] = (*_CHARGES, "refunded", *_OPENINGS, *_TURNS, *_REFUNDS)
_GRANTS: Final = frozenset({"chargeback_lost", "med_lost"})
"""Actions whose amount is a part of the claim's."""


class Plan(msgspec.Struct, frozen=True):
    """What is to be done: to which object of the provider, and how much."""

    payment: Payment
    claim: Claim | None
    amount_minor: int | None
    now: datetime


def charge_status(action: str) -> port.ChargeAction | None:
    """What the action makes of a charge; None if it is of something else."""
    found = _CHARGES.get(action)
    return None if found is None else found[0]


def refund_status(action: str) -> port.RefundAction | None:
    """What the action makes of a refund; None if it is of something else."""
    found = _REFUNDS.get(action)
    return None if found is None else found[0]


def dispute_action(action: str) -> port.DisputeAction:
    """The action as the network knows it. Bug: it is of something else."""
    assert action in _OPENINGS or action in _TURNS, action
    return action


def possible(payment: Payment, claims: Sequence[Claim]) -> Iterator[str]:
    """The actions that fit the payment as it stands, in the order of the table."""
    for action in ACTIONS:
        if fits(action, payment, claims):
            yield action


def fits(action: str, payment: Payment, claims: Sequence[Claim]) -> bool:
    """Whether the action fits the payment or one of these claims on it."""
    if action in _CHARGES:
        return payment.status in _CHARGES[action][1]
    if action == "refunded":
        is_disputed = any(claim.kind != REFUND and claim.status in OPEN for claim in claims)
        return payment.remaining_minor > 0 and not is_disputed
    if action in _OPENINGS:
        is_open = any(claim.kind == action and claim.status in OPEN for claim in claims)
        suits = action != "med" or payment.method_id == "sbx_pix"
        return payment.status in CAPTURED and not is_open and suits
    return any(_suits(action, claim) for claim in claims)


def _suits(action: str, claim: Claim) -> bool:
    """Whether an action on a claim fits this one."""
    if action in _REFUNDS:
        was_sent = claim.attempts > 0 or claim.status != "failed"
        return claim.kind == REFUND and claim.status in _REFUNDS[action][1] and was_sent
    for turn, (kind, statuses) in _TURNS.items():
        if turn == action:
            return claim.kind == kind and claim.status in statuses
    return False


class Simulate(Command, frozen=True, kw_only=True):
    """Find out whether an action fits, and take the request's key. `is_refused`: it did not."""

    payment_id: PaymentId
    action: str
    claim_id: ClaimId | None
    amount: Amount | None
    is_refused: bool = False

    def reads(self) -> Reads:
        """The payment with all claims on it."""
        return Reads(payments=(self.payment_id,), claims_of=(self.payment_id,))


def decide_simulate(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """The newest claim that fits, or the one that was named.

    Refuses: NotFound, InvalidAmount, SimulateNotPossible.
    """
    assert isinstance(command, Simulate)
    payment = draft.payment(command.payment_id)
    if payment is None:
        return NotFound()
    claims = draft.claims_of(command.payment_id)
    named = [one for one in claims if command.claim_id in {None, one.claim_id}]
    if command.claim_id is not None and not named:
        return NotFound()
    try:
        places = exponent(payment.currency)
        amount_minor = None if command.amount is None else command.amount.minor(places)
    except AmountError as error:
        return InvalidAmount(param="amount", rule=error.rule, decimals=error.decimals)
    action = command.action
    if command.is_refused or not fits(action, payment, named):
        allowed = (one for one in possible(payment, claims) if one != action)
        return SimulateNotPossible(
            action=action, payment_status=payment.status, allowed=tuple(allowed)
        )
    claim = next((one for one in reversed(named) if _suits(action, one)), None)
    if amount_minor is not None and amount_minor > _most(action, payment, claim):
        return InvalidAmount(param="amount", rule="too_large")
    return Decided(
        response=Plan(payment, claim, amount_minor, now),
        object_id=payment.payment_id if claim is None else claim.claim_id,
        is_answered=False,
    )


def _most(action: str, payment: Payment, claim: Claim | None) -> int:
    """The largest amount that makes sense: a network grants a part, what is gone is gone."""
    if action in _GRANTS and claim is not None:
        return claim.amount_minor
    if action == "refunded":
        return payment.captured_minor - payment.refunded_minor
    return 10**15


class ReadScene(Command, frozen=True, kw_only=True):
    """How the payment and the claim stand: before a resumed action, and as its answer."""

    completes_key = True

    payment_id: PaymentId
    claim_id: ClaimId | None

    def reads(self) -> Reads:
        """Both."""
        claims = () if self.claim_id is None else (self.claim_id,)
        return Reads(payments=(self.payment_id,), claims=claims)


def decide_read_scene(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """Both as they stand. Refuses: NotFound."""
    assert isinstance(command, ReadScene)
    payment = draft.payment(command.payment_id)
    if payment is None:
        return NotFound()
    claim = None if command.claim_id is None else draft.claim(command.claim_id)
    return Decided(response=Plan(payment, claim, None, now), object_id=payment.payment_id)


DECIDE: Final[dict[type, Decide]] = {
    Simulate: decide_simulate,
    ReadScene: decide_read_scene,
}
