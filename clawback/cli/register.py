"""What operators write beside the API: merchants with their books and shops, keys, settings.

Each function is handed a connection of the running service's role and is one transaction; what it
changes, and who changed it, stands in the trail of acts from the same commit on. Books
are opened by the lanes' own function; a book's shard is the emptiest one and never changes. Of a
key only the digest is stored.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

from clawback import API_VERSION, clock
from clawback.cli.operating import act, operator
from clawback.cli.output import Stop, clean
from clawback.dashboard import people, terms
from clawback.db import queries
from clawback.http import keys
from clawback.ids import BookId, Mint, opaque
from clawback.money import usd
from clawback.providers.methods import load_methods
from clawback.work import calendar

if TYPE_CHECKING:
    from asyncpg import Connection, Record

SQL: Final = queries.load(__package__, "admin.sql")
MODES: Final = ("test", "live")
RATES: Final = {"publishable": 20, "test": 100, "live": 500}
SCOPES: Final = (
    "*", "payments:read", "payments:write", "claims:read", "claims:write", "claims:approve",
    "balance:read", "ledger:read", "events:read", "webhooks:manage", "sandbox:use",
)  # fmt: skip
_MERCHANT: Final = re.compile(r"MCH-[!-~]{1,60}", re.ASCII)
_HOUR: Final = 3_600

Fields = dict[str, object]


class WantedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key to be made. Limits in 1/10,000 USD; `rate` None: as the contract says."""

    merchant_id: str
    mode: str
    kind: str = "secret"
    scopes: tuple[str, ...] = ("*",)
    max_claim_usd_e4: int | None = None
    max_day_usd_e4: int | None = None
    rate: int | None = None


async def create_merchant(session: "Connection", merchant_id: str, name: str, shop: str) -> Fields:
    """A merchant with a test book, a live book and a shop. Raises: Stop for an unfit id."""
    if not _MERCHANT.fullmatch(merchant_id):
        raise Stop(f"{clean(merchant_id)} is no merchant id", "It has the form MCH-NAME.")
    now = clock.real_now()
    shop_id = Mint().shop(clock.milliseconds(now))
    async with session.transaction():
        made = await SQL.create_merchant(session, merchant_id=merchant_id, name=name, at=now)
        if made is None:
            raise Stop(
                f"there is a merchant {clean(merchant_id)} already",
                "`clawback merchants list` shows it; choose another id for another merchant.",
            )
        await SQL.create_shop(session, shop_id=shop_id, merchant_id=merchant_id, name=shop, at=now)
        books = {mode: await _open_book(session, merchant_id, mode, now) for mode in MODES}
        await _note(session, books["test"], "merchant_created", merchant_id, name)
    return {
        "merchant": merchant_id,
        "name": name,
        "shop": shop_id,
        "testBook": books["test"],
        "liveBook": books["live"],
    }


async def _open_book(session: "Connection", merchant_id: str, mode: str, now: datetime) -> str:
    row = await SQL.emptiest_shard(session, mode=mode)
    book_id = opaque("bk_", size=6)
    usual = load_methods().settlement
    await SQL.create_book(
        session,
        book_id=book_id,
        shard=row["shard"],
        merchant_id=merchant_id,
        mode=mode,
        api_version=API_VERSION,
        dispute_fee_usd_e4=usual.dispute_fee_usd_e4["chargeback"],
        settle_hours=usual.delay_seconds // _HOUR,
        at=now,
    )
    await SQL.open_book(session, shard=row["shard"], book_id=book_id)
    return book_id


async def list_merchants(session: "Connection") -> list[Fields]:
    """All merchants with their books and shops."""
    return [shown(row) for row in await SQL.list_merchants(session)]


async def _note(
    session: "Connection", book_id: str, action: str, object_id: str, note: str | None = None
) -> None:
    """Note in the trail who did what."""
    book = await SQL.shard_of(session, book_id=book_id)
    acts = act(operator(), book_id, action, object_id, note)
    await SQL.note_acts(session, shard=book["shard"], acts=acts)


async def create_key(session: "Connection", wanted: WantedKey) -> Fields:
    """Make a key; the answer holds it, this once. Raises: Stop if merchant or scope is unknown."""
    unknown = [scope for scope in wanted.scopes if scope not in SCOPES]
    if unknown:
        raise Stop(f"there is no scope {clean(unknown[0])}", f"There are: {', '.join(SCOPES)}.")
    book, _ = await find_book(session, wanted.merchant_id, wanted.mode)
    shop = await SQL.find_shop(session, merchant_id=wanted.merchant_id)
    assert shop is not None, "a merchant has a shop from the start"
    rate = wanted.rate or RATES[wanted.mode if wanted.kind == "secret" else "publishable"]
    made = keys.mint(wanted.kind, wanted.mode)
    about = f"{wanted.kind} {' '.join(wanted.scopes)}"
    async with session.transaction():
        await SQL.create_key(
            session,
            key_id=made.key_id,
            book_id=book,
            shop_id=shop["shop_id"],
            kind=wanted.kind,
            digest=made.digest,
            scopes=list(wanted.scopes) if wanted.kind == "secret" else [],
            max_claim_usd_e4=wanted.max_claim_usd_e4,
            max_day_usd_e4=wanted.max_day_usd_e4,
            rate=rate,
            burst=2 * rate,
            owner=None,
            at=clock.real_now(),
        )
        await _note(session, book, "key_created", made.key_id, about)
    return {"key": made.key_id, "secret": made.key, "mode": wanted.mode, "kind": wanted.kind}


