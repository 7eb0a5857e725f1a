"""What networks said of a payment before it was known, or known to be paid: folded once it is.

Pure. Such facts wait among the facts about the payment, in whichever order they came; folding all
of them again leads to the same claims and changes nothing that stands there already.
"""

from datetime import datetime
from typing import Final

import msgspec

from clawback.balances.model import FREEZE_ACCOUNTS, serve_waiting
from clawback.claims.disputes import Opener, fold_case
from clawback.errors import NotFound, Refused
from clawback.ids import ClaimId, PaymentId
from clawback.lanes.command import Command, Decide, Decided, Reads
from clawback.lanes.state import Draft
from clawback.providers import port

_NOTICE: Final = msgspec.json.Decoder(port.DisputeNotice)


class FoldCases(Command, frozen=True, kw_only=True):
    """Fold what was said of a payment's cases. `claim_ids` are for the claims that it may open."""

    payment_id: PaymentId
    claim_ids: tuple[ClaimId, ...]
    actor: str

    def reads(self) -> Reads:
        """The payment with all its claims and facts."""
        return Reads(
            payments=(self.payment_id,),
            claims_of=(self.payment_id,),
            facts_of=(self.payment_id,),
            accounts=FREEZE_ACCOUNTS,
        )


def decide_fold_cases(
    draft: Draft,
    command: Command,
    now: datetime,  # noqa: ARG001 - the draft's own
) -> Refused | Decided:
    """One case after the other; without a capture nothing is folded. Refuses: NotFound."""
    assert isinstance(command, FoldCases)
    payment = draft.payment(command.payment_id)
    if payment is None:
        return NotFound()
    names = iter(command.claim_ids)
    folded: set[tuple[str, str]] = set()
    for fact in draft.facts_about(payment.payment_id):
        if fact.notice is None:
            continue
        notice = _NOTICE.decode(fact.notice)
        if (notice.kind, notice.case) in folded:
            continue
        folded.add((notice.kind, notice.case))
        claim_id = next(names, None)
        if claim_id is None:
            break
        opener = Opener(claim_id, command.actor)
        fold_case(draft, draft.known_payment(payment.payment_id), notice, opener)
    return Decided(follow_up=serve_waiting(draft, payment_id=payment.payment_id))


DECIDE: Final[dict[type, Decide]] = {FoldCases: decide_fold_cases}
