"""Links for payers: signed, expiring on the book's clock, each for one kind of page.

One asks where the money goes and is good for one use; the other explains a claim to whoever has it.
A link names its book, claim and last moment, and carries a signature by a key that is derived from
the sealing key: without the key file none can be made, and none opens the other kind of page. It is
worth what it opens, so it is shown only to those who may see it and written nowhere: events, acts
and logs are without it.
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
EXPLAINING_PATH: Final = "/claim/"
DETAILS: Final = "payer-link"
EXPLAINING: Final = "claim-link"
"""What a signature is about: the kind of page that it opens."""
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
    token = make_token(seal, DETAILS, claim.book_id, claim.claim_id, due)
    return services.public_url() + PATH + token


def make_explaining_link(
    services: Services, book_id: str, claim_id: str, until: datetime
) -> str | None:
    """The link by which anybody who has it reads where a claim's money is; None without a seal."""
    seal = services.seal()
    if seal is None:
        return None
    token = make_token(seal, EXPLAINING, book_id, claim_id, until)
    return services.public_url() + EXPLAINING_PATH + token


def make_token(seal: Seal, about: str, book_id: str, claim_id: str, due: datetime) -> str:
    """The last part of the link."""
    named = f"{book_id}.{claim_id}.{base36(clock.milliseconds(due), 8)}"
    return f"{named}.{seal.sign(named, about=about)}"


def read_token(seal: Seal, about: str, token: str) -> Link | None:
    """What the token names, if it is one of ours; forged and malformed are not told apart."""
    match = _TOKEN.fullmatch(token)
    named, _, signature = token.rpartition(".")
    if match is None or not seal.is_signed(named, signature, about=about):
        return None
    return Link(match.group(1), ClaimId(match.group(2)), int(match.group(3), 36))
