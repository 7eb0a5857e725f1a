"""Events reach receivers: whole, signed, once at least; failures follow the schedule.

Every request that a receiver gets is verified by the public reference library.
"""

import asyncio

import pytest
from standardwebhooks.webhooks import Webhook

from tests.webhooks.stage import (
    SECRET,
    Got,
    Receiver,
    answering,
    hanging,
    receiving,
    staged,
    status,
)


def verify(got: Got, *secrets: str) -> None:
    """The reference library takes it, under each of the secrets."""
    for secret in secrets or (SECRET,):
        Webhook(secret).verify(got.body, got.headers, json_parse=False)


async def got(receiver: Receiver, count: int) -> list[Got]:
    for _ in range(1000):
        if len(receiver.got) >= count:
            break
        await asyncio.sleep(0.02)
    assert len(receiver.got) == count
    return receiver.got


async def test_every_event_arrives_with_the_bytes_of_its_row(database: str) -> None:
    async with staged(database) as stage, receiving() as receiver, stage.delivering():
        endpoint = await stage.endpoint(receiver.url)
        await stage.pay(3)
        await got(receiver, 6)
        rows = await stage.look("SELECT event_id, body FROM events ORDER BY number")
        sent = {one.headers["webhook-id"]: one.body.decode() for one in receiver.got}
        assert sent == {row["event_id"]: row["body"] for row in rows}
        for one in receiver.got:
            verify(one)
            assert one.headers["content-type"] == "application/json"
            assert one.headers["clawback-delivery"].startswith(f"dlv_{endpoint[3:]}")
        await stage.until_status(endpoint, "succeeded")
        assert [row["attempts"] for row in await stage.deliveries(endpoint)] == [1] * 6


async def test_a_changed_byte_is_refused_by_the_reference_library(database: str) -> None:
    async with staged(database) as stage, receiving() as receiver, stage.delivering():
        await stage.endpoint(receiver.url)
        await stage.pay()
        first = (await got(receiver, 2))[0]
    other = {**first.headers, "webhook-id": "evt_other"}
    for wrong in (first._replace(body=first.body + b" "), first._replace(headers=other)):
        with pytest.raises(Exception, match="No matching signature"):
            verify(wrong)


async def test_a_failing_receiver_is_tried_eleven_times_then_no_more(database: str) -> None:
    waits = [5, 30, 120, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 24 * 3600]
    script = answering(last=status(500))
    async with staged(database) as stage, receiving(script) as receiver, stage.delivering():
        endpoint = await stage.endpoint(receiver.url, "payment.created")
        await stage.pay()
        for attempt, wait in enumerate(waits, 1):
            await stage.until_status(endpoint, "failed", attempts=attempt)
            row = (await stage.deliveries(endpoint))[0]
            assert (row["last_status_code"], row["last_error"]) == (500, None)
            offset = (await stage.look("SELECT clock_offset_seconds AS s FROM heads"))[0]["s"]
            left = row["next_attempt_at"] - receiver.got[-1].at
            assert 0.8 * wait - 1 <= left.total_seconds() - offset <= 1.2 * wait + 2
            await stage.move_clock(0.75 * wait)
            await asyncio.sleep(0.3 if attempt < 4 else 0)
            assert len(receiver.got) == attempt, "not before its time"
            await stage.move_clock(0.5 * wait)
        await stage.until_status(endpoint, "dead_letter", attempts=11)
        await stage.move_clock(90 * 86_400)
        await asyncio.sleep(0.5)
        assert len(receiver.got) == 11
        assert {one.body for one in receiver.got} == {receiver.got[0].body}
        assert len({one.headers["webhook-id"] for one in receiver.got}) == 1
        for one in receiver.got:
            verify(one)


async def test_a_hanging_receiver_does_not_delay_another(database: str) -> None:
    async with (
        staged(database) as stage,
        receiving(hanging) as dead,
        receiving() as healthy,
        stage.delivering(seconds=3),
    ):
        await stage.endpoint(dead.url)
        await stage.endpoint(healthy.url)
        for _ in range(20):
            await stage.pay()
            before = len(healthy.got)
            for _ in range(100):
                if len(healthy.got) >= before + 2:
                    break
                await asyncio.sleep(0.02)
        await got(healthy, 40)
