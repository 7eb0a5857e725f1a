"""Notices of the sandbox provider: stored with the change they tell of, sent until they arrive.

Each is a signed POST (Standard Webhooks, real time) of bytes that never change, repeated with
growing waits until the receiver answers 2xx. The fault script can lose one, send it twice, hold
it until the next one of the same charge has gone, delay it, or send it first with a signature of
another secret. Without an address nothing is stored.
"""

import asyncio
import base64
import hashlib
from typing import Final, cast

import msgspec

from clawback.clock import milliseconds, real_now
from clawback.connection import Reply
from clawback.outbound import Outbound, split_url
from clawback.sandbox.charges import stamped
from clawback.sandbox.protocol import Notice
from clawback.sandbox.record import Record
from clawback.sandbox.script import Script
from clawback.sandbox.server import Ticks
from clawback.signatures import signed_headers

LATE_SECONDS: Final = 30
HELD_SECONDS: Final = 10
_LONGEST_WAIT_SECONDS: Final = 60
_CONNECTIONS: Final = 8
_WAITS: Final = {"late": 1000 * LATE_SECONDS, "out_of_order": 1000 * HELD_SECONDS}


_SUCCESSES: Final = range(200, 300)


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    """A notice on its way, in the order of its columns."""

    number: int
    id: str
    charge_reference: str
    body: bytes
    fault: str
    attempts: int


class Notices:
    """Stores notices, and sends them from a task of its own."""

    def __init__(self, record: Record, script: Script, *, url: str, secret: str) -> None:
        """`url`: where to send; `secret`: `whsec_` and base64."""
        self._record = record
        self._script = script
        self._secret = secret
        self._wrong_secret = "whsec_" + base64.b64encode(
            hashlib.sha256(secret.encode()).digest()
        ).decode("ascii")
        self._origin, self._target = split_url(url)
        self._news = asyncio.Event()

    def tell(self, notice: Notice) -> None:
        """Store a notice in the transaction of the change it tells of."""
        real = real_now()
        number = self._record.next_number("notice")
        notice = stamped(notice, number, real)
        fault = self._script.draw(
            "webhook", book=notice.book, charge_reference=notice.charge_reference
        )
        due_ms = None if fault == "lost" else milliseconds(real) + _WAITS.get(fault, 0)
        self._record.write(
            "add_notice",
            number,
            notice.id,
            notice.charge_reference,
            msgspec.json.encode(notice),
            fault,
            due_ms,
            "lost" if fault == "lost" else None,
        )
        self._news.set()

    async def run(self, ticks: Ticks) -> None:
        """Send what is due, for ever. What was decided is committed by `ticks`."""
        outbound = Outbound(self._origin, connections=_CONNECTIONS)
        while True:
            self._news.clear()
            now_ms = milliseconds(real_now())
            due = msgspec.convert(self._record.many("notices_due", now_ms), list[_Stored])
            if due:
                self._record.commit()  # nothing is told that could still be forgotten
                await asyncio.gather(*(self._send(one, outbound, ticks) for one in due))
            else:
                await self._wait_for_news(now_ms)

    async def _wait_for_news(self, now_ms: int) -> None:
        row = self._record.one("next_notice")
        next_ms = None if row is None else cast("int | None", row[0])
        seconds = None if next_ms is None else max(0.001, (next_ms - now_ms) / 1000)
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except TimeoutError:
            return

    async def _send(self, notice: _Stored, outbound: Outbound, ticks: Ticks) -> None:
        is_forged = notice.fault == "bad_signature" and notice.attempts == 0
        copies = 2 if notice.fault == "duplicate" else 1
        ending = None
        for _ in range(copies):
            headers = signed_headers(
                self._wrong_secret if is_forged else self._secret,
                message_id=notice.id,
                at=real_now(),
                body=notice.body,
            )
            ending = await outbound.call(
                "POST",
                self._target,
                headers={"content-type": "application/json", **headers},
                body=notice.body,
            )
        has_arrived = isinstance(ending, Reply) and ending.status in _SUCCESSES
        self._keep(notice, has_arrived=has_arrived, ticks=ticks)

    def _keep(self, notice: _Stored, *, has_arrived: bool, ticks: Ticks) -> None:
        now_ms = milliseconds(real_now())
        wait_ms = min(1000 * _LONGEST_WAIT_SECONDS, 500 * 2 ** min(notice.attempts, 10))
        due_ms = None if has_arrived else now_ms + wait_ms
        outcome = "arrived" if has_arrived else None
        self._record.write("notice_sent", notice.number, due_ms, outcome)
        if has_arrived:
            self._record.write("let_go_held_notices", notice.charge_reference, now_ms)
        ticks.touch()
