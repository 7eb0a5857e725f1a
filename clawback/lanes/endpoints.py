"""Webhook endpoints in a batch: their rows, what a command sees of them, and how they are written.

Only commands that ask for `webhooks` load them, by a call of their own under the same head rows,
and only batches that change one write them, by another: a batch of refunds makes neither call.
Their rows go between Python and PostgreSQL as the others do, field by field, as JSON. What an
endpoint is told, and when, is the worker's affair: no lane waits for it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

from clawback.db import queries
from clawback.ids import BookId
from clawback.lanes.command import NotLoaded, Reads

if TYPE_CHECKING:
    from asyncpg import Connection

SQL: Final = queries.load(__package__, "sql/endpoints.sql")


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where a book's events are sent; without `url` a managed inbox. Secrets are sealed.

    It gets events with a number above `from_number`. Times are the book's, but `previous_until`,
    the end of a replaced secret, which is real time. A removed one is kept until its deliveries
    are gone.
    """

    endpoint_id: str
    book_id: BookId
    url: str | None
    events: tuple[str, ...]
    description: str | None
    active: bool
    disabled_reason: str | None
    from_number: int
    sealed_secret: str
    sealed_previous: str | None
    previous_until: datetime | None
    created_at: datetime
    updated_at: datetime
    removed_at: datetime | None

    @property
    def status(self) -> str:
        """What an event about it says that it became."""
        return "active" if self.active else "disabled"

    @property
    def version(self) -> None:
        """Endpoints have no versions: an event about one is a notice."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What a command may change of a delivery: when it is tried next."""

    endpoint_id: str
    event_number: int
    book_id: BookId
    status: str
    tries: int
    next_attempt_at: datetime | None


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """Events of a time that are to be delivered again; the worker queues them."""

    replay_id: str
    book_id: BookId
    endpoint_id: str
    since: datetime
    until: datetime | None
    include_succeeded: bool
    position: int
    last_number: int


DeliveryName = tuple[str, int]
"""Endpoint and number of the event."""


class Loaded(msgspec.Struct, frozen=True):
    """What one load returned."""

    endpoints: tuple[Endpoint, ...] | None = None
    deliveries: tuple[Delivery, ...] | None = None


class EndpointChanges(msgspec.Struct, frozen=True):
    """What one batch writes."""

    endpoints: list[Endpoint] = []
    endpoint_changes: list[Endpoint] = []
    deliveries: list[Delivery] = []
    replays: list[Replay] = []

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return any(getattr(self, name) for name in self.__struct_fields__)


_LOADED: Final = msgspec.json.Decoder(Loaded)
_ENCODER: Final = msgspec.json.Encoder()


async def load(
    session: "Connection", shard: int, reads: Sequence[tuple[BookId, Reads]]
) -> Loaded | None:
    """The endpoints that are asked for, under the head rows of the batch; None if none are."""
    if not any(read.webhooks or read.deliveries for _, read in reads):
        return None
    wanted = sorted({name for _, read in reads for name in read.deliveries})
    row = await SQL.load_endpoints(
        session,
        shard=shard,
        books=sorted({book for book, read in reads if read.webhooks or read.deliveries}),
        endpoints=[endpoint_id for endpoint_id, _ in wanted],
        numbers=[number for _, number in wanted],
    )
    return _LOADED.decode(row["rows"])


async def write(session: "Connection", shard: int, changes: EndpointChanges) -> None:
    """Write what the batch changed, if it changed anything."""
    if changes:
        rows = {
            name: _ENCODER.encode(getattr(changes, name)).decode()
            for name in changes.__struct_fields__
        }
        await SQL.apply_endpoints(session, shard=shard, **rows)


class BookEndpoints:
    """One book's endpoints in a batch, and what its accepted commands made of them."""

    def __init__(self) -> None:
        """Nothing is loaded."""
        self.is_known = False
        self.endpoints: dict[str, Endpoint] = {}
        self.deliveries: dict[DeliveryName, Delivery | None] = {}
        self._stored: set[str] = set()
        self._touched_endpoints: dict[str, None] = {}
        self._touched_deliveries: dict[DeliveryName, None] = {}
        self._replays: list[Replay] = []

    def fill(self, loaded: Loaded, book_id: BookId, wanted: Iterable[DeliveryName]) -> None:
        """Take loaded rows in; what the batch has changed already stays as it made it."""
        for one in loaded.endpoints or ():
            if one.book_id == book_id:
                self._stored.add(one.endpoint_id)
                self.endpoints.setdefault(one.endpoint_id, one)
        for row in loaded.deliveries or ():
            if row.book_id == book_id:
                self.deliveries.setdefault((row.endpoint_id, row.event_number), row)
        for name in wanted:
            self.deliveries.setdefault(name, None)
        self.is_known = True

    def merge(self, draft: "EndpointDraft") -> None:
        """An accepted command's changes become part of the batch."""
        self.endpoints |= draft.endpoints
        self.deliveries |= draft.deliveries
        self._touched_endpoints.update(dict.fromkeys(draft.endpoints))
        self._touched_deliveries.update(dict.fromkeys(draft.deliveries))
        self._replays += draft.replays

    def take_changes(self, out: EndpointChanges) -> None:
        """Hand over what changed since the last call."""
        for endpoint_id in self._touched_endpoints:
            is_stored = endpoint_id in self._stored
            changed = out.endpoint_changes if is_stored else out.endpoints
            changed.append(self.endpoints[endpoint_id])
        for name in self._touched_deliveries:
            row = self.deliveries[name]
            assert row is not None, "a delivery that is not there is not changed"
            out.deliveries.append(row)
        out.replays.extend(self._replays)
        self._stored.update(self._touched_endpoints)
        self._touched_endpoints = {}
        self._touched_deliveries = {}
        self._replays = []


class EndpointDraft:
    """What one command sees and changes of its book's endpoints."""

    def __init__(self, state: BookEndpoints) -> None:
        """An empty overlay."""
        self._state = state
        self.endpoints: dict[str, Endpoint] = {}
        self.deliveries: dict[DeliveryName, Delivery] = {}
        self.replays: list[Replay] = []

    def all(self) -> list[Endpoint]:
        """The book's endpoints, without those that were removed."""
        if not self._state.is_known:
            raise NotLoaded(Reads(webhooks=True))
        seen = self._state.endpoints | self.endpoints
        return [one for one in seen.values() if one.removed_at is None]

    def find(self, endpoint_id: str) -> Endpoint | None:
        """The endpoint, or None if this book has none of that name."""
        return next((one for one in self.all() if one.endpoint_id == endpoint_id), None)

    def delivery(self, name: DeliveryName) -> Delivery | None:
        """The delivery, or None if there is none; its row is locked against the worker."""
        if name in self.deliveries:
            return self.deliveries[name]
        if name not in self._state.deliveries:
            raise NotLoaded(Reads(deliveries=(name,)))
        return self._state.deliveries[name]

    def put(self, endpoint: Endpoint) -> Endpoint:
        """Note the endpoint's new state."""
        self.endpoints[endpoint.endpoint_id] = endpoint
        return endpoint

    def put_delivery(self, delivery: Delivery) -> None:
        """Note when the delivery is tried next."""
        self.deliveries[delivery.endpoint_id, delivery.event_number] = delivery

    def replay(self, replay: Replay) -> None:
        """Have events delivered again."""
        self.replays.append(replay)
