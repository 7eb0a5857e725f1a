"""What a receiver's Retry-After says, in both of its forms and in none.

Seconds, or an HTTP date; whatever cannot be read asks for nothing.
"""

from datetime import UTC, datetime

import pytest

from clawback.webhooks.jobs import read_retry_after

NOW = datetime(2026, 5, 12, 20, 0, tzinfo=UTC)


@pytest.mark.parametrize(("text", "wait_ms"), [
    ("0", 0), ("120", 120_000), (" 7 ", 7_000), ("9" * 40, 999_999_999_000),
    ("Tue, 12 May 2026 20:01:00 GMT", 60_000), ("Tue, 12 May 2026 19:00:00 GMT", 0),
    ("", 0), ("-5", 0), ("1.5", 0), ("soon", 0), ("\u0661", 0), ("+5", 0), ("0x10", 0),
    ("Tue, 99 May 2026 20:01:00 GMT", 0), ("Tue, 12 May 2026 20:01:00", 0),
])  # fmt: skip
def test_both_forms_are_read_and_nonsense_asks_for_nothing(text: str, wait_ms: int) -> None:
    assert read_retry_after(text, NOW) == wait_ms
