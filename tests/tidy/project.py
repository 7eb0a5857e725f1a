"""The project's own files: the lock, the configuration, the documents, the mirror of tests."""

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from tests.tidy.sizes import REFUND_WAY
from tests.tidy.tree import Finding, Tree, name_of, rule

MUST_EXIST: Final = (
    ".ci/run", ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md",
    "docs/ARCHITECTURE.md", "docs/reference/errors.md", "pyproject.toml", "requirements/dev.txt",
    "requirements/runtime.txt",
)  # fmt: skip
ERRORS: Final = "docs/reference/errors.md"
ARCHITECTURE: Final = "docs/ARCHITECTURE.md"
FAULTS: Final = "docs/reference/faults.md"
FAULT_ROWS: Final = 75
RECORD: Final = re.compile(r"docs/decisions/(\d{4})-[a-z0-9-]+\.md")
HEADINGS: Final = ("## Context", "## Decision", "## Consequences", "## Alternatives")

# The shapes of an address, so that no host needs to be named. Each is put together here, so that
# this file does not hold what it looks for.
LOCK_SHAPES: Final = (
    "--index" + "-url", "--extra-index" + "-url", "--find" + "-links", "--trusted" + "-host",
    '"resolved' + '":', "[[tool.uv" + ".index]]", "[tool.poetry" + ".source]", "regis" + "try=",
    " @ " + "http", " @ " + "file:", "git" + "+",
)  # fmt: skip
LOCK_FILES: Final = (
    ".txt", ".in", ".toml", ".lock", ".cfg", ".ini", ".npmrc", ".json", ".yaml", ".yml", "pip.conf",
    "Makefile", ".ci/run",
)  # fmt: skip
DOWNLOAD: Final = re.compile(r"\b(?:https?|ftp|file)://[^\s\"'<>)]+\.(?:whl|tgz|tar\.gz)\b")
SCHEME: Final = "https" + "://"


@rule(
    "must-exist",
    bad=({"README.md": "x"},),
    good=(dict.fromkeys(MUST_EXIST, ""),),
)
def must_exist(tree: Tree) -> Iterator[Finding]:
    for path in MUST_EXIST:
        if tree.get(path) is None:
            yield Finding(path, 1, path, "is missing")


@rule(
    "no-registry",
    bad=(
        *({"requirements/dev.txt": f"x {shape} y"} for shape in LOCK_SHAPES),
        {"docs/a.md": f"{SCHEME}files.example/x-1.0.tar.gz"},
        {"clawback/a.py": f'X = "{SCHEME}files.example/x-1.0-py3-none-any.whl"'},
        {"uv.lock": ""},
        {"tools/pylock.toml": ""},
    ),
    good=({"requirements/dev.txt": "a==1 \\\n    --hash=sha256:00", "Makefile": "x @ y"},),
)
def no_registry(tree: Tree) -> Iterator[Finding]:
    for source in tree.files(""):
        name = PurePosixPath(source.path).name
        if name in {"uv.lock", "pylock.toml"}:
            yield Finding(source.path, 1, name, "carries addresses; requirements/ is the lock")
        is_lock = source.path.endswith(LOCK_FILES)
        for number, line in enumerate(source.lines, 1):
            shapes = [shape for shape in LOCK_SHAPES if is_lock and shape in line]
            if shapes or ("://" in line and DOWNLOAD.search(line)):
                text = "no committed file says where packages come from"
                yield Finding(source.path, number, shapes[0] if shapes else "download", text)


