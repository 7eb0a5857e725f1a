"""Loads SQL from `.sql` files: every query has a name, a kind and named parameters.

A query starts with `-- name: load_payments :many (shard, payment_ids)`, continued on further
comment lines until the parenthesis closes. Parameters are `$1`, `$2` … in the header's order and
become keyword arguments. Kinds: `:one` (a row; Absent if there is none), `:maybe` (a row or
None), `:many` (rows) and `:exec` (the command tag).
"""

import re
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from asyncpg import Connection, Record
    from asyncpg.pool import PoolConnectionProxy

_HEADER: Final = re.compile(r"--\s*name:\s*(\w+)\s+:(one|maybe|many|exec)\s*\(([^)]*)\)", re.DOTALL)
_NAMED: Final = re.compile(r"--\s*name:")
_PARAMETER: Final = re.compile(r"\$(\d+)")


class Absent(LookupError):
    """A row that is there while its book is: the book's head row is away while it is moved."""


class Query:
    """One named query; call it with a connection and its parameters by name."""

    def __init__(self, name: str, kind: str, parameters: tuple[str, ...], sql: str) -> None:
        """Raises: ValueError if the header and the text do not name the same parameters."""
        used = {int(number) for number in _PARAMETER.findall(sql)}
        if used != set(range(1, len(parameters) + 1)):
            raise ValueError(f"query {name}: its header and its text differ in parameters")
        self.name = name
        self.kind = kind
        self.parameters = parameters
        self.sql = sql

    async def __call__(  # the answer is by kind
        self, session: "Connection | PoolConnectionProxy", **values: object
    ) -> Any:  # noqa: ANN401 - a row, rows, None or a tag
        """Run it. Raises: Absent for `:one` without a row; TypeError for wrong names."""
        if len(values) != len(self.parameters):
            raise TypeError(f"query {self.name} takes {self.parameters}, not {tuple(values)}")
        try:
            arguments = [values[name] for name in self.parameters]
        except KeyError as error:
            raise TypeError(f"query {self.name} needs {error}") from error
        if self.kind == "exec":
            return await session.execute(self.sql, *arguments)
        if self.kind == "many":
            return await session.fetch(self.sql, *arguments)
        row: Record | None = await session.fetchrow(self.sql, *arguments)
        if row is None and self.kind == "one":
            raise Absent(f"query {self.name} found no row")
        return row


class Queries:
    """The queries of one file, as attributes."""

    def __init__(self, queries: dict[str, Query]) -> None:
        """Keep them by name."""
        self.all: Final = queries

    def __getattr__(self, name: str) -> Query:
        """The query of that name. Raises: AttributeError."""
        try:
            return self.all[name]
        except KeyError:
            raise AttributeError(name) from None


def parse(text: str) -> Queries:
    """The queries of a file's text.

    Raises: ValueError for a header that cannot be read, or a name given twice.
    """
    found: dict[str, Query] = {}
    parts = re.split(r"(?m)^(?=--\s*name:)", text)
    for part in parts:
        uncommented = re.sub(r"\n--(?!\s*name:)\s*", " ", part)
        header = _HEADER.match(uncommented)
        if header is None:
            if _NAMED.match(part):
                raise ValueError(f"not a query's header: {part.splitlines()[0]}")
            continue
        name, kind, parameters = header.groups()
        if name in found:
            raise ValueError(f"query {name} is given twice")
        names = tuple(one.strip() for one in parameters.split(",") if one.strip())
        lines = [line for line in part.splitlines() if not line.lstrip().startswith("--")]
        found[name] = Query(name, kind, names, "\n".join(lines).strip().rstrip(";"))
    return Queries(found)


def load(package: str | None, name: str) -> Queries:
    """The queries of a file beside a package's modules, read once at import."""
    assert package is not None
    return parse(resources.files(package).joinpath(name).read_text(encoding="utf-8"))
