"""The sandbox calls: the clock of a test book, and scripts of faults (contract, section 12).

A clock is moved by a worker, from due time to due time; the call waits for it up to ten seconds.
Faults are kept by the sandbox provider. Both are done once under an idempotency key: the key is
taken first, and a retry resumes what the first request has begun.
"""

import asyncio
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Final, Literal, cast

import msgspec

from clawback import clock
from clawback.db import queries
from clawback.errors import IdempotencyInProgress, Refused, Unavailable
from clawback.ids import PaymentId
from clawback.payments.refusals import FieldInvalid
from clawback.providers import port
from clawback.route import Answer, BodyT, Call, Kept, NoBody, NoQuery, QueryT, Route
from clawback.simulation.model import AskTime, BringAnswer, Clock, TakeKey

WAIT_SECONDS: Final = 10.0
LOOK_SECONDS: Final = (0.002, 0.003, 0.005, 0.01, 0.02, 0.05)
CALL_FAULTS: Final = frozenset({
    "none",
    "decline",
    "unavailable",
    "rate_limited",
    "timeout_before_effect",
    "timeout_after_effect",
    "error_after_effect",
    "bad_body",
    "wrong_amount",
    "never_settles",
    "fails_after_3_days",
})  # fmt: skip
NOTICE_FAULTS: Final = frozenset({
    "none", "lost", "duplicate", "out_of_order", "late", "bad_signature",
})  # fmt: skip

SQL: Final = queries.load(__package__, "queries.sql")

_ENCODER: Final = msgspec.json.Encoder()


# The clock


