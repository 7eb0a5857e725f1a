"""What Python code here never does: read time, catch all, hide types, mock itself."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from tests.tidy.imports import KERNEL, SLICES, layer
from tests.tidy.tree import Finding, Tree, dotted, imported, name_of, rule

CATCH_ALL: Final = frozenset({
    "clawback/http/app.py", "clawback/lanes/lane.py", "clawback/work/deliveries.py",
    "clawback/work/schedule.py",
})  # fmt: skip
"""The server's edge, the lane and the worker's loop: one `except Exception` each."""

TIME_READS: Final = re.compile(
    r"(\w+\.)*(datetime|date)\.(now|utcnow|today)$|(\w+\.)*time\.(time|monotonic|perf_counter"
    r"|process_time|clock_gettime|gmtime|localtime)(_ns)?$|(\w*loop|get_\w*loop)\.time$"
)
TYPED: Final = KERNEL | {"ledger", "lanes", *SLICES}
OURS: Final = ("clawback/", "tests/")


@rule(
    "one-clock",
    bad=(
        {"clawback/a.py": "import time"},
        {"clawback/a.py": "from time import monotonic"},
        {"clawback/a.py": "x = datetime.now(UTC)"},
        {"clawback/a.py": "x = datetime.datetime.utcnow()"},
        {"clawback/a.py": "x = date.today()"},
        {"clawback/a.py": "x = loop.time()"},
        {"clawback/a.py": "x = asyncio.get_running_loop().time()"},
        {"tests/test_a.py": "x = datetime.now(UTC)"},
    ),
    good=({"clawback/clock.py": "import time\nx = time.time()", "tests/a.py": "import time"},),
)
def one_clock(tree: Tree) -> Iterator[Finding]:
    for source in tree.python(OURS):
        if source.path == "clawback/clock.py":
            continue
        is_test = source.path.startswith("tests/")
        for name, line in imported(source):
            if name.split(".")[0] == "time" and not is_test:
                yield Finding(source.path, line, name, "time is read in clock.py only")
        for call in source.of(ast.Call):
            called = dotted(call.func)
            if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Call):
                called = f"{name_of(call.func.value)}.{call.func.attr}"
            found = TIME_READS.match(called)
            if found and not (is_test and "time.time" not in called and "date" not in called):
                yield Finding(source.path, call.lineno, called, "time is read in clock.py only")


def _catches_all(node: ast.AST) -> bool:
    if isinstance(node, ast.ExceptHandler):
        kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        return any(
            kind is None or name_of(kind) in {"Exception", "BaseException"} for kind in kinds
        )
    if isinstance(node, ast.Call) and name_of(node.func) == "suppress":
        return any(name_of(kind) in {"Exception", "BaseException"} for kind in node.args)
    return False


_TRY: Final = "try:\n    pass\nexcept {}:\n    pass\n"


@rule(
    "catch-all",
    bad=(
        {"clawback/a.py": _TRY.format("Exception")},
        {"clawback/a.py": _TRY.format("(ValueError, BaseException) as error")},
        {"clawback/a.py": "with contextlib.suppress(Exception): ..."},
        {"clawback/lanes/lane.py": _TRY.format("Exception") * 2},
    ),
    good=(
        {
            "clawback/lanes/lane.py": _TRY.format("Exception"),
            "clawback/a.py": _TRY.format("ValueError"),
        },
    ),
)
def catch_all(tree: Tree) -> Iterator[Finding]:
    seen: Counter[str] = Counter()
    for source in tree.python():
        for node in filter(_catches_all, source.nodes):
            seen[source.path] += 1
            if source.path not in CATCH_ALL or seen[source.path] > 1:
                text = "catches everything: name the type and the line that raises it"
                yield Finding(source.path, getattr(node, "lineno", 1), "except", text)


@rule(
    "no-any",
    bad=(
        {"clawback/claims/model.py": "def f(x: Any): ..."},
        {"clawback/money.py": "import typing\nx: dict[str, typing.Any]"},
    ),
    good=({"clawback/cli/main.py": "x: Any", "clawback/claims/api.py": "x = any(y)"},),
)
def no_any(tree: Tree) -> Iterator[Finding]:
    for source in tree.python():
        if layer(source.module) not in TYPED:
            continue
        for node in source.nodes:
            if dotted(node) in {"Any", "typing.Any"} and not isinstance(node, ast.alias):
                line = getattr(node, "lineno", 1)
                yield Finding(source.path, line, "Any", "say the type; `object` if it is unknown")


# Held apart, so that linters do not take the cases below for pragmas of this file.
_IGNORE: Final = "# type: " + "ignore"
_NOQA: Final = "# no" + "qa"


@rule(
    "ignores-have-reasons",
    bad=(
        {"clawback/a.py": f"x = 1  {_IGNORE}"},
        {"clawback/a.py": f"x = 1  {_IGNORE}[arg-type]"},
        {"tests/a.py": f"x = 1  {_NOQA}: S101"},
        {"tests/a.py": f"x = 1  {_NOQA}"},
    ),
    good=(
        {
            "clawback/a.py": f"x = 1  {_IGNORE}[arg-type]  # the stub is too narrow\n"
            f"y = 1  {_NOQA}: S105, S106 - the name of a field, not a secret",
        },
    ),
)
def ignores_have_reasons(tree: Tree) -> Iterator[Finding]:
    whole = re.compile(
        r"#\s*type:\s*ignore\[[\w\-, ]+\]\s+(#\s*|-\s*)?(?!#?\s*noqa)\w.{5,}"
        r"|#\s*noqa:\s*[A-Z]+[0-9]+(,\s*[A-Z]+[0-9]+)*\s+\W*\w.{5,}"
    )
    for source in tree.python(OURS):
        for number, comment in source.comments:
            about = re.search(r"#\s*(type:\s*ignore|noqa)", comment)
            if about and not whole.search(comment, about.start()):
                text = "switching a check off takes its code and a reason on the same line"
                yield Finding(source.path, number, about[1], text)


@rule(
    "plain-asgi",
    bad=(
        {"clawback/http/a.py": "from starlette.middleware.base import BaseHTTPMiddleware"},
        {"clawback/http/a.py": "class M(base.BaseHTTPMiddleware): ..."},
    ),
)
def plain_asgi(tree: Tree) -> Iterator[Finding]:
    for source in tree.python():
        for node in source.nodes:
            name = node.name if isinstance(node, ast.alias) else name_of(node)
            if name == "BaseHTTPMiddleware":
                line = getattr(node, "lineno", 1)
                yield Finding(source.path, line, name, "middleware is plain ASGI")


@rule(
    "assertions-run",
    bad=(
        {"Makefile": "serve:\n\tpython3 -O -m clawback"},
        {"clawback/cli/dev.py": "ARGS = [sys.executable, '-O', '-m', 'clawback']"},
        {".ci/run": "PYTHON" + "OPTIMIZE=1 make test"},
    ),
    good=({"Makefile": "serve:\n\tpython3 -m clawback"},),
)
def assertions_run(tree: Tree) -> Iterator[Finding]:
    switch = re.compile(r"python[\w.]*\"?\s+(-\w+\s+)*-OO?\b|['\"]-OO?['\"]|PYTHONOPTIMIZE=")
    for source in tree.files(".py", "Makefile", ".ci/run", ".toml", ".service", ".md"):
        for number, line in enumerate(source.lines, 1):
            if switch.search(line) and not source.path.startswith("tests/tidy/"):
                yield Finding(
                    source.path, number, "-O", "our third family of errors are assertions"
                )


@rule(
    "no-mocks",
    bad=(
        {"tests/test_a.py": "from unittest.mock import patch"},
        {"tests/test_a.py": "import unittest.mock"},
        {
            "tests/test_a.py": "from clawback import money\n"
            "def test_a(monkeypatch):\n    monkeypatch.setattr(money, 'x', 1)",
        },
        {"tests/test_a.py": "def test_a(monkeypatch):\n    monkeypatch.setattr('clawback.x', 1)"},
    ),
    good=({"tests/test_a.py": "def test_a(monkeypatch):\n    monkeypatch.setenv('A', 'b')"},),
)
def no_mocks(tree: Tree) -> Iterator[Finding]:
    text = "our own code is never mocked; the outside is the sandbox provider"
    for source in tree.python("tests/"):
        own = set()
        for name, line in imported(source):
            if "mock" in name.split("."):
                yield Finding(source.path, line, name, text)
            if name.startswith("clawback"):
                own.add(name.rpartition(".")[2])
        for call in source.of(ast.Call):
            if not (dotted(call.func) == "monkeypatch.setattr" and call.args):
                continue
            target = call.args[0]
            named = isinstance(target, ast.Constant) and str(target.value).startswith("clawback")
            if named or dotted(target).split(".")[0] in own:
                yield Finding(source.path, call.lineno, "setattr", text)
