"""Starts the sandbox provider as the process that it is, and reads its record from outside."""

import itertools
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from clawback.clock import monotonic, real_now, sleep_seconds, wire_time
from clawback.connection import Reply
from clawback.outbound import Origin, Outbound, Timeouts
from clawback.providers import port
from clawback.providers.sandbox import SandboxProvider
from clawback.sandbox import protocol

SECRET = "sandbox-account-secret"
NOTICE_SECRET = "whsec_" + "c2VjcmV0" * 4
QUICK = Timeouts(pool=1.0, connect=1.0, write=0.5, read=0.5, total=0.8)
"""Time-outs of a caller without patience."""

_numbers = itertools.count(1)


class Peer:
    """One sandbox provider: its process, its folder."""

    def __init__(
        self, folder: Path, *, hold_seconds: float = 0.2, notice_url: str | None = None
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self._secret_file = folder / "secret"
        self._secret_file.write_text(SECRET + "\n")
        self._port_file = folder / "port"
        self._extra = ["--hold-seconds", str(hold_seconds)]
        if notice_url is not None:
            (folder / "notice-secret").write_text(NOTICE_SECRET)
            self._extra += ["--notice-url", notice_url]
            self._extra += ["--notice-secret-file", str(folder / "notice-secret")]
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "clawback.sandbox"),
            *("--port", str(self.port), "--data", str(self.folder / "record.sqlite")),
            *("--secret-file", str(self._secret_file), "--port-file", str(self._port_file)),
            *self._extra,
        ]

    def start(self) -> "Peer":
        self._port_file.unlink(missing_ok=True)
        self._process = subprocess.Popen(self.command(), stdout=subprocess.DEVNULL)
        deadline = monotonic() + 10
        while not self._port_file.exists():
            assert self._process.poll() is None, "the sandbox provider ended at once"
            assert monotonic() < deadline, "the sandbox provider does not answer"
            sleep_seconds(0.02)
        self.port = int(self._port_file.read_text())
        return self

    def kill(self) -> None:
        """End it without warning."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)

    def stop(self) -> int:
        """End it politely; its exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def provider(self, timeouts: Timeouts | None = QUICK) -> SandboxProvider:
        return SandboxProvider(self.url, SECRET, timeouts=timeouts)

    async def call(
        self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Reply:
        """One request of our own making."""
        outbound = Outbound(Origin("http", "127.0.0.1", self.port))
        sent = {"authorization": f"Bearer {SECRET}", **(headers or {})}
        ending = await outbound.call(method, target, headers=sent, body=body)
        await outbound.close()
        assert isinstance(ending, Reply), ending
        return ending

    async def refunds(self, charge_reference: str) -> list[protocol.RecordedRefund]:
        """What its record says about the refunds of a charge."""
        reply = await self.call("GET", f"/record/refunds?charge={charge_reference}")
        return msgspec.json.decode(reply.body, type=protocol.RefundRecord).data

    async def effects(self, charge_reference: str) -> int:
        """How often money of a charge is out."""
        return sum(refund.effects for refund in await self.refunds(charge_reference))

    async def charges(self, book: str) -> list[protocol.RecordedCharge]:
        """What its record says about the charges of a book."""
        reply = await self.call("GET", f"/record/charges?book={book}")
        return msgspec.json.decode(reply.body, type=protocol.ChargeRecord).data


class Caller:
    """A book of its own at a provider, with references that nobody else uses."""

    def __init__(self, provider: SandboxProvider) -> None:
        self.provider = provider
        self.book = f"book-{next(_numbers)}"
        self.now = real_now

    def names(self, prefix: str) -> Iterator[str]:
        """Fresh names of the form TXN-XXXXXXXX-XXXX."""
        while True:
            number = next(_numbers)
            yield f"{prefix}-{number:08d}-TEST"

    def charge_request(
        self, method: str = "card", *, amount_minor: int = 86118, simulate: str | None = None
    ) -> port.ChargeRequest:
        country, currency = {
            "pix": ("BR", "BRL"),
            "pse": ("CO", "COP"),
        }.get(method, ("MX", "MXN"))
        return port.ChargeRequest(
            book=self.book,
            book_time=self.now(),
            reference=port.charge_reference(next(self.names("TXN")), 1),
            method=method,
            amount_minor=amount_minor,
            currency=currency,
            country=country,
            merchant_name="Tienda Norte",
            simulate=simulate,
        )

    async def paid(self, method: str = "card", *, amount_minor: int = 86118) -> port.ChargeRequest:
        """A completed charge."""
        request = self.charge_request(method, amount_minor=amount_minor)
        charged: port.Charged | port.Absent = await self.provider.charge(request)
        if not isinstance(charged, port.Completed):
            charged = await self.provider.simulate_charge(self.about(request), "completed")
        assert isinstance(charged, port.Completed), charged
        return request

    def refund_request(
        self, charge: port.ChargeRequest, amount_minor: int = 1000, *, generation: int = 1
    ) -> port.RefundRequest:
        return port.RefundRequest(
            book=self.book,
            book_time=self.now(),
            reference=port.refund_reference(next(self.names("CLM")), 1, generation),
            charge_reference=charge.reference,
            amount_minor=amount_minor,
            currency=charge.currency,
        )

    def about(
        self, request: port.ChargeRequest | port.RefundRequest, at: datetime | None = None
    ) -> port.LookupRequest:
        """A look-up of what was asked."""
        charge_reference = (
            request.reference
            if isinstance(request, port.ChargeRequest)
            else request.charge_reference
        )
        return port.LookupRequest(
            book=self.book,
            book_time=at or self.now(),
            reference=request.reference,
            charge_reference=charge_reference,
        )

    async def fault(
        self, operation: str, *sequence: str, charge_reference: str | None = None
    ) -> None:
        """Script the coming calls of this book."""
        asked = port.FaultRequest(
            book=self.book,
            operation=operation,
            sequence=sequence,
            charge_reference=charge_reference,
        )
        assert await self.provider.add_fault(asked) is not None

    async def fired(self) -> dict[str, int]:
        """How often each fault has struck this book."""
        scripts = await self.provider.faults(self.book)
        assert scripts is not None
        fired: dict[str, int] = {}
        for script in scripts:
            for name, count in script.fired.items():
                fired[name] = fired.get(name, 0) + count
        return fired

    def headers(self, at: datetime | None = None) -> dict[str, str]:
        return {"x-book": self.book, "x-book-time": wire_time(at or self.now())}
