"""From bytes to a typed body or query, or to a refusal that names every fault.

The good path is one pass of msgspec and a check for doubled keys. Only when that fails is the
body read again, slowly, to say exactly what is wrong, in the contract's order (section 3, step 5).
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec

from clawback.errors import Refused
from clawback.http.faults import (
    SHAPES,
    DuplicateKey,
    InvalidJson,
    InvalidParameter,
    ShapeFault,
)
from clawback.money import Amount, AmountError, NumberText, decode_loose, read_number

MAX_DEPTH: Final = 32
MAX_INTEGER_TEXT: Final = 4000
ORDER: Final = ("unknown_field", "missing_field", "invalid_field", "invalid_amount")

_PATH: Final = re.compile(r" - at `\$(.*)`$")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*?)`")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_FORMS: Final[dict[Any, re.Pattern[str]]] = {
    int: re.compile(r"-?[0-9]+", re.ASCII),
    int | None: re.compile(r"-?[0-9]+", re.ASCII),
    bool | None: re.compile("true|false"),
    datetime | None: re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T.+", re.ASCII),
    datetime: re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T.+", re.ASCII),
}
"""How a parameter must be written; the decoder would also take 1e1, null, and seconds as a time."""

T = TypeVar("T")


class BodyDecoder(Generic[T]):
    """Decodes the bodies of one call."""

    def __init__(self, kind: type[T], *, empty_body: bool) -> None:
        """`empty_body`: whether no body at all stands for `{}` on this call.

        Bug: the struct takes unknown fields, of which nobody would see that they are doubled.
        """
        struct = kind.__struct_config__  # type: ignore[attr-defined]  # a body is a struct
        assert struct.forbid_unknown_fields, kind
        self._kind = kind
        self._decoder = msgspec.json.Decoder(kind, float_hook=read_number, dec_hook=decode_loose)
        self._fields = msgspec.structs.fields(kind)  # type: ignore[arg-type]  # a struct type
        self._quoted = tuple(f'"{field.encode_name}"'.encode() for field in self._fields)
        self._empty_body = empty_body

    def decode(self, body: bytes) -> T | Refused:
        """The body, or what is wrong with it."""
        if not body:
            if not self._empty_body:
                return InvalidJson()
            body = b"{}"
        try:
            decoded = self._decoder.decode(body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return self._explain(body)
        if is_plain(body):
            seems_doubled = any(body.count(name) > 1 for name in self._quoted)
            return DuplicateKey() if seems_doubled and _names_twice(body) else decoded
        refused = _scan(body)
        return refused if isinstance(refused, Refused) else decoded

    def _explain(self, body: bytes) -> Refused:
        found = _scan(body)
        if isinstance(found, Refused):
            return found
        faults = list(self._faults(found))
        if not faults:
            return InvalidJson()
        faults.sort(key=lambda fault: (ORDER.index(fault.code), fault.param))
        first = faults[0]
        return SHAPES[first.code](param=first.param, faults=tuple(faults))

    def _faults(self, given: dict[str, Any]) -> "list[ShapeFault]":
        names = {field.encode_name for field in self._fields}
        faults = [ShapeFault(name, "unknown_field") for name in given if name not in names]
        one_of: tuple[str, ...] = getattr(self._kind, "one_of", ())
        if one_of and all(given.get(name) is None for name in one_of):
            faults.append(ShapeFault(one_of[0], "missing_field"))
        for field in self._fields:
            name = field.encode_name
            if field.required and given.get(name) is None:
                is_amount = field.type is Amount and name in given
                rule = "not_a_number" if is_amount else None
                faults.append(
                    ShapeFault(name, "invalid_amount" if is_amount else "missing_field", rule)
                )
            elif name in given:
                faults += _field_faults(name, given[name], field.type)
        return faults


def _field_faults(name: str, value: object, kind: Any) -> list[ShapeFault]:  # noqa: ANN401 - a type
    try:
        msgspec.convert(value, kind, dec_hook=decode_loose)
    except msgspec.ValidationError as error:
        path = _PATH.search(str(error))
        param = name + (path.group(1).replace("[...]", "") if path else "")
        cause = error.__cause__
        if isinstance(cause, AmountError):
            return [ShapeFault(param, "invalid_amount", cause.rule, cause.maximum, cause.decimals)]
        unknown = _UNKNOWN.match(str(error))
        if unknown is not None:
            return [ShapeFault(f"{param}.{unknown.group(1)}", "unknown_field")]
        return [ShapeFault(param, "invalid_field", _broken_rule(str(error)))]
    return []


def _broken_rule(said: str) -> str:
    """The contract's word for what the decoder found: pattern, length, value or type."""
    words = {"matching regex": "pattern", "length": "length", "enum value": "value"}
    return next((rule for word, rule in words.items() if word in said), "type")


