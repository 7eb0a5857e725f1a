"""Endpoints that are gone, or fail for days, are switched off, and the others are told.

The book's clock is moved by hand; what a receiver asks for with Retry-After is obeyed on it.
"""

import json
from datetime import timedelta

from clawback.route import Kept
from clawback.webhooks.model import Changed, ChangeEndpoint
from tests.support.books import KEY, proved
from tests.webhooks.stage import SECRET, Stage, answering, receiving, staged, status
from tests.webhooks.test_deliveries import got, verify

DAY = 86_400


async def row_of(stage: Stage, endpoint: str) -> tuple[bool, str | None]:
    row = (await stage.look("SELECT * FROM endpoints WHERE endpoint_id = $1", endpoint))[0]
    return row["active"], row["disabled_reason"]


async def off(stage: Stage, endpoint: str) -> bool:
    return not (await row_of(stage, endpoint))[0]


async def test_410_switches_off_at_once_and_the_others_are_told(database: str) -> None:
    async with (
        staged(database) as stage,
        receiving(answering(last=status(410))) as gone,
        receiving() as other,
        receiving() as deaf,
        stage.delivering(),
    ):
        endpoint = await stage.endpoint(gone.url, "payment.created", "webhook.disabled")
        await stage.endpoint(other.url, "webhook.disabled")
        await stage.endpoint(deaf.url, "claim.*", "payment.*")
        await stage.pay()
        await stage.until("off", lambda: off(stage, endpoint))
        assert await row_of(stage, endpoint) == (False, "gone")
        notice = (await got(other, 1))[0]
        verify(notice, SECRET)
        told = json.loads(notice.body)
        assert (told["type"], told["data"]["version"]) == ("webhook.disabled", None)
        assert told["data"]["object"]["id"] == endpoint
        assert told["data"]["object"]["disabledReason"] == "gone"
        assert b"whsec" not in notice.body
        await stage.pay()
        await got(deaf, 4)
        assert len(gone.got) == 1, "nothing more, not even the notice about itself"
    await proved(database)


async def test_five_days_without_success_switch_off(database: str) -> None:
    async with (
        staged(database) as stage,
        receiving(answering(last=status(500))) as failing,
        receiving() as other,
        stage.delivering(),
    ):
        endpoint = await stage.endpoint(failing.url, "payment.created")
        await stage.endpoint(other.url, "webhook.disabled")
        for day in range(5):
            await stage.pay()
            await stage.until_status(endpoint, "failed", "dead_letter")
            assert await row_of(stage, endpoint) == (True, None), day
            await stage.move_clock(DAY)
        await stage.pay()
        await stage.until("off", lambda: off(stage, endpoint))
        assert await row_of(stage, endpoint) == (False, "failing")
        await got(other, 1)


async def test_one_success_starts_the_five_days_anew(database: str) -> None:
    script = answering(status(500), status(200), last=status(500))
    async with staged(database) as stage, receiving(script) as receiver, stage.delivering():
        endpoint = await stage.endpoint(receiver.url, "payment.created")
        await stage.pay()
        await stage.until_status(endpoint, "failed")
        await stage.move_clock(4 * DAY)
        await stage.until_status(endpoint, "succeeded", attempts=2)
        await stage.move_clock(4 * DAY)
        await stage.pay()
        await stage.until("failing", lambda: stage.look("SELECT * FROM endpoint_failures"))
        assert await row_of(stage, endpoint) == (True, None)


async def test_switched_on_again_it_starts_afresh_and_goes_on_with_what_is_due(
    database: str,
) -> None:
    script = answering(status(410), status(500))
    async with staged(database) as stage, receiving(script) as receiver, stage.delivering():
        endpoint = await stage.endpoint(receiver.url, "payment.created")
        await stage.pay()
        await stage.until("off", lambda: off(stage, endpoint))
        await stage.move_clock(6 * DAY)
        command = ChangeEndpoint(endpoint_id=endpoint, fields=("active",), active=True, actor=KEY)
        await stage.lanes.submit(stage.book, command, Kept[Changed]())
        await stage.until_status(endpoint, "failed", attempts=2)
        assert await row_of(stage, endpoint) == (True, None), "its five days begin again"
        await stage.move_clock(DAY)
        await stage.until_status(endpoint, "succeeded", attempts=3)
        assert await stage.look("SELECT * FROM endpoint_failures") == []


async def test_a_longer_retry_after_is_obeyed(database: str) -> None:
    script = answering(status(503, "Retry-After: 7200"), status(429, "Retry-After: 9999999"))
    async with staged(database) as stage, receiving(script) as receiver, stage.delivering():
        endpoint = await stage.endpoint(receiver.url, "payment.created")
        await stage.pay()
        await stage.until_status(endpoint, "failed", attempts=1)
        row = (await stage.deliveries(endpoint))[0]
        wait = row["next_attempt_at"] - row["created_at"]
        assert timedelta(hours=2) <= wait < timedelta(hours=2, seconds=20)
        await stage.move_clock(7230)
        await stage.until_status(endpoint, "failed", attempts=2)
        again = (await stage.deliveries(endpoint))[0]
        wait = again["next_attempt_at"] - row["next_attempt_at"]
        assert timedelta(hours=24) <= wait < timedelta(hours=24, seconds=60)
        await stage.move_clock(DAY + 60)
        await stage.until_status(endpoint, "succeeded", attempts=3)