@rule(
    "locked-pins",
    bad=(
        {"requirements/runtime.in": "a>=1", "requirements/runtime.txt": "a==1 --hash=sha256:0"},
        {"requirements/runtime.in": "a==1", "requirements/runtime.txt": "a==2 --hash=sha256:0"},
        {"requirements/runtime.in": "", "requirements/runtime.txt": "a==1\nb==1 --hash=sha256:0"},
    ),
    good=(
        {
            "requirements/runtime.in": "# c\na==1; x == 'y'\n",
            "requirements/runtime.txt": "a==1 ; x == 'y' \\\n    --hash=sha256:0",
        },
    ),
)
def locked_pins(tree: Tree) -> Iterator[Finding]:
    pin = re.compile(r"([A-Za-z0-9_.-]+)==([^\s;\\]+)")
    for source in tree.files(".in", under="requirements/"):
        lock = tree.get(source.path.removesuffix(".in") + ".txt")
        for number, line in enumerate(source.lines, 1):
            wanted = line.split("#")[0].strip()
            if not wanted or wanted.startswith("-"):
                continue
            found = pin.match(wanted)
            if found is None:
                yield Finding(source.path, number, wanted, "is not pinned exactly")
            elif lock and not re.search(rf"(?m)^{re.escape(found[0].lower())}(\s|$)", lock.text):
                yield Finding(source.path, number, wanted, "is not in the lock: run `make lock`")
    for source in tree.files(".txt", under="requirements/"):
        for entry in re.split(r"\n(?=\S)", source.text.rstrip()):
            if entry.strip() and "--hash=sha256:" not in entry:
                yield Finding(source.path, 1, entry.split()[0], "is locked without a hash")


@rule(
    "switched-off-with-reason",
    bad=(
        {"pyproject.toml": '[tool.ruff.lint]\nignore = [\n    "D105",\n]\n'},
        {"pyproject.toml": '[tool.ruff.lint]\nignore = ["D105"]\n'},
        {"pyproject.toml": '[tool.pytest.ini_options]\nfilterwarnings = ["ignore:x"]\n'},
        {"pyproject.toml": "[tool.mypy]\nstrict = false  # because it was late\n"},
    ),
    good=(
        {
            "pyproject.toml": '[tool.ruff.lint]\nignore = [\n    "D105",  # reads well without\n]\n'
            '[tool.pytest.ini_options]\nfilterwarnings = [\n    "error",\n'
            '    "ignore:x",  # a library of ours is late\n]\n[tool.mypy]\nstrict = true\n',
        },
    ),
)
def switched_off_with_reason(tree: Tree) -> Iterator[Finding]:
    source = tree.get("pyproject.toml")
    if source is None:
        return
    reasoned = re.compile(r"#\s*\S.{7,}$")
    code = re.compile(r"\s*\"([A-Z]{1,4}\d{0,4}|(ignore|default)(:[^\"]*)?)\",?\s*(#.*)?$")
    for number, line in enumerate(source.lines, 1):
        inline = re.match(r"(extend-)?(ignore|filterwarnings)\s*=\s*\[\s*\"", line.strip())
        if inline or (code.match(line) and not reasoned.search(line)):
            text = "what is switched off has a line of its own, with its reason"
            yield Finding(source.path, number, line.strip(), text)
    settings = tomllib.loads(source.text).get("tool", {})
    if "mypy" in settings and settings["mypy"].get("strict") is not True:
        yield Finding(source.path, 1, "mypy", "mypy is strict")
    warnings = settings.get("pytest", {}).get("ini_options", {}).get("filterwarnings", ["error"])
    if warnings[0] != "error":
        yield Finding(source.path, 1, "filterwarnings", "warnings are errors")


def _codes(tree: Tree) -> dict[str, tuple[str, int, bool]]:
    """Error codes by name: path, line, and whether a refusal of the tree returns it."""
    found: dict[str, tuple[str, int, bool]] = {}
    for source in tree.python():
        if source.path == "clawback/errors.py":
            for node in source.of(ast.AnnAssign):
                if name_of(node.target) == "STATUS" and isinstance(node.value, ast.Dict):
                    for key in node.value.keys:
                        if isinstance(key, ast.Constant):
                            found[str(key.value)] = (source.path, key.lineno, False)
    for source in tree.python():
        for owner in source.of(ast.ClassDef):
            for statement in owner.body:
                names = [name_of(target) for target in getattr(statement, "targets", [])]
                value = getattr(statement, "value", None)
                if names == ["code"] and isinstance(value, ast.Constant):
                    found[str(value.value)] = (source.path, statement.lineno, True)
    return found