def is_plain(body: bytes) -> bool:
    """Whether it is a flat object without escapes, in which quotes stand around strings only."""
    return b"\\" not in body and body.count(b"{") == 1 and b"\x00" not in body


def _names_twice(body: bytes) -> bool:
    """Whether a plain object names a key twice."""
    parts = body.split(b'"')
    keys = [
        parts[place]
        for place in range(1, len(parts) - 1, 2)
        if parts[place + 1].lstrip().startswith(b":")
    ]
    return len(set(keys)) != len(keys)


class _Doubled(dict[str, Any]):
    """An object that names a key twice."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    return made if len(made) == len(pairs) else _Doubled(made)


def _integer(text: str) -> int | NumberText:
    return int(text) if len(text) <= MAX_INTEGER_TEXT else NumberText(text)


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _scan(body: bytes) -> dict[str, Any] | Refused:
    """Read the body with every rule of the contract's section 1 on JSON."""
    try:
        text = body.decode("utf-8")
        found = json.loads(
            text,
            object_pairs_hook=_pairs,
            parse_float=NumberText,
            parse_int=_integer,
            parse_constant=_no_constant,
        )
    except (ValueError, RecursionError):
        return InvalidJson()
    if not isinstance(found, dict) or not _is_decent(found, MAX_DEPTH):
        return InvalidJson()
    return DuplicateKey() if _has_doubled(found) else found


def _has_doubled(value: object) -> bool:
    """Whether an object in it names a key twice; its depth is bounded already."""
    if isinstance(value, dict):
        return isinstance(value, _Doubled) or any(map(_has_doubled, value.values()))
    return isinstance(value, list) and any(map(_has_doubled, value))


def _is_decent(value: object, depth: int) -> bool:
    """No nesting beyond the limit, no NUL and no lone surrogate in any text."""
    if isinstance(value, str):
        return "\x00" not in value and _SURROGATE.search(value) is None
    if isinstance(value, dict):
        return depth > 0 and all(
            _is_decent(name, depth) and _is_decent(one, depth - 1) for name, one in value.items()
        )
    if isinstance(value, list):
        return depth > 0 and all(_is_decent(one, depth - 1) for one in value)
    return True


class QueryDecoder(Generic[T]):
    """Decodes the query parameters of one call."""

    def __init__(self, kind: type[T]) -> None:
        """`kind` is a struct whose fields are the parameters, text or converted from it."""
        self._kind = kind
        fields = msgspec.structs.fields(kind)  # type: ignore[arg-type]  # a struct type
        self._names = {field.encode_name for field in fields}
        self._forms = {
            field.encode_name: _FORMS[field.type] for field in fields if field.type in _FORMS
        }
        self._times = {
            field.encode_name: field.name
            for field in fields
            if field.type in {datetime, datetime | None}
        }
        self._required = sorted(field.encode_name for field in fields if field.required)

    def decode(self, query: bytes) -> T | Refused:
        """The parameters, or the first that is unknown, repeated or out of form."""
        found: dict[str, str] = {}
        for part in query.split(b"&") if query else ():
            raw_name, _, raw_value = part.partition(b"=")
            try:
                name = unquote_to_bytes(raw_name.replace(b"+", b" ")).decode()
                value = unquote_to_bytes(raw_value.replace(b"+", b" ")).decode()
            except UnicodeDecodeError:
                return InvalidParameter()
            if name not in self._names or name in found:
                return InvalidParameter(param=name[:64] if name.isprintable() else None)
            if not value or "\x00" in value or _SURROGATE.search(value):
                return InvalidParameter(param=name)
            if name in self._forms and self._forms[name].fullmatch(value) is None:
                return InvalidParameter(param=name)
            found[name] = value
        for name in self._required:
            if name not in found:
                return InvalidParameter(param=name)
        return self._convert(found)

    def _convert(self, found: Mapping[str, str]) -> T | Refused:
        try:
            converted = msgspec.convert(found, self._kind, strict=False)
        except msgspec.ValidationError as error:
            path = _PATH.search(str(error))
            return InvalidParameter(param=path.group(1).lstrip(".") if path else None)
        for name, field in self._times.items():
            at: datetime | None = getattr(converted, field)
            if at is not None and not _is_moment(at):
                return InvalidParameter(param=name)
        return converted


def _is_moment(at: datetime) -> bool:
    """Whether it says which moment it is, and UTC has a date for it."""
    try:
        at.astimezone(UTC)
    except OverflowError:
        return False
    return at.tzinfo is not None
