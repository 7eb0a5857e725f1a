"""Payer details: where a refund goes on a rail that cannot find the payer.

Pure. They are taken while the refund is pending, from the merchant at any time and from the payer
once. They reach this module sealed, with account and document masked: nothing below the edge can
tell them, and new ones clear a recorded approval, so that nobody redirects approved money.
"""

from datetime import datetime
from typing import Final

import msgspec

from clawback.balances.model import queued
from clawback.claims.ending import changed, invalid_transition
from clawback.claims.fold import too_late
from clawback.claims.moves import PENDING, REFUND
from clawback.claims.payees import Fault, rail_of
from clawback.errors import NotFound, Refused
from clawback.ids import ClaimId
from clawback.lanes.command import Command, Decide, Decided, Reads
from clawback.lanes.records import Claim
from clawback.lanes.state import Draft

replace = msgspec.structs.replace

PAYER: Final = "payer"
WAITS: Final = "awaiting_payer_details"


class PayerDetailsInvalid(Refused, frozen=True, kw_only=True):
    """A check digit, length, bank or document is wrong."""

    code = "payer_details_invalid"
    message = "These payer details cannot be paid to; see details.fields."
    faults: tuple[Fault, ...]

    def details(self) -> dict[str, object]:
        """Each field with the rule that it breaks; never its value."""
        return {"fields": self.faults}


class GivePayerDetails(Command, frozen=True, kw_only=True):
    """Say where the money of a refund goes.

    `fields` are name and value as they are shown; `sealed` holds them whole. `faults` were found
    before; they are answered only if the claim takes details at all.
    """

    claim_id: ClaimId
    rail: str
    fields: tuple[tuple[str, str], ...]
    sealed: str
    faults: tuple[Fault, ...]
    actor: str
    principal: str | None = None

    def reads(self) -> Reads:
        """The claim."""
        return Reads(claims=(self.claim_id,))


def decide_give_payer_details(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """Take the details; the refund goes on. The payer gives them once, the merchant may again.

    Refuses: NotFound, ClaimTransitionInvalid, PayerDetailsInvalid.
    """
    assert isinstance(command, GivePayerDetails)
    claim = draft.claim(command.claim_id)
    if claim is None:
        return NotFound()
    if (
        claim.kind != REFUND
        or claim.status != PENDING
        or too_late(claim, now) is not None
        or (command.actor == PAYER and claim.pending_reason != WAITS)
    ):
        return invalid_transition(claim)
    faults = command.faults
    if rail_of(claim.currency) != command.rail:
        faults = (Fault("rail", "rail"),)
    else:
        faults += _missing(claim, command)
    if faults:
        return PayerDetailsInvalid(faults=faults)
    given = replace(
        claim,
        payer_details={**dict(command.fields), "sealed": command.sealed},
        approved_by=None,
        approved_principal=None,
        approved_at=None,
        version=claim.version + 1,
        updated_at=now,
    )
    given = draft.put_claim(queued(given, now))
    draft.tell("claim.updated", given, actor=command.actor, from_status=PENDING)
    draft.evidence.act(
        "payer_details_given", claim.claim_id, actor=command.actor, principal=command.principal
    )
    return Decided(response=changed(draft, given), object_id=claim.claim_id)


def _missing(claim: Claim, command: GivePayerDetails) -> tuple[Fault, ...]:
    """What this claim's rail asks for besides, and nothing was said about."""
    said = {name for name, _ in command.fields} | {fault.field for fault in command.faults}
    return tuple(Fault(name, "required") for name in claim.payer_fields if name not in said)


def masked(fields: dict[str, str], visible: int = 4) -> tuple[tuple[str, str], ...]:
    """The details as they are shown: of account and document only the last characters."""
    return tuple(
        (name, _hidden(value, visible) if name in {"account", "documentId"} else value)
        for name, value in fields.items()
    )


def _hidden(value: str, visible: int) -> str:
    kept = min(visible, len(value) // 2)
    return "*" * (len(value) - kept) + value[len(value) - kept :]


DECIDE: Final[dict[type, Decide]] = {GivePayerDetails: decide_give_payer_details}
