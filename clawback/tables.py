"""Where the parts meet: what the lanes are told of the slices, all routes, and the runtime.

Lanes and `http/` know nothing of the slices; they are handed these tables at start-up, so that
imports point one way. `Runtime` is what a process needs to work: lanes, readers, providers.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from clawback.balances import api as balances_api
from clawback.balances import model as balances_model
from clawback.claims import api as claims_api
from clawback.claims import fold as claims_fold
from clawback.claims import model as claims_model
from clawback.db import pool
from clawback.errors import Refused
from clawback.ids import Mint
from clawback.lanes.command import Command
from clawback.lanes.lane import Lanes, Rules
from clawback.lanes.records import Claim, Payment
from clawback.merchants import api as merchants_api
from clawback.payments import api as payments_api
from clawback.payments import model as payments_model
from clawback.providers.port import Provider
from clawback.route import Answer, BookRef, IdempotencyKey, Route
from clawback.webhooks import api as webhooks_api

if TYPE_CHECKING:
    from asyncpg import Pool
    from asyncpg.pool import PoolConnectionProxy

ResponseT = TypeVar("ResponseT")

RULES: Final = Rules(
    decide={
        **balances_model.DECIDE,
        **payments_model.DECIDE,
        **claims_model.DECIDE,
        **claims_fold.DECIDE,
    },
    render={
        Payment: payments_api.render_event_object,
        Claim: claims_api.render_claim_row,
    },
)

ROUTES: Final[tuple[Route, ...]] = (
    *claims_api.ROUTES,
    *payments_api.ROUTES,
    *balances_api.ROUTES,
    *webhooks_api.ROUTES,
    *merchants_api.ROUTES,
)

Providers = Mapping[tuple[str, str], Provider]
"""Adapters by provider and account."""


class Runtime:
    """The lanes, readers and providers of one process."""

    def __init__(self, lanes: Lanes, readers: "Pool", providers: Providers, mint: Mint) -> None:
        """Made by `running`."""
        self.lanes = lanes
        self.mint = mint
        self._readers = readers
        self._providers = providers

    async def submit(
        self,
        book: BookRef,
        command: msgspec.Struct,
        render: Callable[[ResponseT], Answer],
        key: IdempotencyKey | None = None,
    ) -> Answer | Refused:
        """Decide the command on its book's lane."""
        assert isinstance(command, Command), command
        return await self.lanes.submit(book, command, render, key)

    def reader(self) -> "AbstractAsyncContextManager[PoolConnectionProxy]":
        """A read-only connection."""
        return self._readers.acquire()

    def provider(self, name: str, account: str) -> Provider:
        """The adapter of a provider's account. Bug: an account that is not set up."""
        return self._providers[name, account]


@asynccontextmanager
async def running(
    dsn: str, *, shards: int, providers: Providers, name: str, readers: int, drain_seconds: float
) -> AsyncIterator[Runtime]:
    """A runtime with its lanes started; on leaving, queued commands are finished first."""
    mint = Mint()
    pooled = await pool.create_reader_pool(dsn, size=readers, application_name=f"{name} reader")
    lanes = Lanes(dsn, shards, RULES, mint)
    lanes.start()
    try:
        yield Runtime(lanes, pooled, providers, mint)
    finally:
        await lanes.drain(drain_seconds)
        await pooled.close()
