"""`clawback providers`: accounts at payment providers, and the key that seals their secrets.

Secrets are read from files, never from arguments, and stored sealed: whoever has the database
alone has none of them. The key file lies outside the database; losing it means entering the
secrets anew.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from clawback.cli.options import Live
from clawback.cli.output import Stop, clean, say, show_json
from clawback.cli.session import AsJson, Database, with_database

if TYPE_CHECKING:
    from clawback.seal import Seal

app = typer.Typer()

KeyFile = Annotated[
    Path, typer.Option("--key-file", help="Holds the sealing key.", envvar="CLAWBACK_SEAL_KEY_FILE")
]
_NAME: Final = re.compile(r"[a-z0-9_-]{1,32}", re.ASCII)


@app.command("make-key")
def make_key(key_file: KeyFile, *, as_json: AsJson = False) -> None:
    """Make a key file with one new key. Keep a copy of it apart from the database's backups."""
    from clawback import seal  # noqa: PLC0415 - loaded only when used

    try:
        seal.create(key_file)
    except FileExistsError as error:
        raise Stop(f"{key_file} exists already", "`providers rotate-key` renews a key.") from error
    except OSError as error:
        raise Stop(f"{key_file} cannot be written: {error.strerror}") from error
    if as_json:
        show_json({"keyFile": str(key_file)})
    else:
        say(f"made {key_file}")


@app.command("create")
@with_database
def create_account(
    database: Database,
    provider: Annotated[str, typer.Argument(help="sandbox …")],
    account: Annotated[str, typer.Argument(help="Your name for it: default …")],
    secret: Annotated[Path, typer.Option("--secret-file", help="What calls are made with.")],
    notices: Annotated[
        Path, typer.Option("--notice-secret-file", help="What the provider signs notices with.")
    ],
    key_file: KeyFile,
    *,
    live: Live = False,
) -> None:
    """Store an account, or new secrets of one that is there."""
    from clawback.cli import vault  # noqa: PLC0415 - the driver is loaded only when used

    for name in (provider, account):
        if not _NAME.fullmatch(name):
            raise Stop(f"{clean(name)} is no name", "Use lower-case letters, digits, - and _.")
    wanted = vault.Account(provider, account, "live" if live else "test")
    secrets = (_secret(secret), _secret(notices))
    opened = _seal(key_file)
    database.run(lambda session: vault.keep(session, opened, wanted, secrets))
    database.show_one({"provider": provider, "account": account, "mode": wanted.mode})


@app.command("list")
@with_database
def list_accounts(database: Database) -> None:
    """List accounts, without their secrets."""
    from clawback.cli import vault  # noqa: PLC0415 - the driver is loaded only when used

    rows = database.run(vault.list_accounts)
    database.show(("provider", "account", "mode", "createdAt"), rows)


@app.command("rotate-key")
@with_database
def rotate_key(database: Database, key_file: KeyFile) -> None:
    """Make a new sealing key and seal every secret anew with it; the old key is then forgotten.

    Processes that run read the file again when they next need it.
    """
    from clawback import seal  # noqa: PLC0415 - loaded only when used
    from clawback.cli import vault  # noqa: PLC0415 - the same

    _seal(key_file)
    try:
        seal.add_key(key_file)
        opened = _seal(key_file)
        count = database.run(lambda session: vault.reseal(session, opened))
        seal.drop_old_keys(key_file)
    except OSError as error:
        text = f"{key_file} cannot be written: {error.strerror}"
        raise Stop(text, "Nothing is lost: every key is still in it. Run this again.") from error
    if database.as_json:
        show_json({"resealed": count})
    else:
        say(f"sealed the secrets of {count} accounts and endpoints anew")


def _seal(key_file: Path) -> "Seal":
    from clawback import seal  # noqa: PLC0415 - loaded only when used

    try:
        return seal.load(key_file)
    except seal.SealBroken as error:
        raise Stop(str(error), "`clawback providers make-key` makes one.") from error


def _secret(path: Path) -> str:
    """The one line of a secret's file, closed to others. Raises: Stop."""
    try:
        if path.stat().st_mode & 0o077:
            raise Stop(f"{path} can be read by others", f"chmod 600 {path}")
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Stop(f"no secret in {path}", "It must hold one line of text.") from error
    if not text or not text.isprintable():
        raise Stop(f"no secret in {path}", "It must hold one line of text.")
    return text
