"""Events reach receivers: whole, signed, once at least; failures follow the schedule.

Every request that a receiver gets is verified by the public reference library.
"""

import asyncio
from functools import partial

import asyncpg
import pytest
from standardwebhooks.webhooks import Webhook

from tests.support.counts import count
from tests.webhooks.stage import (
    SECRET,
    Got,
    Receiver,
    Stage,
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


async def _noted(stage: Stage, endpoint: str) -> asyncpg.Record:
    """The delivery once its attempt, which is counted before it is made, is noted too."""
    while True:
        row = (await stage.deliveries(endpoint))[0]
        if row["lease_until"] is None:
            return row
        await asyncio.sleep(0.02)


async def test_a_failing_receiver_is_tried_eleven_times_then_no_more(database: str) -> None:
    waits = [5, 30, 120, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 24 * 3600]
    script = answering(last=status(500))
    async with staged(database) as stage, receiving(script) as receiver, stage.delivering():
        endpoint = await stage.endpoint(receiver.url, "payment.created")
        await stage.pay()
        for attempt, wait in enumerate(waits, 1):
            await stage.until_status(endpoint, "failed", attempts=attempt)
            offset = (await stage.look("SELECT clock_offset_seconds AS s FROM heads"))[0]["s"]
            row = await _noted(stage, endpoint)
            left = (row["next_attempt_at"] - receiver.got[-1].at).total_seconds() - offset
            assert (row["last_status_code"], row["last_error"]) == (500, None)
            assert 0.8 * wait - 1 <= left <= 1.2 * wait + 2
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


async def _endless(_: Got) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n" + b"x" * 200_000


BAD_ANSWERS = {
    "a redirect inside": (answering(last=status(302, "location: http://127.0.0.1:9/")), 302, None),
    "an endless body": (_endless, None, "no_answer"),
    "an error": (answering(last=status(503)), 503, None),
    "not HTTP": (answering(last=b"SSH-2.0-OpenSSH_9.2\r\n"), None, "no_answer"),
    "silence": (hanging, None, "no_answer"),
    "an interim answer only": (answering(last=b"HTTP/1.1 102 X\r\n\r\n"), None, "no_answer"),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
async def test_whatever_is_no_2xx_is_a_failed_try(database: str, name: str) -> None:
    script, code, word = BAD_ANSWERS[name]
    async with staged(database) as stage, receiving(script) as receiver:
        async with stage.delivering(seconds=1):
            endpoint = await stage.endpoint(receiver.url, "payment.created")
            await stage.pay()
            await stage.until_status(endpoint, "failed")
            row = (await stage.deliveries(endpoint))[0]
        assert (row["last_status_code"], row["last_error"]) == (code, word)
        assert len(receiver.got) == 1


GOOD_ANSWERS = {
    "no content": b"HTTP/1.1 204 X\r\n\r\n",
    "compressed": b"HTTP/1.1 200 X\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nxx",
    "chunked": b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "after an interim one": b"HTTP/1.1 103 X\r\n\r\nHTTP/1.1 202 X\r\ncontent-length: 0\r\n\r\n",
    "of 60 KiB": b"HTTP/1.1 200 X\r\ncontent-length: 61440\r\n\r\n" + b"x" * 61_440,
}


@pytest.mark.parametrize("name", GOOD_ANSWERS)
async def test_any_whole_2xx_is_success(database: str, name: str) -> None:
    script = answering(last=GOOD_ANSWERS[name])
    async with staged(database) as stage, receiving(script) as receiver, stage.delivering():
        endpoint = await stage.endpoint(receiver.url)
        await stage.pay()
        await stage.until("both events are sent", partial(_has_got, receiver, 2), 20)
        await stage.until_status(endpoint, "succeeded")
        assert len(receiver.got) == 2


@pytest.mark.long
async def test_ten_thousand_queued_for_a_dead_endpoint_delay_no_other(database: str) -> None:
    payments = count(100, 5_000)
    async with staged(database) as stage, receiving(hanging) as dead, receiving() as healthy:
        endpoint = await stage.endpoint(dead.url)
        for _ in range(payments // 50):
            await asyncio.gather(*(stage.pay() for _ in range(50)))
        other = await stage.endpoint(healthy.url, "payment.created")
        async with stage.delivering():
            queued = 2 * payments
            await stage.until("queued", lambda: _has(stage, endpoint, queued), 60)
            for number in range(1, 21):
                await stage.pay()
                await stage.until("it", partial(_has_got, healthy, number), 2)
            assert len(dead.got) <= 16
        assert len(await stage.deliveries(other)) == 20


async def _has(stage: Stage, endpoint: str, many: int) -> bool:
    query = "SELECT count(*) AS n FROM deliveries WHERE endpoint_id = $1"
    return int((await stage.look(query, endpoint))[0]["n"]) >= many


async def _has_got(receiver: Receiver, many: int) -> bool:
    return len(receiver.got) >= many


async def test_a_stopped_worker_ends_what_it_began_and_notes_it(database: str) -> None:
    async def slow(_: Got) -> bytes:
        await asyncio.sleep(1)
        return status(200)

    async with staged(database) as stage, receiving(slow) as receiver:
        async with stage.delivering():
            endpoint = await stage.endpoint(receiver.url)
            await stage.pay()
            await got(receiver, 2)
        rows = await stage.deliveries(endpoint)
        assert [row["status"] for row in rows] == ["succeeded"] * 2
