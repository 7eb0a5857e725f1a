"""Endpoints, deliveries and inbox messages as every call shows them (contract, section 10.2).

A delivery is named after its endpoint and the number of its event, so that its name is the same
however often it is tried. An endpoint's secret is in none of these rows.
"""

import re
from typing import TYPE_CHECKING, Final

import msgspec

from clawback import clock
from clawback.ids import base36
from clawback.lanes.endpoints import Endpoint
from clawback.lanes.state import BookState

if TYPE_CHECKING:
    from asyncpg import Record

_ENCODER: Final = msgspec.json.Encoder()
_DELIVERY: Final = re.compile(r"dlv_([0-9a-f]{16})([0-9a-z]{8})", re.ASCII)


class EndpointRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An endpoint, as it is listed and in events about it."""

    id: str
    url: str | None
    managed: bool
    events: tuple[str, ...]
    description: str | None
    active: bool
    disabled_reason: str | None
    created_at: str
    updated_at: str


class EndpointCreated(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A new endpoint, with the secret that is shown this once."""

    id: str
    url: str | None
    managed: bool
    events: tuple[str, ...]
    description: str | None
    active: bool
    disabled_reason: str | None
    secret: str
    created_at: str


class SecretRotated(msgspec.Struct, frozen=True, rename="camel"):
    """A new secret, and until when the one before it signs too."""

    id: str
    secret: str
    previous_secret_expires_at: str
    rotated_at: str


class DeliveryRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One endpoint's copy of an event, and how its delivery goes."""

    id: str
    event_id: str
    event: str
    status: str
    attempts: int
    last_status_code: int | None
    last_error: str | None
    next_attempt_at: str | None
    succeeded_at: str | None
    created_at: str
    related_id: str


class InboxRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a managed endpoint received: the headers and the very bytes."""

    id: str
    event_id: str
    headers: dict[str, str]
    body: str
    received_at: str


def row_fields(endpoint: Endpoint) -> EndpointRow:
    """The endpoint as it is listed."""
    return EndpointRow(
        id=endpoint.endpoint_id,
        url=endpoint.url,
        managed=endpoint.url is None,
        events=endpoint.events,
        description=endpoint.description,
        active=endpoint.active,
        disabled_reason=endpoint.disabled_reason,
        created_at=clock.wire_time(endpoint.created_at),
        updated_at=clock.wire_time(endpoint.updated_at),
    )


def created(endpoint: Endpoint, secret: str) -> EndpointCreated:
    """The new endpoint with its secret."""
    row = row_fields(endpoint)
    names = [name for name in row.__struct_fields__ if name != "updated_at"]
    return EndpointCreated(secret=secret, **{name: getattr(row, name) for name in names})


def delivery_id(endpoint_id: str, event_number: int) -> str:
    """How a delivery is called."""
    return f"dlv_{endpoint_id[3:]}{base36(event_number, 8).lower()}"


def read_delivery_id(name: str) -> tuple[str, int] | None:
    """Endpoint and event number that a delivery's name holds; None for what cannot be one."""
    found = _DELIVERY.fullmatch(name)
    return None if found is None else (f"wh_{found[1]}", int(found[2], 36))


def delivery_row(row: "Record") -> DeliveryRow:
    """The delivery as it is listed."""
    return DeliveryRow(
        id=delivery_id(row["endpoint_id"], row["event_number"]),
        event_id=row["event_id"],
        event=row["type"],
        status=row["status"],
        attempts=row["attempts"],
        last_status_code=row["last_status_code"],
        last_error=row["last_error"],
        next_attempt_at=clock.maybe_wire_time(row["next_attempt_at"]),
        succeeded_at=clock.maybe_wire_time(row["succeeded_at"]),
        created_at=clock.wire_time(row["created_at"]),
        related_id=row["object_id"],
    )


def inbox_row(row: "Record") -> InboxRow:
    """The message as it was received."""
    name = delivery_id(row["endpoint_id"], row["event_number"])
    return InboxRow(
        id=name,
        event_id=row["event_id"],
        headers={
            "content-type": "application/json",
            "webhook-id": row["event_id"],
            "webhook-timestamp": str(int(row["signed_at"].timestamp())),
            "webhook-signature": row["signature"],
            "clawback-delivery": name,
        },
        body=row["body"],
        received_at=clock.wire_time(row["received_at"]),
    )


def render_event_object(endpoint: Endpoint, _: BookState) -> bytes:
    """The endpoint as an event's `data.object`."""
    return _ENCODER.encode(row_fields(endpoint))