_REFUSAL: Final = 'class Gone(Refused):\n    code = "gone"\n'


@rule(
    "error-codes",
    bad=(
        {"clawback/errors.py": _REFUSAL, "tests/a.py": '"gone"', ERRORS: "gone without ticks"},
        {"clawback/errors.py": _REFUSAL, "tests/a.py": "x = 1", ERRORS: "| `gone` | 410 |"},
        {"clawback/errors.py": 'STATUS: Final = {"lost": 404}', ERRORS: ""},
        {"clawback/errors.py": "", ERRORS: "| `never_heard_of` | 404 |"},
    ),
    good=(
        {"clawback/errors.py": _REFUSAL, "tests/a.py": 'X = "gone"', ERRORS: "| `gone` | 410 |"},
    ),
)
def error_codes(tree: Tree) -> Iterator[Finding]:
    page = tree.get(ERRORS)
    codes = _codes(tree)
    tested = {
        str(constant.value)
        for source in tree.python("tests/")
        if not source.path.startswith("tests/tidy/")
        for constant in source.of(ast.Constant)
    }
    for code, (path, line, is_returned) in codes.items():
        if page is not None and f"`{code}`" not in page.text:
            yield Finding(path, line, code, f"{code} is not in {ERRORS}")
        if is_returned and code not in tested:
            yield Finding(path, line, code, f"{code} is named in no test")
    for row in re.finditer(r"(?m)^\|\s*`([a-z_]+)`\s*\|\s*\d{3}\b", page.text if page else ""):
        if row[1] not in codes:
            yield Finding(ERRORS, 1, row[1], f"{row[1]} is documented, and nothing answers with it")


@rule(
    "links",
    bad=(
        {"docs/a.md": "[x](b.md)"},
        {"docs/a.md": "[x](../clawback/lane.py#L1)"},
        {ARCHITECTURE: "[x](../clawback/claims/api.py)", "clawback/claims/api.py": ""},
        {ARCHITECTURE: "".join(f"[x](../{p})" for p in REFUND_WAY)},
    ),
    good=(
        {
            ARCHITECTURE: "".join(f"[x](../{p})" for p in REFUND_WAY),
            "docs/a.md": "[x](ARCHITECTURE.md#way), [y](https://example.test/), [z](#here), [d](.)",
            **dict.fromkeys(REFUND_WAY, ""),
        },
    ),
)
def links(tree: Tree) -> Iterator[Finding]:
    folders = {parent.as_posix() for path in tree.sources for parent in PurePosixPath(path).parents}
    for source in tree.files(".md"):
        targets = set()
        for number, line in enumerate(source.lines, 1):
            for target in re.findall(r"\]\(([^)\s#]+)[^)]*\)", line):
                if re.match(r"[a-z]+:", target):
                    continue
                path = _resolve(source.path, target)
                targets.add(path)
                if path not in tree.sources and path not in folders:
                    yield Finding(source.path, number, target, f"{target} leads nowhere")
        if source.path == ARCHITECTURE:
            for path in set(REFUND_WAY) - targets:
                yield Finding(source.path, 1, path, f"the way of a refund lacks a link to {path}")


def _resolve(path: str, target: str) -> str:
    parts: list[str] = []
    for part in (PurePosixPath(path).parent / target).parts:
        if part == "..":
            parts = parts[:-1]
        elif part != ".":
            parts.append(part)
    return "/".join(parts) or "."