async def keep_key(session: "Connection", known: str, wanted: WantedKey) -> str:
    """A key that is known already, with the rate wanted; a new one if it opens nothing."""
    row = await SQL.find_key(session, digest=keys.digest(known)) if known else None
    if row is None or row["revoked_at"] is not None:
        return str((await create_key(session, wanted))["secret"])
    assert wanted.rate is not None, "a kept key is asked for with its rate"
    await SQL.set_rate(session, key_id=row["key_id"], rate=wanted.rate, burst=2 * wanted.rate)
    return known


async def list_keys(session: "Connection", merchant_id: str | None) -> list[Fields]:
    """Keys of a merchant, or all; without digests."""
    return [shown(row) for row in await SQL.list_keys(session, merchant_id=merchant_id)]


async def revoke_key(session: "Connection", key_id: str) -> Fields:
    """End a key. Raises: Stop if there is none of that id."""
    async with session.transaction():
        row = await SQL.revoke_key(session, key_id=key_id, at=clock.real_now())
        if row is None:
            raise Stop(f"there is no key {clean(key_id)}", "`clawback keys list` names them.")
        await _note(session, row["book_id"], "key_revoked", key_id)
    return {"key": row["key"], "revokedAt": clock.wire_time(row["revokedAt"])}


async def assign_key(session: "Connection", key_id: str, owner: str | None) -> Fields:
    """Say whose key it is, None for nobody's. Raises: Stop if there is none of that id."""
    async with session.transaction():
        row = await SQL.assign_key(session, key_id=key_id, owner=owner)
        if row is None:
            raise Stop(f"there is no key {clean(key_id)}", "`clawback keys list` names them.")
        await _note(session, row["book_id"], "key_assigned", key_id, f"owner {owner or '-'}")
    return {"key": row["key"], "owner": row["owner"]}


async def show_book(session: "Connection", merchant_id: str, mode: str) -> Fields:
    """A book's settings. Raises: Stop if there is no such merchant."""
    row = await SQL.show_book(session, merchant_id=merchant_id, mode=mode)
    if row is None:
        raise _no_merchant(merchant_id)
    own: dict[str, tuple[int, int]] = msgspec.json.decode(row["fees"])
    fees = {
        method: {"percent": usd(percent_e4), "fixedUsd": usd(flat_e4)}
        for method, (percent_e4, flat_e4) in own.items()
    }
    return {**shown(row), "fees": fees}


async def set_book(
    session: "Connection", merchant_id: str, mode: str, given: Mapping[str, str]
) -> None:
    """Change some of a book's settings, as they were typed.

    Raises: Stop if there is no such merchant, or one of them is not taken: then none is.
    """
    book_id, shard = await find_book(session, merchant_id, mode)
    by = operator()
    try:
        await terms.change(
            session, people.Place(shard, book_id), given, people.By(by.actor, by.via)
        )
    except terms.TermsRefused as refused:
        name, fault = next(iter(refused.faults.items()))
        said = fault.text.format(least=fault.least, most=fault.most)
        raise Stop(
            f"{clean(name)}={clean(given.get(name, terms.NONE))}: {said}",
            f"There are: {', '.join(term.name for term in terms.TERMS)}, {terms.FEE}METHOD.",
        ) from refused


async def refresh_calendars(session: "Connection") -> list[Fields]:
    """Look the days off of every book's calendar up anew; returns the books."""
    async with session.transaction():
        rows = await SQL.list_calendars(session)
        for country in {row["settleCalendar"] for row in rows}:
            found = calendar.off_days(country, clock.real_now().year)
            await SQL.set_off_days(
                session, country=country, off_days=found.days, version=found.version
            )
        rows = await SQL.list_calendars(session)
        for row in rows:
            told = f"{row['settleCalendar']} {row['settleCalendarVersion']}"
            await _note(session, row["book"], "calendar_refreshed", row["book"], told)
        return [shown(row) for row in rows]


async def find_book(session: "Connection", merchant_id: str, mode: str) -> tuple[BookId, int]:
    """A book and its shard. Raises: Stop if there is no such merchant."""
    row = await SQL.find_book(session, merchant_id=merchant_id, mode=mode)
    if row is None:
        raise _no_merchant(merchant_id)
    return BookId(row["book_id"]), row["shard"]


def _no_merchant(merchant_id: str) -> Stop:
    advice = "`clawback merchants list` names them, `merchants create` makes one."
    return Stop(f"there is no merchant {clean(merchant_id)}", advice)


def shown(row: "Record | Mapping[str, object]") -> Fields:
    """A row for people and for JSON: USD in major units, times and lists as text."""
    return dict(_field(name, value) for name, value in row.items())


def _field(name: str, value: object) -> tuple[str, object]:
    if name.endswith("_e4"):
        words = name.removesuffix("_e4").split("_")
        name = words[0] + "".join(word.capitalize() for word in words[1:])
        assert isinstance(value, int | None), "amounts are bigint columns"
        return name, None if value is None else usd(value)
    if isinstance(value, datetime):
        return name, clock.wire_time(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return name, list(value)
    return name, value
