"""Merchants of a running tree, made by the operator's own functions in this process.

A command line costs a second of start-up for each merchant; suites that give every case a book of
its own open thousands. What is written is the same, by the same code.
"""

import asyncio
import itertools
import os
from collections.abc import Iterator, Mapping
from typing import Final

import asyncpg

from clawback.cli import register
from clawback.dashboard import terms
from clawback.ledger.audit import audit
from tests.support.closing import Closing
from tests.support.shops import Shop
from tests.support.trees import Tree

_NUMBERS: Final[Iterator[int]] = itertools.count(1)
_RATE: Final = 10_000


class Registry(Closing):
    """A connection to the tree's database, as an operator has one."""

    def __init__(self, tree: Tree) -> None:
        """Connect."""
        self._tree = tree
        self._address = tree.address
        self._runner = asyncio.Runner()
        self._dsn = str(tree.dev["databaseUrl"])
        self._session = self._runner.run(asyncpg.connect(self._dsn))

    def shop(self, fees: Mapping[str, tuple[int, int]] | None = None, **settings: object) -> Shop:
        """A new merchant's test book with these settings; `fees` by method, in 1/10,000."""
        merchant = f"MCH-OWN-{os.getpid()}-{next(_NUMBERS)}"
        made = register.create_merchant(self._session, merchant, merchant, "Centro")
        self._runner.run(made)
        self.set(merchant, fees, **settings)
        return self.key(merchant)

    def set(
        self,
        merchant: str,
        fees: Mapping[str, tuple[int, int] | None] | None = None,
        **settings: object,
    ) -> None:
        """Change settings of the test book, by column."""
        given = {one.name: terms.shown(one.name, settings.pop(one.column))
                 for one in terms.TERMS if one.column in settings}  # fmt: skip
        given |= {f"{terms.FEE}{name}": terms.shown_fee(fee) for name, fee in (fees or {}).items()}
        assert not settings, settings
        self._runner.run(register.set_book(self._session, merchant, "test", given))

    def key(
        self, merchant: str, max_claim_usd_e4: int | None = None, max_day_usd_e4: int | None = None
    ) -> Shop:
        """Another key of the test book, a principal of its own."""
        wanted = register.WantedKey(
            merchant_id=merchant,
            mode="test",
            rate=_RATE,
            max_claim_usd_e4=max_claim_usd_e4,
            max_day_usd_e4=max_day_usd_e4,
        )
        made = self._runner.run(register.create_key(self._session, wanted))
        return Shop(self._address, str(made["secret"]))

    def shard(self, merchant: str) -> int:
        """The shard of a merchant's test book."""
        query = "SELECT shard FROM books WHERE merchant_id = $1 AND mode = 'test'"
        return int(self._runner.run(self._session.fetchval(query, merchant)))

    def audit(self) -> None:
        """All books of the tree are right."""
        with self._tree.books():
            report = self._runner.run(audit(self._dsn))
        assert report.clean, [
            (one.name, *map(bytes, one.rows)) for one in report.checks if not one.ok
        ]

    def close(self) -> None:
        """End the connection and its loop."""
        self._runner.run(self._session.close())
        self._runner.close()
