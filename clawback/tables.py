"""Where the parts meet: what the lanes are told of the slices, all routes, and the runtime.

Lanes and `http/` know nothing of the slices; they are handed these tables at start-up, so that
imports point one way. `Runtime` is what a process needs to work: lanes, readers, providers.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeVar, cast

import msgspec

from clawback import logs
from clawback.balances import api as balances_api
from clawback.balances import model as balances_model
from clawback.claims import api as claims_api
from clawback.claims import batches as claims_batches
from clawback.claims import decisions as claims_decisions
from clawback.claims import details as claims_details
from clawback.claims import disputes as claims_disputes
from clawback.claims import early as claims_early
from clawback.claims import ending as claims_ending
from clawback.claims import evidence as claims_evidence
from clawback.claims import fold as claims_fold
from clawback.claims import model as claims_model
from clawback.claims import outside as claims_outside
from clawback.claims import reviews as claims_reviews
from clawback.claims import wire as claims_wire
from clawback.db import pool, queries
from clawback.egress import Egress
from clawback.errors import Refused
from clawback.ids import Mint
from clawback.lanes.command import Command
from clawback.lanes.endpoints import Endpoint
from clawback.lanes.lanes import Lanes
from clawback.lanes.records import Claim, Payment
from clawback.lanes.working import Rules
from clawback.merchants import api as merchants_api
from clawback.payments import api as payments_api
from clawback.payments import model as payments_model
from clawback.payments import wire as payments_wire
from clawback.providers.port import Provider, Sandbox
from clawback.providers.sandbox import SandboxProvider
from clawback.route import Answer, BookRef, IdempotencyKey, ProviderAccount, Route
from clawback.seal import Seal, SealFile
from clawback.settings import Settings
from clawback.simulation import actions as simulation_actions
from clawback.simulation import api as simulation_api
from clawback.simulation import model as simulation_model
from clawback.simulation import simulate as simulation_simulate
from clawback.webhooks import api as webhooks_api
from clawback.webhooks import model as webhooks_model
from clawback.webhooks import wire as webhooks_wire

if TYPE_CHECKING:
    from asyncpg import Pool
    from asyncpg.pool import PoolConnectionProxy

ResponseT = TypeVar("ResponseT")

SQL: Final = queries.load(__package__, "tables.sql")
PROVER_SECONDS: Final = 10.0
"""How long one proof waits for another of the same process."""

log = logs.get_logger()

RULES: Final = Rules(
    decide={
        **balances_model.DECIDE,
        **payments_model.DECIDE,
        **claims_model.DECIDE,
        **claims_ending.DECIDE,
        **claims_fold.DECIDE,
        **claims_disputes.DECIDE,
        **claims_outside.DECIDE,
        **claims_evidence.DECIDE,
        **webhooks_model.DECIDE,
        **claims_decisions.DECIDE,
        **claims_details.DECIDE,
        **claims_batches.DECIDE,
        **claims_outside.DECIDE,
        **claims_early.DECIDE,
        **claims_reviews.DECIDE,
        **simulation_actions.DECIDE,
        **simulation_model.DECIDE,
    },
    render={
        Payment: payments_wire.render_event_object,
        Claim: claims_wire.render_claim_row,
        Endpoint: webhooks_wire.render_event_object,
    },
)

ROUTES: Final[tuple[Route, ...]] = (
    *claims_api.ROUTES,
    *payments_api.ROUTES,
    *balances_api.ROUTES,
    *webhooks_api.ROUTES,
    *merchants_api.ROUTES,
    *simulation_api.ROUTES,
    *simulation_simulate.ROUTES,
)

Accounts = Mapping[tuple[str, str], ProviderAccount]
"""Providers' accounts by provider and account."""


