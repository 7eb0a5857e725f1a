"""Refunds of a file, piece by piece: stopped at any moment, it goes on where it was.

Each piece is a batch of its own under an idempotency key that is made from the file's digest and
the piece's number, so a piece that is sent again has one effect. Beside the file lie its state,
written through to the disk before a piece is sent and after its answer, and the result, row by row.
"""

import csv
import fcntl
import hashlib
import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import IO, Final

import msgspec

from clawback import clock
from clawback.cli.client import ApiRefusal, Client, Json, Lost
from clawback.cli.output import Stop, clean

MOST_ROWS: Final = 1_000
MOST_BYTES: Final = 1_000_000
KEY_HOURS: Final = 23.0
"""A piece that was sent longer ago may have lost its idempotency key: a person has to look."""
TRIES: Final = 6
AGAIN: Final = frozenset({"overloaded", "unavailable", "internal_error", "rate_limited"})
COLUMNS: Final = ("line", "transactionId", "reference", "outcome", "refundId", "amount",
                  "amountUsd", "currency", "pendingReason", "error", "message")  # fmt: skip
_RISKY: Final = ("=", "+", "-", "@", "\t", "\r")
_MS_AN_HOUR: Final = 3_600_000


class Sent(msgspec.Struct, frozen=True, rename="camel"):
    """A piece on its way: its number, and when it was first sent."""

    piece: int
    at_ms: int


class State(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """How far an import has come. `written`: bytes of the result that are certain."""

    sha256: str
    book: str
    size: int
    pieces: int = 0
    rows: int = 0
    created: int = 0
    refused: int = 0
    sums: dict[str, str] = {}
    written: int = 0
    sent: Sent | None = None
    is_done: bool = False


class Piece(msgspec.Struct, frozen=True):
    """Some rows of the file as a CSV of their own, and the lines that they began on."""

    number: int
    body: bytes
    lines: tuple[int, ...]


class Input:
    """The file: read once to know it, then piece by piece."""

    def __init__(self, path: Path, size: int) -> None:
        """`size`: rows of a piece. Raises: Stop if it is no CSV with a header and rows."""
        self.path = path
        self.size = size
        self.rows = 0
        digest = hashlib.sha256()
        try:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise Stop(f"{path} cannot be read: {error.strerror}") from error
        self.sha256 = digest.hexdigest()
        for _, _ in self._records():
            self.rows += 1
        if not self.rows:
            raise Stop(f"{path} has no rows", "It needs a header line and a line for each refund.")

    def pieces(self) -> Iterator[Piece]:
        """All pieces in order; the same file is always cut in the same places."""
        number, out = 0, self._fresh()
        lines: list[int] = []
        for line, record in self._records():
            cells = _line(record)
            if lines and (len(lines) == self.size or out.tell() + len(cells) > MOST_BYTES):
                yield Piece(number, out.getvalue().encode(), tuple(lines))
                number, lines, out = number + 1, [], self._fresh()
            out.write(cells)
            lines.append(line)
        yield Piece(number, out.getvalue().encode(), tuple(lines))

    def _fresh(self) -> io.StringIO:
        out = io.StringIO()
        out.write(_line(self._header))
        return out

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Every row with the line that it begins on. Raises: Stop naming the line that is wrong."""
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            try:
                self._header = next(reader, [])
                if "transactionId" not in self._header:
                    raise Stop(f"line 1 of {self.path} names no transactionId", _HEADER)
                line = reader.line_num + 1
                for record in reader:
                    if len(record) != len(self._header):
                        raise Stop(f"line {line} of {self.path} has {len(record)} cells", _HEADER)
                    yield line, record
                    line = reader.line_num + 1
            except (csv.Error, UnicodeDecodeError) as error:
                raise Stop(f"line {reader.line_num} of {self.path}: {clean(error)}") from error


_HEADER: Final = "The header names transactionId and, as needed, amount, reason, \
expectedRemaining, reference; each line has as many cells."


def _line(record: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(record)
    return out.getvalue()


class Ledger:
    """State and result beside the file; what is written here survives a crash."""

    def __init__(self, path: Path) -> None:
        """The names are the file's with an ending."""
        self.state_path = path.with_name(f"{path.name}.import.json")
        self.result_path = path.with_name(f"{path.name}.result.csv")

    def read(self, source: Input, book: str) -> State:
        """Where to go on. Raises: Stop if the state is of another file, book or cut."""
        fresh = State(sha256=source.sha256, book=book, size=source.size)
        try:
            found = msgspec.json.decode(self.state_path.read_bytes(), type=State)
        except FileNotFoundError:
            return fresh
        except msgspec.DecodeError as error:
            raise Stop(f"{self.state_path} is damaged", _LOOK) from error
        for name, was in (("file", found.sha256), ("book", found.book), ("--piece", found.size)):
            now = {"file": fresh.sha256, "book": book, "--piece": source.size}[name]
            if was != now:
                text = f"{self.state_path} is of another {name}: {clean(was)}"
                raise Stop(text, f"Go on with that one, or move the state away. {_LOOK}")
        return found

    def write(self, state: State) -> None:
        """Replace the state, in one step, on the disk."""
        draft = self.state_path.with_suffix(".part")
        with draft.open("wb") as file:
            file.write(msgspec.json.encode(state))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.state_path)

    @contextmanager
    def result(self, state: State) -> Iterator[IO[str]]:
        """The result file, held by one import and cut back to what is certain. Raises: Stop."""
        with self.result_path.open("a+", encoding="utf-8", newline="") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Stop(f"{self.result_path} is being written", "Wait for its end.") from error
            if os.fstat(file.fileno()).st_size < state.written:
                raise Stop(f"{self.result_path} is not whole any more", _LOOK)
            file.truncate(state.written)
            file.seek(0, os.SEEK_END)
            if not state.written:
                file.write(_line(list(COLUMNS)))
            yield file


