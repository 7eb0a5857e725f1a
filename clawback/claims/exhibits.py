"""The calls about a dispute: evidence added, removed, submitted; giving in (contract, 8.5).

A file is kept before its evidence is decided on, and only if it can be evidence at all; one that
no evidence names is nothing. The answers of submit and accept are the whole claim.
"""

from typing import Annotated, Final, Literal

import msgspec

from clawback import clock
from clawback.claims import files, reading
from clawback.claims.acting import act
from clawback.claims.evidence import AcceptDispute, AddEvidence, RemoveEvidence, SubmitEvidence
from clawback.claims.wire import ClaimWire, EvidenceWire
from clawback.errors import NotFound, Refused
from clawback.ids import ClaimId, opaque
from clawback.lanes.evidence import Evidence
from clawback.route import Answer, Call, FileBody, NoBody, NoQuery, Route, Upload

_ENCODER: Final = msgspec.json.Encoder()

EvidenceType = Literal[
    "receipt", "shipping", "communication", "refund_proof", "terms", "identity", "other"
]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=10_000)]
Note = Annotated[str, msgspec.Meta(max_length=500)]


class EvidenceBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields of POST /claims/{id}/evidence: a text."""

    type: EvidenceType
    text: Text
    note: Note | None = None


class EvidenceForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields beside the file, where a form brings one."""

    type: EvidenceType
    note: Note | None = None


def _command(call: Call[EvidenceBody, NoQuery], claim_id: ClaimId) -> AddEvidence:
    body: object = call.body
    caller = call.caller
    if isinstance(body, EvidenceBody):
        return AddEvidence(
            claim_id=claim_id,
            evidence_id=opaque("evi_"),
            type=body.type,
            content=body.text,
            filename=None,
            content_type=None,
            size_bytes=len(body.text.encode()),
            sha256=None,
            note=body.note,
            actor=caller.actor,
            principal=caller.person,
        )
    assert isinstance(body, FileBody), body
    upload = body.content
    assert isinstance(upload, Upload), upload
    form = upload.fields
    assert isinstance(form, EvidenceForm), form
    return AddEvidence(
        claim_id=claim_id,
        evidence_id=opaque("evi_"),
        type=form.type,
        content=None,
        filename=upload.filename,
        content_type=files.content_type(upload.data),
        size_bytes=len(upload.data),
        sha256=upload.sha256,
        note=form.note,
        actor=caller.actor,
        principal=caller.person,
        problem=files.problem(upload.data),
    )


def _added(item: Evidence) -> Answer:
    return Answer(201, _ENCODER.encode(evidence_wire(item)))


def evidence_wire(item: Evidence) -> EvidenceWire:
    """A piece of evidence as calls show it."""
    return EvidenceWire(
        item.evidence_id,
        item.type,
        item.content,
        item.filename,
        item.content_type,
        item.size_bytes,
        item.sha256,
        item.note,
        clock.wire_time(item.created_at),
    )


async def add(call: Call[EvidenceBody, NoQuery]) -> Answer | Refused:
    """POST /claims/{id}/evidence: a text, or a file."""
    claim_id = ClaimId(call.path["id"])
    command = _command(call, claim_id)
    body: object = call.body
    if isinstance(body, FileBody) and command.problem is None:
        if not await reading.exists(call.services, call.book, claim_id):
            return NotFound()
        assert isinstance(body.content, Upload), body
        await files.keep_file(
            call.services, call.book, body.content.sha256, body.content.data, call.real_now
        )
    return await call.services.submit(call.book, command, _added, call.key)


class Removed(msgspec.Struct, frozen=True):
    """The evidence is gone."""

    ok: bool
    id: str


def _removed(item: Evidence) -> Answer:
    return Answer(200, _ENCODER.encode(Removed(ok=True, id=item.evidence_id)))


async def remove(call: Call[NoBody, NoQuery]) -> Answer | Refused:
    """DELETE /claims/{id}/evidence/{evidenceId}: before it is submitted."""
    command = RemoveEvidence(
        claim_id=ClaimId(call.path["id"]),
        evidence_id=call.path["evidenceId"],
        actor=call.caller.actor,
        principal=call.caller.person,
    )
    return await call.services.submit(call.book, command, _removed, call.key)


async def submit(call: Call[NoBody, NoQuery]) -> Answer | Refused:
    """POST /claims/{id}/submit: close the evidence of this round and send it."""
    caller = call.caller
    return await act(
        call,
        lambda one: SubmitEvidence(claim_id=one, actor=caller.actor, principal=caller.person),
    )


async def accept(call: Call[NoBody, NoQuery]) -> Answer | Refused:
    """POST /claims/{id}/accept: give in."""
    caller, limits = call.caller, call.caller.limits
    refund_id = call.services.mint.claim(clock.milliseconds(call.real_now))
    return await act(
        call,
        lambda one: AcceptDispute(
            claim_id=one,
            refund_id=refund_id,
            actor=caller.actor,
            principal=caller.person,
            max_claim_usd_e4=None if limits is None else limits.max_claim_usd_e4,
            max_day_usd_e4=None if limits is None else limits.max_day_usd_e4,
        ),
    )


ROUTES: Final = (
    Route(
        "POST",
        "/claims/{id}/evidence",
        add,
        "claims:write",
        "Add a text or a file to what speaks against a dispute",
        EvidenceWire,
        status=201,
        body=EvidenceBody,
        upload=EvidenceForm,
        max_body=files.MAX_BYTES + 65_536,
        errors=("not_found", "claim_transition_invalid", "evidence_closed", "evidence_invalid"),
    ),
    Route(
        "DELETE",
        "/claims/{id}/evidence/{evidenceId}",
        remove,
        "claims:write",
        "Take a piece of evidence back before it is submitted",
        Removed,
        errors=("not_found", "claim_transition_invalid", "evidence_closed"),
    ),
    Route(
        "POST",
        "/claims/{id}/submit",
        submit,
        "claims:write",
        "Send the evidence, once",
        ClaimWire,
        errors=("not_found", "claim_transition_invalid", "evidence_closed", "evidence_invalid"),
    ),
    Route(
        "POST",
        "/claims/{id}/accept",
        accept,
        "claims:write",
        "Give in to a dispute",
        ClaimWire,
        errors=(
            "not_found",
            "claim_transition_invalid",
            "payment_disputed",
            "refund_not_supported",
            "refund_window_closed",
            "partial_refund_not_supported",
            "multiple_refunds_not_supported",
            "refund_exceeds_remaining",
            "key_limit_exceeded",
        ),
    ),
)
