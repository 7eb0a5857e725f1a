"""Records and requests: frozen, strict about unknown fields, and exact about money."""

import ast
from collections.abc import Iterator
from typing import Final, NamedTuple

from tests.tidy.tree import Finding, Source, Tree, name_of, rule

EXACT: Final = (
    "clawback/ledger/",
    "clawback/lanes/command.py",
    "clawback/lanes/records.py",
    "clawback/lanes/state.py",
    "clawback/lanes/store.py",
)
REQUEST_NAMES: Final = ("Body", "Query")


class _Class(NamedTuple):
    """A class of the tree with what its definition says."""

    source: Source
    node: ast.ClassDef
    bases: tuple[str, ...]

    def says(self, option: str) -> bool:
        """Whether the class line has `option=True`."""
        return any(
            keyword.arg == option
            and isinstance(keyword.value, ast.Constant)
            and keyword.value.value is True
            for keyword in self.node.keywords
        )


class _Classes:
    """The classes of `clawback/` by name, and what they inherit."""

    def __init__(self, tree: Tree) -> None:
        self.by_name: dict[str, _Class] = {}
        for source in tree.python():
            for node in source.of(ast.ClassDef):
                bases = tuple(name_of(base) for base in node.bases)
                self.by_name[node.name] = _Class(source, node, bases)

    def descends(self, name: str, ancestor: str) -> bool:
        found = self.by_name.get(name)
        return name == ancestor or (
            found is not None
            and any(self.descends(base, ancestor) for base in found.bases if base != name)
        )

    def says(self, name: str, option: str) -> bool:
        """Whether the class or an ancestor has the option: msgspec hands options down."""
        found = self.by_name.get(name)
        return found is not None and (
            found.says(option) or any(self.says(base, option) for base in found.bases)
        )

    def structs(self, ancestor: str = "Struct") -> Iterator[tuple[str, _Class]]:
        for name, found in self.by_name.items():
            if self.descends(name, ancestor):
                yield name, found


@rule(
    "frozen-structs",
    bad=(
        {"clawback/a.py": "class A(msgspec.Struct): ..."},
        {"clawback/a.py": "class A(Struct, frozen=False): ..."},
        {"clawback/a.py": "class A(Struct, kw_only=True): ...\nclass B(A, frozen=True): ..."},
    ),
    good=({"clawback/a.py": "class A(Struct, frozen=True): ...\nclass B(A): ...\nclass C: ..."},),
)
def frozen_structs(tree: Tree) -> Iterator[Finding]:
    classes = _Classes(tree)
    for name, found in classes.structs():
        if not classes.says(name, "frozen"):
            text = "a struct is frozen: a change is a new one"
            yield Finding(found.source.path, found.node.lineno, name, text)


def _requests(tree: Tree, classes: _Classes) -> set[str]:
    """Structs that a caller fills: bodies and queries of routes, and the structs inside them."""
    names = {
        name_of(keyword.value)
        for source in tree.python()
        for call in source.of(ast.Call)
        if name_of(call.func) == "Route"
        for keyword in call.keywords
        if keyword.arg in {"body", "query"}
    }
    names |= {
        name
        for name, found in classes.structs()
        if found.source.path.endswith("/api.py") and name.endswith(REQUEST_NAMES)
    }
    queue = list(names)
    while queue:
        found = classes.by_name.get(queue.pop())
        for field in found.node.body if found else []:
            if isinstance(field, ast.AnnAssign):
                inner = {name_of(part) for part in ast.walk(field.annotation)} - names
                inner = {name for name in inner if classes.descends(name, "Struct")}
                names |= inner
                queue += inner
    return names


@rule(
    "strict-requests",
    bad=(
        {"clawback/claims/api.py": "class RefundBody(Struct, frozen=True): ..."},
        {
            "clawback/claims/api.py": "from x import Asked\nROUTES = (Route('GET', body=Asked),)",
            "clawback/claims/model.py": "class Asked(Struct, frozen=True): ...",
        },
        {
            "clawback/claims/api.py": "class Payer(Struct): ...\n"
            "class RefundBody(Struct, forbid_unknown_fields=True):\n    payer: Payer | None = None",
        },
    ),
    good=(
        {
            "clawback/claims/api.py": "class Base(Struct, forbid_unknown_fields=True): ...\n"
            "class RefundBody(Base, frozen=True): ...\nclass Answer(Struct): ...",
        },
    ),
)
def strict_requests(tree: Tree) -> Iterator[Finding]:
    classes = _Classes(tree)
    for name in sorted(_requests(tree, classes)):
        found = classes.by_name.get(name)
        if found and not classes.says(name, "forbid_unknown_fields"):
            text = "without forbid_unknown_fields a misspelt field is ignored"
            yield Finding(found.source.path, found.node.lineno, name, text)


@rule(
    "exact-money",
    bad=(
        {"clawback/claims/model.py": "x: float = y"},
        {"clawback/ledger/entries.py": "from decimal import Decimal"},
        {"clawback/claims/model.py": "fee = amount * 0.5"},
    ),
    good=({"clawback/claims/model.py": "x: int = 1", "clawback/lanes/lane.py": "WAIT = 0.5"},),
)
def exact_money(tree: Tree) -> Iterator[Finding]:
    for source in tree.python():
        if not (source.path.endswith("/model.py") or source.path.startswith(EXACT)):
            continue
        for node in source.nodes:
            is_name = isinstance(node, ast.Name) and node.id in {"float", "Decimal"}
            is_alias = isinstance(node, ast.alias) and node.name in {"Decimal", "decimal"}
            is_value = isinstance(node, ast.Constant) and isinstance(node.value, float)
            if is_name or is_alias or is_value:
                line = getattr(node, "lineno", 1)
                yield Finding(source.path, line, "money", "money is an int of minor units here")


@rule(
    "refusals-are-values",
    bad=(
        {
            "clawback/errors.py": "class Refused(Struct, frozen=True): ...",
            "clawback/claims/model.py": "class Gone(Refused): ...\ndef f():\n    raise Gone()",
        },
    ),
    good=(
        {
            "clawback/errors.py": "class Refused(Struct, frozen=True): ...",
            "clawback/claims/model.py": "class Gone(Refused): ...\ndef f():\n    return Gone()",
        },
    ),
)
def refusals_are_values(tree: Tree) -> Iterator[Finding]:
    classes = _Classes(tree)
    for source in tree.python():
        for node in source.of(ast.Raise):
            name = name_of(node.exc)
            if name and classes.descends(name, "Refused"):
                yield Finding(source.path, node.lineno, name, "a refusal is returned, never raised")
