"""The demo merchant of `clawback dev`: a fresh database is made ready, an old one is left as it is.

Migrations and lane functions are brought up to date, MCH-NORTE is created once with its two books
and a shop, and its keys are those of the last start if they still open something. Of keys only
digests are stored, so the plain ones live in the data directory alone.
"""

from typing import TYPE_CHECKING, Final

import msgspec

from clawback.cli import register
from clawback.cli.output import Stop
from clawback.db import migrate, pool

if TYPE_CHECKING:
    from asyncpg import Connection

MERCHANT_ID: Final = "MCH-NORTE"
NAME: Final = "Tienda Norte"
SHOP: Final = "Centro"


class Keys(msgspec.Struct, frozen=True):
    """The demo merchant's keys, in clear."""

    secret: str
    publishable: str
    live_secret: str


async def prepare(dsn: str, known: Keys | None, *, rate: int) -> Keys:
    """Bring a database to this release and seed it; returns the keys, each with this rate.

    Raises: Stop if the database belongs to another release or must not hold money.
    """
    try:
        await migrate.upgrade(dsn)
    except migrate.MigrationError as error:
        raise Stop(str(error), "Use the release that made it, or another --data.") from error
    session = await pool.connect(dsn, application_name="clawback dev")
    try:
        await pool.check_durability(session)
        return await _seed(session, known, rate)
    except pool.UnfitServer as error:
        raise Stop(str(error)) from error
    finally:
        await session.close()


async def _seed(session: "Connection", known: Keys | None, rate: int) -> Keys:
    merchants = await register.list_merchants(session)
    if all(one["merchant"] != MERCHANT_ID for one in merchants):
        await register.create_merchant(session, MERCHANT_ID, NAME, SHOP)

    async def keep(plain: str, mode: str, kind: str) -> str:
        wanted = register.WantedKey(merchant_id=MERCHANT_ID, mode=mode, kind=kind, rate=rate)
        return await register.keep_key(session, plain, wanted)

    old = known or Keys("", "", "")
    return Keys(
        secret=await keep(old.secret, "test", "secret"),
        publishable=await keep(old.publishable, "test", "publishable"),
        live_secret=await keep(old.live_secret, "live", "secret"),
    )
