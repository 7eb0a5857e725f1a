"""`clawback claims evidence`: what speaks against an inquiry, a chargeback or a MED.

It is gathered while the case is undecided, and sent by `clawback claims submit`, once a round.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from clawback.cli.options import RetryKey, given, retry_key
from clawback.cli.output import Stop, show_json, show_table
from clawback.cli.session import Api, with_api

app = typer.Typer(help="What speaks against a dispute.", no_args_is_help=True)

COLUMNS = {
    "id": "id",
    "type": "type",
    "file": "filename",
    "content": "contentType",
    "bytes": "sizeBytes",
    "text": "text",
    "note": "note",
    "created": "createdAt",
}
TYPES = "receipt, shipping, communication, refund_proof, terms, identity or other."
SHOWN = 60
"""Characters of a text that a table shows."""

Id = Annotated[str, typer.Argument(metavar="CLAIM", help="CLM-…")]


@app.command("add")
@with_api
def add_evidence(
    api: Api,
    claim: Id,
    kind: Annotated[str, typer.Option("--type", help=TYPES)],
    text: Annotated[
        str | None, typer.Option(help="What you have to say; - reads it from standard input.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="A PDF, PNG or JPEG of up to 10 MiB.")] = None,
    note: Annotated[str | None, typer.Option(help="For you: it is not sent.")] = None,
    retry: RetryKey = None,
) -> None:
    """Add a text or a file to the evidence of a case that is not submitted yet."""
    if (text is None) == (file is None):
        raise Stop("what is the evidence?", "Give --text or --file, one of them.")
    path, key = f"{_path(claim)}/evidence", retry_key(retry)
    if file is not None:
        try:
            data = file.read_bytes()
        except OSError as error:
            raise Stop(f"{file} cannot be read: {error.strerror}") from error
        fields = {name: str(value) for name, value in given(type=kind, note=note).items()}
        api.show_object(api.client.post_file(path, file.name, data, fields, key=key))
        return
    said = sys.stdin.read() if text == "-" else text
    api.show_object(api.client.post(path, given(type=kind, text=said, note=note), key=key))


@app.command("list")
@with_api
def list_evidence(api: Api, claim: Id) -> None:
    """List the evidence of a case."""
    found = api.client.get(_path(claim)).data.get("evidence")
    rows = found if isinstance(found, list) else []
    if api.as_json:
        show_json({"data": rows})
    else:
        show_evidence(rows)


def show_evidence(rows: list[dict[str, object]]) -> None:
    """Print evidence as a table, long texts cut."""
    cells = [
        [_cut(row.get(field)) if field == "text" else row.get(field) for field in COLUMNS.values()]
        for row in rows
    ]
    show_table(list(COLUMNS), cells)


def _cut(text: object) -> object:
    return f"{text[:SHOWN]}…" if isinstance(text, str) and len(text) > SHOWN else text


@app.command("remove")
@with_api
def remove_evidence(
    api: Api,
    claim: Id,
    evidence: Annotated[str, typer.Argument(metavar="EVIDENCE", help="evi_…")],
) -> None:
    """Take a piece of evidence back before it is submitted."""
    from clawback.cli.client import part  # noqa: PLC0415 - loaded only when used

    api.show_object(api.client.delete(f"{_path(claim)}/evidence/{part(evidence)}"))


def _path(claim: str) -> str:
    from clawback.cli.client import part  # noqa: PLC0415 - loaded only when used

    return f"/claims/{part(claim)}"
