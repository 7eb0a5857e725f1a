"""The tree's database, looked at beside the product: what stands in it, and its own statistics.

The looks are made by the owner role over one connection; nothing is changed but by `execute`,
for a state that no call leads to.
"""

import asyncio
import time
from typing import Any, Final

import asyncpg

from tests.support.closing import Closing

_TABLES: Final = """
SELECT relname FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
WHERE nspname = 'public' AND relkind = 'r' ORDER BY relname
"""
_ROWS: Final = "SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {} AS t"


_TENANTS: Final = """
SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'book_id'
WHERE n.nspname = 'public' AND c.relkind = 'r' ORDER BY c.relname
"""
_BOOKS: Final = "SELECT book_id FROM books WHERE merchant_id = $1"


class Database(Closing):
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

    def close(self) -> None:
        """End the connection and its loop."""
        self._runner.run(self._connection.close())
        self._runner.close()


class BookHash(Database):
    """What a merchant's books hold, while others go on."""

    def __init__(self, dsn: str, merchant: str) -> None:
        """Connect."""
        super().__init__(dsn)
        self._books = [row["book_id"] for row in self.rows(_BOOKS, merchant)]
        tables = [row["relname"] for row in self.rows(_TENANTS)]
        union = " UNION ALL ".join(
            f"({_ROWS.format(name)} WHERE t.book_id = ANY($1))" for name in tables
        )
        self._of_books = f"SELECT array_agg(x.md5) FROM ({union}) AS x"  # noqa: S608 - the same
        self._names = tables

    def now(self) -> dict[str, str]:
        """A hash of the books' rows of each table."""
        found = self.rows(self._of_books, self._books)[0][0]
        return dict(zip(self._names, found, strict=True))

    def quiet(self, seconds: float = 0.5) -> dict[str, str]:
        """What they hold once nothing has changed for a while."""
        end, since, state = time.monotonic() + 60, time.monotonic(), self.now()
        while time.monotonic() - since < seconds:
            assert time.monotonic() < end, "it never gets quiet"
            time.sleep(0.05)
            found = self.now()
            if found != state:
                since, state = time.monotonic(), found
        return state
