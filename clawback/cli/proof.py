"""`clawback proof`: the book's own rows, added up and hashed again by the server, on request.

With `--json` it prints what GET /ledger/proof answered, which `clawback verify` can check against
an export. It ends with 1 if something does not hold.
"""

from typing import Annotated

import typer

from clawback.cli.output import Stop, heading, paint, say, show_fields, show_json, show_table
from clawback.cli.session import Api, pick, with_api

ENTRY = ("height", "id", "type", "createdAt", "hash")


@with_api
def command(
    api: Api,
    claim: Annotated[
        str | None, typer.Option(help="Bring this claim's entries, with what their hashes cover.")
    ] = None,
) -> None:
    """Have the book prove itself: sums, balances, claims, and its chain of hashes."""
    reply = api.client.get("/ledger/proof", claimId=claim)
    told = reply.data
    checks, chain = told["checks"], told["chain"]
    assert isinstance(checks, list), "as the API shows them"
    assert isinstance(chain, dict), "the same"
    if api.as_json:
        show_json(reply.body)
    else:
        show_fields({"computedAt": told["computedAt"], **chain, "sums": told["currencies"]})
        for check in (*checks, {"name": "hash_chain", "ok": chain["intact"]}):
            say(f"{paint('ok', 'good') if check['ok'] else paint('WRONG', 'bad')} {check['name']}")
        entries = pick(told, "claim.entries")
        if isinstance(entries, list):
            heading("entries")
            show_table(ENTRY, [[pick(entry, name) for name in ENTRY] for entry in entries])
    if not (told["balanced"] and chain["intact"] and all(check["ok"] for check in checks)):
        raise Stop("the book does not hold", "Have the operator run `clawback audit`.")
