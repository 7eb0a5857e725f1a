"""What may be done with webhook endpoints, and when a failed delivery is tried again. Pure.

A book has at most twenty endpoints. A secret arrives here sealed. An endpoint that is switched off
by us is told about to the others; the worker decides nothing by itself but what the schedule says.
"""

from datetime import datetime, timedelta
from typing import Final

import msgspec

from clawback.errors import NotFound, Refused
from clawback.lanes.command import Command, Decide, Decided, Reads
from clawback.lanes.endpoints import Delivery, Endpoint, Replay
from clawback.lanes.state import Draft

MAX_ENDPOINTS: Final = 20
OVERLAP: Final = timedelta(hours=24)
PATIENCE: Final = timedelta(days=5)
"""How long an endpoint may fail without one success before it is switched off."""
SECOND: Final = 1000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
WAITS_MS: Final = (
    5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR,
    12 * HOUR, 24 * HOUR,
)  # fmt: skip
"""Between one failed try and the next; after the last of them nothing is tried any more."""
MAX_WAIT_MS: Final = 24 * HOUR
JITTER: Final = 200
"""Waits vary by so many thousandths."""
EVENT_TYPES: Final = (
    *(f"payment.{name}" for name in (
        "created", "processing", "completed", "failed", "expired", "updated", "refunded",
        "chargeback", "reinstated",
    )),
    *(f"claim.{name}" for name in (
        "opened", "updated", "approved", "released", "rejected", "canceled", "failed", "reversed",
        "reopened", "deadline_near", "excess_recorded",
    )),
    "webhook.disabled",
)  # fmt: skip
EVENT_PATTERNS: Final = frozenset({*EVENT_TYPES, "payment.*", "claim.*", "*"})


class WebhookUrlRefused(Refused, frozen=True, kw_only=True):
    """The URL breaks a rule of the contract, section 10.3."""

    code = "webhook_url_refused"
    message = "Webhooks are not sent to this URL; details.rule says why."
    rule: str

    def details(self) -> dict[str, object]:
        """The rule that it breaks."""
        return {"rule": self.rule}


class WebhookLimitReached(Refused, frozen=True, kw_only=True):
    """The book has as many endpoints as it may."""

    code = "webhook_limit_reached"
    message = "This book has as many webhook endpoints as it may have."

    def details(self) -> dict[str, object]:
        """How many that is."""
        return {"limit": MAX_ENDPOINTS}


class Changed(msgspec.Struct, frozen=True):
    """An endpoint after a command."""

    endpoint: Endpoint


class Rotated(msgspec.Struct, frozen=True):
    """An endpoint with a new secret, since when, and until when the old one signs too."""

    endpoint: Endpoint
    at: datetime
    previous_until: datetime


class Requeued(msgspec.Struct, frozen=True):
    """A delivery that is tried again, and what it was before."""

    previous_status: str
    next_attempt_at: datetime


class Queued(msgspec.Struct, frozen=True):
    """How many events a replay delivers again."""

    count: int


class EndpointCommand(Command, frozen=True, kw_only=True):
    """Base of the commands on one endpoint. `actor`: who asks, None for the worker."""

    endpoint_id: str
    actor: str | None = None
    principal: str | None = None

    def reads(self) -> Reads:
        """The book's endpoints."""
        return Reads(webhooks=True)


class CreateEndpoint(EndpointCommand, frozen=True, kw_only=True):
    """Have events sent to a URL, or without one kept in an inbox.

    `url_rule`: the rule that the URL was found to break, if it breaks one.
    """

    url: str | None
    url_rule: str | None
    events: tuple[str, ...]
    description: str | None
    sealed_secret: str


class ChangeEndpoint(EndpointCommand, frozen=True, kw_only=True):
    """Change the fields that `fields` names to what is given here."""

    fields: tuple[str, ...]
    url: str | None = None
    url_rule: str | None = None
    events: tuple[str, ...] = ()
    active: bool = True
    description: str | None = None


