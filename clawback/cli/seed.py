"""The demo merchant of `clawback dev`: a fresh database is made ready, an old one is left as it is.

Migrations and lane functions are brought up to date, MCH-NORTE is created once with its two books
and a shop, and its keys are those of the last start if they still open something. Of keys only
digests are stored, so the plain ones live in the data directory alone. A one-time link leads its
owner into the dashboard; each start makes a new one.
"""

from typing import TYPE_CHECKING, Final

import msgspec

from clawback.cli import register
from clawback.cli.operating import operator
from clawback.cli.output import Stop
from clawback.dashboard import people
from clawback.db import migrate, pool

if TYPE_CHECKING:
    from asyncpg import Connection

MERCHANT_ID: Final = "MCH-NORTE"
NAME: Final = "Tienda Norte"
SHOP: Final = "Centro"
LOGIN: Final = "demo"
OWNER: Final = "Demo Owner"


class Keys(msgspec.Struct, frozen=True):
    """The demo merchant's keys, in clear."""

    secret: str
    publishable: str
    live_secret: str
    dashboard_path: str = ""


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
        dashboard_path=await _let_in(session),
    )


async def _let_in(session: "Connection") -> str:
    """Where the demo merchant's owner comes in, once: a person without a password, made once."""
    by = people.By(operator().actor, operator().via)
    async with session.transaction():
        row = await people.SQL.find_person(session, login=LOGIN)
        if row is None:
            person_id = await people.create(session, LOGIN, OWNER)
            for mode in register.MODES:
                place = await people.find_place(session, MERCHANT_ID, mode)
                await people.grant(session, person_id, place, "owner", by)
        else:
            person_id = row["person_id"]
        token = await people.let_in(session, person_id, people.SIGN_IN, by)
    return people.path_of(token)
