"""`clawback claims`: list, show and decide claims: refunds, inquiries, chargebacks, MEDs.

Everything goes over the HTTP API with a key, so it can do what the key may do and no more; but
`reviews` and `resolve`, which are no calls of the API: they are for operators, on the database.
"""

import sys
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import typer

from clawback.cli import evidence
from clawback.cli.operating import Named, named
from clawback.cli.options import After, Limit, RetryKey, given, retry_key
from clawback.cli.output import Stop, clean, heading, note, show_fields, show_json, show_table
from clawback.cli.session import Api, Database, pick, with_api, with_database

app = typer.Typer()
app.add_typer(evidence.app, name="evidence")

COLUMNS = {
    "id": "id",
    "kind": "kind",
    "payment": "transactionId",
    "status": "status",
    "waits for": "pendingReason",
    "amount": "amount",
    "currency": "currency",
    "USD": "amountUsd",
    "created": "createdAt",
}
PARTS = {
    "timeline": ("version", "at", "from", "to", "movement", "actor", "note"),
    "entries": ("id", "type", "href"),
    "attempts": ("number", "operation", "outcome", "providerReference", "startedAt", "endedAt"),
}
MONEY: Final = (
    "amount",
    "currency",
    "amountUsd",
    "frozenUsd",
    "missingUsd",
    "inTransitUsd",
    "amountReleased",
    "amountReleasedUsd",
    "excessAmount",
    "excessUsd",
)
TIMES: Final = (
    "evidenceDueAt",
    "evidenceSubmittedAt",
    "payerDetailsDueAt",
    "refundDeadlineAt",
    "expectedBy",
    "createdAt",
    "updatedAt",
    "resolvedAt",
    "releasedAt",
)
REVIEWS: Final = ("claim", "kind", "status", "amount", "currency", "merchant", "mode", "reason")
DETAILS = 'For instance { "rail": "spei", "holderName": "…", "account": "…" }.'
Id = Annotated[str, typer.Argument(metavar="CLAIM", help="CLM-…")]


@app.command("list")
@with_api
def list_claims(
    api: Api,
    kind: Annotated[str | None, typer.Option(help="user_dispute, chargeback …")] = None,
    status: Annotated[str | None, typer.Option(help="pending, approved, released …")] = None,
    payment: Annotated[str | None, typer.Option(help="Of this payment only.")] = None,
    reason: Annotated[
        str | None, typer.Option("--pending-reason", help="What they wait for.")
    ] = None,
    after: After = None,
    limit: Limit = 50,
) -> None:
    """List claims, the newest first."""
    reply = api.client.get(
        "/claims",
        kind=kind,
        status=status,
        transactionId=payment,
        pendingReason=reason,
        after=after,
        limit=limit,
    )
    api.show_list(reply, COLUMNS)


@app.command("show")
@with_api
def show_claim(api: Api, claim: Id) -> None:
    """Show one claim with its timeline, its entries and what was sent to the provider."""
    from clawback.cli.client import part  # noqa: PLC0415 - loaded only when used

    reply = api.client.get(f"/claims/{part(claim)}")
    if api.as_json:
        show_json(reply.body)
        return
    told = reply.data
    parts = {name: told.pop(name, None) for name in PARTS}
    exhibits = told.pop("evidence", None)
    money = {name: told.pop(name) for name in MONEY}
    times = {name: at for name in TIMES if (at := told.pop(name)) is not None}
    show_fields({name: value for name, value in told.items() if value is not None})
    for name, fields in (("money", money), ("times and deadlines", times)):
        heading(name)
        show_fields(fields)
    if isinstance(exhibits, list) and exhibits:
        heading("evidence")
        evidence.show_evidence(exhibits)
    for name, columns in PARTS.items():
        rows = parts[name]
        if isinstance(rows, list) and rows:
            heading(name)
            show_table(columns, [[pick(row, column) for column in columns] for row in rows])


@app.command("cancel")
@with_api
def cancel_claim(
    api: Api,
    claim: Id,
    reason: Annotated[str | None, typer.Option(help="Kept on the timeline.")] = None,
    retry: RetryKey = None,
) -> None:
    """Withdraw a refund that has not been sent to its provider."""
    _act(api, claim, "cancel", given(reason=reason), retry)


@app.command("approve")
@with_api
def approve_claim(
    api: Api,
    claim: Id,
    note: Annotated[str | None, typer.Option(help="Kept on the timeline.")] = None,
    retry: RetryKey = None,
) -> None:
    """Agree to a refund that somebody else asked for."""
    _act(api, claim, "approve", given(note=note), retry)


@app.command("reject")
@with_api
def reject_claim(
    api: Api,
    claim: Id,
    reason: Annotated[str, typer.Option(help="Kept on the timeline.")],
    retry: RetryKey = None,
) -> None:
    """Refuse a refund that somebody else asked for; its money goes back."""
    _act(api, claim, "reject", given(reason=reason), retry)


