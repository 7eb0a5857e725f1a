"""What commands print: JSON on request, tables on a terminal, plain aligned lines elsewhere.

Nothing that came from data can move the cursor or colour the screen: control and direction
characters are shown as escapes. rich is loaded only when something is drawn on a terminal. What a
command has to say beside its result (progress, notices, errors) goes to standard error.
"""

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from clawback import clock

Progress = Callable[[str, int, int], None]
"""what is being done, how many are done, of how many"""

QUIET_SECONDS: Final = 2.0
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_TIME: Final = re.compile(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)\.\d{3}Z$")
"""A time of the API; on a terminal it is shown to the second."""


class Stop(Exception):
    """The command cannot go on: `text` says why, `advice` what to do next. Exit code 1."""

    def __init__(self, text: str, advice: str = "") -> None:
        """Keep both; neither may name a secret."""
        super().__init__(text)
        self.text = text
        self.advice = advice


def is_terminal() -> bool:
    """Whether a person looks at standard output."""
    return sys.stdout.isatty()


def clean(value: object) -> str:
    """A value as one printable line."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return ", ".join(clean(one) for one in value) or "-"
    if isinstance(value, Mapping | list | tuple):
        value = _ENCODER.encode(value).decode()
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def say(text: str = "") -> None:
    """Print a line of the result."""
    print(text, flush=True)


def note(text: str) -> None:
    """Print a line that is not part of the result."""
    print(text, file=sys.stderr, flush=True)


def tell(stop: Stop) -> None:
    """Print why something ended, and what to do next."""
    note(f"error: {clean(stop.text)}")
    if stop.advice:
        note(f"       {clean(stop.advice)}")


def show_json(value: object) -> None:
    """Print a value, or JSON bytes as they are, as one line of JSON."""
    body = value if isinstance(value, bytes) else msgspec.json.encode(value, order="deterministic")
    sys.stdout.write(body.decode() + "\n")
    sys.stdout.flush()


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """Print rows under their columns; numbers stand right."""
    right = {
        number
        for number in range(len(columns))
        if rows and all(_is_number(row[number]) for row in rows)
    }
    cells = [[clean(value) for value in row] for row in rows]
    if is_terminal():
        _draw_table(columns, cells, right, title)
        return
    if title:
        say(title)
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for line in ([*columns], *cells):
        padded = (
            text.rjust(width) if number in right else text.ljust(width)
            for number, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        say("  ".join(padded).rstrip())


def show_fields(fields: Mapping[str, object], indent: str = "") -> None:
    """Print names and values, one a line."""
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        say(f"{indent}{paint(name.ljust(width), 'dim')}  {clean(value)}")


def heading(text: str) -> None:
    """Print a line that begins a part."""
    say()
    say(paint(text, "bold"))


def paint(text: str, style: str) -> str:
    """Text in one of a few styles on a terminal, unchanged elsewhere."""
    codes = {"bold": "1", "dim": "2", "good": "32", "bad": "31"}
    return f"\x1b[{codes[style]}m{text}\x1b[0m" if is_terminal() else text


@contextmanager
def writing(path: Path | None) -> Iterator[BinaryIO]:
    """A file to be written, which is there only once it is whole; None: standard output.

    Raises: Stop if it cannot be written.
    """
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    except OSError as error:
        raise Stop(f"{clean(path)} cannot be written: {clean(error.strerror)}") from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def progress(title: str) -> Iterator[Progress]:
    """Show how far a long command is: a bar on a terminal, elsewhere a line a step once it is long.

    A command that is over within two seconds says nothing.
    """
    if not sys.stderr.isatty():
        quiet_until = clock.monotonic() + QUIET_SECONDS
        yield (
            lambda what, done, of: (
                note(f"{title}: {what} ({done} of {of})")
                if clock.monotonic() > quiet_until
                else None
            )
        )
        return
    from rich.console import Console  # noqa: PLC0415 - loaded only for a terminal
    from rich.progress import Progress as Bar  # noqa: PLC0415 - the same

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda what, done, of: bar.update(
            task, description=f"{title}: {what}", completed=done, total=of
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | Decimal | msgspec.Raw) and not isinstance(value, bool)


def _draw_table(
    columns: Sequence[str], cells: Sequence[Sequence[str]], right: set[int], title: str
) -> None:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - loaded only for a terminal
    from rich.console import Console  # noqa: PLC0415 - the same
    from rich.table import Table  # noqa: PLC0415 - the same
    from rich.text import Text  # noqa: PLC0415 - the same

    shown = [[_TIME.sub(r"\1 \2", text) for text in row] for row in cells]
    table = Table(
        box=SIMPLE_HEAD, title=title or None, title_justify="left",
        pad_edge=False, show_edge=False, collapse_padding=True,
    )  # fmt: skip
    for number, column in enumerate(columns):
        table.add_column(
            column,
            justify="right" if number in right else "left",
            overflow="fold",
            no_wrap=all(" " not in row[number] for row in shown),  # ids are there to be copied
        )
    for row in shown:
        table.add_row(*(Text(text) for text in row))
    Console().print(table)
