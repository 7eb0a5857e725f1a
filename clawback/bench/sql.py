"""The benchmark's own queries, read once."""

from typing import Final

from clawback.db import queries

SQL: Final = queries.load(__package__, "queries.sql")
