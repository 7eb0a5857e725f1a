"""`clawback verify`: checks what a book gave out, with the files alone: no database, no network.

It takes exports (`clawback books export`), statements (`clawback statement`) and proofs (`clawback
proof --json`), each by itself and all with each other, and heads that were noted down. It says
what holds, and ends with 1 at the first row that does not.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from clawback.cli.output import Stop, clean, paint, say, show_json
from clawback.cli.session import AsJson

if TYPE_CHECKING:
    from clawback.ledger.papers import Proof, Statement

EXPORT, STATEMENT, PROOF = "export", "statement", "proof"
KINDS: Final = (
    (STATEMENT, re.compile(rb"postedAt,")),
    (PROOF, re.compile(rb'\s*\{\s*"computedAt"')),
    (EXPORT, re.compile(rb'\["|\{"bookId"')),
)
"""How a file of each kind begins."""
_HEAD: Final = re.compile(r"([1-9][0-9]{0,18}):([0-9a-f]{64})", re.ASCII)


class Papers:
    """The files of one run, as far as they were found to hold."""

    def __init__(self) -> None:
        """Nothing was read."""
        self.statements: list[Statement] = []
        self.proofs: list[Proof] = []
        self.held: list[str] = []


def command(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="Exports, statements, proofs.")
    ],
    head: Annotated[
        list[str] | None,
        typer.Option(help="HEIGHT:HASH that was noted down: the export must still have it."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Check exports, statements and proofs, alone and with each other; needs nothing else."""
    heads = dict(_read_head(text) for text in head or ())
    kinds = {file: _kind(file) for file in files}
    exports = [file for file, kind in kinds.items() if kind == EXPORT]
    if heads and not exports:
        raise Stop("a head is looked for in an export, and none was given")
    papers = Papers()
    broken = _first_broken(papers, kinds, heads)
    if as_json:
        show_json({"ok": broken is None, "held": papers.held, "broken": broken})
    else:
        for text in papers.held:
            say(f"{paint('ok', 'good')} {clean(text)}")
    if broken is not None:
        raise Stop(f"it does not hold: {broken}", "Keep the files; ask for them anew and compare.")


def _first_broken(papers: Papers, kinds: dict[Path, str], heads: dict[int, str]) -> str | None:
    """Check everything; what does not hold, or None."""
    from clawback.ledger import papers as checks  # noqa: PLC0415 - loaded only when used
    from clawback.ledger.verify import Broken  # noqa: PLC0415 - the same

    about = ""
    try:
        for file, kind in kinds.items():
            about = f"{file.name}: "
            if kind == STATEMENT:
                _take_statement(papers, file)
            elif kind == PROOF:
                _take_proof(papers, file)
        about = ""
        papers.held += checks.check_chains(papers.statements)
        for file, kind in kinds.items():
            about = f"{file.name}: "
            if kind == EXPORT:
                _take_export(papers, file, heads)
    except Broken as broken:
        return f"{about}{broken}"
    except OSError as error:
        raise Stop(f"{about}cannot be read: {clean(error.strerror)}") from error
    return None


def _kind(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            begin = opened.read(64)
    except OSError as error:
        raise Stop(f"{clean(file)} cannot be read: {clean(error.strerror)}") from error
    for kind, form in KINDS:
        if form.match(begin):
            return kind
    raise Stop(f"{clean(file)} is no export, statement or proof", "Or its beginning was changed.")


def _read_head(text: str) -> tuple[int, str]:
    found = _HEAD.fullmatch(text)
    if found is None:
        raise Stop(f"--head {clean(text)} is no head", "Write it as HEIGHT:HASH.")
    return int(found[1]), found[2]


def _take_statement(papers: Papers, file: Path) -> None:
    from clawback.ledger.papers import read_statement  # noqa: PLC0415 - loaded only when used

    found = read_statement(file.read_bytes(), file.name)
    papers.statements.append(found)
    papers.held.append(
        f"{file.name}: {len(found.lines)} lines of {found.account} in {found.currency} add up, "
        f"from posting {found.opening.seq} to {found.closing.seq}"
    )


def _take_proof(papers: Papers, file: Path) -> None:
    from clawback.ledger.papers import read_proof  # noqa: PLC0415 - loaded only when used

    found = read_proof(file.read_bytes())
    papers.proofs.append(found)
    entries = 0 if found.claim is None else len(found.claim.entries)
    papers.held.append(
        f"{file.name}: says that the book holds up to {found.chain.height}:{found.chain.hash}"
        + (f"; {entries} entries hash to what it says" if entries else "")
    )


def _take_export(papers: Papers, file: Path, heads: dict[int, str]) -> None:
    from clawback.ledger.papers import Against  # noqa: PLC0415 - loaded only when used
    from clawback.ledger.verify import walk  # noqa: PLC0415 - the same

    against = Against(papers.statements, papers.proofs, heads)
    with file.open("rb") as opened:
        found = walk(opened, against.see)
    against.end()
    papers.held.append(
        f"{file.name}: all {found.height} entries of {found.book_id} follow from each other, up to "
        f"the head {found.height}:{found.hash}"
    )
    compared = len(papers.statements) + len(papers.proofs) + len(heads)
    if compared:
        papers.held.append(f"{file.name}: has all that {compared} others say")
