"""A merchant with people of every role, for all tests of a process."""

import os
from collections.abc import Iterator

import pytest

from tests.dashboard.visitor import Person, Staff, Visitor
from tests.support.databases import Database
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree

MERCHANT = f"MCH-DASHBOARD-{os.getpid()}"
ROLES = ("owner", "developer", "operator", "disputes", "read-only")


@pytest.fixture(scope="session")
def shop(served: Tree) -> Shop:
    """The merchant's own software, with a key of the test book."""
    return other_shop(served, MERCHANT)


@pytest.fixture(scope="session")
def staff(served: Tree, shop: Shop) -> Staff:
    """Its people."""
    return Staff(served, MERCHANT)


@pytest.fixture(scope="session")
def hired(staff: Staff) -> dict[str, Person]:
    """One person for each role, in the test book."""
    return {role: staff.hire(f"{role}-{os.getpid()}@test.example", test=role) for role in ROLES}


@pytest.fixture(scope="session")
def browsers(staff: Staff, hired: dict[str, Person]) -> dict[str, Visitor]:
    """Each of them signed in."""
    return {role: staff.visitor(person) for role, person in hired.items()}


@pytest.fixture
def owner(browsers: dict[str, Visitor]) -> Visitor:
    """The owner's browser."""
    return browsers["owner"]


@pytest.fixture(scope="session")
def rows(served: Tree) -> Iterator[Database]:
    """The tree's database, looked at beside the product."""
    with Database(str(served.dev["databaseUrl"])) as found:
        yield found