@rule(
    "mirrored-tests",
    bad=({"clawback/claims/model.py": "", "tests/payments/test_model.py": ""},),
    good=({"clawback/claims/model.py": "", "tests/claims/test_model.py": ""},),
)
def mirrored_tests(tree: Tree) -> Iterator[Finding]:
    for source in tree.files("/model.py", under="clawback/"):
        path = PurePosixPath(source.path)
        test = PurePosixPath("tests", *path.parts[1:-1], f"test_{path.name}").as_posix()
        if tree.get(test) is None:
            yield Finding(source.path, 1, test, f"{test} is missing")


_RECORD: Final = "\n\n".join(("# 1. X", "Status: accepted", *HEADINGS))


@rule(
    "decision-records",
    bad=(
        {"docs/decisions/1-x.md": _RECORD},
        {"docs/decisions/0001-x.md": _RECORD, "docs/decisions/0001-y.md": _RECORD},
        {"docs/decisions/0001-x.md": "# X\n\n## Context"},
        {"docs/decisions/0001-x.md": _RECORD + "\n" * 80},
    ),
    good=({"docs/decisions/0001-x.md": _RECORD, "docs/decisions/0002-y.md": _RECORD},),
)
def decision_records(tree: Tree) -> Iterator[Finding]:
    numbers: Counter[str] = Counter()
    for source in tree.files(".md", under="docs/decisions/"):
        named = RECORD.fullmatch(source.path)
        if named is None:
            yield Finding(source.path, 1, "name", "a record is named NNNN-title.md")
            continue
        numbers[named[1]] += 1
        if numbers[named[1]] > 1:
            yield Finding(source.path, 1, named[1], f"there are two records {named[1]}")
        lacking = [heading for heading in HEADINGS if heading not in source.text]
        if lacking or "Status:" not in source.text:
            yield Finding(source.path, 1, "form", f"lacks {lacking or 'a status line'}")
        if source.text.count("\n") > 75:
            yield Finding(source.path, 1, "length", "a record has at most a page")


_ROW: Final = "| {} | it fails | it holds | {} |"
_SHOWN: Final = [_ROW.format(number, "`a/test_b::test_c`") for number in range(1, FAULT_ROWS + 1)]
_A_TEST: Final = {"tests/a/test_b.py": "def test_c() -> None: ..."}


@rule(
    "faults-shown",
    bad=(
        {FAULTS: "\n".join(_SHOWN)},
        {FAULTS: "\n".join(_SHOWN[1:]), **_A_TEST},
        {FAULTS: "\n".join([*_SHOWN, _SHOWN[0]]), **_A_TEST},
        {FAULTS: "\n".join([_ROW.format(1, "somehow"), *_SHOWN[1:]]), **_A_TEST},
        {FAULTS: "\n".join([_ROW.format(1, "not run: no"), *_SHOWN[1:]]), **_A_TEST},
    ),
    good=(
        {FAULTS: "\n".join(_SHOWN), **_A_TEST},
        {FAULTS: "\n".join([_ROW.format(1, "not run: there is one disk"), *_SHOWN[1:]]), **_A_TEST},
    ),
)
def faults_shown(tree: Tree) -> Iterator[Finding]:
    page = tree.get(FAULTS)
    if page is None:
        return
    numbers: Counter[int] = Counter()
    for number, line in enumerate(page.lines, 1):
        row = re.match(r"\| (\d+) \|.*\| ([^|]+) \|$", line)
        if row is None:
            continue
        numbers[int(row[1])] += 1
        tests = re.findall(r"`([a-z_/]+)::(test_\w+)`", row[2])
        if not tests and not re.search(r"not run: (\S+ ){2}\S", row[2]):
            yield Finding(FAULTS, number, row[1], f"nothing shows fault {row[1]}")
        for place, name in tests:
            source = tree.get(f"tests/{place}.py")
            if source is None or f"def {name}(" not in source.text:
                yield Finding(FAULTS, number, name, f"{name} is not in tests/{place}.py")
    if sorted(numbers.elements()) != list(range(1, FAULT_ROWS + 1)):
        yield Finding(FAULTS, 1, "rows", f"there are {FAULT_ROWS} faults, each with one row")
