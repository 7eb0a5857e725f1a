"""`clawback db copy`: which books are moved, in what order, and what is refused before and after.

A book is there if its row is there. One that is held here and not there is gone on with, one that
is there and held here is done, and one that is there and not held here is refused: two deployments
must never write one book.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import msgspec

from clawback import seal
from clawback.cli import register
from clawback.cli.operating import act, operator
from clawback.cli.output import Progress, Stop, clean
from clawback.db import migrate, moving
from clawback.db.moving import Book, CannotMove, Moved
from clawback.ledger import audit

if TYPE_CHECKING:
    from asyncpg import Connection


class Copied(TypedDict):
    """What a copy came to."""

    moved: list[dict[str, object]]
    alreadyThere: int
    people: int


class _Sides(msgspec.Struct, frozen=True):
    """Both databases, and what each holds."""

    source: "Connection"
    target: "Connection"
    here: list[Book]
    there: set[str]
    bound_for: str

    def wanted(self, names: Sequence[str]) -> list[Book]:
        """The books of these names, or all. Raises: Stop for a name that is not there."""
        known = {book.book_id for book in self.here}
        for name in names:
            if name not in known:
                advice = "`clawback merchants list` names the books."
                raise Stop(f"there is no book {clean(name)}", advice)
        return [book for book in self.here if not names or book.book_id in names]


async def copy(
    source_dsn: str, target_dsn: str, names: Sequence[str], key_file: Path | None, told: Progress
) -> Copied:
    """Move books, one after the other. Raises: Stop, with every book whole on one side."""
    async with _opened(source_dsn, target_dsn) as sides:
        books = sides.wanted(names)
        waiting = [book for book in books if _is_waiting(sides, book)]
        await _check_keys(sides, key_file)
        people = await moving.copy_people(sides.source, sides.target)
        moved = []
        for number, book in enumerate(waiting):
            told(f"{book.merchant_id} {book.mode}", number, len(waiting))
            moved.append(msgspec.to_builtins(await _move(sides, book)))
        told("done", len(waiting), len(waiting))
        return {"moved": moved, "alreadyThere": len(books) - len(waiting), "people": people}


async def let_go(source_dsn: str, target_dsn: str, names: Sequence[str]) -> list[dict[str, object]]:
    """Let books go on here that were held for the target and did not get there."""
    async with _opened(source_dsn, target_dsn) as sides:
        held = [
            book
            for book in sides.wanted(names)
            if book.bound_for == sides.bound_for and book.book_id not in sides.there
        ]
        for book in held:
            await moving.let_go(sides.source, book)
        return [
            {"book": book.book_id, "merchant": book.merchant_id, "mode": book.mode} for book in held
        ]


@asynccontextmanager
async def _opened(source_dsn: str, target_dsn: str) -> AsyncIterator[_Sides]:
    """Both databases, of this release, with nobody else who copies. Raises: Stop."""
    for dsn, where in ((source_dsn, "this database"), (target_dsn, "the target")):
        try:
            is_current = await migrate.is_current(dsn)
        except migrate.MigrationError as error:
            raise Stop(f"{where}: {error}", "Use the right release.") from error
        if not is_current:
            advice = "Run `clawback db upgrade` on it, or `clawback db init` if it is new."
            raise Stop(f"{where} is not of this release", advice)
    source = await moving.connect(source_dsn)
    try:
        target = await moving.connect(target_dsn)
        try:
            yield await _look(source, target)
        finally:
            await target.close()
    finally:
        await source.close()


async def _look(source: "Connection", target: "Connection") -> _Sides:
    bound_for = await moving.identity(target)
    if bound_for == await moving.identity(source):
        raise Stop("both addresses lead to one database", "Name another one with --to.")
    for session in (source, target):
        if not (await moving.SQL.take_turn(session))["is_ours"]:
            raise Stop("somebody else copies from or to one of these databases", "Wait for it.")
    there = {book.book_id for book in await moving.list_books(target)}
    return _Sides(source, target, await moving.list_books(source), there, bound_for)


def _is_waiting(sides: _Sides, book: Book) -> bool:
    """Whether a book has yet to be moved. Raises: Stop for one that is live on both sides."""
    is_there = book.book_id in sides.there
    if book.bound_for is None and is_there:
        text = f"book {book.book_id} is on the target, and is not held here"
        raise Stop(text, "Two deployments must never write one book: stop both, and compare them.")
    if book.bound_for not in {None, sides.bound_for}:
        text = f"book {book.book_id} is held here for another database"
        raise Stop(text, "Name that one with --to, or choose books with --book.")
    return not is_there


async def _check_keys(sides: _Sides, key_file: Path | None) -> None:
    """That the processes there can open what is sealed here and there. Raises: Stop."""
    keys = {
        where: [row["key_id"] for row in await moving.SQL.sealing_keys(session)]
        for where, session in (("here", sides.source), ("on the target", sides.target))
    }
    if not keys["here"]:
        return
    if key_file is None:
        text = "secrets here are sealed, and no key file is named"
        raise Stop(text, "Give --key-file: the one that the processes of the target read.")
    try:
        opened = seal.load(key_file)
    except seal.SealBroken as error:
        raise Stop(str(error), "Give the file that the processes of the target read.") from error
    for where, used in keys.items():
        for key_id in used:
            if not opened.has_key(key_id):
                text = f"secrets {where} are sealed with key {key_id}, which is not in {key_file}"
                advice = (
                    "Put the lines of both key files into one, for the processes of the target."
                )
                raise Stop(text, advice)


async def _move(sides: _Sides, book: Book) -> Moved:
    source, target = sides.source, sides.target
    if book.bound_for is None:
        await moving.hold(source, book, sides.bound_for)
    try:
        async with (
            source.transaction(isolation="repeatable_read", readonly=True),
            target.transaction(),
        ):
            moved = await moving.move(source, target, book)
            await _prove(target, moved)
            note = f"{sides.bound_for}: shard {book.shard} to {moved.shard}, {moved.rows} rows"
            acts = act(operator(), book.book_id, "book_moved", book.book_id, note)
            await register.SQL.note_acts(target, shard=moved.shard, acts=acts)
    except CannotMove as error:
        await moving.let_go(source, book)
        raise Stop(str(error), "It is not held any more, and goes on here.") from error
    return moved


async def _prove(target: "Connection", moved: Moved) -> None:
    """The book proves itself from what was written. Raises: CannotMove."""
    for name in (*audit.PROOF, audit.CHAIN):
        found = await audit.check(target, name, shard=moved.shard, book_id=moved.book)
        if not found.ok:
            raise CannotMove(f"book {moved.book} is not right on the target: {name}")
