"""`clawback balance`: what a book holds, by bucket, and what flowed through it.

The figures are those of GET /me/balance at this moment, in USD, exact to 1/10,000.
"""

from clawback.cli.output import heading, show_fields, show_json
from clawback.cli.session import Api, with_api


@with_api
def command(api: Api) -> None:
    """Show a book's balance: its buckets, its claims, and what flowed through it."""
    reply = api.client.get("/me/balance")
    if api.as_json:
        show_json(reply.body)
        return
    told = reply.data
    parts = {name: told.pop(name) for name in list(told) if isinstance(told[name], dict)}
    show_fields(told)
    for name, part in parts.items():
        heading(name)
        assert isinstance(part, dict), "picked as one above"
        show_fields(part, indent="  ")
