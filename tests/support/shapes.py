"""The objects of the contract, field by field, in its order: written from its tables, not ours.

A shape is read from lines of `field type`; a `?` allows null, `[x]` is a list of x, and a name in
capitals is another shape. Numbers must be written exactly: shortest, without exponent.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Self

_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?")
_FORMS: Final = {
    "time": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z"),
    "payment": re.compile(r"TXN-[0-9A-Z]{8}-[0-9A-Z]{4}"),
    "claim": re.compile(r"CLM-[0-9A-Z]{8}-[0-9A-Z]{4}"),
    "shop": re.compile(r"SHP-[0-9A-Z]{8}-[0-9A-Z]{4}"),
    "sha256": re.compile(r"[0-9a-f]{64}"),
    "entry": re.compile(r"ent_[!-~]{1,60}"),
    "event": re.compile(r"evt_[!-~]{1,60}"),
    "attempt": re.compile(r"att_[!-~]{1,60}"),
    "key": re.compile(r"key_[!-~]{1,60}"),
    "mode": re.compile("test|live"),
    "string": re.compile(".*", re.DOTALL),
}
_KINDS: Final = {"integer": int, "boolean": bool, "object": dict, "list": list}

_TABLES: Final = {
    "FEES": "platform number · provider number · network number · total number",
    "SETTLEMENT": "type string · delay string · status string · at time?",
    "PAYMENT": """
        id payment · transactionId payment · status string · version integer · amount number
        currency string · amountLocal number · currencyLocal string · fxRate number
        fxRateAt time · fxSource string · amountClaimed number · remaining number
        amountRefunded number · amountChargedBack number · disputed boolean
        openDisputeId claim? · country string · paymentMethodId string · paymentMethod string
        provider string · providerReference string? · railReference string?
        paymentData object? · expiresAt time? · failureCode string? · failureMessage string?
        fees FEES · settlement SETTLEMENT · merchantOrderId string? · userName string?
        userEmail string? · userPhone string? · documentType string? · documentId string?
        returnUrl string? · metadata object · refundDeadlineAt time? · completedAt time?
        createdAt time · updatedAt time · shopId shop · mode mode""",
    "REFUND": """
        refundId claim · transactionId payment · amount number · amountUsd number
        currency string · status string · reason string? · createdAt time""",
    "APPROVAL": "required boolean · by string? · at time?",
    "CLAIM_ROW": """
        id claim · refundId claim? · kind string · transactionId payment
        relatedClaimId claim? · amount number · currency string · amountUsd number
        amountReleased number · amountReleasedUsd number · excessAmount number
        excessUsd number · frozenUsd number · missingUsd number · inTransitUsd number
        reason string? · reasonCode string? · status string · pendingReason string?
        resolution string? · needsReview boolean · reviewReason string? · approval APPROVAL
        requestedBy string · provider string · providerReference string?
        railReference string? · evidenceDueAt time? · evidenceSubmittedAt time?
        refundDeadlineAt time? · payerDetailsDueAt time? · expectedBy time?
        payerDetails object? · payerDetailsUrl string? · version integer · createdAt time
        updatedAt time · resolvedAt time? · releasedAt time? · shopId shop · mode mode""",
    "ATTEMPT": """
        id attempt · number integer · operation string · outcome string?
        providerReference string? · startedAt time · endedAt time?""",
    "STEP": """
        version integer · at time · from string? · to string · movement string?
        actor string · note string?""",
    "LINK": "id entry · type string · href string",
    "CLAIM_PARTS": "evidence list · attempts [ATTEMPT] · timeline [STEP] · entries [LINK]",
    "BUCKETS": """
        available number · pending number · frozen number · inTransit number
        reserve number · debt number · paidOut number""",
    "OPEN_CLAIMS": "open integer · awaitingFundsUsd number",
    "FEE_SUMMARY": """
        grossVolume number · platformFees number · flatFees number · disputeFees number
        totalFees number · returned number · loss number · netBalance number""",
    "BALANCE": """
        merchantId string · mode mode · currency string · asOf time · balance BUCKETS
        claims OPEN_CLAIMS · feeSummary FEE_SUMMARY""",
    "ACCOUNT": """
        account string · currency string · normalSide string · balance number
        seq integer · updatedAt time""",
    "POSTING": """
        account string · currency string · amount number · balanceAfter number
        seq integer""",
    "ENTRY": """
        id entry · type string · createdAt time · effectiveAt time · claimId claim?
        transactionId payment? · postings [POSTING] · height integer
        previousHash sha256 · hash sha256""",
    "SUM": "currency string · sum number",
    "CHECK": "name string · ok boolean",
    "CHAIN": "height integer · hash sha256 · intact boolean",
    "PROOF": """
        computedAt time · balanced boolean · currencies [SUM] · checks [CHECK]
        chain CHAIN""",
    "PROVEN_ENTRY": """
        id entry · type string · createdAt time · effectiveAt time · claimId claim?
        transactionId payment? · postings [POSTING] · height integer
        previousHash sha256 · hash sha256 · canonical string""",
    "CLAIM_PROOF": "id claim · bookId string · entries [PROVEN_ENTRY]",
    "EVENT_DATA": "object object · previousStatus string? · version integer?",
    "EVENT": """
        id event · type string · createdAt time · apiVersion string · mode mode
        merchantId string · data EVENT_DATA""",
    "PAGINATION": """
        total integer? · limit integer · offset integer? · pages integer?
        next string?""",
    "NAME": "id string · name string",
    "PING": """
        ok boolean · mode mode · keyKind string · keyId key · apiVersion string
        merchant NAME · timestamp time""",
    "KEY_LIMITS": "maxClaimUsd number? · maxDayUsd number?",
    "KEY": "id key · scopes list · limits KEY_LIMITS? · expiresAt time?",
    "BOOK_SETTINGS": """
        approvalThresholdUsd number? · requireIdempotencyKey boolean
        idempotencyHours integer · reservePercent number · reserveDays integer
        creditLineUsd number""",
    "ME": """
        id string · name string · mode mode · shop NAME? · shops [NAME] · apiVersion string
        key KEY · settings BOOK_SETTINGS""",
    "METHOD_FEE": "percent number · fixedUsd number",
    "REFUND_RULES": """
        supported boolean · partial boolean · multiple boolean · maxRefunds integer?
        windowDays integer? · payerFields list""",
    "METHOD": """
        paymentMethodId string · method string · name string · countries list
        channel string · currencies list · minUsd number · maxUsd number · fee METHOD_FEE
        iconUrl string · routable boolean · requiredFields list · refund REFUND_RULES""",
    "FILTERS": "country string? · channel string? · method string?",
    "METHODS": """
        shop NAME? · mode mode · filters FILTERS · count integer · totalAvailable integer
        routableCount integer · methods [METHOD]""",
    "SIMULATED": """
        transactionId payment · action string · status string · claimId claim?
        claimStatus string?""",
}  # fmt: skip

Shape = Mapping[str, str]


def _read(table: str) -> dict[str, str]:
    fields = [
        part.split() for line in table.splitlines() for part in line.split("·") if part.strip()
    ]
    return {name: kind for name, kind in fields}  # noqa: C416 - pairs are lists


SHAPES: Final[Mapping[str, Shape]] = {name: _read(table) for name, table in _TABLES.items()}


class Number(float):
    """A number of an answer, with the text that it was written as."""

    text: str

    def __new__(cls, text: str) -> Self:
        made = super().__new__(cls, text)
        made.text = text
        return made


def load(body: bytes) -> Any:  # noqa: ANN401 - whatever the body says
    """The body; fractions keep their text."""
    return json.loads(body, parse_float=Number)


def misfits(value: object, kind: str, path: str = "") -> Iterator[str]:
    """Everything in which a value differs from its type."""
    if kind.endswith("?"):
        if value is not None:
            yield from misfits(value, kind[:-1], path)
    elif kind.startswith("["):
        assert isinstance(value, list), (path, value)
        for number, one in enumerate(value):
            yield from misfits(one, kind[1:-1], f"{path}[{number}]")
    elif kind in SHAPES:
        yield from _misfits_of_object(value, SHAPES[kind], path)
    elif kind in _FORMS:
        if not isinstance(value, str) or _FORMS[kind].fullmatch(value) is None:
            yield f"{path} is no {kind}: {value!r}"
    elif kind == "number":
        text = value.text if isinstance(value, Number) else str(value)
        if type(value) not in {int, Number} or _NUMBER.fullmatch(text) is None:
            yield f"{path} is no number, or not the shortest: {text}"
    elif type(value) is not _KINDS[kind]:
        yield f"{path} is no {kind}: {value!r}"


def _misfits_of_object(value: object, shape: Shape, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path} is no object: {value!r}"
        return
    if list(value) != list(shape):
        lacking = [name for name in shape if name not in value]
        more = [name for name in value if name not in shape]
        yield f"{path}: fields lack {lacking}, are too many {more}, or out of order: {list(value)}"
    for name, kind in shape.items():
        if name in value:
            yield from misfits(value[name], kind, f"{path}.{name}")


def check(value: object, kind: str) -> None:
    """It has this shape."""
    found = list(misfits(value, kind))
    assert not found, found
