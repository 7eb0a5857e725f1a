"""The worker process: takes claims from approved to released, and payments through their dues.

Any number of workers may run; what one that dies leaves behind is taken over when its lease, on
real time, has run out. On SIGTERM nothing new is started, calls in flight end, and their
outcomes are committed before the process goes.
"""

import asyncio
import signal

import uvloop

from clawback import logs, tables
from clawback.settings import Settings
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
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, schedule.stop)
        log.info("worker_started")
        await schedule.run()
        log.info("worker_stopped")
