"""The schedule of retries, as a table: waits, chance, what a receiver asks for."""

import pytest

from clawback.webhooks.model import JITTER, WAITS_MS, next_wait_ms

HOURS = 3_600_000


SECONDS = (5, 30, 120, 600, 1800, 3600, 10_800, 21_600, 43_200, 86_400)


@pytest.mark.parametrize(("tries", "seconds"), list(enumerate(SECONDS, 1)))
def test_each_wait_varies_by_a_fifth(tries: int, seconds: int) -> None:
    assert next_wait_ms(tries, draw=0) == 800 * seconds
    assert next_wait_ms(tries, draw=JITTER) == 1000 * seconds
    assert next_wait_ms(tries, draw=2 * JITTER) == 1200 * seconds


def test_the_eleventh_failure_is_the_last() -> None:
    assert next_wait_ms(11, draw=0) is None
    assert 45 * HOURS < sum(WAITS_MS) < 48 * HOURS


@pytest.mark.parametrize(("asked_ms", "waits_ms"), [
    (0, 5000), (4999, 5000), (60_000, 60_000), (24 * HOURS, 24 * HOURS),
    (25 * HOURS, 24 * HOURS), (10**12, 24 * HOURS)])  # fmt: skip
def test_a_longer_wait_is_obeyed_up_to_a_day(asked_ms: int, waits_ms: int) -> None:
    assert next_wait_ms(1, draw=JITTER, asked_ms=asked_ms) == waits_ms
