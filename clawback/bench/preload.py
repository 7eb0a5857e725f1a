"""What the benchmark refunds: merchants with a key each, and captured payments.

Payments are created and captured by the same commands, decided by the same rules and written by
the same function as real ones, only many to a batch, so the books can be audited afterwards.
Names are numbered, so that the load generators know them without asking.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from clawback import API_VERSION, clock, tables
from clawback.bench.sql import SQL
from clawback.currencies import USD, Currency
from clawback.errors import Refused
from clawback.http import keys
from clawback.ids import BookId, PaymentId, ShopId
from clawback.lanes.command import AccountName, Command, Reads
from clawback.lanes.records import PaymentDetails
from clawback.lanes.store import Store
from clawback.lanes.working import WorkingSet
from clawback.ledger import accounts
from clawback.payments.model import CHARGE_LEASE, CreatePayment, RecordCharge
from clawback.providers.methods import load_methods
from clawback.route import BookRef

if TYPE_CHECKING:
    from asyncpg import Connection

RATE: Final = 1_000_000
"""Requests a second of each key: a limit still, beyond what one machine does."""

BATCH: Final = 200
"""Payments in a batch, all of one book."""

LOCAL: Final = Currency("MXN")
AMOUNT_USD_E4, AMOUNT_MINOR, FX_RATE = 500_000, 86_118, "17.2236"
"""The payment of the refund page: 50 USD at the sandbox's rate, 861.18 MXN."""


class Merchant(msgspec.Struct, frozen=True):
    """A merchant that refunds: its book, its shop and its key in clear."""

    number: int
    book: BookRef
    shop_id: ShopId
    key: str


class Pool(msgspec.Struct, frozen=True):
    """Payments by number, from `first` on: number `first + n` belongs to merchant `n` in turn."""

    name: str
    first: int
    count: int
    merchants: tuple[Merchant, ...]

    def numbers_of(self, place: int) -> range:
        """The payments of the merchant at this place."""
        return range(self.first + place, self.first + self.count, len(self.merchants))


def payment_id(number: int) -> PaymentId:
    """The name of a payment by its number."""
    return PaymentId(f"TXN-{number:08d}-BNCH")


def _merchant(number: int, shards: int, key: str) -> Merchant:
    book = BookRef(
        shard=number % shards,
        book_id=BookId(f"bk_{number:012d}"),
        merchant_id=f"MCH-BENCH-{number:03d}",
        merchant_name=f"Bench {number}",
        mode="test",
    )
    return Merchant(number, book, ShopId(f"SHP-{number:08d}-BNCH"), key)


async def open_merchants(connection: "Connection", count: int) -> tuple[Merchant, ...]:
    """Merchants with one test book, one shop and one key each, spread over the shards."""
    shards = (await SQL.count_shards(connection))["shards"]
    at = clock.real_now()
    minted = [keys.mint("secret", "test") for _ in range(count)]
    merchants = tuple(_merchant(number, shards, key.key) for number, key in enumerate(minted))
    merchant_ids = [one.book.merchant_id for one in merchants]
    names = [one.book.merchant_name for one in merchants]
    shop_ids = [one.shop_id for one in merchants]
    book_ids = [one.book.book_id for one in merchants]
    of_shards = [one.book.shard for one in merchants]
    async with connection.transaction():
        await SQL.create_merchants(connection, merchant_ids=merchant_ids, names=names, at=at)
        await SQL.create_shops(
            connection, shop_ids=shop_ids, merchant_ids=merchant_ids, names=names, at=at
        )
        await SQL.create_books(
            connection,
            book_ids=book_ids,
            shards=of_shards,
            merchant_ids=merchant_ids,
            api_version=API_VERSION,
            at=at,
        )
        await SQL.open_books(connection, shards=of_shards, book_ids=book_ids)
        await SQL.create_keys(
            connection,
            key_ids=[key.key_id for key in minted],
            book_ids=book_ids,
            shop_ids=shop_ids,
            digests=[key.digest for key in minted],
            rate=RATE,
            burst=RATE,
            at=at,
        )
    return merchants


async def capture(dsn: str, pools: Sequence[Pool], *, allow_unsafe: bool = False) -> None:
    """Store the pools' payments, captured. Bug: a command of it was refused.

    `allow_unsafe`: see `db.pool.check_durability`; never in a benchmark.
    """
    queues: dict[tuple[str, int], list[tuple[Merchant, range]]] = {}
    for pool in pools:
        for place, merchant in enumerate(pool.merchants):
            queue = queues.setdefault((pool.name, merchant.book.shard), [])
            queue.append((merchant, pool.numbers_of(place)))
    await asyncio.gather(
        *(
            _capture_queue(Store(dsn, "clawback bench preload", allow_unsafe=allow_unsafe), queue)
            for queue in queues.values()
        )
    )


async def _capture_queue(store: Store, queue: list[tuple[Merchant, range]]) -> None:
    for merchant, numbers in queue:
        for start in range(0, len(numbers), BATCH):
            await _capture_batch(store, merchant, numbers[start : start + BATCH])
    await store.drop()


async def _capture_batch(store: Store, merchant: Merchant, numbers: range) -> None:
    book = merchant.book
    steps: list[Command] = [one for number in numbers for one in commands(number, merchant)]
    reads = [(book.book_id, command.reads()) for command in steps]
    reads.append((book.book_id, Reads(payments=tuple(map(payment_id, numbers)), accounts=_LOCAL)))
    await store.begin()
    working = WorkingSet()
    working.fill(await store.load(book.shard, [book.book_id], reads, []), reads, [])
    at = clock.real_now()
    for command in steps:
        draft = working.books[book.book_id].draft(at)
        outcome = tables.RULES.decide[type(command)](draft, command, at)
        assert not isinstance(outcome, Refused), outcome
        draft.merge()
    changes = working.take_changes(tables.RULES.render)
    await store.apply(book.shard, f"bench-{numbers[0]}", at, changes)
    await store.commit()


_LOCAL: Final = (
    AccountName(LOCAL, accounts.FX),
    AccountName(LOCAL, accounts.provider_account("sandbox")),
    AccountName(USD, accounts.AVAILABLE),
)


def commands(number: int, merchant: Merchant) -> tuple[CreatePayment, RecordCharge]:
    """What creates and captures one payment."""
    method = load_methods().by_id("sbx_spei")
    assert method is not None, "a method of this release"
    now = clock.real_now()
    name = payment_id(number)
    return (
        CreatePayment(
            payment_id=name,
            shop_id=merchant.shop_id,
            amount_usd_e4=AMOUNT_USD_E4,
            currency=LOCAL,
            amount_minor=AMOUNT_MINOR,
            provider=method.provider,
            provider_account="default",
            method_id=method.id,
            method=method.slug,
            country="MX",
            default_fee=(method.fee_bps * 100, method.fee_fixed_usd_e4),
            merchant_order_id=None,
            details=PaymentDetails(fx_rate=FX_RATE, fx_at=now, fx_source="sandbox_fixed"),
            lease_until=now + CHARGE_LEASE,
            actor="key:key_000000000000",
        ),
        RecordCharge(
            payment_id=name,
            status="completed",
            actor=f"provider:{method.provider}",
            amount_minor=AMOUNT_MINOR,
            currency=LOCAL,
            provider_reference=f"ch_{number:012d}",
            rail_reference=f"{number:018d}",
            window_days=180,
        ),
    )
