"""`clawback serve`: the API, as one process or as several that share a port.

One process answers here; several are kept running by this one, each started again when it dies.
SIGTERM drains: no new connection is taken, requests that run are answered, then it ends with 0.
"""

from pathlib import Path
from typing import Annotated

import typer

from clawback.cli import place
from clawback.cli.session import Data

Port = Annotated[
    int | None,
    typer.Option(help="Where to listen. (default: CLAWBACK_PORT, or 8080)", min=1, max=65535,
                 show_default=False),
]  # fmt: skip
Processes = Annotated[int, typer.Option(help="How many, on one port.", min=1, max=64)]
Share = Annotated[
    int | None, typer.Option(help="Of how many on the port this is one.", hidden=True, min=1)
]


def command(
    port: Port = None, data: Data = None, *, processes: Processes = 1, share: Share = None
) -> None:
    """Serve the API on the database of DATABASE_URL, or of a running dev with --data."""
    from clawback.cli import serving  # noqa: PLC0415 - loaded only when used

    given: dict[str, str] = {}
    if data is not None:
        given = _settings_of(data)
    if port is not None:
        given["CLAWBACK_PORT"] = str(port)
    if processes > 1:
        serving.keep_running(given, processes)
    else:
        serving.run(given, share)


def _settings_of(data: Path) -> dict[str, str]:
    """What the processes of a running dev are told. Raises: Stop if none runs there."""
    from clawback.cli import stack  # noqa: PLC0415 - loaded only when used

    dev = place.find_dev(data)
    return stack.settings_of(Path(dev.data), dev.database_url, dev.sandbox_url)
