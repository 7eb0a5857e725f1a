"""The benchmark's own queries, read once.

They write reference tables (merchants, shops, books, keys) and read counters; payments and claims
are written by the lanes' own function, like everywhere else.
"""

from typing import Final

from clawback.db import queries

SQL: Final = queries.load(__package__, "queries.sql")
