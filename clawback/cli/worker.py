"""`clawback worker`: carries out what is due until SIGTERM.

Any number of workers may run on one database; what one that dies leaves is taken over.
"""


def command() -> None:
    """Carry out what is due on the database of DATABASE_URL, until SIGTERM or Ctrl-C."""
    from clawback.cli import processes  # noqa: PLC0415 - loaded only when used
    from clawback.work import worker  # noqa: PLC0415 - the same

    worker.main(processes.prepare({}))
