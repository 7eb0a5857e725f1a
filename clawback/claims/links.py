"""Links to the payer's page: signed, expiring on the book's clock, good for one use.

A link names its book, claim and last moment, and carries a signature by a key that is derived from
the sealing key: without the key file none can be made. It is worth what it opens, so it is shown to
whoever may read the claim and written nowhere: events and logs are without it.
"""

import re
from datetime import datetime
from typing import Final

import msgspec

from clawback import clock
from clawback.claims.details import WAITS
from clawback.claims.payees import rail_of
from clawback.ids import ClaimId, base36
from clawback.lanes.records import Claim
from clawback.route import Services
from clawback.seal import Seal

PATH: Final = "/payer/"
_ABOUT: Final = "payer-link"
_TOKEN: Final = re.compile(
    r"(bk_[0-9a-z]{1,29})\.(CLM-[0-9A-Z]{8}-[0-9A-Z]{4})\.([0-9A-Z]{8,9})\.([0-9A-Za-z_=-]{32})",
    re.ASCII,
)


class Link(msgspec.Struct, frozen=True):
    """What a genuine link names; `until_ms` in Unix milliseconds of the book's clock."""

    book_id: str
    claim_id: ClaimId
    until_ms: int


def make_link(services: Services, claim: Claim) -> str | None:
    """The link by which the claim's payer says where the money goes; None if none is needed."""
    due = claim.payer_details_due_at
    seal = services.seal()
    if claim.pending_reason != WAITS or due is None or seal is None:
        return None
    if rail_of(claim.currency) is None:
        return None
    return services.public_url() + PATH + make_token(seal, claim.book_id, claim.claim_id, due)


def make_token(seal: Seal, book_id: str, claim_id: str, due: datetime) -> str:
    """The last part of the link."""
    named = f"{book_id}.{claim_id}.{base36(clock.milliseconds(due), 8)}"
    return f"{named}.{seal.sign(named, about=_ABOUT)}"


def read_token(seal: Seal, token: str) -> Link | None:
    """What the token names, if it is one of ours; forged and malformed are not told apart."""
    match = _TOKEN.fullmatch(token)
    named, _, signature = token.rpartition(".")
    if match is None or not seal.is_signed(named, signature, about=_ABOUT):
        return None
    return Link(match.group(1), ClaimId(match.group(2)), int(match.group(3), 36))
