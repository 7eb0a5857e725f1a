"""What the tidy tests stand on: a tree of files to look at, and the register of rules.

A rule is a function from a tree to findings. It carries its own negative cases: small planted
trees, each of which it must catch, and others that it must leave alone. The same code reads the
real tree from disk and a planted one from a dictionary, so a case needs no files.
"""

import ast
import io
import os
import tokenize
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

ROOT: Final = Path(__file__).parents[2]
HIDDEN_BUT_OURS: Final = frozenset({".ci", ".github", ".gitignore", ".npmrc"})
NOT_OURS: Final = frozenset({"__pycache__", "build", "data", "dist", "bench-results", "htmlcov"})
MAX_BYTES: Final = 4_000_000

Planted = dict[str, str]
NodeT = TypeVar("NodeT", bound=ast.AST)


class Finding(NamedTuple):
    """A place that breaks a rule; `about` names the thing, so that an exception survives edits."""

    path: str
    line: int
    about: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message} [{self.about}]"


class Source:
    """One text file; what is made of its text is made once."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @cached_property
    def syntax(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(self.syntax))

    @cached_property
    def comments(self) -> list[tuple[int, str]]:
        """Line and text of each comment of a Python file."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return [(t.start[0], t.string) for t in tokens if t.type == tokenize.COMMENT]

    @cached_property
    def docstrings(self) -> set[int]:
        """The ids of the constants that are docstrings, also those below an assignment."""
        return {id(statement.value) for statement in self.of(ast.Expr)}

    @property
    def module(self) -> str:
        """The dotted name of a Python file."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def of(self, kind: type[NodeT]) -> Iterator[NodeT]:
        """All nodes of one kind."""
        return (node for node in self.nodes if isinstance(node, kind))


class Tree:
    """All text files of the project, by path relative to its root."""

    def __init__(self, texts: Planted) -> None:
        self.sources = {path: Source(path, text) for path, text in sorted(texts.items())}

    def files(self, *suffixes: str, under: str | tuple[str, ...] = "") -> Iterator[Source]:
        """The files below these folders whose names end so."""
        return (
            source
            for path, source in self.sources.items()
            if path.endswith(suffixes) and path.startswith(under)
        )

    def python(self, under: str | tuple[str, ...] = "clawback/") -> Iterator[Source]:
        return self.files(".py", under=under)

    def get(self, path: str) -> Source | None:
        return self.sources.get(path)


def read_tree(root: Path = ROOT) -> Tree:
    """The project as it lies on disk, without environments, caches and data."""
    texts: Planted = {}
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if _is_ours(name)]
        for name in filter(_is_ours, files):
            path = Path(folder, name)
            if path.stat().st_size <= MAX_BYTES:
                raw = path.read_bytes()
                if b"\0" not in raw:
                    key = path.relative_to(root).as_posix()
                    texts[key] = raw.decode("utf-8", errors="replace")
    return Tree(texts)


def _is_ours(name: str) -> bool:
    hidden = name.startswith(".") and name not in HIDDEN_BUT_OURS
    return not (hidden or name in NOT_OURS or name.endswith(".egg-info"))


Check = Callable[[Tree], Iterable[Finding]]


class Rule(NamedTuple):
    """A rule, the planted trees that it must catch, and those that it must leave alone."""

    name: str
    check: Check
    bad: tuple[Planted, ...]
    good: tuple[Planted, ...]


RULES: Final[dict[str, Rule]] = {}


def rule(
    name: str, *, bad: tuple[Planted, ...], good: tuple[Planted, ...] = ()
) -> Callable[[Check], Check]:
    """Register a rule; one without a negative case proves nothing and is refused."""
    assert bad, f"{name} has no negative case"
    assert name not in RULES, f"{name} is there twice"

    def register(check: Check) -> Check:
        RULES[name] = Rule(name, check, bad, good)
        return check

    return register


def name_of(node: ast.AST | None) -> str:
    """The last part of a name as it is written: `msgspec.Struct` is `Struct`."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(value=value) | ast.Call(func=value):
            return name_of(value)
        case _:
            return ""


def dotted(node: ast.AST) -> str:
    """A name with its owners: `datetime.now`; empty for anything else."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{dotted(value)}.{name}"
        case _:
            return ""


def imported(source: Source) -> Iterator[tuple[str, int]]:
    """Every module, or module and name, that a file imports, with the line."""
    for node in source.nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(source, node)
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def _absolute(source: Source, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    is_package = source.path.endswith("/__init__.py")
    parts = source.module.split(".")
    package = parts[: len(parts) - node.level + is_package]
    return ".".join([*package, *([node.module] if node.module else [])])
