"""Reads the sandbox provider's answers and notices: from bytes to the port's values.

Whatever is not exactly what the protocol says becomes `Unknown` with a short reason, never an
exception. An answer about another reference proves nothing about ours. Amounts and currencies
are handed on as the provider told them.
"""

from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from clawback.connection import Ending, Lost, NotSent, Reply
from clawback.providers import port
from clawback.providers import sandbox_protocol as protocol

ToldT = TypeVar("ToldT", bound=protocol.Told)

_OK: Final = 200
_NOT_FOUND: Final = 404
_LONGEST_RETRY_AFTER: Final = 86_400
_CHARGES: Final[dict[str, type[port.Pending | port.Processing]]] = {
    "pending": port.Pending,
    "processing": port.Processing,
}

Doubt = port.Unavailable | port.Unknown


def told(ending: Ending, kind: type[ToldT]) -> ToldT | port.Absent | Doubt:
    """A call's ending, read: what was told, the provider's own "not_found", or a doubt."""
    match ending:
        case NotSent(reason=reason):
            return port.Unavailable(reason=reason)
        case Lost(reason=reason):
            return port.Unknown(reason=reason)
        case Reply(status=200):
            return _decoded(ending.body, kind) or port.Unknown(reason="unreadable")
        case Reply(status=404):
            problem = _decoded(ending.body, protocol.Problem)
            if problem is not None and problem.error == "not_found":
                return port.Absent()
        case Reply():
            pass
    return port.Unknown(reason=f"status_{ending.status}", retry_after_seconds=_retry_after(ending))


def refunded(ending: Ending, reference: str, charge_reference: str) -> port.Found:
    """How a refund stands, as far as the ending of a call proves it."""
    answer = told(ending, protocol.Refund)
    if isinstance(answer, protocol.Refund):
        return _refund_found(answer, reference, charge_reference)
    return answer


def many_refunded(ending: Ending, requests: Sequence[port.LookupRequest]) -> Sequence[port.Found]:
    """How each of these refunds stands; one doubt about the call is a doubt about all."""
    answer = told(ending, protocol.Lookups)
    match answer:
        case protocol.Lookups(refunds=refunds) if len(refunds) == len(requests):
            pairs = zip(requests, refunds, strict=True)
            return [
                port.Absent()
                if refund is None
                else _refund_found(refund, asked.reference, asked.charge_reference)
                for asked, refund in pairs
            ]
        case port.Unavailable() | port.Unknown():
            return [answer] * len(requests)
        case _:
            return [port.Unknown(reason="unreadable")] * len(requests)


def charged(ending: Ending, reference: str) -> port.Charged | port.Absent:
    """How a charge stands, as far as the ending of a call proves it."""
    answer = told(ending, protocol.Charge)
    if not isinstance(answer, protocol.Charge):
        return answer
    if answer.reference != reference:
        return port.Unknown(reason="other_reference")
    return _charge_found(answer)


def disputed(ending: Ending, case: str | None) -> port.DisputeNotice | port.Absent | Doubt:
    """How a case stands, as far as the ending of a call proves it; `case` None: any."""
    answer = told(ending, protocol.Dispute)
    if not isinstance(answer, protocol.Dispute):
        return answer
    if case is not None and answer.case != case:
        return port.Unknown(reason="other_reference")
    return _dispute_found(answer)


def answered(ending: Ending, reference: str, case_name: str) -> port.Outcome:
    """What became of evidence or of giving in, as far as the ending of a call proves it."""
    answer = told(ending, protocol.DisputeAnswer)
    match answer:
        case port.Absent():
            return port.Unknown(reason="status_404")
        case port.Unavailable() | port.Unknown():
            return answer
        case protocol.DisputeAnswer() if (answer.reference, answer.case) != (reference, case_name):
            return port.Unknown(reason="other_reference")
        case protocol.DisputeAnswer(status="declined"):
            return port.Declined(provider_reference=answer.case, reason=answer.reason or "declined")
        case protocol.DisputeAnswer():
            return port.Settled(
                provider_reference=answer.case,
                rail_reference=answer.rail_reference,
                amount_minor=answer.amount_minor,
                currency=answer.currency,
                settled_at=answer.at,
            )


def refunded_outside(
    ending: Ending, charge_reference: str
) -> port.RefundNotice | port.Absent | Doubt:
    """A refund that nobody asked us for, as its notice would tell it."""
    answer = told(ending, protocol.Refund)
    if not isinstance(answer, protocol.Refund):
        return answer
    if answer.charge_reference != charge_reference or answer.settled_at is None:
        return port.Unknown(reason="other_reference")
    finding = _finding(answer)
    return port.RefundNotice(
        id=f"{answer.refund_id}_{answer.status}",
        reference=answer.reference,
        charge_reference=charge_reference,
        finding=finding,
        at=answer.settled_at,
    )


def noticed(message_id: str, body: bytes) -> port.Noticed:
    """A genuine notice, read; of a type or form that is not known, it is put by."""
    notice = _decoded(body, protocol.Notice)
    if notice is None:
        return port.OtherNotice(id=message_id)
    kind, _, status = notice.type.partition(".")
    if kind == "dispute" and notice.dispute is not None:
        return _dispute_found(notice.dispute)
    try:
        if kind == "refund":
            return port.RefundNotice(
                id=message_id,
                reference=notice.reference,
                charge_reference=notice.charge_reference,
                finding=_finding(_noticed_refund(notice, status)),
                at=notice.at,
            )
        if kind == "charge":
            return port.ChargeNotice(
                id=message_id,
                reference=notice.reference,
                finding=_charge_found(_noticed_charge(notice, status)),
                at=notice.at,
            )
    except msgspec.ValidationError:
        pass  # a status that the protocol does not have
    return port.OtherNotice(id=message_id)


