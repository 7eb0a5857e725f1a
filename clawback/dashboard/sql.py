"""The queries of the pages, read once.

They lie in queries.sql; people and their sessions have a file of their own, people.sql, which the
command line uses too.
"""

from typing import Final

from clawback.db import queries

SQL: Final = queries.load(__package__, "queries.sql")
