"""The calls on webhook endpoints: make, show, change, remove, new secret (contract, section 10.2).

Every change is a command on the book's lane. A secret is minted here, shown in the one answer that
makes it, and sealed before it goes anywhere; an answer that is kept under an idempotency key is
kept sealed too, and opened for the caller only.
"""

import base64
import secrets
from collections.abc import Callable
from typing import Annotated, Final, TypeVar, cast

import msgspec

from clawback import clock, logs
from clawback.db import queries
from clawback.egress import Egress
from clawback.errors import InternalError, NotFound, Refused, Unavailable
from clawback.ids import opaque
from clawback.lanes.endpoints import Endpoint
from clawback.lists import ListQuery, Pagination, paginate, read_page
from clawback.route import Answer, Call, NoBody, NoQuery, Route
from clawback.seal import Seal, SealBroken, of_answer, of_endpoint
from clawback.webhooks.model import (
    EVENT_PATTERNS,
    Changed,
    ChangeEndpoint,
    CreateEndpoint,
    RemoveEndpoint,
    Rotated,
    RotateSecret,
)
from clawback.webhooks.wire import (
    EndpointCreated,
    EndpointRow,
    SecretRotated,
    created,
    row_fields,
)

SQL: Final = queries.load(__package__, "queries.sql")
SECRET_BYTES: Final = 32
SCOPE: Final = "webhooks:manage"

_ENCODER: Final = msgspec.json.Encoder()
_ROW: Final = msgspec.json.Decoder(Endpoint)
_NAMES: Final = "|".join(name.replace(".", r"\.").replace("*", r"\*") for name in EVENT_PATTERNS)

Patterns = Annotated[
    list[Annotated[str, msgspec.Meta(pattern=rf"\A({_NAMES})\Z")]],
    msgspec.Meta(min_length=1, max_length=len(EVENT_PATTERNS)),
]
Description = Annotated[str, msgspec.Meta(max_length=240)]

BodyT = TypeVar("BodyT")
QueryT = TypeVar("QueryT")
ResponseT = TypeVar("ResponseT")

log = logs.get_logger()


class CreateBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields of POST /webhooks."""

    events: Patterns
    url: str | None = None
    description: Description | None = None


class ChangeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields of PATCH /webhooks/{id}; null clears a field, what is not given stays."""

    url: str | msgspec.UnsetType | None = msgspec.UNSET
    events: Patterns | msgspec.UnsetType = msgspec.UNSET
    active: bool | msgspec.UnsetType = msgspec.UNSET
    description: Description | msgspec.UnsetType | None = msgspec.UNSET


class RotateBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields of POST /webhooks/{id}/rotate-secret."""

    immediate: bool | None = None


class EndpointList(msgspec.Struct, frozen=True):
    """A page of endpoints."""

    data: list[EndpointRow]
    pagination: Pagination


class Removed(msgspec.Struct, frozen=True):
    """The endpoint is gone."""

    ok: bool
    id: str


async def find_endpoint(call: Call[BodyT, QueryT]) -> Endpoint | None:
    """The endpoint that the path names, if this book has it."""
    async with call.services.reader() as connection:
        row = await SQL.find_endpoint(
            connection,
            shard=call.book.shard,
            book_id=call.book.book_id,
            endpoint_id=call.path["id"],
        )
    return None if row is None else _ROW.decode(row["row"])


async def _broken_rule(call: Call[BodyT, NoQuery], url: str | None) -> str | None:
    """The rule that a URL breaks; a managed inbox breaks none."""
    egress = cast("Egress", call.services.egress())
    return None if url is None else await egress.check(url, call.book.mode)


def _mint() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


async def create(call: Call[CreateBody, NoQuery]) -> Answer | Refused:
    """POST /webhooks: an endpoint with its secret."""
    seal, body = call.services.seal(), call.body
    if seal is None:
        return _no_seal()
    endpoint_id, secret = opaque("wh_"), _mint()

    def shown(changed: Changed) -> Answer:
        made = _ENCODER.encode(created(changed.endpoint, secret))
        return Answer(201, made, f"/api/v1/webhooks/{endpoint_id}")

    command = CreateEndpoint(
        endpoint_id=endpoint_id,
        actor=call.caller.actor,
        principal=call.caller.person,
        url=body.url,
        url_rule=await _broken_rule(call, body.url),
        events=tuple(dict.fromkeys(body.events)),
        description=body.description,
        sealed_secret=seal.close_text(secret, about=of_endpoint(call.book.book_id, endpoint_id)),
    )
    return await _submit_secret(call, command, shown, seal)


async def rotate(call: Call[RotateBody, NoQuery]) -> Answer | Refused:
    """POST /webhooks/{id}/rotate-secret: a new secret; the old one signs on for a day."""
    seal, endpoint_id = call.services.seal(), call.path["id"]
    if seal is None:
        return _no_seal()
    secret = _mint()

    def shown(rotated: Rotated) -> Answer:
        until = clock.wire_time(rotated.previous_until)
        row = SecretRotated(endpoint_id, secret, until, clock.wire_time(rotated.at))
        return Answer(200, _ENCODER.encode(row))

    command = RotateSecret(
        endpoint_id=endpoint_id,
        actor=call.caller.actor,
        principal=call.caller.person,
        sealed_secret=seal.close_text(secret, about=of_endpoint(call.book.book_id, endpoint_id)),
        is_immediate=call.body.immediate or False,
        real_now=call.real_now,
    )
    return await _submit_secret(call, command, shown, seal)


async def _submit_secret(
    call: Call[BodyT, NoQuery],
    command: msgspec.Struct,
    shown: Callable[[ResponseT], Answer],
    seal: Seal,
) -> Answer | Refused:
    """Submit a command whose answer holds a secret: under a key it is stored sealed."""
    if call.key is None:
        return await call.services.submit(call.book, command, shown)
    about = of_answer(call.book.book_id, call.key.route, call.key.key)

    def closed(response: ResponseT) -> Answer:
        plain = shown(response)
        body = seal.close_text(plain.body.decode(), about=about).encode()
        return msgspec.structs.replace(plain, body=body)

    outcome = await call.services.submit(call.book, command, closed, call.key)
    if isinstance(outcome, Refused):
        return outcome
    try:
        body = seal.open_text(outcome.body.decode(), about=about)
    except SealBroken:
        log.exception("kept_answer_not_opened")
        return InternalError()
    return msgspec.structs.replace(outcome, body=body.encode())


def _no_seal() -> Refused:
    log.error("no_seal_key", advice="set CLAWBACK_SEAL_KEY_FILE: webhook secrets are kept sealed")
    return Unavailable()


async def change(call: Call[ChangeBody, NoQuery]) -> Answer | Refused:
    """PATCH /webhooks/{id}."""
    body = call.body
    given = {
        name: value
        for name in body.__struct_fields__
        if (value := getattr(body, name)) is not msgspec.UNSET
    }
    if "events" in given:
        given["events"] = tuple(dict.fromkeys(given["events"]))
    command = ChangeEndpoint(
        endpoint_id=call.path["id"],
        actor=call.caller.actor,
        principal=call.caller.person,
        fields=tuple(given),
        url_rule=await _broken_rule(call, given.get("url")),
        **given,
    )

    def shown(changed: Changed) -> Answer:
        return Answer(200, _ENCODER.encode(row_fields(changed.endpoint)))

    return await call.services.submit(call.book, command, shown)


async def remove(call: Call[NoBody, NoQuery]) -> Answer | Refused:
    """DELETE /webhooks/{id}."""

    def shown(changed: Changed) -> Answer:
        removed = Removed(ok=True, id=changed.endpoint.endpoint_id)
        return Answer(200, _ENCODER.encode(removed))

    command = RemoveEndpoint(
        endpoint_id=call.path["id"],
        actor=call.caller.actor,
        principal=call.caller.person,
    )
    return await call.services.submit(call.book, command, shown)


async def read(call: Call[NoBody, NoQuery]) -> Answer | Refused:
    """GET /webhooks/{id}."""
    endpoint = await find_endpoint(call)
    if endpoint is None:
        return NotFound()
    return Answer(200, _ENCODER.encode(row_fields(endpoint)))


async def list_endpoints(call: Call[NoBody, ListQuery]) -> Answer | Refused:
    """GET /webhooks, newest first."""
    page = read_page(call.query)
    if isinstance(page, Refused):
        return page
    filters = {
        "shard": call.book.shard,
        "book_id": call.book.book_id,
        "from_time": call.query.from_,
        "to_time": call.query.to,
    }
    async with call.services.reader() as connection:
        rows = await SQL.list_endpoints(
            connection, **filters, after_id=page.after, limit=page.limit + 1, offset=page.offset
        )
        total = (await SQL.count_endpoints(connection, **filters))["total"] if page.counts else None
    found = [row_fields(_ROW.decode(row["row"])) for row in rows[: page.limit]]
    last = found[-1].id if found else None
    shown = EndpointList(found, paginate(page, total, last, has_more=len(rows) > page.limit))
    return Answer(200, _ENCODER.encode(shown))


ROUTES: Final = (
    Route(
        "POST",
        "/webhooks",
        create,
        SCOPE,
        "Have events sent to a URL, or kept in an inbox",
        EndpointCreated,
        status=201,
        body=CreateBody,
        errors=("webhook_url_refused", "webhook_limit_reached"),
    ),
    Route(
        "GET",
        "/webhooks",
        list_endpoints,
        SCOPE,
        "List webhook endpoints, newest first",
        EndpointList,
        query=ListQuery,
        errors=("invalid_parameter",),
    ),
    Route(
        "GET",
        "/webhooks/{id}",
        read,
        SCOPE,
        "Show a webhook endpoint",
        EndpointRow,
        errors=("not_found",),
    ),
    Route(
        "PATCH",
        "/webhooks/{id}",
        change,
        SCOPE,
        "Change a webhook endpoint, or switch it off and on",
        EndpointRow,
        body=ChangeBody,
        errors=("not_found", "webhook_url_refused"),
    ),
    Route(
        "DELETE",
        "/webhooks/{id}",
        remove,
        SCOPE,
        "Remove a webhook endpoint with its deliveries",
        Removed,
        errors=("not_found",),
    ),
    Route(
        "POST",
        "/webhooks/{id}/rotate-secret",
        rotate,
        SCOPE,
        "Give a webhook endpoint a new secret",
        SecretRotated,
        body=RotateBody,
        errors=("not_found",),
    ),
)
