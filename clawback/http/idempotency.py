"""Idempotency keys: their form, and the fingerprint of the request that they stand for.

The fingerprint is SHA-256 over method, path template, path and query parameters, version,
Sandbox-Simulate and the parsed body in a canonical form: keys sorted, numbers as plain decimals,
nulls dropped, strings untouched (contract, section 4).
"""

from hashlib import sha256
from typing import Final

import msgspec

from clawback.money import Amount, AmountError, Loose, NumberText, major, read_amount
from clawback.route import FileBody, IdempotencyKey, Route

MAX_LENGTH: Final = 255


def _canonical(value: object) -> object:
    """A number as a plain decimal; one that no amount can be stays as it was written."""
    if isinstance(value, Loose):
        return value.value
    if not isinstance(value, NumberText):
        assert isinstance(value, Amount), value
        return major(value.units, value.scale)
    try:
        return read_amount(value.text)
    except AmountError:
        return msgspec.Raw(value.text.encode())


_ENCODER: Final = msgspec.json.Encoder(order="sorted", enc_hook=_canonical)


def is_key(header: bytes) -> bool:
    """Whether it can be a key: 1 to 255 printable ASCII characters."""
    text = header.decode("latin-1")
    return 1 <= len(header) <= MAX_LENGTH and text.isascii() and text.isprintable()


def read_key(
    header: bytes,
    route: Route,
    path: dict[str, str],
    query: bytes,
    version: str,
    simulate: str | None,
    body: object,
) -> IdempotencyKey:
    """The key with its request's fingerprint. The header `is_key`."""
    canonical = _ENCODER.encode(
        (route.method, route.path, path, query.decode("latin-1"), version, simulate, _plain(body))
    )
    return IdempotencyKey(
        f"{route.method} {route.path}", header.decode("ascii"), sha256(canonical).hexdigest()
    )


def _plain(body: object) -> dict[str, object]:
    """The fields that were given, without nulls; of a file its digest."""
    if isinstance(body, FileBody):
        return {"sha256": body.sha256}
    if not isinstance(body, msgspec.Struct):
        return {}
    return {
        name: value
        for name in body.__struct_fields__
        if (value := getattr(body, name)) is not None and value is not msgspec.UNSET
    }
