"""POST /claims/{id}/payer-details, and what the payer's page shares with it (contract, 8.5).

Details are checked and sealed here, at the edge; below it only their masked form is known. The
worker opens them again when the provider is called.
"""

from typing import Annotated, Final, Literal

import msgspec

from clawback import logs
from clawback.claims import acting
from clawback.claims.details import GivePayerDetails, masked
from clawback.claims.payees import Given, check
from clawback.claims.wire import ClaimWire
from clawback.errors import Refused, Unavailable
from clawback.ids import ClaimId
from clawback.lanes.records import Claim
from clawback.providers import port
from clawback.route import Answer, BookRef, Call, NoQuery, Route
from clawback.seal import Seal, SealBroken, of_payer_details

SEALED: Final = "sealed"

log = logs.get_logger()

_ENCODER: Final = msgspec.json.Encoder()
_FIELDS: Final = msgspec.json.Decoder(dict[str, str])

Name = Annotated[str, msgspec.Meta(max_length=120)]
Account = Annotated[str, msgspec.Meta(max_length=128)]
Short = Annotated[str, msgspec.Meta(max_length=32)]


class PayerDetailsBody(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """Fields of POST /claims/{id}/payer-details. With pix `accountType` is the type of the key."""

    rail: Literal["spei", "pix", "bank_co"]
    holder_name: Name | None = None
    account: Account | None = None
    account_type: Short | None = None
    bank_code: Short | None = None
    document_type: Short | None = None
    document_id: Short | None = None


def give(
    seal: Seal,
    book: BookRef,
    claim_id: ClaimId,
    given: Given,
    actor: str,
    principal: str | None = None,
) -> GivePayerDetails:
    """The command that takes these details, checked and sealed."""
    checked = check(given, is_test=book.mode == "test")
    whole = _ENCODER.encode(checked.fields).decode()
    return GivePayerDetails(
        claim_id=claim_id,
        rail=given.rail,
        fields=masked(checked.fields),
        sealed=seal.close_text(whole, about=of_payer_details(book.book_id, claim_id)),
        faults=checked.faults,
        actor=actor,
        principal=principal,
    )


def payee_of(seal: Seal | None, claim: Claim) -> port.Payee | port.Unavailable | None:
    """Where the claim's money goes, None where its rail knows; Unavailable if it cannot be read."""
    if claim.payer_details is None:
        return None
    about = of_payer_details(claim.book_id, claim.claim_id)
    try:
        if seal is None:
            return port.Unavailable(reason="no_sealing_key")
        details = _FIELDS.decode(seal.open_text(claim.payer_details[SEALED], about=about))
    except SealBroken as error:
        log.warning("payer_details_sealed", claim_id=claim.claim_id, reason=str(error))
        return port.Unavailable(reason="payer_details_sealed")
    return port.Payee(
        rail=details["rail"],
        holder_name=details.get("holderName"),
        account=details.get("account"),
        account_type=details.get("accountType"),
        bank_code=details.get("bankCode"),
        document_type=details.get("documentType"),
        document_id=details.get("documentId"),
    )


async def payer_details(call: Call[PayerDetailsBody, NoQuery]) -> Answer | Refused:
    """POST /claims/{id}/payer-details: say where the money of a refund goes."""
    found, body = call.services.seal(), call.body
    if found is None:
        return Unavailable()
    seal: Seal = found
    given = Given(
        rail=body.rail,
        holder_name=body.holder_name,
        account=body.account,
        account_type=body.account_type,
        bank_code=body.bank_code,
        document_type=body.document_type,
        document_id=body.document_id,
    )
    caller = call.caller
    return await acting.act(
        call, lambda one: give(seal, call.book, one, given, caller.actor, caller.person)
    )


ROUTES: Final = (
    Route(
        "POST",
        "/claims/{id}/payer-details",
        payer_details,
        "claims:write",
        "Say where the money of a refund goes",
        ClaimWire,
        body=PayerDetailsBody,
        errors=("not_found", "claim_transition_invalid", "payer_details_invalid"),
    ),
)
