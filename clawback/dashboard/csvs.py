"""Tables as CSV: the same rows as on the page, exact, and harmless in a spreadsheet.

Text that a spreadsheet would run as a formula is led by an apostrophe; a number stays a number.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

from starlette.responses import Response

from clawback.dashboard.rendering import HEADERS

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


def cell(value: object) -> str:
    """A value as a cell."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, bool | int | float):
        return str(value).lower()
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def lines(rows: Iterable[Sequence[object]]) -> str:
    """Rows as lines (RFC 4180)."""
    out = io.StringIO()
    csv.writer(out).writerows([cell(one) for one in row] for row in rows)
    return out.getvalue()


def csv_file(name: str, titles: Sequence[str], rows: Iterable[Sequence[object]]) -> Response:
    """A file to keep, with a line of titles."""
    return Response(lines([titles, *rows]), 200, file_headers(name), "text/csv; charset=utf-8")


def file_headers(name: str, kind: str = "csv") -> dict[str, str]:
    """What a file is sent with: never shown in place."""
    return {
        **HEADERS,
        "content-disposition": f'attachment; filename="{name}.{kind}"',
        "content-security-policy": "default-src 'none'; sandbox",
    }
