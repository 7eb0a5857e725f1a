"""The records that tie a call's parts together: Route, Call, Answer, and who is calling.

A slice describes its calls as `Route` records; `http/` serves them and emits the OpenAPI document
from the same records. A route handler is handed a `Call` and returns an `Answer` or a `Refused`;
it changes state only through `Services.submit`, which puts a command on the lane of the book's
shard. This module is part of the kernel, so that slices and `http/` share it without a cycle.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

import msgspec

from clawback.errors import Refused
from clawback.ids import BookId, KeyId, Mint, ShopId, home_shard
from clawback.seal import Seal

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

BodyT = TypeVar("BodyT")
QueryT = TypeVar("QueryT")
ResponseT = TypeVar("ResponseT")

ANY_KEY: Final = "any"
MAX_BODY: Final = 65_536
PROVIDER: Final = "provider"
"""No key: the provider's own signature, checked by the handler, which is handed a ProviderCall."""
ANY_SECRET_KEY: Final = "secret"  # noqa: S105 - the kind of a key, not a key


class BookRef(msgspec.Struct, frozen=True):
    """One merchant in one mode: the unit of tenancy. Its shard is fixed while it is here."""

    shard: int
    book_id: BookId
    merchant_id: str
    merchant_name: str
    mode: str
    former_shards: tuple[str, ...] = ()
    """Those it had before it was moved; what makes references needs them, and nothing else."""

    def home_of(self, name: str) -> int:
        """The shard that our references of a payment or claim carry."""
        return home_shard(name, self.shard, self.former_shards)


class Limits(msgspec.Struct, frozen=True):
    """What a restricted key may give back, in 1/10,000 USD; None is unlimited."""

    max_claim_usd_e4: int | None = None
    max_day_usd_e4: int | None = None


class Caller(msgspec.Struct, frozen=True):
    """The key that calls; `kind` is secret or publishable, scopes `("*",)` allow everything."""

    key_id: KeyId
    kind: str
    scopes: tuple[str, ...]
    limits: Limits | None
    shop_id: ShopId
    owner: str | None
    expires_at: datetime | None
    rate_per_second: int
    burst: int

    @property
    def actor(self) -> str:
        """How timelines name this caller."""
        return f"key:{self.key_id}"

    @property
    def person(self) -> str | None:
        """The person behind the key; None for a key that stands for itself."""
        return None if self.owner is None else f"user:{self.owner}"


class IdempotencyKey(msgspec.Struct, frozen=True):
    """A key within its book: the route it was sent to and the SHA-256 of the canonical request."""

    route: str
    key: str
    fingerprint: str


class Answer(msgspec.Struct, frozen=True):
    """A 2xx answer, rendered. `replayed` marks one that was stored by an earlier request."""

    status: int
    body: bytes
    location: str | None = None
    replayed: bool = False
    media_type: str = "application/json"


NOTHING: Final = Answer(204, b"")


class Streamed(msgspec.Struct, frozen=True):
    """A 200 answer that is made while it is sent, for what may be too large to hold at once.

    If a piece cannot be made, the connection is cut: whoever reads must look for the end.
    """

    pieces: Callable[[], AsyncGenerator[bytes, None]]
    media_type: str
    status: int = 200


class Services(Protocol):
    """What a handler may use."""

    mint: Mint

    def submit(
        self,
        book: BookRef,
        command: msgspec.Struct,
        render: Callable[[ResponseT], Answer],
        key: IdempotencyKey | None = None,
    ) -> "asyncio.Future[Answer | Refused]":
        """Queue the command on the book's lane; done after its commit, or its refusal."""
        ...

    def reader(self) -> "AbstractAsyncContextManager[PoolConnectionProxy]":
        """A read-only connection, apart from the lanes."""
        ...

    def prover(self) -> "AbstractAsyncContextManager[PoolConnectionProxy]":
        """The read-only connection for what looks at a whole book; one at a time in a process."""
        ...

    def provider(self, name: str, account: str) -> object:
        """The adapter of a provider's account; see `providers.port`."""
        ...

    def provider_account(self, name: str, account: str) -> "ProviderAccount | None":
        """A provider's account, or None if the operator has set up none of that name."""
        ...

    def writer(self) -> "AbstractAsyncContextManager[PoolConnectionProxy]":
        """A connection for the few writes that no lane owns."""
        ...

    def seal(self) -> Seal | None:
        """What secrets are sealed with, or None if the operator has set up no key."""
        ...

    def egress(self) -> object:
        """What checks addresses that callers give; see `egress.Egress`."""
        ...

    def public_url(self) -> str:
        """Where others reach this service: scheme, host and port."""
        ...


