"""The reading budget: lines of functions, modules and queries, width, arguments."""

import ast
import re
from collections.abc import Iterator
from typing import Final

from tests.tidy.tree import Finding, Source, Tree, rule

FUNCTION_LINES: Final = 60
MODULE_LINES: Final = 500
WIDTH: Final = 100
ARGUMENTS: Final = 7
QUERY_LINES: Final = 60
APPLY_LINES: Final = 200
REFUND_LINES: Final = 1500
REFUND_WAY: Final = (
    "clawback/claims/api.py",
    "clawback/claims/model.py",
    "clawback/ledger/entries.py",
    "clawback/lanes/lane.py",
    "clawback/lanes/store.py",
    "clawback/lanes/sql/apply.sql",
    "clawback/claims/jobs.py",
    "clawback/providers/sandbox.py",
)
"""The files that a refund is followed in: six to the database, two more to the provider."""

OURS: Final = ("clawback/", "tests/")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(source: Source) -> Iterator[Function]:
    """Every function and method of a file."""
    yield from source.of(ast.FunctionDef)
    yield from source.of(ast.AsyncFunctionDef)


def _body(lines: int) -> str:
    return "def f() -> None:\n" + "    pass\n" * (lines - 1)


@rule(
    "function-size",
    bad=({"clawback/a.py": _body(61)}, {"tests/test_a.py": "async " + _body(61)}),
    good=({"clawback/a.py": _body(60)},),
)
def function_size(tree: Tree) -> Iterator[Finding]:
    for source in tree.python(OURS):
        for node in functions(source):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                text = f"{lines} lines, {FUNCTION_LINES} are the cap"
                yield Finding(source.path, node.lineno, node.name, text)


@rule(
    "module-size",
    bad=({"clawback/a.py": "x = 1\n" * 501},),
    good=({"clawback/a.py": "x = 1\n" * 500},),
)
def module_size(tree: Tree) -> Iterator[Finding]:
    for source in tree.python(OURS):
        if len(source.lines) > MODULE_LINES:
            text = f"{len(source.lines)} lines, {MODULE_LINES} are the cap"
            yield Finding(source.path, 1, "module", text)


@rule(
    "line-length",
    bad=({"clawback/a.sql": "-- " + "x" * 98}, {"Makefile": "x" * 101}),
    good=({"clawback/a.py": "#" * 100, "clawback/http/static/a.py": "#" * 101},),
)
def line_length(tree: Tree) -> Iterator[Finding]:
    for source in tree.files(".py", ".sql", "Makefile", ".ci/run", "pyproject.toml"):
        for number, line in enumerate(source.lines, 1):
            if len(line) > WIDTH and "/static/" not in source.path:
                text = f"{len(line)} characters, {WIDTH} are the cap"
                yield Finding(source.path, number, "width", text)


@rule(
    "argument-count",
    bad=(
        {"clawback/a.py": "def f(a, b, c, d, e, *, g, h, i): ..."},
        {"clawback/a.py": "class C:\n    def f(self, a, b, c, d, e, g, h, i): ..."},
    ),
    good=({"clawback/a.py": "class C:\n    def f(self, a, b, c, d, e, g, h): ..."},),
)
def argument_count(tree: Tree) -> Iterator[Finding]:
    for source in tree.python(OURS):
        for node in functions(source):
            found = node.args
            names = [a.arg for a in (*found.posonlyargs, *found.args, *found.kwonlyargs)]
            count = len(names) - (names[:1] in (["self"], ["cls"]))
            if count > ARGUMENTS:
                text = f"{count} arguments, {ARGUMENTS} are the cap"
                yield Finding(source.path, node.lineno, node.name, text)


def _query(lines: int) -> str:
    return "-- name: q :many ()\nSELECT\n" + "    1,\n" * (lines - 2) + "\n\n"


def _function(name: str, lines: int) -> str:
    return f"CREATE FUNCTION {name}() AS $$\n" + "    PERFORM 1;\n" * (lines - 2) + "$$;\n"


@rule(
    "query-size",
    bad=(
        {"clawback/claims/queries.sql": _query(20) + _query(61)},
        {"clawback/lanes/sql/apply.sql": _function("lane_apply_v1", 201)},
        {"clawback/lanes/sql/load.sql": "CREATE FUNCTION f() AS $$\nSELECT " + "1,\n" * 61 + "$$;"},
    ),
    good=(
        {
            "clawback/claims/queries.sql": _query(60) + _query(60),
            "clawback/lanes/sql/apply.sql": _function("lane_apply_v1", 200) * 2,
            "clawback/lanes/sql/load.sql": _function("lane_load_v1", 90),
        },
    ),
)
def query_size(tree: Tree) -> Iterator[Finding]:
    for source in tree.files(".sql", under="clawback/"):
        if source.path.startswith("clawback/db/"):
            continue
        for part in re.split(r"(?m)^(?=-- name:|CREATE (?:OR REPLACE )?FUNCTION)", source.text):
            named = re.match(r"(?:-- name:|CREATE.* FUNCTION)\s*(\w+)", part)
            name = named[1] if named else "statement"
            is_apply = "_apply" in name and not part.startswith("--")
            body = part[: part.find("\n$$;") + 4] if is_apply else part
            lines = max(_lengths(body, whole=is_apply))
            cap = APPLY_LINES if is_apply else QUERY_LINES
            if lines > cap:
                text = f"{name} has {lines} lines, {cap} are the cap"
                yield Finding(source.path, 1, name, text)


def _lengths(text: str, *, whole: bool) -> list[int]:
    """Lines of each statement, or of the text as a whole."""
    parts = [text] if whole else re.split(r";[ \t]*(?:--[^\n]*)?\n", text)
    return [len(part.strip().splitlines()) for part in parts]


@rule(
    "refund-budget",
    bad=(dict.fromkeys(REFUND_WAY, "x\n" * 188),),
    good=(dict.fromkeys(REFUND_WAY, "x\n" * 187), {}),
)
def refund_budget(tree: Tree) -> Iterator[Finding]:
    found = [source for path in REFUND_WAY if (source := tree.get(path))]
    lines = sum(len(source.lines) for source in found)
    if lines >= REFUND_LINES:
        sizes = ", ".join(f"{s.path.removeprefix('clawback/')} {len(s.lines)}" for s in found)
        text = f"a refund is followed over {lines} lines, {REFUND_LINES} are the cap: {sizes}"
        yield Finding(REFUND_WAY[0], 1, "refund", text)
