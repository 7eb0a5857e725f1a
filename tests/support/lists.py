"""What every list promises (contract, section 5), asked of one list over HTTP.

The oracle is the whole list as one page: filters are compared with a look at each row, pages with
slices. Lists that are compared must be quiet.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from tests.support.shapes import check, load
from tests.support.shops import Shop

Row = dict[str, Any]
Rule = Callable[[Row], bool]

OUT_OF_FORM: Final = {
    "limit": ("x", "1.0", "1e1", "", "null", "+1", " 1", "0x1", "\u0661"),
    "offset": ("x", "1.5", "", "true", "10001", "99999999999"),
    "from": ("yesterday", "2026-02-30T00:00:00Z", "2026-02-03T00:00:00", "1778617674", "", "2026",
             "0001-01-01T00:00:00+14:00"),
    "to": ("9999-12-31T23:59:59-14:00", "2026-02-03", "2026-13-01T00:00:00Z"),
    "after": ("", "no-such-row", "TXN-MP331BTF-R308", "CLM-MP331G7R-9F49", "ent_zz", "%00"),
    "nonsense": ("1",),
    "Limit": ("1",),
}  # fmt: skip
"""Values of parameters that no list takes."""


def equals(values: Mapping[str, Iterable[str]]) -> dict[tuple[str, str], Rule]:
    """For each name and value: whether the row's field of that name has the value."""

    def rule(name: str, value: str) -> Rule:
        return lambda row: bool(row[name] == value)

    return {(name, value): rule(name, value) for name, some in values.items() for value in some}


class Listed(NamedTuple):
    """A list of a shop, and the shape of its rows."""

    shop: Shop
    path: str
    shape: str

    def page(self, **query: object) -> tuple[list[Row], Row]:
        """Rows and pagination of one page; `from_` stands for `from`."""
        asked = {name.rstrip("_"): value for name, value in query.items()}
        found = self.shop.call("GET", f"{self.path}?{urlencode(asked)}")
        assert found.status == 200, (asked, found)
        told = load(found.body)
        assert list(told) == ["data", "pagination"]
        check(told["pagination"], "PAGINATION")
        check(told["data"], f"[{self.shape}]")
        return told["data"], told["pagination"]

    def whole(self) -> list[Row]:
        """All rows, which must fit into one page."""
        rows, _ = self.page(limit=100)
        assert len(rows) < 100, "too many rows for this test"
        return rows

    def refuses(self, query: str) -> None:
        """These parameters are out of form."""
        found = self.shop.call("GET", f"{self.path}?{query}")
        assert (found.status, found.code) == (400, "invalid_parameter"), (query, found)


def check_filters(listed: Listed, filters: Mapping[tuple[str, str], Rule]) -> None:
    """Each filter finds just the rows that its rule accepts, alone and with each other one."""
    rows = listed.whole()
    for (name, value), rule in filters.items():
        found, pagination = listed.page(limit=100, **{name: value})
        assert found == [row for row in rows if rule(row)], (name, value)
        assert pagination["total"] == len(found)
    pairs = [(a, b) for a in filters for b in filters if a[0] < b[0]]
    for (one, value), (other, second) in pairs[:: max(1, len(pairs) // 20)]:
        rules = filters[one, value], filters[other, second]
        found, _ = listed.page(limit=100, **{one: value, other: second})
        assert found == [row for row in rows if all(rule(row) for rule in rules)], (one, other)


def check_pages(listed: Listed, id_field: str = "id", **query: object) -> None:
    """Pages by offset and by cursor are slices of the whole; totals and clamping are right."""
    rows, whole = listed.page(limit=100, **query)
    total = len(rows)
    assert total >= 4, "too few rows to look at pages"
    assert whole == {"total": total, "limit": 100, "offset": 0, "pages": 1, "next": None}
    for limit in (1, 2, 3, total - 1, total, total + 1):
        pages = -(-total // limit)
        for offset in {0, 1, limit, total - 1, total, total + 5, 10_000}:
            found, told = listed.page(limit=limit, offset=offset, **query)
            assert found == rows[offset : offset + limit]
            goes_on = offset + limit < total
            last = found[-1][id_field] if goes_on else None
            assert told == {
                "total": total, "limit": limit, "offset": offset, "pages": pages, "next": last,
            }  # fmt: skip
        assert _walk(listed, limit, id_field, **query) == rows
    for asked, clamped in (("0", 1), ("-3", 1), ("101", 100), ("99999999999", 100)):
        assert listed.page(limit=asked, **query)[1]["limit"] == clamped
    assert listed.page(offset="-1", **query)[1]["offset"] == 0
    assert listed.page(**query)[1]["limit"] == 50


def _walk(listed: Listed, limit: int, id_field: str, **query: object) -> list[Row]:
    """All rows, page by page along the cursor."""
    rows, told = listed.page(limit=limit, **query)
    while told["next"] is not None:
        assert told["next"] == rows[-1][id_field]
        more, told = listed.page(limit=limit, after=told["next"], **query)
        assert more, "a cursor to nothing"
        assert (told["total"], told["offset"], told["pages"]) == (None, None, None)
        rows += more
    return rows


def check_times(listed: Listed) -> None:
    """`from` includes its time, `to` excludes it; offsets other than Z are understood."""
    rows = listed.whole()
    for at in sorted({row["createdAt"] for row in rows}):
        found, _ = listed.page(limit=100, from_=at)
        assert found == [row for row in rows if row["createdAt"] >= at]
        found, _ = listed.page(limit=100, to=at)
        assert found == [row for row in rows if row["createdAt"] < at]
        assert listed.page(limit=100, from_=at, to=at)[0] == []
    at = rows[0]["createdAt"]
    same = at.replace("Z", "+00:00")
    assert listed.page(limit=100, from_=same)[0] == listed.page(limit=100, from_=at)[0]
    assert listed.page(limit=100, from_="0001-01-01T00:00:00Z")[0] == rows
    assert listed.page(limit=100, to="9999-12-31T23:59:59.999Z")[0] == rows


def check_refusals(listed: Listed, *but: str) -> None:
    """Parameters out of form are refused, and so are two of one and two that exclude each other."""
    for name, values in OUT_OF_FORM.items():
        for value in () if name in but else values:
            listed.refuses(urlencode({name: value}))
    listed.refuses("limit=1&limit=1")
    listed.refuses("limit=1&limi%74=2")
    rows = listed.whole()
    if "offset" not in but:
        for offset in (0, 1):
            listed.refuses(f"after={rows[0]['id']}&offset={offset}")
