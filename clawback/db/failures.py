"""What a database error means to the person at the command line, in a sentence and an advice.

Only errors that a person can cause or cure are explained: an address that leads nowhere, a
password, a database without our tables, a name that is taken. No text of the server is passed
on: it could hold values. Everything else is a bug and stays an exception.
"""

from typing import Final

import asyncpg

DATABASE_ERRORS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    ConnectionError,
    TimeoutError,
    OSError,
)
_INIT: Final = "Run `clawback db init` on it first."
_ACCESS: Final = "Check the user, the password and the database's name in DATABASE_URL."
_NOT_OURS: Final = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedFunctionError,
    asyncpg.UndefinedColumnError,
)
_REFUSED: Final = (
    asyncpg.InvalidPasswordError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)


def explain(error: BaseException) -> tuple[str, str] | None:
    """What happened and what to do; None for an error that nobody outside can cure."""
    if isinstance(error, _NOT_OURS):
        return "this database has no Clawback tables, or older ones", _INIT
    if isinstance(error, asyncpg.InvalidParameterValueError) and "clawback_app" in str(error):
        return "this database has not been set up: there is no role clawback_app", _INIT
    if isinstance(error, asyncpg.UniqueViolationError):
        return f"there is one of that name already ({error.constraint_name})", "Choose another."
    if isinstance(error, asyncpg.CheckViolationError):
        return f"a value is out of range ({error.constraint_name})", "See --help for what is taken."
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return "the database user may not do this", "Use the user that owns the database."
    if isinstance(error, _REFUSED):
        return f"the database refused us ({type(error).__name__})", _ACCESS
    if isinstance(error, asyncpg.CannotConnectNowError | asyncpg.TooManyConnectionsError):
        return "the database takes no connection now", "Wait a moment and try again."
    if isinstance(error, asyncpg.PostgresConnectionError | OSError | TimeoutError):
        return "the database does not answer", "Is it running? Check DATABASE_URL."
    if isinstance(error, asyncpg.InterfaceError | asyncpg.ClientConfigurationError):
        return "DATABASE_URL cannot be used", "Its form is postgresql://user:password@host/name."
    return None
