"""Logs as in production: what a test does not look at is not rendered at length."""

import pytest

from clawback import logs


@pytest.fixture(scope="session", autouse=True)
def configured_logs() -> None:
    """JSON lines on standard error."""
    logs.configure()
