"""The OpenAPI 3.1 document, made from the same records that serve the calls.

Money is `number` without a format: a format would tell generators to use a float type.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

import msgspec

from clawback import API_VERSION
from clawback.errors import STATUS
from clawback.money import Amount, Loose
from clawback.route import ANY_KEY, PROVIDER, Route

Document = dict[str, Any]

ALWAYS: Final = (
    "invalid_header",
    "invalid_parameter",
    "request_timeout",
    "body_too_large",
    "uri_too_long",
    "headers_too_large",
    "rate_limited",
    "internal_error",
    "overloaded",
    "unavailable",
)
"""What every call may answer before it is looked at closely, or when we are in trouble."""
KEYED: Final = (
    "key_in_url",
    "missing_api_key",
    "invalid_api_key",
    "sandbox_only",
    "invalid_version",
    "unsupported_media_type",
)
BODIED: Final = (
    "invalid_json",
    "duplicate_key",
    "unknown_field",
    "missing_field",
    "invalid_field",
    "invalid_amount",
)
POSTED: Final = (
    "invalid_idempotency_key",
    "idempotency_key_required",
    "idempotency_conflict",
)
IDEMPOTENCY_KEY: Final = {
    "type": "string",
    "maxLength": 255,
    "pattern": "^[!-~]([ -~]*[!-~])?$",
}
WITH_BODY: Final = frozenset({"POST", "PATCH"})
REF: Final = "#/components/schemas/{name}"


def _schema_of(kind: type) -> dict[str, Any]:
    """Schemas of the types that msgspec does not know."""
    if kind is Loose:
        return {"description": "Judged with its row."}
    if kind is Amount:
        return {"type": "number", "description": "Major units, exact."}
    raise TypeError(f"{kind} has no schema")


def make_document(routes: Iterable[Route], *, server: str = "/api/v1") -> Document:
    """The document of exactly these calls."""
    listed = tuple(routes)
    kinds = [
        kind for route in listed for kind in (route.body, route.query, route.answer, _ErrorBody)
    ]
    unique = list({str(kind): kind for kind in kinds}.values())
    schemas, components = msgspec.json.schema_components(
        unique, schema_hook=_schema_of, ref_template=REF
    )
    by_kind = {str(kind): schema for kind, schema in zip(unique, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for route in listed:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(
            route, by_kind, components
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Clawback",
            "version": API_VERSION,
            "description": "Payments, and giving them back: every refund is a claim.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server}],
        "paths": paths,
        "components": {
            "schemas": {name: _money_as_number(one) for name, one in components.items()},
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "sk_… or pk_…"}
            },
        },
    }


class _ErrorDetails(msgspec.Struct, frozen=True, rename="camel"):
    """What is wrong; program against `code`."""

    code: str
    type: str
    message: str
    request_id: str
    doc_url: str
    param: str | None = None
    details: dict[str, Any] | None = None


class _ErrorBody(msgspec.Struct, frozen=True):
    """Every error has this form."""

    error: _ErrorDetails


def _money_as_number(schema: dict[str, Any]) -> dict[str, Any]:
    """Rendered numbers (`Raw`) are written as numbers; msgspec knows them as anything."""
    if "properties" in schema:
        properties = {name: _number_for_anything(one) for name, one in schema["properties"].items()}
        return {**schema, "properties": properties}
    return schema


def _number_for_anything(schema: dict[str, Any]) -> dict[str, Any]:
    if schema == {}:
        return {"type": "number"}
    if {} in schema.get("anyOf", ()):
        return {**schema, "anyOf": [_number_for_anything(one) for one in schema["anyOf"]]}
    return schema


def _form(route: Route) -> dict[str, Any]:
    """The form of a call that takes a file: its text fields, and the file."""
    (schema,), components = msgspec.json.schema_components(
        (route.upload,), ref_template=REF, schema_hook=_schema_of
    )
    found = components[schema["$ref"].rsplit("/", 1)[1]]
    properties = {**found["properties"], "file": {"type": "string", "format": "binary"}}
    return {
        "type": "object",
        "properties": properties,
        "required": [*found.get("required", ()), "file"],
        "additionalProperties": False,
    }


def _operation(route: Route, by_kind: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": _name(route),
        "summary": route.summary,
        "parameters": [*_path_parameters(route), *_query(route, by_kind, components)],
        "responses": {
            str(route.status): {
                "description": "Done.",
                "content": {route.media_type: {"schema": by_kind[str(route.answer)]}},
            },
            **_errors(route, by_kind),
        },
        "security": [] if route.scope == PROVIDER else [{"key": []}],
    }
    if route.scope not in {ANY_KEY, PROVIDER}:
        made["x-scope"] = route.scope
    if route.method in WITH_BODY:
        made["requestBody"] = {
            "required": not route.empty_body,
            "content": {"application/json": {"schema": by_kind[str(route.body)]}},
        }
    if route.csv is not None:
        made["requestBody"]["content"]["text/csv"] = {"schema": {"type": "string"}}
    if route.upload is not None:
        made["requestBody"]["content"]["multipart/form-data"] = {"schema": _form(route)}
    if route.other_status is not None:
        made["responses"][str(route.other_status)] = made["responses"][str(route.status)]
    if route.method == "POST" and route.scope != PROVIDER:
        made["parameters"].append(_header("Idempotency-Key", IDEMPOTENCY_KEY))
    if route.simulate:
        made["parameters"].append(_header("Sandbox-Simulate", {"enum": list(route.simulate)}))
    return made


def _header(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "schema": schema}


def _name(route: Route) -> str:
    parts = [part.strip("{}").replace("-", "_") for part in route.path.strip("/").split("/")]
    return "_".join([route.method.lower(), *parts])


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in names
    ]


def _query(
    route: Route, by_kind: dict[str, Any], components: dict[str, Any]
) -> list[dict[str, Any]]:
    schema = by_kind[str(route.query)]
    schema = components[schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema
    times = {
        field.encode_name
        for field in msgspec.structs.fields(route.query)
        if field.type in {datetime, datetime | None}
    }
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "schema": _parameter(one, is_time=name in times),
        }
        for name, one in schema.get("properties", {}).items()
    ]


def _parameter(schema: dict[str, Any], *, is_time: bool) -> dict[str, Any]:
    """A parameter is absent, never null; a text is not empty."""
    found = next((one for one in schema.get("anyOf", ()) if one != {"type": "null"}), schema)
    if found.get("type") != "string":
        return found
    return {**found, "format": "date-time"} if is_time else {**found, "minLength": 1}


def _usual_errors(route: Route) -> Iterator[str]:
    """The codes of steps 2 to 5 and 7 that a call of this kind can meet."""
    if route.scope == PROVIDER:
        return
    yield from KEYED
    if route.scope != ANY_KEY:
        yield "key_kind_not_allowed"
        yield "scope_missing"
    if route.method in WITH_BODY:
        yield from BODIED
    if route.method == "POST":
        yield from POSTED
    if "{" in route.path:
        yield "route_not_found"


def _errors(route: Route, by_kind: dict[str, Any]) -> dict[str, Any]:
    codes = (*ALWAYS, *_usual_errors(route), *route.errors)
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(STATUS[code], []).append(code)
    return {
        str(status): {
            "description": ", ".join(dict.fromkeys(found)),
            "content": {"application/json": {"schema": by_kind[str(_ErrorBody)]}},
        }
        for status, found in sorted(by_status.items())
    }
