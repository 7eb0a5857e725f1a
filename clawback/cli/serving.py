"""Runs the API: the parts put together for one process, or several processes kept running.

A process that drains says so on /readyz, so that a balancer sends nothing more, while requests
that run are answered. An address beyond loopback is refused unless a reverse proxy with TLS
stands in front.
"""

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

import uvloop

from clawback import logs, tables
from clawback.cli import processes
from clawback.cli.output import Stop, note
from clawback.cli.session import environment
from clawback.dashboard import app as dashboard
from clawback.db import failures, queries
from clawback.http import explaining, pages, payer, server
from clawback.http.answers import serve_page
from clawback.http.app import Api
from clawback.http.openapi import make_document
from clawback.settings import Settings
from clawback.work.supervisor import Ended, Part, Supervisor

if TYPE_CHECKING:
    import uvicorn

SQL: Final = queries.load(__package__, "gauges.sql")
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
READY_SECONDS: Final = 2.0
GC_THRESHOLDS: Final = (50_000, 20, 50)
"""Requests make few cycles: rarer collections, and none over what was loaded at start."""


def run(given: Mapping[str, str], share: int | None) -> None:
    """Serve in this process until SIGTERM.

    `share`: of how many processes on the port and the keys' rates this is one; None has the port
    alone. Raises: Stop if the port is taken.
    """
    settings = processes.prepare(given)
    if share is None:
        with contextlib.ExitStack() as held:
            _hold(held, settings)
    if settings.host not in LOOPBACK and not settings.behind_proxy:
        advice = "Put a reverse proxy with TLS in front and set CLAWBACK_BEHIND_PROXY=1."
        raise Stop(f"keys must not travel unencrypted to {settings.host}", advice)
    try:
        listening = server.listen(settings.host, settings.port)
    except OSError as error:
        raise _port_taken(settings.port) from error
    uvloop.run(_serve(settings, listening, share or 1))


async def _serve(settings: Settings, listening: socket.socket, share: int) -> None:
    log = logs.get_logger()
    serving: uvicorn.Server | None = None
    async with tables.running(settings, name="clawback api") as runtime:

        async def is_ready() -> bool:
            if serving is None or serving.should_exit:
                return False
            with contextlib.suppress(*failures.DATABASE_ERRORS):
                async with asyncio.timeout(READY_SECONDS), runtime.reader() as session:
                    return bool((await SQL.is_ready(session))["ready"])
            return False

        async def gauges() -> dict[str, float]:
            async with runtime.reader() as session:
                return {name: float(value) for name, value in (await SQL.gauges(session)).items()}

        board = dashboard.make_dashboard(
            runtime,
            settings,
            tables.ROUTES,
            processes=share,
            is_stopping=lambda: serving is not None and serving.should_exit,
        )
        outside = pages.make_pages(
            make_document(tables.ROUTES),
            settings,
            is_ready,
            gauges,
            (*payer.make_routes(runtime), *explaining.make_routes(runtime), board),
        )
        api = Api(tables.ROUTES, runtime, settings, processes=share)
        serving = server.make_server(api, partial(serve_page, outside), settings)
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        log.info("api_started", port=settings.port)
        keeping = asyncio.create_task(api.keep_keys())
        try:
            await serving.serve(sockets=[listening])
        finally:
            keeping.cancel()
        log.info("api_stopped")


def keep_running(given: Mapping[str, str], count: int) -> None:
    """Keep several processes running on one port until SIGTERM. Raises: Stop if it is taken."""
    settings = processes.prepare(given)
    with contextlib.ExitStack() as held:
        _hold(held, settings)
        asyncio.run(_keep_running(given, count))


async def _keep_running(given: Mapping[str, str], count: int) -> None:
    asked = asyncio.Event()
    supervisor = Supervisor(_tell)
    loop = asyncio.get_running_loop()

    def ask() -> None:
        if asked.is_set():
            supervisor.kill()
        asked.set()

    for asking in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(asking, ask)
    for number in range(1, count + 1):
        part = Part(
            name=f"api-{number}",
            module="clawback",
            arguments=("serve", "--share", str(count)),
            environment={**environment(), **given},
        )
        await supervisor.start(part)
    await asked.wait()
    await supervisor.stop()


def _tell(ended: Ended | None) -> None:
    if ended is not None:
        note(f"{ended.name} ended with {ended.code}: starting it again")


def _hold(held: contextlib.ExitStack, settings: Settings) -> None:
    """Keep the port for our processes alone, also while none of them is up."""
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        made = held.enter_context(socket.socket())
        made.setsockopt(socket.SOL_SOCKET, option, 1)
        try:
            made.bind((settings.host, settings.port))
        except OSError as error:
            raise _port_taken(settings.port) from error
        if option == socket.SO_REUSEADDR:
            made.close()


def _port_taken(port: int) -> Stop:
    text = f"port {port} cannot be used: it is taken, or not ours to take"
    return Stop(text, "Choose another with --port.")