def without_nulls(payee: port.Payee) -> dict[str, str]:
    """The fields of a payee that are given, by their wire names."""
    values = {
        "rail": payee.rail,
        "holderName": payee.holder_name,
        "account": payee.account,
        "accountType": payee.account_type,
        "bankCode": payee.bank_code,
        "documentType": payee.document_type,
        "documentId": payee.document_id,
    }
    return {name: value for name, value in values.items() if value is not None}


def document(one: port.Document) -> protocol.Document:
    """A piece of evidence as it is sent."""
    return protocol.Document(
        type=one.type,
        text=one.text,
        filename=one.filename,
        content_type=one.content_type,
        sha256=one.sha256,
        data=one.data,
        note=one.note,
    )


def script(fault: protocol.Fault) -> port.FaultScript:
    """A script of faults as the port shows it."""
    return port.FaultScript(
        id=fault.id,
        operation=fault.operation,
        remaining=tuple(fault.remaining),
        repeat=fault.repeat,
        charge_reference=fault.charge_reference,
        fired=fault.fired,
    )


def _decoded(body: bytes, kind: type[ToldT]) -> ToldT | None:
    """The body as that record; None if it is anything else."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _retry_after(reply: Reply) -> int | None:
    """Seconds that the provider asks us to wait, bounded; None if it does not say."""
    text = reply.headers.get("retry-after", "")
    if not text.isascii() or not text.isdecimal() or len(text) > len(str(_LONGEST_RETRY_AFTER)):
        return None
    return min(int(text), _LONGEST_RETRY_AFTER)


def _refund_found(refund: protocol.Refund, reference: str, charge_reference: str) -> port.Found:
    is_meant = reference in {refund.reference, refund.refund_id}
    if not is_meant or refund.charge_reference != charge_reference:
        return port.Unknown(reason="other_reference")
    return _finding(refund)


def _finding(
    refund: protocol.Refund,
) -> port.Accepted | port.Settled | port.Declined | port.Returned:
    match refund.status:
        case "accepted":
            return port.Accepted(
                provider_reference=refund.refund_id,
                rail_reference=refund.rail_reference,
                amount_minor=refund.amount_minor,
                currency=refund.currency,
                settles_at=refund.settles_at,
            )
        case "settled":
            return port.Settled(
                provider_reference=refund.refund_id,
                rail_reference=refund.rail_reference,
                amount_minor=refund.amount_minor,
                currency=refund.currency,
                settled_at=refund.settled_at,
            )
        case "declined":
            return port.Declined(
                provider_reference=refund.refund_id, reason=refund.reason or "declined"
            )
        case "returned":
            return port.Returned(
                provider_reference=refund.refund_id,
                rail_reference=refund.rail_reference,
                amount_minor=refund.amount_minor,
                currency=refund.currency,
                reason=refund.reason or "returned",
                returned_at=refund.returned_at,
            )


def _charge_found(charge: protocol.Charge) -> port.KnownCharge:
    known = port.Pending(
        provider_reference=charge.charge_id,
        rail_reference=charge.rail_reference,
        amount_minor=charge.amount_minor,
        currency=charge.currency,
        payment_data=charge.payment_data,
        expires_at=charge.expires_at,
        next_change_at=charge.next_change_at,
    )
    values = {name: getattr(known, name) for name in known.__struct_fields__}
    match charge.status:
        case "pending":
            return known
        case "processing":
            return port.Processing(**values)
        case "completed":
            return port.Completed(**values, completed_at=charge.decided_at)
        case "failed":
            return port.Failed(**values, failure_code=charge.failure_code or "failed")
        case "expired":
            return port.Expired(**values, failure_code=charge.failure_code or "expired")


def _dispute_found(case: protocol.Dispute) -> port.DisputeNotice:
    return port.DisputeNotice(
        id=case.id,
        case=case.case,
        kind=case.kind,
        charge_reference=case.charge_reference,
        status=case.status,
        round=case.round,
        amount_minor=case.amount_minor,
        demanded_minor=case.demanded_minor,
        currency=case.currency,
        reason=case.reason,
        reason_code=case.reason_code,
        rail_reference=case.rail_reference,
        evidence_due_at=case.evidence_due_at,
        next_case=case.next_case,
        at=case.at,
    )


def _noticed_refund(notice: protocol.Notice, status: str) -> protocol.Refund:
    """A notice in the form of a look-up's answer. Raises: ValidationError for a strange status."""
    return protocol.Refund(
        refund_id=notice.provider_reference,
        reference=notice.reference,
        charge_reference=notice.charge_reference,
        status=msgspec.convert(status, protocol.RefundStatus),
        amount_minor=notice.amount_minor,
        currency=notice.currency,
        settles_at=None,
        settled_at=notice.at,
        returned_at=notice.at,
        rail_reference=notice.rail_reference,
        reason=notice.reason,
    )


def _noticed_charge(notice: protocol.Notice, status: str) -> protocol.Charge:
    """A notice in the form of a look-up's answer. Raises: ValidationError for a strange status."""
    return protocol.Charge(
        charge_id=notice.provider_reference,
        reference=notice.reference,
        status=msgspec.convert(status, protocol.ChargeStatus),
        amount_minor=notice.amount_minor,
        currency=notice.currency,
        payment_data={},
        rail_reference=notice.rail_reference,
        expires_at=None,
        next_change_at=None,
        decided_at=notice.at,
        failure_code=notice.reason,
    )
