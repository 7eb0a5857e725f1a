"""Holds the tree to its rules, and each rule to its own negative cases.

The rules and their reasons are in the modules beside this one. What a rule finds and the list of
exceptions does not name fails the suite, and so does an exception that is not needed any more.
"""

import tomllib
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.tidy import code, imports, project, schema, sizes, statements, structs, words
from tests.tidy.tree import RULES, Finding, Rule, Tree, read_tree

MODULES: Final = (code, imports, project, schema, sizes, statements, structs, words)
CEILING: Final = 1
"""How many exceptions there may be. It goes down, never up."""

every_rule = pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: str(rule.name))


class Exemption(NamedTuple):
    """One accepted finding."""

    path: str
    rule: str
    about: str
    reason: str

    def covers(self, rule: Rule, finding: Finding) -> bool:
        return (self.path, self.rule, self.about) == (finding.path, rule.name, finding.about)


@cache
def project_tree() -> Tree:
    return read_tree()


@cache
def exemptions() -> tuple[Exemption, ...]:
    text = Path(__file__).with_name("exceptions.toml").read_text(encoding="utf-8")
    return tuple(Exemption(**entry) for entry in tomllib.loads(text).get("exception", []))


@every_rule
def test_the_tree_keeps_the_rule(rule: Rule) -> None:
    found = [
        finding
        for finding in rule.check(project_tree())
        if not any(exemption.covers(rule, finding) for exemption in exemptions())
    ]
    if found:
        pytest.fail(f"{rule.name}:\n" + "\n".join(map(str, found)), pytrace=False)


@every_rule
def test_the_rule_catches_what_it_is_for(rule: Rule) -> None:
    for planted in rule.bad:
        assert list(rule.check(Tree(planted))), f"not caught: {planted}"


@every_rule
def test_the_rule_leaves_good_code_alone(rule: Rule) -> None:
    for planted in rule.good:
        found = list(rule.check(Tree(planted)))
        assert not found, "\n".join(map(str, found))


def test_exceptions_only_shrink() -> None:
    assert len(exemptions()) <= CEILING
    for exemption in exemptions():
        assert len(exemption.reason.split()) > 3, f"{exemption} has no reason"


@pytest.mark.parametrize("exemption", exemptions(), ids=lambda entry: f"{entry.rule}-{entry.about}")
def test_every_exception_is_still_needed(exemption: Exemption) -> None:
    rule = RULES[exemption.rule]
    assert any(exemption.covers(rule, finding) for finding in rule.check(project_tree()))


def test_every_module_of_rules_is_read() -> None:
    here = {path.stem for path in Path(__file__).parent.glob("*.py")}
    read = {module.__name__.rpartition(".")[2] for module in MODULES}
    assert here - read == {"__init__", "test_tidy", "tree"} & here
