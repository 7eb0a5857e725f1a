"""The schema as the migrations make it: tables, keys, rights; the same text on every run.

A server of its own is started for it, so no database of anybody's is read. `make schema` writes
the text to `clawback/db/schema.sql`, and a test compares the two.
"""

import asyncio
import re
import subprocess
import tempfile
import textwrap
from pathlib import Path
from typing import Final

from clawback.cli.output import Stop
from clawback.db import migrate
from clawback.db.embedded import EmbeddedError, EmbeddedPostgres

OPTIONS: Final = ("--schema-only", "--no-owner", "--restrict-key=none")
WIDTH: Final = 100
HEAD: Final = "-- Made from the migrations by `make schema`: change those, never this file.\n\n"
_LANE_FUNCTION: Final = re.compile(r"(?s)CREATE FUNCTION public\.lane_.*?\n\$\$;\n")
_NOISE: Final = re.compile(r"--.*|SET .*|SELECT pg_catalog\.set_config.*|\\(un)?restrict .*|")


def dump() -> str:
    """The schema as SQL. Raises: Stop if the server or pg_dump cannot run."""
    with tempfile.TemporaryDirectory(prefix="clawback-schema-") as folder:
        server = EmbeddedPostgres(Path(folder))
        try:
            dsn = server.start()
            asyncio.run(migrate.upgrade(dsn))
            return _tidied(_pg_dump(dsn))
        except EmbeddedError as error:
            raise Stop(str(error)) from error
        finally:
            server.stop()


def _pg_dump(dsn: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own arguments, no shell
        [str(EmbeddedPostgres.binary("pg_dump")), *OPTIONS, dsn],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Stop(f"pg_dump failed: {done.stderr.strip()}")
    return done.stdout


def _tidied(text: str) -> str:
    """Without what differs between runs, in lines that can be read.

    The lanes' functions are left out: they are installed from `lanes/sql/`, not migrated.
    """
    lines = [line for line in text.splitlines() if not _NOISE.fullmatch(line) or not line]
    parts = re.split(r"\n{2,}", _LANE_FUNCTION.sub("", "\n".join(lines)))
    kept = [
        part.strip("\n") for part in parts if part.strip() and " FUNCTION public.lane_" not in part
    ]
    return HEAD + "\n\n".join(_wrapped(part) for part in kept)


def _wrapped(part: str) -> str:
    """The same statement in lines of at most 100 characters."""
    found = []
    for line in part.splitlines():
        indent = " " * (len(line) - len(line.lstrip()) + 4)
        found += textwrap.wrap(
            line,
            WIDTH,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
            replace_whitespace=False,
            drop_whitespace=True,
        ) or [line]
    return "\n".join(found)
