"""What a release brings to a database: numbered SQL files, and the lanes' functions.

Files are numbered 1, 2, 3 … without a gap and are told apart by the SHA-256 of their text: one that
was applied anywhere is never changed. Functions are replaced as a whole; their names carry a
version, so that the functions of two releases can stand side by side.
"""

import re
from hashlib import sha256
from importlib import resources
from typing import Final

import msgspec

FUNCTIONS: Final = (
    "load.sql",
    "apply.sql",
    "calls.sql",
    "webhooks.sql",
    "exhibits.sql",
    "payouts.sql",
    "retention.sql",
    "moving.sql",
)
_FUNCTION: Final = re.compile(r"(?m)^CREATE OR REPLACE FUNCTION (\w+)")


class MigrationError(Exception):
    """The database and the files do not fit; the message says which file and why."""


class Migration(msgspec.Struct, frozen=True):
    """One file."""

    number: int
    name: str
    text: str

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hexadecimal."""
        return sha256(self.text.encode()).hexdigest()


class Release(msgspec.Struct, frozen=True):
    """What a release brings: its migrations in order, and its functions."""

    migrations: tuple[Migration, ...]
    functions: tuple[str, ...] = ()

    @property
    def function_names(self) -> list[str]:
        """What has to be there after an upgrade."""
        return _FUNCTION.findall("\n".join(self.functions))


def this_release() -> Release:
    """What lies beside this module. Raises: MigrationError for a gap or a repeat."""
    folder = resources.files(__package__).joinpath("migrations")
    names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    found = tuple(
        Migration(int(name[:4]), name, folder.joinpath(name).read_text("utf-8")) for name in names
    )
    if [one.number for one in found] != list(range(1, len(found) + 1)):
        raise MigrationError(f"the migrations are not numbered 1, 2, 3 …: {names}")
    lanes = resources.files("clawback.lanes").joinpath("sql")
    return Release(found, tuple(lanes.joinpath(name).read_text("utf-8") for name in FUNCTIONS))
