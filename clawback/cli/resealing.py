"""Payer details are sealed anew with the newest key, some hundred at a time.

Each part is a transaction of its own: while it runs both keys open everything, and a part that was
not reached stays as it is. It goes over all of them until nothing old is found.
"""

from itertools import groupby
from typing import TYPE_CHECKING, Final

from clawback.cli.output import Stop
from clawback.cli.register import SQL
from clawback.seal import Seal, SealBroken, of_payer_details

if TYPE_CHECKING:
    from asyncpg import Connection, Record

PART: Final = 500


async def reseal_payer_details(session: "Connection", seal: Seal) -> int:
    """Seal the details of every claim anew; returns how many. Raises: Stop if one does not open."""
    total = found = await _pass(session, seal)
    while found:
        found = await _pass(session, seal)
        total += found
    return total


async def _pass(session: "Connection", seal: Seal) -> int:
    count, shard, claim = 0, -1, ""
    while rows := await SQL.sealed_payer_details(
        session, after_shard=shard, after_claim=claim, limit=PART
    ):
        shard, claim = rows[-1]["shard"], rows[-1]["claim_id"]
        old = [row for row in rows if seal.is_old_text(row["sealed"])]
        for one, part in groupby(old, key=lambda row: int(row["shard"])):
            await _reseal(session, seal, one, list(part))
        count += len(old)
    return count


async def _reseal(session: "Connection", seal: Seal, shard: int, rows: "list[Record]") -> None:
    try:
        sealed = [_anew(seal, row) for row in rows]
    except SealBroken as error:
        raise Stop(str(error), "Put the key that it names back into the key file.") from error
    await SQL.reseal_payer_details(
        session,
        shard=shard,
        claims=[row["claim_id"] for row in rows],
        known=[row["sealed"] for row in rows],
        sealed=sealed,
    )


def _anew(seal: Seal, row: "Record") -> str:
    about = of_payer_details(row["book_id"], row["claim_id"])
    return seal.close_text(seal.open_text(row["sealed"], about=about), about=about)
