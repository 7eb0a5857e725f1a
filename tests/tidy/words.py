"""Names, docstrings, comments: what the words of the tree look like."""

import ast
import re
from collections.abc import Iterator
from typing import Final

from tests.tidy.sizes import functions
from tests.tidy.tree import Finding, Source, Tree, rule

EMPTY_VERBS: Final = re.compile(r"_*(process|handle|manage)_|_*update_status$")
NOTE: Final = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
DOCSTRING_LINES: Final = range(3, 11)
CODE: Final = (
    ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Import, ast.ImportFrom, ast.FunctionDef,
    ast.ClassDef, ast.Return, ast.Raise, ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Delete,
)  # fmt: skip
SQL_CODE: Final = re.compile(
    r"--\s*(select\s.+(\sfrom\s.+|;)|insert into\s.+|update \w+ set\s.+|delete from\s.+"
    r"|(create|alter|drop) (table|index|function)\s.+|where\s.+ = .+|and\s.+ = .+);?\s*$",
    re.IGNORECASE,
)
OURS: Final = ("clawback/", "tests/")
# Held apart, so that this file does not hold the bare words that it looks for.
TO_DO: Final = "TO" + "DO"


@rule(
    "function-names",
    bad=(
        {"clawback/a.py": "def process_refund(): ..."},
        {"clawback/a.py": "class C:\n    async def _handle_error(self): ..."},
        {"tests/a.py": "def manage_keys(): ..."},
        {"clawback/a.py": "def update_status(): ..."},
    ),
    good=({"clawback/a.py": "def handler(): ...\ndef processed_by(): ..."},),
)
def function_names(tree: Tree) -> Iterator[Finding]:
    for source in tree.python(OURS):
        for node in functions(source):
            if EMPTY_VERBS.match(node.name):
                text = "use a verb of the trade: open, freeze, release, top up"
                yield Finding(source.path, node.lineno, node.name, text)


@rule(
    "bare-notes",
    bad=(
        {"clawback/a.py": f"x = 1  # {TO_DO}: later"},
        {"clawback/a.sql": f"-- {TO_DO} index"},
        {"tests/a.py": "# FIX" + "ME"},
    ),
    good=({"clawback/a.py": "# a to-do list"},),
)
def bare_notes(tree: Tree) -> Iterator[Finding]:
    for source in tree.files(".py", ".sql", ".css", "Makefile", ".ci/run", ".toml"):
        for number, text in _comments(source):
            found = NOTE.search(text)
            if found and "/static/" not in source.path:
                yield Finding(source.path, number, found[0], "do it, or open an issue")


def _comments(source: Source) -> Iterator[tuple[int, str]]:
    if source.path.endswith(".py"):
        yield from source.comments
        return
    mark = "--" if source.path.endswith(".sql") else "/*" if source.path.endswith(".css") else "#"
    for number, line in enumerate(source.lines, 1):
        if mark in line:
            yield number, line[line.index(mark) :]


def _is_code(comment: str) -> bool:
    text = comment.lstrip("#").strip()
    if text.endswith(":"):
        text += " ..."
    try:
        parsed = ast.parse(text).body
    except (SyntaxError, ValueError):
        return False
    return bool(parsed) and all(
        isinstance(statement, CODE)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call | ast.Await))
        for statement in parsed
    )


@rule(
    "dead-code",
    bad=(
        {"clawback/a.py": "# return claim.amount"},
        {"clawback/a.py": "x = 1\n# release(claim)"},
        {"tests/a.py": "# if x > 1:"},
        {"clawback/a.sql": "-- DELETE FROM claims;"},
    ),
    good=(
        {
            "clawback/a.py": "# Frozen first, then released: (a, b).\n# pending -> approved",
            "clawback/a.sql": "-- Select nothing here: rows are counted elsewhere.",
        },
    ),
)
def dead_code(tree: Tree) -> Iterator[Finding]:
    text = "commented-out code: git keeps what was"
    for source in tree.python(OURS):
        for number, comment in source.comments:
            pragma = re.match(r"#\s*(noqa|type:|fmt:|mypy:)", comment)
            if not pragma and _is_code(comment):
                yield Finding(source.path, number, comment, text)
    for source in tree.files(".sql", under=OURS):
        for number, line in enumerate(source.lines, 1):
            if SQL_CODE.match(line.strip()):
                yield Finding(source.path, number, line.strip(), text)


@rule(
    "module-docstrings",
    bad=(
        {"clawback/a.py": "x = 1"},
        {"clawback/a.py": '"""Too short to promise anything."""\n'},
        {"clawback/a.py": '"""A.\n' + "b\n" * 10 + '"""\n'},
    ),
    good=(
        {"clawback/a.py": '"""A.\n\nB\nC\n"""\n', "clawback/b/__init__.py": '"""B."""'},
        {"clawback/b/__init__.py": ""},
    ),
)
def module_docstrings(tree: Tree) -> Iterator[Finding]:
    for source in tree.python():
        if source.path.endswith(("/__init__.py", "/__main__.py")):
            continue
        lines = len((ast.get_docstring(source.syntax) or "").splitlines())
        if lines not in DOCSTRING_LINES:
            text = f"a module says in 3 to 10 lines what it guarantees; this one in {lines}"
            yield Finding(source.path, 1, "module", text)


def _public(
    body: list[ast.stmt],
) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node.name.startswith("_") or _is_overload(node):
                continue
            yield node
            if isinstance(node, ast.ClassDef):
                yield from _public(node.body)


def _is_overload(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "overload" for d in node.decorator_list)


@rule(
    "docstrings",
    bad=(
        {"clawback/a.py": "def f(): ..."},
        {"clawback/a.py": 'class C:\n    """C."""\n    async def f(self): ...'},
        {"clawback/a.py": "class C: ..."},
    ),
    good=({"clawback/a.py": 'def f():\n    """F."""\ndef _g(): ...'},),
)
def docstrings(tree: Tree) -> Iterator[Finding]:
    for source in tree.python():
        for node in _public(source.syntax.body):
            if ast.get_docstring(node) is None:
                yield Finding(source.path, node.lineno, node.name, "a public name has a docstring")
