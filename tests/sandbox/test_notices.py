"""Notices arrive at least once, signed, and misbehave as scripted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from clawback.clock import real_now
from clawback.providers import port
from clawback.sandbox import protocol
from tests.sandbox.peer import NOTICE_SECRET, Caller, Peer


class Received(msgspec.Struct, frozen=True):
    """One request that came in."""

    headers: dict[str, str]
    body: bytes

    @property
    def notice(self) -> protocol.Notice:
        return msgspec.json.decode(self.body, type=protocol.Notice)


class Inbox:
    """A receiver that answers what it is told to, 200 by default."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.statuses: list[int] = []
        self.port = 0
        self._arrival = asyncio.Condition()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lines = head.split("\r\n")[1:-2]
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (x.partition(":") for x in lines)
                }
                body = await reader.readexactly(int(headers["content-length"]))
                async with self._arrival:
                    self.received.append(Received(headers, body))
                    self._arrival.notify_all()
                status = self.statuses.pop(0) if self.statuses else 200
                writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def of(self, count: int, *, within: float = 3.0) -> list[Received]:
        """What came in, once so many have."""
        async with asyncio.timeout(within), self._arrival:
            await self._arrival.wait_for(lambda: len(self.received) >= count)
        return self.received


@asynccontextmanager
async def notified(folder: Path) -> AsyncIterator[tuple[Caller, Inbox, Peer]]:
    inbox = Inbox()
    server = await asyncio.start_server(inbox.serve, "127.0.0.1", 0)
    inbox.port = server.sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{inbox.port}/api/v1/providers/sandbox/webhooks?account=default"
    peer = Peer(folder, notice_url=url).start()
    caller = Caller(peer.provider())
    try:
        yield caller, inbox, peer
    finally:
        await caller.provider.close()
        peer.stop()
        server.close()


def read(caller: Caller, received: Received) -> port.Noticed:
    return caller.provider.verify_notice(
        received.headers, received.body, secrets=(NOTICE_SECRET,), now=real_now()
    )


async def test_every_change_is_told_signed_and_once(tmp_path: Path) -> None:
    async with notified(tmp_path) as (caller, inbox, _):
        charge = await caller.paid("spei")
        request = caller.refund_request(charge)
        await caller.provider.refund(request)
        await caller.provider.simulate_refund(caller.about(request), "settled")
        await caller.provider.simulate_refund(caller.about(request), "returned")
        received = await inbox.of(3)
        noticed = [read(caller, one) for one in received]
        assert isinstance(noticed[0], port.ChargeNotice)
        assert isinstance(noticed[0].finding, port.Completed)
        kinds = [type(one.finding) for one in noticed[1:] if isinstance(one, port.RefundNotice)]
        assert kinds == [port.Settled, port.Returned]
        assert [one.notice.reference for one in received[1:]] == [request.reference] * 2
        assert len({one.headers["webhook-id"] for one in received}) == 3


async def test_a_settlement_on_the_schedule_is_told(tmp_path: Path) -> None:
    async with notified(tmp_path) as (caller, inbox, _):
        charge = await caller.paid("card")
        await caller.provider.refund(caller.refund_request(charge))
        (received,) = await inbox.of(1)
        assert received.notice.type == "refund.settled"


async def test_a_notice_is_repeated_until_it_is_taken_also_after_kill_9(tmp_path: Path) -> None:
    async with notified(tmp_path) as (caller, inbox, peer):
        inbox.statuses = [503]
        await caller.paid("spei")
        await inbox.of(1)
        peer.kill()
        peer.start()
        first, second = await inbox.of(2)
        assert first.body == second.body
        assert first.headers["webhook-id"] == second.headers["webhook-id"]


async def test_a_lost_notice_never_comes_and_a_duplicate_comes_twice(tmp_path: Path) -> None:
    async with notified(tmp_path) as (caller, inbox, _):
        await caller.fault("webhook", "lost", "duplicate")
        await caller.paid("spei")
        twice = await caller.paid("spei")
        received = await inbox.of(2)
        assert [one.notice.reference for one in received] == [twice.reference] * 2
        assert received[0].body == received[1].body
        assert await caller.fired() == {"lost": 1, "duplicate": 1}


async def test_a_held_notice_comes_after_the_next_one(tmp_path: Path) -> None:
    async with notified(tmp_path) as (caller, inbox, _):
        await caller.fault("webhook", "out_of_order")
        charge = await caller.paid("spei")
        request = caller.refund_request(charge)
        await caller.provider.refund(request)
        await caller.provider.simulate_refund(caller.about(request), "settled")
        received = await inbox.of(2)
        types = [one.notice.type for one in received]
        assert types == ["refund.settled", "charge.completed"]


async def test_a_late_notice_lets_others_pass(tmp_path: Path) -> None:
    async with notified(tmp_path) as (caller, inbox, _):
        await caller.fault("webhook", "late")
        await caller.paid("spei")
        on_time = await caller.paid("spei")
        (received,) = await inbox.of(1)
        assert received.notice.reference == on_time.reference


async def test_a_bad_signature_is_refused_and_the_right_one_follows(tmp_path: Path) -> None:
    async with notified(tmp_path) as (caller, inbox, _):
        inbox.statuses = [401]
        await caller.fault("webhook", "bad_signature")
        await caller.paid("spei")
        forged, genuine = await inbox.of(2)
        assert read(caller, forged) == port.NoticeRefused(code="invalid_signature")
        assert isinstance(read(caller, genuine), port.ChargeNotice)
        assert forged.body == genuine.body
