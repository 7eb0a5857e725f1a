"""Options that several commands take in the same way, and what is read from their text.

Amounts are taken as text and kept exactly: nothing that was typed passes through a float.
"""

import re
import secrets
from typing import Annotated, Final

import msgspec
import typer

from clawback.cli.output import Stop, clean

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,15}(\.[0-9]{1,8})?", re.ASCII)

Limit = Annotated[int, typer.Option(help="Rows of a page.", min=1, max=100)]
After = Annotated[
    str | None, typer.Option(help="Go on after this id: the `More` of the page before.")
]
From = Annotated[str | None, typer.Option("--from", help="Created at or after this time.")]
To = Annotated[str | None, typer.Option("--to", help="Created before this time.")]
RetryKey = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key",
        help="Sent again with the same key, it has one effect. (default: a new one)",
        show_default=False,
    ),
]
Merchant = Annotated[str, typer.Argument(metavar="MERCHANT", help="MCH-…")]
Live = Annotated[bool, typer.Option("--live", help="The live book, not the test book.")]


def moment(text: str) -> str:
    """A time as it was typed; a day alone is its beginning in UTC."""
    return f"{text}T00:00:00Z" if _DAY.fullmatch(text) else text


def number(text: str, option: str) -> msgspec.Raw:
    """A decimal exactly as it was typed, as a JSON number. Raises: Stop for anything else."""
    if not _NUMBER.fullmatch(text):
        raise Stop(f"{option} {clean(text)} is no amount", "Write it as 10 or 10.50.")
    whole, _, fraction = text.partition(".")
    return msgspec.Raw((whole.lstrip("0") or "0") + (f".{fraction}" if fraction else ""))


def given(**fields: object) -> dict[str, object]:
    """The fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}


def retry_key(key: str | None) -> str:
    """The idempotency key of a request, a new one if none was given."""
    return key or f"cli-{secrets.token_hex(12)}"


def usd_e4(text: str, option: str) -> int | None:
    """USD as typed, in 1/10,000; None for `-`. Raises: Stop for anything else."""
    if text == "-":
        return None
    whole, _, fraction = text.partition(".")
    if not _NUMBER.fullmatch(text) or len(fraction) > 4:  # noqa: PLR2004 - 1/10,000
        raise Stop(f"{option} {clean(text)} is no amount", "Write it as 10 or 10.5, - for none.")
    return int(whole) * 10_000 + int(fraction.ljust(4, "0"))