class ClockBody(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """Fields of POST /sandbox/clock: one of the two."""

    advance_seconds: int | None = None
    advance_to: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class ClockWire(msgspec.Struct, frozen=True, rename="camel"):
    """A book's clock beside the real one; `status` is advancing while it is being moved."""

    now: str
    real_now: str
    offset_seconds: int
    status: Literal["ready", "advancing"]


def _show(now: datetime, offset: int, *, is_ready: bool) -> Answer:
    shown = ClockWire(
        clock.wire_time(now),
        clock.wire_time(clock.book_time(now, -offset)),
        offset,
        "ready" if is_ready else "advancing",
    )
    return Answer(200, _ENCODER.encode(shown))


async def read_clock(call: Call[NoBody, NoQuery]) -> Answer | Refused:
    """GET /sandbox/clock."""
    offset, target = await _offset_and_target(call)
    now = clock.book_time(clock.real_now(), offset)
    return _show(now, offset, is_ready=target is None)


async def _offset_and_target(call: Call[BodyT, QueryT]) -> tuple[int, int | None]:
    async with call.services.reader() as connection:
        row = await SQL.read_clock(connection, shard=call.book.shard, book_id=call.book.book_id)
    return row["clock_offset_seconds"], row["clock_target_seconds"]


async def move_clock(call: Call[ClockBody, NoQuery]) -> Answer | Refused:
    """POST /sandbox/clock: forward only; answers once everything that fell due has run."""
    asked: Kept[Clock] = Kept()
    command = AskTime(seconds=call.body.advance_seconds, to=call.body.advance_to)
    outcome = await call.services.submit(call.book, command, asked, call.key)
    if asked.value is not None:
        assert asked.value.target_seconds is not None, "it was just asked for"
        wanted = asked.value.target_seconds
    elif isinstance(outcome, IdempotencyInProgress) and outcome.object_id is not None:
        wanted = int(outcome.object_id.removeprefix("clock_"))
    else:
        return outcome
    async with call.services.writer() as connection:
        await SQL.wake_clocks(connection)
    is_there = await _wait_until(call, wanted)

    def moved(told: Clock) -> Answer:
        return _show(told.now, told.offset_seconds, is_ready=is_there)

    return await call.services.submit(call.book, BringAnswer(), moved, call.key)


async def _wait_until(call: Call[BodyT, QueryT], wanted: int) -> bool:
    """Whether all that is due at this offset has been done, within ten seconds."""
    deadline = clock.monotonic() + WAIT_SECONDS
    looks = 0
    while clock.monotonic() < deadline:
        offset, target = await _offset_and_target(call)
        if target is None or offset > wanted:
            return True
        await asyncio.sleep(LOOK_SECONDS[min(looks, len(LOOK_SECONDS) - 1)])
        looks += 1
    return False


# Faults


class FaultBody(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """Fields of POST /sandbox/faults: one fault for each coming call, in order."""

    operation: Literal["charge", "refund", "lookup", "evidence", "accept", "webhook"]
    sequence: Annotated[list[str], msgspec.Meta(min_length=1, max_length=50)]
    transaction_id: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    repeat: bool | None = None


class FaultWire(msgspec.Struct, frozen=True, rename="camel"):
    """A script of faults, with what is still to come of it."""

    id: str
    operation: str
    remaining: tuple[str, ...]
    repeat: bool
    transaction_id: str | None


class FaultList(msgspec.Struct, frozen=True):
    """All scripts; they come whole."""

    data: list[FaultWire]


class FaultsCleared(msgspec.Struct, frozen=True):
    """How many scripts were forgotten."""

    ok: bool
    cleared: int


def _show_fault(script: port.FaultScript) -> FaultWire:
    reference = script.charge_reference
    ours = None if reference is None else port.parse_charge_reference(reference)
    return FaultWire(
        script.id,
        script.operation,
        script.remaining,
        script.repeat,
        None if ours is None else ours[0],
    )


def sandbox_of(call: Call[BodyT, QueryT]) -> port.Sandbox | None:
    """The sandbox provider's adapter, or None if the operator has set up none."""
    account = call.services.provider_account("sandbox", "default")
    return None if account is None else cast("port.Sandbox", account.adapter)


def reference_of(call: Call[BodyT, QueryT]) -> str | None:
    """What a request that carries a key is called where its effect is: the same in every retry."""
    if call.key is None:
        return None
    name = f"{call.book.book_id}:{call.key.key}:{call.key.fingerprint}"
    return sha256(name.encode()).hexdigest()[:20].upper()


async def list_faults(call: Call[NoBody, NoQuery]) -> Answer | Refused:
    """GET /sandbox/faults."""
    sandbox = sandbox_of(call)
    found = None if sandbox is None else await sandbox.faults(call.book.book_id)
    if found is None:
        return Unavailable()
    return Answer(200, _ENCODER.encode(FaultList([_show_fault(script) for script in found])))


async def clear_faults(call: Call[NoBody, NoQuery]) -> Answer | Refused:
    """DELETE /sandbox/faults."""
    sandbox = sandbox_of(call)
    cleared = None if sandbox is None else await sandbox.clear_faults(call.book.book_id)
    if cleared is None:
        return Unavailable()
    return Answer(200, _ENCODER.encode(FaultsCleared(ok=True, cleared=cleared)))


async def add_faults(call: Call[FaultBody, NoQuery]) -> Answer | Refused:
    """POST /sandbox/faults."""
    known = NOTICE_FAULTS if call.body.operation == "webhook" else CALL_FAULTS
    if not set(call.body.sequence) <= known:
        return FieldInvalid(param="sequence")
    name = call.body.transaction_id
    payment_id = None if name is None else PaymentId(name)
    taken = await call.services.submit(
        call.book, TakeKey(payment_id=payment_id), Kept[None](), call.key
    )
    is_resumed = isinstance(taken, IdempotencyInProgress)
    if not is_resumed and (isinstance(taken, Refused) or taken.replayed):
        return taken
    sandbox = sandbox_of(call)
    script = None if sandbox is None else await sandbox.add_fault(_fault(call))
    if script is None:
        return Unavailable()
    answer = Answer(201, _ENCODER.encode(_show_fault(script)))
    return await call.services.submit(call.book, BringAnswer(), lambda _: answer, call.key)


def _fault(call: Call[FaultBody, NoQuery]) -> port.FaultRequest:
    payment_id = call.body.transaction_id
    return port.FaultRequest(
        book=call.book.book_id,
        operation=call.body.operation,
        sequence=tuple(call.body.sequence),
        charge_reference=None
        if payment_id is None
        else port.charge_reference(PaymentId(payment_id), call.book.home_of(payment_id)),
        repeat=bool(call.body.repeat),
        reference=reference_of(call),
    )


ROUTES: Final = (
    Route(
        "GET",
        "/sandbox/clock",
        read_clock,
        "sandbox:use",
        "Show the book's clock",
        ClockWire,
        sandbox_only=True,
    ),
    Route(
        "POST",
        "/sandbox/clock",
        move_clock,
        "sandbox:use",
        "Move the book's clock forward",
        ClockWire,
        body=ClockBody,
        errors=("missing_field", "invalid_field"),
        sandbox_only=True,
    ),
    Route(
        "GET",
        "/sandbox/faults",
        list_faults,
        "sandbox:use",
        "List the scripts of faults",
        FaultList,
        sandbox_only=True,
    ),
    Route(
        "POST",
        "/sandbox/faults",
        add_faults,
        "sandbox:use",
        "Make coming provider calls go wrong",
        FaultWire,
        status=201,
        body=FaultBody,
        errors=("invalid_field", "not_found"),
        sandbox_only=True,
    ),
    Route(
        "DELETE",
        "/sandbox/faults",
        clear_faults,
        "sandbox:use",
        "Forget all scripts of faults",
        FaultsCleared,
        sandbox_only=True,
    ),
)