class Runtime:
    """The lanes, readers and providers of one process."""

    def __init__(
        self,
        lanes: Lanes,
        pools: "tuple[Pool, Pool, Pool]",
        accounts: Accounts,
        seal: SealFile | None,
        egress: Egress,
        public_url: str,
    ) -> None:
        """Made by `running`. `pools`: of readers, of writers, of the one prover."""
        self.lanes = lanes
        self.mint = Mint()
        self._readers, self._writers, self._prover = pools
        self._accounts = accounts
        self._seal = seal
        self._egress = egress
        self._public_url = public_url

    def submit(
        self,
        book: BookRef,
        command: msgspec.Struct,
        render: Callable[[ResponseT], Answer],
        key: IdempotencyKey | None = None,
    ) -> "asyncio.Future[Answer | Refused]":
        """Decide the command on its book's lane."""
        assert isinstance(command, Command), command
        return self.lanes.submit(book, command, render, key)

    def reader(self) -> "AbstractAsyncContextManager[PoolConnectionProxy]":
        """A read-only connection."""
        return cast("AbstractAsyncContextManager[PoolConnectionProxy]", self._readers.acquire())

    def prover(self) -> "AbstractAsyncContextManager[PoolConnectionProxy]":
        """The connection for what looks at a whole book. Raises: TimeoutError if it stays taken."""
        taken = self._prover.acquire(timeout=PROVER_SECONDS)
        return cast("AbstractAsyncContextManager[PoolConnectionProxy]", taken)

    def writer(self) -> "AbstractAsyncContextManager[PoolConnectionProxy]":
        """A connection for the few writes that no lane owns."""
        return cast("AbstractAsyncContextManager[PoolConnectionProxy]", self._writers.acquire())

    def seal(self) -> Seal | None:
        """What secrets are sealed with, or None if the operator has set up no key."""
        return None if self._seal is None else self._seal()

    def egress(self) -> Egress:
        """What checks addresses that callers give, and posts to them."""
        return self._egress

    def public_url(self) -> str:
        """Where others reach this service."""
        return self._public_url

    def provider(self, name: str, account: str) -> Provider:
        """The adapter of a provider's account. Bug: an account that is not set up."""
        return cast("Provider", self._accounts[name, account].adapter)

    def provider_account(self, name: str, account: str) -> ProviderAccount | None:
        """The account, or None if the operator set none up."""
        return self._accounts.get((name, account))

    def sandboxes(self) -> tuple[Sandbox, ...]:
        """The adapters of test accounts, which can be told what to do."""
        return tuple(
            cast("Sandbox", account.adapter)
            for account in self._accounts.values()
            if account.mode == "test"
        )


def _egress(settings: Settings) -> Egress:
    if settings.allow_loopback_webhooks:
        log.warning("loopback_webhooks_allowed", advice="for development: test books only")
    return Egress(allow_loopback=settings.allow_loopback_webhooks)


def _accounts(settings: Settings) -> Accounts:
    """The sandbox's account, for test books; live providers are set up by the operator."""
    if not settings.sandbox_url:
        return {}
    secrets: tuple[str, ...] = ()
    if settings.sandbox_notice_secret_file is not None:
        secrets = (settings.secret(settings.sandbox_notice_secret_file),)
    adapter = SandboxProvider(
        settings.sandbox_url,
        settings.secret(settings.sandbox_secret_file),
        connections=settings.worker_concurrency,
    )
    return {("sandbox", "default"): ProviderAccount(adapter, "test", secrets)}


@asynccontextmanager
async def running(settings: Settings, *, name: str) -> AsyncIterator[Runtime]:
    """A runtime with its lanes started; on leaving, queued commands are finished first.

    Raises: UnfitServer if the database must not hold money; the driver's errors if it is away;
    SealBroken if the sealing key cannot be used.
    """
    dsn = settings.database_url
    connection = await pool.connect(dsn, application_name=name)
    try:
        unsafe = settings.allow_unsafe_database
        for problem in await pool.check_durability(connection, allow_unsafe=unsafe):
            log.warning("unsafe_database", problem=problem)
        shards = (await SQL.count_shards(connection))["shards"]
    finally:
        await connection.close()
    seal = None if settings.seal_key_file is None else SealFile(settings.seal_key_file)
    readers = await pool.create_reader_pool(
        dsn, size=settings.readers, application_name=f"{name} reader"
    )
    writers = await pool.create_writer_pool(dsn, application_name=f"{name} writer")
    prover = await pool.create_prover_pool(dsn, application_name=f"{name} prover")
    lanes = Lanes(
        dsn,
        settings.lanes or shards,
        RULES,
        Mint(),
        allow_unsafe=settings.allow_unsafe_database,
    )
    lanes.start()
    egress = _egress(settings)
    try:
        url = settings.public_url or f"http://{settings.host}:{settings.port}"
        pools = (readers, writers, prover)
        yield Runtime(lanes, pools, _accounts(settings), seal, egress, url.rstrip("/"))
    finally:
        await lanes.drain(settings.drain_seconds)
        await egress.close()
        await readers.close()
        await writers.close()
        await prover.close()