@app.command("payer-details")
@with_api
def give_payer_details(
    api: Api,
    claim: Id,
    file: Annotated[
        Path | None,
        typer.Option(help="JSON with rail, holderName, account …; - reads it from standard input."),
    ] = None,
    retry: RetryKey = None,
) -> None:
    """Say where the money of a refund goes; without a file, show the link for its payer.

    Details come from a file, because everybody on a machine can see arguments.
    """
    from clawback.cli.client import part  # noqa: PLC0415 - loaded only when used

    if file is not None:
        _act(api, claim, "payer-details", _read_details(file), retry)
        return
    link = api.client.get(f"/claims/{part(claim)}").data.get("payerDetailsUrl")
    if link is None:
        raise Stop("this claim asks its payer for nothing", "`clawback claims show` tells why.")
    api.show_fields({"payerDetailsUrl": link})


@app.command("submit")
@with_api
def submit_evidence(api: Api, claim: Id, retry: RetryKey = None) -> None:
    """Send the evidence of a case to its network, once a round; it is closed with that."""
    _act(api, claim, "submit", {}, retry)


@app.command("accept")
@with_api
def accept_dispute(
    api: Api,
    claim: Id,
    retry: RetryKey = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: it cannot be undone.")] = False,
) -> None:
    """Give in to a dispute: a chargeback or MED is paid, an inquiry becomes a refund."""
    if not yes:
        if not sys.stdin.isatty():
            raise Stop("giving in is final", "Say that you mean it with --yes.")
        typer.confirm(f"Give in to {clean(claim)}? It cannot be undone.", abort=True)
    _act(api, claim, "accept", {}, retry)


@app.command("reviews")
@with_database
def list_reviews(
    database: Database,
    merchant: Annotated[str | None, typer.Option(help="Of this merchant only.")] = None,
    limit: Limit = 50,
) -> None:
    """List claims that wait for two people: why, and what was proposed. On the database."""
    from clawback.cli import trail  # noqa: PLC0415 - the driver is loaded only when used

    rows = database.run(lambda session: trail.list_reviews(session, merchant, limit))
    if database.as_json:
        show_json({"data": rows})
        return
    show_table(REVIEWS, [[row[name] for name in REVIEWS] for row in rows])
    proposals = [
        [row["claim"], *(one.get(name) for name in ("finding", "by", "reason", "at", "holds"))]
        for row in rows
        if isinstance(row["proposals"], list)
        for one in row["proposals"]
    ]
    if proposals:
        heading("proposed, not confirmed")
        show_table(("claim", "finding", "by", "reason", "at", "holds"), proposals)


@app.command("resolve")
@with_database
def resolve_claim(
    database: Database,
    claim: Id,
    finding: Annotated[
        Literal["paid", "not-paid", "resume"],
        typer.Option("--as", help="All of its money left; none did, or it is back; ask again."),
    ],
    reason: Annotated[str, typer.Option(help="How you know; at most 500 characters.")],
    operator: Named = None,
    merchant: Annotated[
        str | None, typer.Option(help="Whose claim, where several books know its id.")
    ] = None,
) -> None:
    """Say what is true of a claim in review; a second person who says the same confirms it.

    On the database: it is decided as a call would be. Both need a name of their own, and a reason.
    """
    from clawback.cli import trail  # noqa: PLC0415 - the driver is loaded only when used

    if not 1 <= len(reason.strip()) <= 500:  # noqa: PLR2004 - as the trail keeps it
        raise Stop("the reason is empty, or longer than 500 characters", "Say how you know.")
    by = named(operator)
    said = trail.Finding(claim, finding.replace("-", "_"), reason.strip(), merchant)
    done = database.run(lambda session: trail.resolve(session, database.dsn, by, said))
    review, after = done.review, done.changed.claim
    is_confirmed = review.confirmed_by is not None
    database.show_one(
        {
            "id": after.claim_id,
            "status": after.status,
            "resolution": after.resolution,
            "needsReview": after.needs_review,
            "relatedClaimId": after.related_claim_id,
            "finding": finding,
            "proposedBy": review.proposer,
            "confirmedBy": review.confirmed_principal or review.confirmed_by,
        }
    )
    for who in done.outdated:
        note(f"What {who} proposed holds no more: something happened to the claim since.")
    if not is_confirmed:
        note("Proposed. Another person has to say the same before anything is done.")


def _read_details(file: Path) -> dict[str, object]:
    """What a file says. Raises: Stop if it is no JSON object."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        found = msgspec.json.decode(text)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise Stop(f"{file} holds no JSON: {clean(error)}", DETAILS) from error
    if not isinstance(found, dict):
        raise Stop(f"{file} holds no JSON object", DETAILS)
    return found


def _act(api: Api, claim: str, action: str, body: dict[str, object], retry: str | None) -> None:
    from clawback.cli.client import part  # noqa: PLC0415 - loaded only when used

    target = f"/claims/{part(claim)}/{action}"
    reply = api.client.post(target, body, key=retry_key(retry))
    if api.as_json:
        show_json(reply.body)
    else:
        show_fields({name: reply.data.get(path) for name, path in COLUMNS.items()})