class RemoveEndpoint(EndpointCommand, frozen=True, kw_only=True):
    """Forget an endpoint and its deliveries; the events stay."""


class RotateSecret(EndpointCommand, frozen=True, kw_only=True):
    """Sign with a new secret; `is_immediate` ends the old one at once. `real_now`: real time."""

    sealed_secret: str
    is_immediate: bool
    real_now: datetime


class DisableEndpoint(EndpointCommand, frozen=True, kw_only=True):
    """Switch an endpoint off that is gone, or has failed too long."""

    reason: str


class ReplayDelivery(EndpointCommand, frozen=True, kw_only=True):
    """Try one delivery again, now."""

    event_number: int

    def reads(self) -> Reads:
        """The book's endpoints, and the delivery's row, locked against the worker."""
        return Reads(webhooks=True, deliveries=((self.endpoint_id, self.event_number),))


class ReplayEvents(EndpointCommand, frozen=True, kw_only=True):
    """Deliver the events of a time again, up to the event numbered `last_number`.

    `count`: how many these are, as was counted just before.
    """

    replay_id: str
    since: datetime
    until: datetime | None
    include_succeeded: bool
    first_number: int
    last_number: int
    count: int


def decide_create(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """Add an endpoint; it gets events from now on.

    Refuses: WebhookUrlRefused, WebhookLimitReached.
    """
    assert isinstance(command, CreateEndpoint), command
    if command.url_rule is not None:
        return WebhookUrlRefused(param="url", rule=command.url_rule)
    if len(draft.webhooks.all()) >= MAX_ENDPOINTS:
        return WebhookLimitReached()
    endpoint = Endpoint(
        endpoint_id=command.endpoint_id,
        book_id=draft.book.book_id,
        url=command.url,
        events=command.events,
        description=command.description,
        active=True,
        disabled_reason=None,
        from_number=draft.head.event_number,
        sealed_secret=command.sealed_secret,
        sealed_previous=None,
        previous_until=None,
        created_at=now,
        updated_at=now,
        removed_at=None,
    )
    draft.webhooks.put(endpoint)
    _note(draft, command, "endpoint_created", command.url)
    return Decided(response=Changed(endpoint), object_id=endpoint.endpoint_id)


def _note(draft: Draft, command: EndpointCommand, action: str, note: str | None = None) -> None:
    """The act in the trail: where events go, and who sent them there."""
    assert command.actor is not None, command
    draft.evidence.act(
        action,
        command.endpoint_id,
        actor=command.actor,
        principal=command.principal,
        note=None if note is None else note[:500],
    )


def decide_change(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """Change an endpoint; one that is switched on gets events from now on.

    Refuses: NotFound, WebhookUrlRefused.
    """
    assert isinstance(command, ChangeEndpoint), command
    endpoint = draft.webhooks.find(command.endpoint_id)
    if endpoint is None:
        return NotFound()
    if command.url_rule is not None:
        return WebhookUrlRefused(param="url", rule=command.url_rule)
    given: dict[str, object] = {name: getattr(command, name) for name in command.fields}
    if given.get("active") and not endpoint.active:
        given |= {"disabled_reason": None, "from_number": draft.head.event_number}
    changed = msgspec.structs.replace(endpoint, **given)
    if changed != endpoint:
        changed = draft.webhooks.put(msgspec.structs.replace(changed, updated_at=now))
        _note(draft, command, "endpoint_changed", " ".join(command.fields))
    return Decided(response=Changed(changed))


def decide_remove(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """Remove an endpoint and forget its secrets. Refuses: NotFound."""
    assert isinstance(command, RemoveEndpoint), command
    endpoint = draft.webhooks.find(command.endpoint_id)
    if endpoint is None:
        return NotFound()
    removed = msgspec.structs.replace(
        endpoint,
        active=False,
        disabled_reason=None,
        sealed_secret="",
        sealed_previous=None,
        previous_until=None,
        updated_at=now,
        removed_at=now,
    )
    draft.webhooks.put(removed)
    _note(draft, command, "endpoint_removed")
    return Decided(response=Changed(removed))


def decide_rotate(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """Take the new secret; the last one signs on for a day of real time. Refuses: NotFound."""
    assert isinstance(command, RotateSecret), command
    endpoint = draft.webhooks.find(command.endpoint_id)
    if endpoint is None:
        return NotFound()
    until = command.real_now + (timedelta() if command.is_immediate else OVERLAP)
    rotated = msgspec.structs.replace(
        endpoint,
        sealed_secret=command.sealed_secret,
        sealed_previous=None if command.is_immediate else endpoint.sealed_secret,
        previous_until=None if command.is_immediate else until,
        updated_at=now,
    )
    draft.webhooks.put(rotated)
    _note(draft, command, "endpoint_secret_rotated")
    return Decided(
        response=Rotated(rotated, command.real_now, until), object_id=rotated.endpoint_id
    )


def decide_disable(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """Switch an endpoint off and tell the others. One that is off already stays as it is."""
    assert isinstance(command, DisableEndpoint), command
    endpoint = draft.webhooks.find(command.endpoint_id)
    if endpoint is None or not endpoint.active:
        return Decided()
    disabled = msgspec.structs.replace(
        endpoint, active=False, disabled_reason=command.reason, updated_at=now
    )
    draft.webhooks.put(disabled)
    draft.tell("webhook.disabled", disabled, actor="worker", is_notice=True)
    return Decided(response=Changed(disabled))


def decide_replay_delivery(draft: Draft, command: Command, now: datetime) -> Refused | Decided:
    """Start a delivery's schedule anew; its attempts count on. Refuses: NotFound."""
    assert isinstance(command, ReplayDelivery), command
    endpoint = draft.webhooks.find(command.endpoint_id)
    found = draft.webhooks.delivery((command.endpoint_id, command.event_number))
    if endpoint is None or found is None:
        return NotFound()
    draft.webhooks.put_delivery(
        Delivery(
            endpoint_id=found.endpoint_id,
            event_number=found.event_number,
            book_id=found.book_id,
            status="pending",
            tries=0,
            next_attempt_at=now,
        )
    )
    return Decided(response=Requeued(found.status, now))


def decide_replay_events(draft: Draft, command: Command, _: datetime) -> Refused | Decided:
    """Leave word which events are to be delivered again. Refuses: NotFound."""
    assert isinstance(command, ReplayEvents), command
    endpoint = draft.webhooks.find(command.endpoint_id)
    if endpoint is None:
        return NotFound()
    if command.count:
        draft.webhooks.replay(
            Replay(
                replay_id=command.replay_id,
                book_id=draft.book.book_id,
                endpoint_id=endpoint.endpoint_id,
                since=command.since,
                until=command.until,
                include_succeeded=command.include_succeeded,
                position=command.first_number - 1,
                last_number=command.last_number,
            )
        )
    return Decided(response=Queued(command.count))


def next_wait_ms(tries: int, *, draw: int, asked_ms: int = 0) -> int | None:
    """How long to wait after so many failed tries, in ms; None: never again.

    `draw`: 0 to 2 * JITTER, evenly. `asked_ms`: the receiver's Retry-After, obeyed up to a day.
    """
    if tries > len(WAITS_MS):
        return None
    wait = WAITS_MS[tries - 1] * (1000 - JITTER + draw) // 1000
    return max(wait, min(asked_ms, MAX_WAIT_MS))


DECIDE: Final[dict[type, Decide]] = {
    CreateEndpoint: decide_create,
    ChangeEndpoint: decide_change,
    RemoveEndpoint: decide_remove,
    RotateSecret: decide_rotate,
    DisableEndpoint: decide_disable,
    ReplayDelivery: decide_replay_delivery,
    ReplayEvents: decide_replay_events,
}
