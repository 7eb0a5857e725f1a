"""What a database error means to a lane: one of four kinds, which say what it may do.

`Retry`: nothing was done, load again. `LockedOut`: nothing was done, answer 503. `Lost`: the
connection is gone before COMMIT was sent, so nothing was done. `CommitUnknown`: look for the
batch's marker before anything else. A CHECK that fails stays what it is: a bug.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg

from clawback.db import pool


class Retry(Exception):
    """Deadlock, serialization, a name or key taken by another process, or stale statements."""

    def __init__(self, constraint: str | None, cause: Exception) -> None:
        """Keep the constraint that was violated, if one was."""
        super().__init__(repr(cause))
        self.constraint = constraint


class LockedOut(Exception):
    """A lock was not had in time, or the database has no room: nothing was done."""


class Lost(Exception):
    """The connection ended before COMMIT was sent: nothing was done."""


class CommitUnknown(Exception):
    """COMMIT was sent and its answer did not come."""


_RETRIED: Final = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.UniqueViolationError,
    asyncpg.InvalidCachedStatementError,
)
_NO_ROOM: Final = (
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.DiskFullError,
    asyncpg.OutOfMemoryError,
    asyncpg.ReadOnlySQLTransactionError,
)
GONE: Final = pool.AWAY


@contextmanager
def told_apart() -> Iterator[None]:
    """Turn the driver's errors into the kinds above."""
    try:
        yield
    except _RETRIED as error:
        raise Retry(getattr(error, "constraint_name", None), error) from error
    except _NO_ROOM as error:
        raise LockedOut(repr(error)) from error
    except GONE as error:
        raise Lost(repr(error)) from error
