"""The benchmark's own queries, read once.

They prepare what is measured and read what it cost; none is on the way of a measured refund.
The control's function is in `control.sql`, its call in `control_call.sql`.
"""

from typing import Final

from clawback.db import queries

SQL: Final = queries.load(__package__, "queries.sql")
