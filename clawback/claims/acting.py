"""The calls that decide a refund: cancel, approve, reject (contract, section 8.5).

Each answers with the whole claim: the history read before it, joined with what the call added.
"""

from collections.abc import Callable
from typing import Annotated, Final

import msgspec

from clawback.claims import reading
from clawback.claims.decisions import ApproveRefund, RejectRefund
from clawback.claims.ending import CancelRefund, Changed
from clawback.claims.wire import ClaimWire
from clawback.errors import Refused
from clawback.ids import ClaimId
from clawback.lanes.command import Command
from clawback.route import Answer, BodyT, Call, NoQuery, QueryT, Route

Reason = Annotated[str, msgspec.Meta(max_length=500)]


class CancelBody(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """Fields of POST /claims/{id}/cancel."""

    reason: Reason | None = None


class ApproveBody(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """Fields of POST /claims/{id}/approve."""

    note: Reason | None = None


class RejectBody(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """Fields of POST /claims/{id}/reject."""

    reason: Reason


async def act(call: Call[BodyT, QueryT], make: Callable[[ClaimId], Command]) -> Answer | Refused:
    """Do something to the claim of the call's path; the answer is the whole claim."""
    claim_id, mode = ClaimId(call.path["id"]), call.book.mode
    history = await reading.read_history(call.services, call.book, claim_id)

    def acted(changed: Changed) -> Answer:
        return Answer(200, reading.render_changed(changed, mode, history))

    return await call.services.submit(call.book, make(claim_id), acted, call.key)


async def cancel(call: Call[CancelBody, NoQuery]) -> Answer | Refused:
    """POST /claims/{id}/cancel: withdraw a refund that has not been sent."""
    reason, caller = call.body.reason, call.caller
    return await act(
        call,
        lambda one: CancelRefund(
            claim_id=one, reason=reason, actor=caller.actor, principal=caller.person
        ),
    )


async def approve(call: Call[ApproveBody, NoQuery]) -> Answer | Refused:
    """POST /claims/{id}/approve: agree to a refund that somebody else asked for."""
    caller, limits = call.caller, call.caller.limits
    return await act(
        call,
        lambda one: ApproveRefund(
            claim_id=one,
            note=call.body.note,
            actor=caller.actor,
            principal=caller.person,
            max_claim_usd_e4=None if limits is None else limits.max_claim_usd_e4,
        ),
    )


async def reject(call: Call[RejectBody, NoQuery]) -> Answer | Refused:
    """POST /claims/{id}/reject: refuse a refund that somebody else asked for."""
    caller, reason = call.caller, call.body.reason
    return await act(
        call,
        lambda one: RejectRefund(
            claim_id=one, reason=reason, actor=caller.actor, principal=caller.person
        ),
    )


ROUTES: Final = (
    Route(
        "POST",
        "/claims/{id}/cancel",
        cancel,
        "claims:write",
        "Withdraw a refund that has not been sent",
        ClaimWire,
        body=CancelBody,
        errors=("not_found", "claim_transition_invalid", "claim_in_flight"),
    ),
    Route(
        "POST",
        "/claims/{id}/approve",
        approve,
        "claims:approve",
        "Agree to a refund that somebody else asked for",
        ClaimWire,
        body=ApproveBody,
        errors=("not_found", "claim_transition_invalid", "self_approval", "key_limit_exceeded"),
    ),
    Route(
        "POST",
        "/claims/{id}/reject",
        reject,
        "claims:approve",
        "Refuse a refund that somebody else asked for",
        ClaimWire,
        body=RejectBody,
        errors=("not_found", "claim_transition_invalid", "self_approval"),
    ),
)
