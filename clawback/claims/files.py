"""The bytes of evidence, kept in the database behind two calls; what they are is read from them.

The one place that knows where files lie. A file is known by its SHA-256 within its book, so the
same bytes are kept once, and what a file says of its own name or type decides nothing.
"""

from datetime import datetime
from typing import Final

from clawback.db import queries
from clawback.route import BookRef, Services

SQL: Final = queries.load(__package__, "files.sql")

MAX_BYTES: Final = 10 * 1024 * 1024
_PNG: Final = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_PNG_END: Final = b"IEND\xaeB`\x82"
_TAIL: Final = 1024


async def keep_file(
    services: Services, book: BookRef, sha256: str, data: bytes, at: datetime
) -> None:
    """Keep the bytes; once is enough."""
    async with services.writer() as connection:
        await SQL.keep_file(
            connection,
            shard=book.shard,
            book_id=book.book_id,
            sha256=sha256,
            content=data,
            at=at,
        )


def content_type(data: bytes) -> str | None:
    """What the bytes are: a whole PDF, PNG or JPEG, or None."""
    if data.startswith(b"%PDF-") and b"%%EOF" in data[-_TAIL:]:
        return "application/pdf"
    if data.startswith(_PNG) and data.endswith(_PNG_END):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff") and data.rstrip(b"\x00").endswith(b"\xff\xd9"):
        return "image/jpeg"
    return None


def problem(data: bytes) -> str | None:
    """What evidence this file breaks: size, content (there is none) or type; None if none."""
    if len(data) > MAX_BYTES:
        return "size"
    if not data:
        return "content"
    return "type" if content_type(data) is None else None
