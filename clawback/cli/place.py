"""Where things are: the data directory of `clawback dev`, and the file that tells who is up.

`DIR/dev.json` exists while a `dev` on DIR answers (mode 0600: it holds the demo merchant's keys).
When it stops, the file is put aside under another name, so that a second start finds the same
keys and nobody takes a stopped server for a running one.
"""

import os
import secrets
from pathlib import Path
from typing import Final

import msgspec

from clawback.cli.output import Stop

DEFAULT: Final = Path(".clawback")


class Dev(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A running `clawback dev`, as `DIR/dev.json` describes it. Keys open its demo merchant."""

    url: str
    secret_key: str
    publishable_key: str
    live_secret_key: str
    merchant_id: str = ""
    docs: str = ""
    dashboard_url: str = ""
    data: str = ""
    database_url: str = ""
    sandbox_url: str = ""
    pid: int = 0
    pids: dict[str, int | None] = {}


def running(data: Path) -> Path:
    """The file of a `dev` that runs."""
    return data / "dev.json"


def stopped(data: Path) -> Path:
    """The same after it has stopped, kept for its keys."""
    return data / "dev.stopped.json"


def read_dev(path: Path) -> Dev | None:
    """What such a file says; None if there is none. Raises: Stop if it cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Dev)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise Stop(f"{path} cannot be read", "Remove it: the next start writes it anew.") from error


def find_dev(data: Path | None) -> Dev:
    """The `dev` that runs on a directory. Raises: Stop if there is none."""
    folder = data or DEFAULT
    found = read_dev(running(folder))
    if found is None:
        advice = (
            "Start it with `make demo`, name its directory with --data, or use --url and a key."
        )
        raise Stop(f"no `clawback dev` runs on {folder}", advice)
    return found


def find_database(data: Path | None) -> str:
    """The database to work on: that of --data, else DATABASE_URL, else that of ./.clawback.

    Raises: Stop if there is none.
    """
    given = os.environ.get("DATABASE_URL", "")
    if data is None and given:
        return given
    if data is None and not running(DEFAULT).exists():
        advice = "Set DATABASE_URL, or name the directory of a running `clawback dev` with --data."
        raise Stop("there is no database to work on", advice)
    return find_dev(data).database_url


def find_url(data: Path | None) -> str:
    """Where the service of that database is reached; empty if nobody has said so."""
    given = os.environ.get("CLAWBACK_PUBLIC_URL", "")
    dev = read_dev(running(data or DEFAULT))
    is_dev = dev is not None and (data is not None or not os.environ.get("DATABASE_URL"))
    return given or (dev.url if dev is not None and is_dev else "")


def write_private(path: Path, body: bytes) -> None:
    """Write a file whole or not at all, for its owner's eyes only."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(body)
    draft.replace(path)
