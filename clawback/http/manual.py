"""The manual at /docs: every call with its fields and errors, as one page that works offline.

Made from the OpenAPI document and the error catalogue; no script, nothing loaded from elsewhere.
"""

from html import escape
from typing import Any

from clawback.errors import STATUS, Refused
from clawback.http.openapi import Document

_HEAD = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<title>{title}</title><link rel="stylesheet" href="/static/manual.css"></head><body>'
)


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[1]
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(str(one) for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def _fields(document: Document, schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    rows = [
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(_type(one))}</td>"
        f"<td>{'required' if name in schema.get('required', ()) else ''}</td></tr>"
        for name, one in schema.get("properties", {}).items()
    ]
    return f"<table>{''.join(rows)}</table>" if rows else "<p>No fields.</p>"


def _call(document: Document, path: str, method: str, operation: dict[str, Any]) -> str:
    head = (
        f'<section id="{escape(operation["operationId"])}"><h2><span class="method">'
        f"{method.upper()}</span> {escape(path)}</h2><p>{escape(operation['summary'])}</p>"
    )
    parts = [head]
    parameters = [one for one in operation["parameters"] if one["in"] != "path"]
    if parameters:
        rows = "".join(
            f"<tr><td><code>{escape(one['name'])}</code></td><td>{escape(one['in'])}</td>"
            f"<td>{escape(_type(one['schema']))}</td></tr>"
            for one in parameters
        )
        parts.append(f"<h3>Parameters</h3><table>{rows}</table>")
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        parts.append(f"<h3>Body</h3>{_fields(document, schema)}")
    for status, answer in operation["responses"].items():
        if status.startswith("2"):
            parts += (
                f"<h3>{status}, {escape(media)}</h3>{_fields(document, one['schema'])}"
                for media, one in answer["content"].items()
            )
        else:
            links = ", ".join(
                f'<a href="/docs/errors#{code}">{code}</a>'
                for code in answer["description"].split(", ")
            )
            parts.append(f"<p><b>{status}</b> {links}</p>")
    return "".join(parts) + "</section>"


def manual_page(document: Document) -> str:
    """Every call of the document."""
    calls = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    index = "".join(
        f'<li><a href="#{escape(operation["operationId"])}"><code>{method.upper()} '
        f"{escape(path)}</code></a> {escape(operation['summary'])}</li>"
        for path, method, operation in calls
    )
    body = "".join(_call(document, *one) for one in calls)
    return (
        _HEAD.format(title="Clawback API")
        + "<header><h1>Clawback API</h1><p>Version "
        + escape(document["info"]["version"])
        + '. Every path begins with <code>/api/v1</code>. <a href="/docs/errors">Errors</a> · '
        + '<a href="/openapi.json">OpenAPI</a></p></header>'
        + f"<nav><ul>{index}</ul></nav><main>{body}</main></body></html>"
    )


def _classes(kind: type[Refused]) -> list[type[Refused]]:
    found = []
    for one in kind.__subclasses__():
        found += [one, *_classes(one)]
    return found


def error_page() -> str:
    """Every error code, with its status and what it says."""
    said = {one.code: one.message for one in _classes(Refused) if hasattr(one, "code")}
    rows = "".join(
        f'<section id="{code}"><h2>{code}</h2><p><b>{status}</b> '
        f"{escape(said.get(code, 'Reserved for a call that this release does not have.'))}</p>"
        "</section>"
        for code, status in STATUS.items()
    )
    return (
        _HEAD.format(title="Clawback errors")
        + "<header><h1>Errors</h1><p>Program against <code>error.code</code>; quote "
        + "<code>error.requestId</code> when you ask about one. "
        + '<a href="/docs">All calls</a></p></header>'
        + f"<main>{rows}</main></body></html>"
    )
