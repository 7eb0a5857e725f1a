"""The schema as the migrations write it: sharded keys, bounded texts, named constraints."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from tests.tidy.tree import Finding, Planted, Tree, rule

MIGRATIONS: Final = "clawback/db/migrations/"
REFERENCE: Final = frozenset({
    "api_keys", "books", "currencies", "entrances", "merchants", "migrations", "people",
    "provider_accounts", "rails", "roles", "schema_migrations", "sessions", "shards", "shops",
})  # fmt: skip
"""Small tables that are the same on every node; every other table belongs to tenants."""

KEYS: Final = re.compile(r"\b(PRIMARY KEY|UNIQUE)\s*\(([^)]*)\)", re.IGNORECASE)
UNNAMED: Final = re.compile(
    r"(?<!\w)(?:CONSTRAINT\s+\w+\s+)?"
    r"(PRIMARY\s+KEY|UNIQUE|CHECK|REFERENCES|FOREIGN\s+KEY|EXCLUDE)\b",
    re.IGNORECASE,
)
TABLE: Final = re.compile(
    r"\b(CREATE\s+TABLE(?:\s+IF\s+NOT\s+EXISTS)?|ALTER\s+TABLE(?:\s+ONLY)?)\s+(\w+)", re.IGNORECASE
)
UNIQUE_INDEX: Final = re.compile(
    r"\bCREATE\s+UNIQUE\s+INDEX\s+(\w+)\s+ON\s+(\w+)\s*\(\s*(\w+)", re.IGNORECASE
)


class Table(NamedTuple):
    """A table: where it was made, its columns with their definitions, its constraints."""

    name: str
    path: str
    line: int
    columns: dict[str, str]
    constraints: list[str]

    @property
    def is_tenant(self) -> bool:
        return self.name not in REFERENCE


def without_comments(text: str) -> str:
    """The same text with comments blanked, so that offsets and lines stay."""
    return re.sub(r"--[^\n]*", lambda found: " " * len(found[0]), text)


def _closing(text: str, start: int) -> int:
    """Where the parenthesis that opens at `start` is closed, minding quoted text."""
    depth, quoted = 0, False
    for place in range(start, len(text)):
        letter = text[place]
        if letter == "'":
            quoted = not quoted
        elif not quoted and letter in "()":
            depth += 1 if letter == "(" else -1
            if depth == 0:
                return place
    return len(text)


def _items(text: str) -> list[str]:
    """Split at the commas that stand outside of parentheses and quotes."""
    items, depth, quoted, start = [], 0, False, 0
    for place, letter in enumerate(text):
        if letter == "'":
            quoted = not quoted
        elif not quoted and letter in "()":
            depth += 1 if letter == "(" else -1
        elif letter == "," and depth == 0 and not quoted:
            items.append(text[start:place])
            start = place + 1
    return [" ".join(item.split()) for item in [*items, text[start:]] if item.strip()]


def _add(table: Table, item: str) -> None:
    item = re.sub(r"^ADD (COLUMN )?(IF NOT EXISTS )?", "", item, flags=re.IGNORECASE)
    first = item.split()[0].upper()
    if first in {"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN", "EXCLUDE", "LIKE"}:
        table.constraints.append(item)
    elif first not in {"ALTER", "DROP", "OWNER", "RENAME", "SET", "ENABLE", "VALIDATE", "ATTACH"}:
        table.columns[item.split()[0]] = item


def tables(tree: Tree) -> dict[str, Table]:
    """Every table that the migrations make, with what later ones add to it."""
    found: dict[str, Table] = {}
    for source in tree.files(".sql", under=MIGRATIONS):
        text = without_comments(source.text)
        for match in TABLE.finditer(text):
            name, line = match[2], text.count("\n", 0, match.start()) + 1
            if match[1].upper().startswith("CREATE"):
                start = text.index("(", match.end())
                body = text[start + 1 : _closing(text, start)]
                found[name] = Table(name, source.path, line, {}, [])
            else:
                body = text[match.end() : text.find(";", match.end())]
            if name in found:
                for item in _items(body):
                    _add(found[name], item)
    return found


def _migration(columns: str, name: str = "claims", more: str = "") -> Planted:
    return {f"{MIGRATIONS}0001_x.sql": f"CREATE TABLE {name} (\n{columns}\n);\n{more}"}


_GOOD: Final = (
    "shard integer NOT NULL, -- first, in every key\nbook_id text NOT NULL,\nmemo text,\n"
    "state text CONSTRAINT claims_state CHECK (state IN ('a', 'b')),\n"
    "CONSTRAINT claims_pkey PRIMARY KEY (shard, book_id),\n"
    "CONSTRAINT claims_lengths CHECK (length(book_id) <= 32 AND length(memo) <= 5)"
)


@rule(
    "sharded-keys",
    bad=(
        _migration("shard int, book_id text, CONSTRAINT k PRIMARY KEY (book_id, shard)"),
        _migration("shard int, CONSTRAINT p PRIMARY KEY (shard), CONSTRAINT u UNIQUE (book_id)"),
        _migration("book_id text"),
        _migration(_GOOD, more="CREATE UNIQUE INDEX i ON claims (book_id, shard);"),
        _migration(_GOOD, more="ALTER TABLE claims ADD CONSTRAINT u UNIQUE (memo);"),
    ),
    good=(
        _migration(_GOOD),
        _migration("book_id text, CONSTRAINT p PRIMARY KEY (book_id)", name="books"),
    ),
)
def sharded_keys(tree: Tree) -> Iterator[Finding]:
    found = tables(tree)
    for table in found.values():
        if not table.is_tenant:
            continue
        written = [*table.columns.values(), *table.constraints]
        keys = [key for item in written for key in KEYS.findall(item)]
        if "shard" not in table.columns or not any(
            kind.upper() == "PRIMARY KEY" for kind, _ in keys
        ):
            text = "a tenant table has a shard, and a primary key that it leads"
            yield Finding(table.path, table.line, table.name, text)
        for kind, columns in keys:
            if columns.split(",")[0].strip() != "shard":
                text = f"the shard leads every key of a tenant table, not so {kind} ({columns})"
                yield Finding(table.path, table.line, table.name, text)
    for source in tree.files(".sql", under=MIGRATIONS):
        for index, name, first in UNIQUE_INDEX.findall(without_comments(source.text)):
            if name in found and found[name].is_tenant and first != "shard":
                yield Finding(source.path, 1, index, "the shard leads every unique index")


@rule(
    "book-on-every-row",
    bad=(_migration("shard int, CONSTRAINT p PRIMARY KEY (shard)"),),
    good=(_migration(_GOOD), _migration("shop_id text", name="shops")),
)
def book_on_every_row(tree: Tree) -> Iterator[Finding]:
    for table in tables(tree).values():
        if table.is_tenant and "book_id" not in table.columns:
            text = "every row of a tenant table says whose book it belongs to"
            yield Finding(table.path, table.line, table.name, text)


@rule(
    "bounded-texts",
    bad=(
        _migration("a text, CONSTRAINT c CHECK (length(b) < 5)", name="books"),
        _migration(_GOOD, more="ALTER TABLE claims ADD COLUMN note text;"),
        _migration(_GOOD + ", name character varying"),
    ),
    good=(
        _migration(_GOOD),
        _migration("a text, CONSTRAINT c CHECK (a ~ '^[a-z]{1,9}$')", name="books"),
        _migration("a text, CONSTRAINT f FOREIGN KEY (a) REFERENCES b (a)", name="shops"),
        _migration("a text[]", name="shops"),
    ),
)
def bounded_texts(tree: Tree) -> Iterator[Finding]:
    kind = re.compile(r"^\w+ (text|character varying|varchar|citext)\b(?!\[|\()", re.IGNORECASE)
    for table in tables(tree).values():
        rules = " ".join([*table.columns.values(), *table.constraints])
        for column, definition in table.columns.items():
            if not kind.match(definition):
                continue
            bounded = re.search(
                rf"\b(char_length|octet_length|length)\({column}\)|\b{column} (IN \(|= ANY|~ '\^)"
                rf"|FOREIGN KEY \({column}\)",
                rules,
                re.IGNORECASE,
            )
            if not (bounded or "REFERENCES" in definition):
                text = f"{column}: every text column has a CHECK on its length"
                yield Finding(table.path, table.line, f"{table.name}.{column}", text)


@rule(
    "named-constraints",
    bad=(
        _migration("a int PRIMARY KEY"),
        _migration("a int, UNIQUE (a)"),
        _migration("a int CONSTRAINT c CHECK (a > 0) REFERENCES b (a)"),
        _migration(_GOOD, more="ALTER TABLE claims ADD CHECK (memo <> '');"),
    ),
    good=(
        _migration(_GOOD),
        _migration("a int, CONSTRAINT f FOREIGN KEY (a) REFERENCES b (a)"),
    ),
)
def named_constraints(tree: Tree) -> Iterator[Finding]:
    for table in tables(tree).values():
        for item in [*table.columns.values(), *table.constraints]:
            bare = re.sub(r"'[^']*'", "''", item)
            words = [found[0] for found in UNNAMED.finditer(bare)]
            if bare.upper().startswith("CONSTRAINT") and "FOREIGN KEY" in bare.upper():
                words = words[:1]
            for word in words:
                if not word.upper().startswith("CONSTRAINT"):
                    text = f"an unnamed constraint: {item[:60]}"
                    yield Finding(table.path, table.line, f"{table.name}: {item}", text)
