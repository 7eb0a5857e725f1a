"""Settings: one frozen struct, read from the environment once at start.

`DATABASE_URL` and names that begin with `CLAWBACK_` are read; an unknown CLAWBACK_ name stops the
start, so that a typo is not a silent default. Secrets are named by file, never given in clear.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec

PREFIX: Final = "CLAWBACK_"
ELSEWHERE: Final = frozenset(
    {
        "CLAWBACK_KEY",
        "CLAWBACK_URL",
        "CLAWBACK_DATA",
        "CLAWBACK_OPERATOR",
        "CLAWBACK_CITUS_URL",
    }
)
"""Names that the command line's own options read."""


class SettingsError(ValueError):
    """A setting is unknown or malformed; the message names it."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a process is told at start."""

    database_url: str = ""
    host: str = "127.0.0.1"
    port: int = 8080
    behind_proxy: bool = False
    """Whether a reverse proxy terminates TLS in front; needed to listen beyond loopback."""
    public_url: str = ""
    """Where others reach this service, for links to the payer's page; else host and port."""
    hosts: tuple[str, ...] = ()
    """Names that a Host header may carry; none: any."""
    trusted_proxies: tuple[str, ...] = ()
    allow_unsafe_database: bool = False
    """Development only: accept a server that would lose acknowledged commits, or a superuser."""
    sandbox_url: str = ""
    sandbox_secret_file: Path | None = None
    sandbox_notice_secret_file: Path | None = None
    seal_key_file: Path | None = None
    allow_loopback_webhooks: bool = False
    """Development only: webhooks of test books may go to http on loopback."""
    metrics_token_file: Path | None = None
    log_level: str = "info"
    access_log: bool = False
    worker_concurrency: int = 64
    delivery_concurrency: int = 256
    """Webhooks that one worker sends at once."""
    delivery_days: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Days after which a delivery that has ended is forgotten; 0: never."""
    attempt_days: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Days after which the attempts of a claim that has ended are forgotten; 0: never."""
    readers: int = 8
    lanes: int = 1
    """Lanes in this process; 0 is one for each shard, at most four. See docs/decisions/0005."""
    drain_seconds: float = 20.0
    request_seconds: float = 30.0
    silent_seconds: float = 10.0
    answer_seconds: float = 30.0
    max_connections: int = 2000
    max_connections_per_address: int = 50
    max_running: int = 1000
    max_header_bytes: int = 32_768
    max_headers: int = 100
    max_url_bytes: int = 8_192
    failed_keys_per_minute: int = 10

    def secret(self, file: Path | None) -> str:
        """The content of a secret's file. Raises: SettingsError if it is not there or open."""
        if file is None:
            raise SettingsError("a secret's file is not set")
        try:
            if file.stat().st_mode & 0o077:
                raise SettingsError(f"{file} can be read by others: chmod 600 it")
            return file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingsError(f"cannot read {file}: {error.strerror}") from error


def _path(kind: type, value: object) -> Path:
    assert kind is Path, kind
    return Path(str(value))


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process. Raises: SettingsError naming what is wrong."""
    given = os.environ if environment is None else environment
    values: dict[str, object] = {}
    if "DATABASE_URL" in given:
        values["database_url"] = given["DATABASE_URL"]
    for name, value in given.items():
        if not name.startswith(PREFIX) or name in ELSEWHERE:
            continue
        field = name.removeprefix(PREFIX).lower()
        if field not in Settings.__struct_fields__:
            raise SettingsError(
                f"{name} is not a setting of Clawback; see docs/reference/settings.md"
            )
        is_list = field in {"hosts", "trusted_proxies"}
        values[field] = [one for one in value.split(",") if one] if is_list else value
    try:
        return msgspec.convert(values, Settings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise SettingsError(f"a setting is malformed: {error}") from error
