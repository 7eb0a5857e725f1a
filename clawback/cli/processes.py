"""What the processes of the service share: settings read once, logs set up, a database asked for.

A wrong setting, a missing or unfit database end the start with a sentence, not with a traceback:
a supervisor that starts the process again and again should find that sentence in its log.
"""

import os
from collections.abc import Mapping

from clawback import logs, seal
from clawback.cli.output import Stop
from clawback.cli.session import explained
from clawback.db import migrate, pool
from clawback.settings import Settings, SettingsError, read_settings


def settings_of(given: Mapping[str, str] | None = None) -> Settings:
    """The environment's settings, with `given` over them. Raises: Stop."""
    try:
        return read_settings({**os.environ, **(given or {})})
    except SettingsError as error:
        raise Stop(str(error), "docs/reference/settings.md lists the settings.") from error


def prepare(given: Mapping[str, str]) -> Settings:
    """The settings of a process of the service, `given` over the environment. Raises: Stop."""
    settings = settings_of(given)
    if not settings.database_url:
        advice = "Set DATABASE_URL to postgresql://user:password@host/name, or use `clawback dev`."
        raise Stop("there is no database to work on", advice)
    logs.configure(settings.log_level)
    if settings.seal_key_file is not None:
        try:
            seal.load(settings.seal_key_file)
        except seal.SealBroken as error:
            raise Stop(str(error), "`clawback providers make-key` makes one.") from error
    try:
        explained(lambda: _check(settings))
    except pool.UnfitServer as error:
        raise Stop(
            str(error), "CLAWBACK_ALLOW_UNSAFE_DATABASE=1 is for development only."
        ) from error
    except migrate.MigrationError as error:
        raise Stop(str(error), "Use the release that the database belongs to.") from error
    return settings


async def _check(settings: Settings) -> None:
    session = await pool.connect(settings.database_url, application_name="clawback check")
    try:
        wrong = await pool.check_durability(session, allow_unsafe=settings.allow_unsafe_database)
    finally:
        await session.close()
    for text in wrong:
        logs.get_logger().warning("unsafe_database", setting=text)
    if not await migrate.is_current(settings.database_url):
        raise Stop("the database is not of this release", "Run `clawback db upgrade`.")