class Call(msgspec.Struct, Generic[BodyT, QueryT], frozen=True):
    """One authenticated request, decoded: what a handler is handed."""

    book: BookRef
    caller: Caller
    path: dict[str, str]
    query: QueryT
    body: BodyT
    key: IdempotencyKey | None
    simulate: str | None
    real_now: datetime
    services: Services


class Kept(Generic[ResponseT]):
    """A `render` that keeps the model's response for the caller and answers with nothing."""

    def __init__(self) -> None:
        """Nothing kept yet."""
        self.value: ResponseT | None = None

    def __call__(self, response: ResponseT) -> Answer:
        """Keep it."""
        self.value = response
        return NOTHING


class ProviderAccount(msgspec.Struct, frozen=True):
    """A provider's account as the operator set it up: its adapter and its notice secrets."""

    adapter: object
    mode: str
    notice_secrets: tuple[str, ...]


class ProviderCall(msgspec.Struct, frozen=True):
    """A webhook of a provider, raw: nothing of it has been believed yet.

    Header names are in lower case; one that comes twice is joined with ", ". `take_token` takes
    one of the account's tokens, for a webhook that is genuine; a refusal if there is none.
    """

    provider: str
    account: str
    headers: dict[str, str]
    body: bytes
    real_now: datetime
    services: Services
    take_token: Callable[[], Refused | None]


class FileBody(msgspec.Struct, frozen=True):
    """A body that is no JSON, read by its call's own reader; it is known by its digest."""

    sha256: str
    content: object


class Upload(msgspec.Struct, frozen=True):
    """A file that came in a form, with the form's other fields as the call's struct of them."""

    fields: object
    filename: str
    data: bytes
    sha256: str


class NoBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call that takes no fields."""


class NoQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call that takes no query parameters."""


Outcome = Answer | Streamed | Refused
Started = Outcome | asyncio.Future[Answer | Refused] | Coroutine[object, object, Outcome]
"""What a handler gives: an outcome, or what it comes of. One that waits for nothing but its command
is no coroutine and hands the lane's own future on."""
Handler = Callable[..., Started]


class Route(msgspec.Struct, frozen=True):
    """One call of the contract: how it is reached, what it takes, what it answers.

    `scope` is ANY_KEY, ANY_SECRET_KEY or a scope name. `empty_body` says whether an empty body
    stands for `{}`. `errors` lists the codes of step 8 and later, in the order they are checked.
    `simulate` lists the values of header Sandbox-Simulate where the call takes it. `csv` reads a
    body of type text/csv, where the call takes one, into what the handler finds in a `FileBody`,
    or refuses it. `upload` has the text fields of a form that brings one file, where the call
    takes one; the handler finds an `Upload` in a `FileBody`. `max_body` is in bytes.
    `other_status`: another status of success. `media_type`: what the answer is, if not JSON.
    """

    method: str
    path: str
    handler: Handler
    scope: str
    summary: str
    answer: type
    status: int = 200
    body: type = NoBody
    query: type = NoQuery
    empty_body: bool = True
    errors: tuple[str, ...] = ()
    simulate: tuple[str, ...] = ()
    csv: "Callable[[bytes], object] | None" = None
    upload: type | None = None
    max_body: int = MAX_BODY
    other_status: int | None = None
    media_type: str = "application/json"
    sandbox_only: bool = False
    open_cors: bool = False
