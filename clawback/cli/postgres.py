"""Keeps the embedded PostgreSQL of a data directory up: `python -m clawback.cli.postgres DIR`.

It is a part of `clawback dev` like the others: it ends with an error when its server dies, is
started again, and PostgreSQL then recovers by itself. Where the server is stands in
`DIR/database.url` (mode 0600) while it takes connections. SIGTERM and SIGINT stop it in order.
"""

import signal
import sys
from pathlib import Path
from typing import Final

from clawback import clock
from clawback.cli.place import write_private
from clawback.db.embedded import EmbeddedError, EmbeddedPostgres

LOOK_SECONDS: Final = 0.1


def address_file(data: Path) -> Path:
    """Where the server's address stands while it takes connections."""
    return data / "database.url"


def main() -> int:
    """Run the server until told to stop; 1 if it could not be started or has died."""
    data = Path(sys.argv[1])
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda given, _: asked.append(given))
    server = EmbeddedPostgres(data)
    address_file(data).unlink(missing_ok=True)
    try:
        url = server.start()
    except EmbeddedError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    try:
        write_private(address_file(data), url.encode())
        while not asked and server.pid is not None:
            clock.sleep_seconds(LOOK_SECONDS)
    finally:
        address_file(data).unlink(missing_ok=True)
        server.stop()
    return 0 if asked else 1


if __name__ == "__main__":
    sys.exit(main())