_LOOK: Final = "`clawback refunds list` shows what was refunded."


def import_file(
    client: Client, source: Input, ledger: Ledger, wait: Callable[[int], None]
) -> Iterator[State]:
    """Send what is left of the file; yields how far it is, after each piece.

    `wait` is told how many rows were sent, before the next are. Raises: Stop; then it can go on.
    """
    state = ledger.read(source, book_of(client))
    if state.is_done:
        raise Stop(f"{source.path} is imported already", f"Its result is {ledger.result_path}.")
    with ledger.result(state) as result:
        for piece in source.pieces():
            if piece.number < state.pieces:
                continue
            state = _mark(state, piece)
            ledger.write(state)
            key = f"import-{source.sha256[:40]}-{source.size}-{piece.number}"
            told = _send(client, piece, key, {})
            for line, row in zip(piece.lines, _rows(told), strict=True):
                result.write(_line(_cells(line, row)))
            result.flush()
            os.fsync(result.fileno())
            state = _counted(state, told, result.tell())
            ledger.write(state)
            yield state
            if state.rows < source.rows:
                wait(len(piece.lines))
    state = msgspec.structs.replace(state, is_done=True)
    ledger.write(state)
    yield state


def rehearse(
    client: Client, source: Input, result: Path, wait: Callable[[int], None]
) -> Iterator[State]:
    """A dry run of every piece. Each stands alone: it knows nothing of the pieces before it."""
    state = State(sha256=source.sha256, book="", size=source.size)
    with result.open("w", encoding="utf-8", newline="") as file:
        file.write(_line(list(COLUMNS)))
        for piece in source.pieces():
            told = _send(client, piece, None, {"dryRun": "true"})
            for line, row in zip(piece.lines, _rows(told), strict=True):
                file.write(_line(_cells(line, row)))
            state = _counted(state, told, 0)
            yield state
            if state.rows < source.rows:
                wait(len(piece.lines))


def book_of(client: Client) -> str:
    """The book that the key opens, in words."""
    told = client.get("/ping").data
    merchant = told.get("merchant")
    name = merchant.get("id") if isinstance(merchant, dict) else None
    return f"{name} {told.get('mode')}"


def _mark(state: State, piece: Piece) -> State:
    """The state with the piece on its way. Raises: Stop if it was sent too long ago to repeat."""
    now = clock.milliseconds(clock.real_now())
    if state.sent is None or state.sent.piece != piece.number:
        return msgspec.structs.replace(state, sent=Sent(piece.number, now))
    if now - state.sent.at_ms > KEY_HOURS * _MS_AN_HOUR:
        first, last = piece.lines[0], piece.lines[-1]
        text = f"lines {first} to {last} were sent long ago and their answer was lost"
        raise Stop(text, f"They may have been done, and a repeat would be new. {_LOOK}")
    return state


def _send(client: Client, piece: Piece, key: str | None, query: Mapping[str, str]) -> Json:
    """The answer to a piece; what may pass is tried again. Raises: Stop."""
    for attempt in range(TRIES):
        try:
            return client.post_csv("/refunds/batch", piece.body, key=key, query=query).data
        except ApiRefusal as refusal:
            if refusal.code not in AGAIN or attempt == TRIES - 1:
                raise
        except Lost:
            if attempt == TRIES - 1:
                raise
        clock.sleep_seconds(min(0.2 * 2**attempt, 5.0))
    raise AssertionError("the last try returns or raises")


def _rows(told: Json) -> list[Json]:
    rows = told.get("rows")
    assert isinstance(rows, list), "the contract's own answer"
    return rows


def _cells(line: int, row: Json) -> list[str]:
    """A row of the result; what a spreadsheet would run is made text."""
    found = row.get("error")
    error: Json = found if isinstance(found, dict) else {}
    values = {**row, "line": line, "error": error.get("code"), "message": error.get("message")}
    return [_safe(values.get(name)) for name in COLUMNS]


def _safe(value: object) -> str:
    if value is None:
        return ""
    text = f"{value:f}" if isinstance(value, Decimal) else str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_RISKY) else text


def _counted(state: State, told: Json, written: int) -> State:
    totals = told.get("totals")
    assert isinstance(totals, dict), "the contract's own answer"
    sums = dict(state.sums)
    for one in totals["byCurrency"]:
        before = Decimal(sums.get(one["currency"], "0"))
        sums[one["currency"]] = f"{before + one['amount']:f}"
    return msgspec.structs.replace(
        state,
        pieces=state.pieces + 1,
        rows=state.rows + totals["rows"],
        created=state.created + totals["accepted"],
        refused=state.refused + totals["refused"],
        sums=sums,
        written=written,
        sent=None,
    )
