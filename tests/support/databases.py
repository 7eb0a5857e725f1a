"""The tree's database, looked at beside the product: what stands in it, and its own statistics.

The looks are made by the owner role over one connection; nothing is changed but by `execute`,
for a state that no call leads to.
"""

import asyncio
from types import TracebackType
from typing import Any, Final, Self

import asyncpg

_TABLES: Final = """
SELECT relname FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
WHERE nspname = 'public' AND relkind = 'r' ORDER BY relname
"""
_ROWS: Final = "SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {} AS t"


class Database:
    """A connection and the loop that it lives in."""

    def __init__(self, dsn: str) -> None:
        """Connect."""
        self._runner = asyncio.Runner()
        self._connection = self._runner.run(asyncpg.connect(dsn, timeout=10))
        self._tables = [row["relname"] for row in self.rows(_TABLES)]
        union = " UNION ALL ".join(f"({_ROWS.format(name)})" for name in self._tables)
        self._hash = f"SELECT array_agg(x.md5) FROM ({union}) AS x"  # noqa: S608 - the same

    def rows(self, query: str, *values: object) -> list[Any]:
        """What a query finds."""
        return list(self._runner.run(self._connection.fetch(query, *values)))

    def execute(self, statement: str, *values: object) -> None:
        """Make it so."""
        self._runner.run(self._connection.execute(statement, *values))

    def state(self) -> dict[str, str]:
        """A hash of all rows of each table."""
        return dict(zip(self._tables, self.rows(self._hash)[0][0], strict=True))

    def deadlocks(self) -> int:
        """How many there have been since the server started."""
        query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        return int(self.rows(query)[0][0])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._runner.run(self._connection.close())
        self._runner.close()
