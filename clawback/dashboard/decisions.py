"""What people do to claims: approve, reject, cancel, give evidence, give in, say where money goes.

Each is one call of the API; what it refuses is said on the claim's page, with what was typed. An
act that cannot be undone is confirmed with its own words first.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.responses import Response

from clawback import clock
from clawback.claims.reviews import FINDINGS, ResolveReview
from clawback.dashboard import claims
from clawback.dashboard.guard import BookPage, Show, Visit
from clawback.dashboard.people import VIA
from clawback.dashboard.refunds import explained
from clawback.dashboard.roles import ACCEPT, APPROVE, CANCEL, EVIDENCE, PAYER, REVIEW
from clawback.errors import NotFound, Refused
from clawback.http.decode import BodyDecoder
from clawback.ids import ClaimId, is_well_formed, opaque
from clawback.route import FileBody, Kept, Upload

_PAYER_FIELDS: Final = ("rail", "holderName", "account", "accountType", "bankCode", "documentType",
                        "documentId")  # fmt: skip


class FileForm(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """The fields of a form that brings a file."""

    form_token: str
    type: str
    note: str = ""


def _calls(action: str, *fields: str) -> Show:
    """A page that makes one call on the claim with these fields of its form."""

    async def act(visit: Visit) -> Response:
        given = {name: visit.form[name] for name in fields if visit.form.get(name)}
        return await _act(visit, "POST", action, given)

    return act


async def _act(
    visit: Visit, method: str, action: str, body: Mapping[str, object] | FileBody
) -> Response:
    claim_id = visit.path["id"]
    if not is_well_formed(claim_id, "CLM-"):
        return visit.refused(NotFound())
    found = await visit.ask.do(method, f"/claims/{claim_id}/{action}", body)
    if isinstance(found, NotFound):
        return visit.refused(found)
    if isinstance(found, Refused):
        return await claims.show(visit, explained(found), 422)
    return visit.go(f"/claims/{claim_id}")


async def add_file(visit: Visit) -> Response:
    """Evidence as a file."""
    assert visit.upload is not None, "the page takes an upload"
    brought = visit.upload.content
    assert isinstance(brought, Upload), "its own promise"
    fields: Any = brought.fields
    served, _ = visit.house.table.find("POST", ["claims", visit.path["id"], "evidence"])
    assert served is not None, "evidence is a call of the API"
    decoder: BodyDecoder[Any] | None = served.upload
    assert decoder is not None, "which takes files"
    given = {"type": fields.type, **({"note": fields.note} if fields.note else {})}
    said = decoder.decode(msgspec.json.encode(given))
    if isinstance(said, Refused):
        return await claims.show(visit, explained(said), 422)
    upload = msgspec.structs.replace(brought, fields=said)
    return await _act(visit, "POST", "evidence", FileBody(visit.upload.sha256, upload))


async def remove_evidence(visit: Visit) -> Response:
    """Take a piece back before it is sent."""
    return await _act(visit, "DELETE", f"evidence/{visit.path['evidence']}", {})


async def review(visit: Visit) -> Response:
    """Say what was found about a claim in review: the first proposes, another confirms."""
    claim_id, finding = visit.path["id"], visit.form.get("finding", "")
    reason = visit.form.get("reason", "").strip()[:500]
    if not is_well_formed(claim_id, "CLM-") or finding not in FINDINGS or not reason:
        return visit.refused(NotFound())
    services, now = visit.house.services, clock.real_now()
    command = ResolveReview(
        claim_id=ClaimId(claim_id),
        review_id=opaque("rev_"),
        made_id=services.mint.claim(clock.milliseconds(now)),
        finding=finding,
        reason=reason,
        actor=visit.person.actor,
        real_now=now,
        via=VIA,
    )
    kept: Kept[msgspec.Struct] = Kept()
    found = await services.submit(visit.held.book, command, kept)
    if isinstance(found, NotFound):
        return visit.refused(found)
    if isinstance(found, Refused):
        return await claims.show(visit, explained(found), 422)
    return visit.go(f"/claims/{claim_id}")


PAGES: Final = (
    BookPage("/claims/{id}/approve", _calls("approve", "note"), APPROVE, method="POST"),
    BookPage("/claims/{id}/reject", _calls("reject", "reason"), APPROVE, method="POST"),
    BookPage("/claims/{id}/cancel", _calls("cancel", "reason"), CANCEL, method="POST"),
    BookPage(
        "/claims/{id}/payer-details", _calls("payer-details", *_PAYER_FIELDS), PAYER, method="POST"
    ),
    BookPage(
        "/claims/{id}/evidence", _calls("evidence", "type", "text", "note"), EVIDENCE, method="POST"
    ),
    BookPage("/claims/{id}/files", add_file, EVIDENCE, method="POST", upload=FileForm),
    BookPage("/claims/{id}/evidence/{evidence}/remove", remove_evidence, EVIDENCE, method="POST"),
    BookPage("/claims/{id}/submit", _calls("submit"), EVIDENCE, method="POST"),
    BookPage("/claims/{id}/review", review, REVIEW, method="POST"),
    BookPage("/claims/{id}/accept", _calls("accept"), ACCEPT, method="POST"),
)
