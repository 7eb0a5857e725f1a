"""The worker process: takes claims to their release, payments through their dues, and tells of it.

Any number of workers may run; what one that dies leaves behind is taken over when its lease, on
real time, has run out. On SIGTERM nothing new is started, calls in flight end, and their
outcomes are committed before the process goes.
"""

import asyncio
import signal

import uvloop

from clawback import logs, tables
from clawback.db import pool
from clawback.settings import Settings
from clawback.work.clocks import Clocks
from clawback.work.deliveries import CONNECTIONS, Deliveries
from clawback.work.retention import Retention
from clawback.work.schedule import Schedule

log = logs.get_logger()

DRAIN_SECONDS = 20.0


def main(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    uvloop.run(work(settings))


async def work(settings: Settings) -> None:
    """Run a worker on this loop."""
    async with tables.running(settings, name="clawback worker") as runtime:
        schedule = Schedule(
            runtime.lanes,
            runtime.reader,
            runtime.provider,
            runtime.seal,
            concurrency=settings.worker_concurrency,
        )
        parts: list[Schedule | Clocks | Deliveries | Retention] = [schedule]
        if runtime.sandboxes():
            dsn, lanes, sandboxes = settings.database_url, runtime.lanes, runtime.sandboxes()
            parts.append(Clocks(dsn, lanes, runtime.reader, schedule, sandboxes))
        writers = await pool.create_writer_pool(
            settings.database_url, application_name="clawback deliveries", size=CONNECTIONS
        )
        parts.append(
            Retention(
                writers,
                delivery_days=settings.delivery_days,
                attempt_days=settings.attempt_days,
            )
        )
        if runtime.seal() is None:
            log.warning("no_webhooks", advice="set CLAWBACK_SEAL_KEY_FILE")
        else:
            egress, most = runtime.egress(), settings.delivery_concurrency
            parts.append(Deliveries(runtime.lanes, writers, egress, runtime.seal, concurrency=most))

        def stop() -> None:
            for part in parts:
                part.stop()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        log.info("worker_started")
        try:
            async with asyncio.TaskGroup() as group:
                for part in parts:
                    group.create_task(part.run())
        finally:
            await writers.close()
        log.info("worker_stopped")
