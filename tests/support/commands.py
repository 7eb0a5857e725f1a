"""The command line in the process of the test: starting Python anew costs more than most commands.

What matters about a command of its own process, signals, terminals, exit codes, is looked at in
`cli/`.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO

from clawback.cli.main import main


def run_here(arguments: Sequence[str], settings: Mapping[str, str]) -> tuple[int, str, str]:
    """Run a command to its end, beside any loop that runs; returns its exit code and what it said.

    `settings` are laid over an environment without any of ours.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_run, arguments, settings).result()


def _run(arguments: Sequence[str], settings: Mapping[str, str]) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    with _as_in(settings, arguments), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


@contextmanager
def _as_in(settings: Mapping[str, str], arguments: Sequence[str]) -> Iterator[None]:
    """This process with the environment and arguments of another, for a while."""
    environment, argv = dict(os.environ), sys.argv
    ours = [name for name in environment if name == "DATABASE_URL" or name[:9] == "CLAWBACK_"]
    for name in ours:
        del os.environ[name]
    os.environ.update(settings)
    sys.argv = ["clawback", *arguments]
    try:
        yield
    finally:
        sys.argv = argv
        for name in settings:
            os.environ.pop(name, None)
        os.environ.update(environment)
