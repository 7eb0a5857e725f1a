"""A strict reader of multipart/form-data: few parts, small heads, one file, nothing nested.

The body has been read whole and bounded before. What is not exactly in form is refused, never
guessed; text fields are decoded by the rules of JSON bodies, so that their faults read the same.
"""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

import msgspec

from clawback.errors import Refused
from clawback.http.decode import BodyDecoder
from clawback.http.faults import SHAPES, ShapeFault
from clawback.route import FileBody, Upload

MULTIPART: Final = b"multipart/form-data"
FILE: Final = "file"
MAX_PARTS: Final = 8
MAX_HEAD: Final = 1024
MAX_TEXT: Final = 4096
MAX_NAME: Final = 240

_BOUNDARY: Final = re.compile(
    rb"multipart/form-data\s*;\s*boundary=(?:\"([!-!#-\[\]-~ ]{1,70})\"|([!-~]{1,70}))\s*",
    re.IGNORECASE,
)
_DISPOSITION: Final = re.compile(
    r'form-data; name="([A-Za-z]{1,32})"(?:; filename="((?:[^"\\\r\n]|\\["\\])*)")?'
)
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f/\\]")
_ENCODER: Final = msgspec.json.Encoder()


class _Malformed(Exception):
    """The body is no multipart body in form."""


class _Part(msgspec.Struct, frozen=True):
    name: str
    filename: str | None
    data: bytes


def read_upload(
    body: bytes, headers: Mapping[bytes, bytes], fields: BodyDecoder[Any]
) -> FileBody | Refused:
    """The file with its fields, known by the digest of both; or what is wrong with it."""
    try:
        parts = _parts(body, _boundary(headers.get(b"content-type", b"")))
        texts = {part.name: part.data.decode() for part in parts if part.filename is None}
    except (_Malformed, UnicodeDecodeError):
        return _refusal(FILE, "invalid_field", "multipart")
    files = [part for part in parts if part.filename is not None]
    if any(part.name != FILE for part in files) or FILE in texts:
        name = next((part.name for part in files if part.name != FILE), FILE)
        return _refusal(name, "unknown_field" if name != FILE else "invalid_field")
    decoded = fields.decode(_ENCODER.encode(texts))
    if isinstance(decoded, Refused):
        return decoded
    if not files:
        return _refusal(FILE, "missing_field")
    (file,) = files
    digest = sha256(file.data).hexdigest()
    whole = sha256(_ENCODER.encode((sorted(texts.items()), file.filename, digest))).hexdigest()
    return FileBody(whole, Upload(decoded, file.filename or "", file.data, digest))


def _refusal(name: str, code: str, rule: str | None = None) -> Refused:
    return SHAPES[code](param=name, faults=(ShapeFault(name, code, rule),))


def _boundary(content_type: bytes) -> bytes:
    found = _BOUNDARY.fullmatch(content_type.strip())
    if found is None:
        raise _Malformed
    return b"--" + (found[1] or found[2])


def _parts(body: bytes, boundary: bytes) -> list[_Part]:
    """The parts between the boundaries. Raises: _Malformed, UnicodeDecodeError."""
    pieces = (b"\r\n" + body).split(b"\r\n" + boundary)
    if pieces[0] or len(pieces) == 1 or pieces[-1] not in {b"--", b"--\r\n"}:
        raise _Malformed
    if len(pieces) - 2 > MAX_PARTS:
        raise _Malformed
    parts = [_part(piece) for piece in pieces[1:-1]]
    if len({part.name for part in parts}) != len(parts):
        raise _Malformed
    return parts


def _part(piece: bytes) -> _Part:
    head, separator, data = piece.partition(b"\r\n\r\n")
    if not separator or not head.startswith(b"\r\n") or len(head) > MAX_HEAD:
        raise _Malformed
    said: dict[str, str] = {}
    for line in head[2:].decode().split("\r\n"):
        name, colon, value = line.partition(":")
        if not colon or name.lower() in said:
            raise _Malformed
        said[name.lower()] = value.strip()
    found = _DISPOSITION.fullmatch(said.pop("content-disposition", ""))
    said.pop("content-type", None)
    if found is None or said:
        raise _Malformed
    if found[2] is None:
        if len(data) > MAX_TEXT:
            raise _Malformed
        return _Part(found[1], None, data)
    return _Part(found[1], _clean(found[2]), data)


def _clean(filename: str) -> str:
    """The name of a file without folders or what no screen should be asked to show."""
    plain = filename.replace('\\"', '"').replace("\\\\", "\\")
    last = re.split(r"[/\\]", plain)[-1]
    shown = "".join(one for one in _UNSAFE.sub("", last) if one.isprintable()).strip()
    return shown[:MAX_NAME] or "file"
