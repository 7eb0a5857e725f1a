"""Start the sandbox provider: `python -m clawback.sandbox --port 0 --data FILE --secret-file F`.

Serves on loopback until SIGTERM or SIGINT, then commits and ends with 0. Port 0 takes a free one;
`--port-file` receives the port once the provider answers. Secrets come from files, never from
arguments, which other users of the machine can read.
"""

import argparse
import asyncio
import base64
import binascii
import signal
import sys
from pathlib import Path
from typing import Final

import uvloop

from clawback.clock import milliseconds, real_now
from clawback.sandbox.notices import Notices
from clawback.sandbox.protocol import Notice
from clawback.sandbox.record import Record
from clawback.sandbox.script import Script
from clawback.sandbox.server import Connection, Ticks
from clawback.sandbox.service import Service

HOST: Final = "127.0.0.1"
NEVER_MS: Final = 2**62


class Timer:
    """Runs what falls due by itself, at its time, in the transaction of its turn."""

    def __init__(self, service: Service, ticks: Ticks) -> None:
        """Nothing is awaited until `wake`."""
        self._service = service
        self._ticks = ticks
        self._handle: asyncio.TimerHandle | None = None
        self._wakes_at_ms = NEVER_MS

    def wake(self, at_ms: int) -> None:
        """Be awake at this real time, or earlier: something will fall due."""
        if at_ms >= self._wakes_at_ms:
            return
        if self._handle is not None:
            self._handle.cancel()
        self._wakes_at_ms = at_ms
        seconds = max(0, at_ms - milliseconds(real_now()) + 1) / 1000
        self._handle = asyncio.get_running_loop().call_later(seconds, self._run)

    def _run(self) -> None:
        self._handle, self._wakes_at_ms = None, NEVER_MS
        next_ms = self._service.take_due_steps()
        self._ticks.touch()
        if next_ms is not None:
            self.wake(next_ms)


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop; 2 if a setting is wrong or the record is in use."""
    options = _parser().parse_args(arguments)
    try:
        secret = _secret_from(options.secret_file)
        notice_secret = None
        if options.notice_url is not None:
            notice_secret = _notice_secret_from(options.notice_secret_file)
        record = Record(options.data)
    except BlockingIOError:
        return _refuse(f"{options.data} is in use by another sandbox provider")
    except (OSError, ValueError) as error:
        return _refuse(str(error))
    try:
        uvloop.run(_serve(options, record, secret, notice_secret))
    finally:
        record.close()
    return 0


async def _serve(
    options: argparse.Namespace, record: Record, secret: str, notice_secret: str | None
) -> None:
    script = Script(record, hold_seconds=options.hold_seconds)
    ticks = Ticks(record.commit)
    notices = None
    if notice_secret is not None:
        notices = Notices(record, script, url=options.notice_url, secret=notice_secret)
    tell = _tell_nobody if notices is None else notices.tell
    service = Service(record, script, tell, secret=secret)
    timer = Timer(service, ticks)
    service.wake = timer.wake
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(service.decide, ticks), HOST, options.port, backlog=1024
    )
    sender = None if notices is None else asyncio.create_task(notices.run(ticks))
    timer.wake(0)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    _announce(server.sockets[0].getsockname()[1], options.port_file)
    if sender is not None:
        sender.add_done_callback(lambda _: stopped.set())
    await stopped.wait()
    server.close()
    if sender is not None and not sender.cancel():
        await sender  # it ended by itself, which is a bug: say so


def _tell_nobody(_: Notice) -> None:
    """Without an address no notice is made."""


def _announce(port: int, port_file: Path | None) -> None:
    """Tell the port, whole or not at all."""
    if port_file is not None:
        draft = port_file.with_name(port_file.name + ".new")
        draft.write_text(f"{port}\n")
        draft.replace(port_file)
    sys.stdout.write(f"sandbox provider on http://{HOST}:{port}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="clawback.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--data", type=Path, required=True, help="the SQLite file of the record")
    parser.add_argument("--secret-file", type=Path, required=True, help="what callers must bear")
    parser.add_argument("--notice-url", help="where notices are sent; none: they are not made")
    parser.add_argument("--notice-secret-file", type=Path, help="whsec_… that signs notices")
    parser.add_argument("--port-file", type=Path, help="receives the port")
    parser.add_argument(
        "--hold-seconds", type=float, default=12.0, help="how long a time-out is held, then cut"
    )
    return parser


def _secret_from(path: Path | None) -> str:
    """The one line of a secret file. Raises: ValueError if there is none."""
    secret = "" if path is None else path.read_text().strip()
    if not secret or not secret.isascii() or not secret.isprintable():
        raise ValueError(f"{path} holds no secret")
    return secret


def _notice_secret_from(path: Path | None) -> str:
    """A signing secret. Raises: ValueError if it is not `whsec_` and base64."""
    secret = _secret_from(path)
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith("whsec_") or not key:
        raise ValueError(f"{path} holds no whsec_ secret")
    return secret


def _refuse(why: str) -> int:
    sys.stderr.write(f"clawback.sandbox: {why}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
