"""Where the money of one payment is: from its ledger entries, as a picture, a table and a file.

What the entries took and gave is added up by account, in USD. So whatever came in stands on the
left, wherever it is stands on the right, and both sides come to the same to the last digit: the
entries balance. What a claim took beyond the payment's own money stands on the left too.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

import msgspec

from clawback.claims.moves import REFUND
from clawback.currencies import USD
from clawback.dashboard.asking import Asking, Json
from clawback.dashboard.words import usd_of
from clawback.errors import Refused
from clawback.ledger import accounts as a

CAPTURED: Final = "captured"
RETURNED: Final = "returned"
LOST: Final = "lost"
SOURCES: Final = (CAPTURED, a.AVAILABLE, a.PENDING, a.RESERVE, a.FROZEN, a.PAYABLE, a.DEBT, a.LOSS,
                  a.FEES, RETURNED, LOST)  # fmt: skip
PLACES: Final = (a.FEES, a.RESERVE, a.PENDING, a.AVAILABLE, a.FROZEN, a.PAYABLE, RETURNED, LOST,
                 a.DEBT, a.LOSS)  # fmt: skip
_PAGE: Final = 100
_MOST: Final = 10
"""Pages of entries or claims: a payment of more is not drawn."""

WIDTH: Final = 360
_TALL: Final = 130
_SLOT: Final = 34
_GAP: Final = 6
_THIN: Final = Decimal("1.5")
_BAR: Final = 6
_LEFT: Final = 112
_TRUNK: Final = 160
_RIGHT: Final = 226


class Part(msgspec.Struct, frozen=True):
    """So much of the money came from there, or is there. Exact USD, above zero."""

    name: str
    usd: Decimal


class Rows(msgspec.Struct, frozen=True):
    """What a list says, the newest first, and whether that is all of it."""

    rows: tuple[Json, ...]
    is_whole: bool


class Flow(msgspec.Struct, frozen=True):
    """Both sides, each in its order; they come to the same."""

    sources: tuple[Part, ...]
    places: tuple[Part, ...]

    @property
    def total(self) -> Decimal:
        """What came in."""
        return sum((one.usd for one in self.sources), Decimal(0))


class Shape(msgspec.Struct, frozen=True):
    """A part in the picture: its bar, the band to the trunk, and where its words stand."""

    part: Part
    is_source: bool
    left: int
    top: str
    tall: str
    band: str
    name_at: str
    usd_at: str


class Picture(msgspec.Struct, frozen=True):
    """The picture, in units of its own: `width` by `height`; bars and trunk are `bar` wide."""

    width: int
    height: str
    trunk: int
    trunk_top: str
    trunk_tall: int
    bar: int
    shapes: tuple[Shape, ...]


def flow_of(entries: Iterable[Json], kinds: Mapping[str, str]) -> Flow:
    """The flow of a payment. `entries`: all of it, as the API shows them; `kinds`: of its claims.

    Bug: the entries do not balance.
    """
    sums: dict[str, Decimal] = {}
    for entry in entries:
        for leg in entry["postings"]:
            if leg["currency"] == USD:
                name = _place(entry, str(leg["account"]), kinds)
                sums[name] = sums.get(name, Decimal(0)) + leg["amount"]
    sources = tuple(_part(name, -sums[name]) for name in SOURCES if sums.get(name, 0) < 0)
    places = tuple(_part(name, sums[name]) for name in PLACES if sums.get(name, 0) > 0)
    found = Flow(sources, places)
    assert found.total == sum(one.usd for one in places), sums
    return found


def _part(name: str, usd: Decimal) -> Part:
    """With the digits that the API writes."""
    return Part(name, usd_of(int(usd.scaleb(4))))


def _place(entry: Json, account: str, kinds: Mapping[str, str]) -> str:
    """An account as the payer and the merchant know it: outside the books it is with the payer."""
    if account != a.FX and a.provider_of(account) is None:
        return account
    if entry["type"] == "capture":
        return CAPTURED
    return RETURNED if kinds[entry["claimId"]] == REFUND else LOST


def draw(flow: Flow) -> Picture:
    """The picture: thick where there is much, each part thick enough to be seen and named."""
    heights = [max(_column(side), Decimal(_TALL)) for side in (flow.sources, flow.places)]
    tall = max(heights)
    trunk = (tall - _TALL) / 2
    shapes = [
        *_shapes(flow.sources, flow.total, tall, trunk, is_left=True),
        *_shapes(flow.places, flow.total, tall, trunk, is_left=False),
    ]
    return Picture(WIDTH, _units(tall), _TRUNK, _units(trunk), _TALL, _BAR, tuple(shapes))


def _column(parts: tuple[Part, ...]) -> Decimal:
    total = sum((one.usd for one in parts), Decimal(0))
    slots = [max(Decimal(_SLOT), _TALL * one.usd / total) for one in parts]
    return sum(slots, Decimal(0)) + _GAP * (len(slots) - 1)


def _shapes(
    parts: tuple[Part, ...], total: Decimal, tall: Decimal, trunk: Decimal, *, is_left: bool
) -> list[Shape]:
    found = []
    slot_top = (tall - _column(parts)) / 2
    for part in parts:
        share = _TALL * part.usd / total
        slot, bar = max(Decimal(_SLOT), share), max(_THIN, share)
        top = slot_top + (slot - bar) / 2
        ends = (_LEFT + _BAR, _TRUNK) if is_left else (_TRUNK + _BAR, _RIGHT)
        spans = ((top, bar), (trunk, share)) if is_left else ((trunk, share), (top, bar))
        middle = slot_top + slot / 2
        left = _LEFT if is_left else _RIGHT
        place = (left, _units(top), _units(bar), _band(ends, spans))
        found.append(Shape(part, is_left, *place, _units(middle - 4), _units(middle + 10)))
        trunk += share
        slot_top += slot + _GAP
    return found


def _band(ends: tuple[int, int], spans: tuple[tuple[Decimal, Decimal], ...]) -> str:
    """The band between two bars, as an SVG path."""
    (start, end), ((top, tall), (other, thick)) = ends, spans
    middle = (start + end) // 2
    upper = f"M{start} {_units(top)}C{middle} {_units(top)} {middle} {_units(other)}"
    lower = f"C{middle} {_units(other + thick)} {middle} {_units(top + tall)}"
    return (
        f"{upper} {end} {_units(other)}V{_units(other + thick)}"
        f"{lower} {start} {_units(top + tall)}Z"
    )


def _units(value: Decimal) -> str:
    return f"{value:.1f}"


async def read_all(ask: Asking, path: str, payment_id: str) -> Rows | Refused:
    """A list of the API about a payment, page by page."""
    rows: list[Json] = []
    after = None
    for _ in range(_MOST):
        page = await ask.get(path, transactionId=payment_id, limit=_PAGE, after=after)
        if isinstance(page, Refused):
            return page
        rows += page["data"]
        after = page["pagination"]["next"]
        if after is None:
            break
    return Rows(tuple(rows), is_whole=after is None)


async def read_moves(ask: Asking, payment_id: str) -> tuple[Rows, Rows] | Refused:
    """A payment's entries and then its claims, so that the claim of each entry is among them."""
    entries = await read_all(ask, "/ledger/entries", payment_id)
    if isinstance(entries, Refused):
        return entries
    claims = await read_all(ask, "/claims", payment_id)
    return claims if isinstance(claims, Refused) else (entries, claims)


def flow_in(entries: Rows, claims: Rows) -> Flow | None:
    """The flow of a payment, read as `read_moves` does; None if nothing or too much has moved."""
    if not (entries.is_whole and claims.is_whole):
        return None
    flow = flow_of(entries.rows, {claim["id"]: claim["kind"] for claim in claims.rows})
    return flow if flow.sources else None


def lines_of(flow: Flow) -> list[tuple[str, str, Decimal]]:
    """Both sides as rows of a file."""
    sides = (("from", flow.sources), ("to", flow.places))
    return [(side, one.name, one.usd) for side, parts in sides for one in parts]
