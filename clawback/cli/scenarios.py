"""Scenarios of the sandbox: short TOML files, each a list of steps over the public API.

A scenario reads as what happens to a merchant: pay, simulate, refund, advance, expect. It works on
any test book, with whatever is in it; what it expects of a payment or claim is waited for, since
workers need a moment. A step that comes out otherwise ends the scenario.
"""

import tomllib
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from clawback import clock, sandbox
from clawback.cli.client import Client, Json, part
from clawback.cli.clock import moved
from clawback.cli.options import given, retry_key
from clawback.cli.output import Stop, clean
from clawback.cli.session import pick

FOLDER: Final = Path(sandbox.__file__).parent / "scenarios"
WAIT_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.05
CENT: Final = Decimal("0.01")

Positive = Annotated[Decimal, msgspec.Meta(gt=0)]


class Data(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Base of what a file says."""


class Pay(Data, frozen=True, kw_only=True):
    """A payment in USD, paid unless it says otherwise. `as`: how later steps call it."""

    amount: int | Decimal
    method: str
    country: str = "MX"
    paid: bool = True
    name: str | None = msgspec.field(default=None, name="as")


class Simulate(Data, frozen=True, kw_only=True):
    """An action on a payment, the newest unless named. `refused`: the code that it ends in."""

    action: str
    amount: int | Decimal | None = None
    of: str | None = None
    refused: str | None = None


class Refund(Data, frozen=True, kw_only=True):
    """A refund in local currency; without an amount, of the whole payment."""

    amount: int | Decimal | None = None
    of: str | None = None
    refused: str | None = None


class Advance(Data, frozen=True, kw_only=True):
    """The clock moves on."""

    days: int = 0
    hours: int = 0
    seconds: int = 0


class Fault(Data, frozen=True, kw_only=True):
    """The provider's coming calls go wrong."""

    operation: Literal["charge", "refund", "lookup", "evidence", "accept", "webhook"]
    sequence: list[str]


class Details(Data, frozen=True, kw_only=True):
    """Where the money of the newest refund is to go."""

    rail: str
    holder_name: str
    account: str
    refused: str | None = None


class Empty(Data, frozen=True, kw_only=True):
    """All available money but so much USD is frozen: an inquiry and a MED on one new payment."""

    leave: int | Decimal


class Expect(Data, frozen=True, kw_only=True):
    """What a payment and its newest claim (of a kind) come to, within half a minute."""

    of: str | None = None
    kind: str | None = None
    payment: dict[str, object] = {}
    claim: dict[str, object] = {}


class Between(Data, frozen=True, kw_only=True):
    """An expected number that is not known to the last digit."""

    min: int | Decimal
    max: int | Decimal


Step = Pay | Simulate | Refund | Advance | Fault | Details | Empty | Expect
KINDS: Final[dict[str, type[Step]]] = {
    "pay": Pay,
    "simulate": Simulate,
    "refund": Refund,
    "advance": Advance,
    "fault": Fault,
    "details": Details,
    "empty": Empty,
    "expect": Expect,
}


class _File(Data, frozen=True, kw_only=True):
    about: str
    step: list[dict[str, dict[str, object]]]


class Scenario(msgspec.Struct, frozen=True):
    """A scenario, read."""

    name: str
    about: str
    steps: tuple[tuple[str, Step], ...]


def names() -> list[str]:
    """All scenarios there are."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read(name: str) -> Scenario:
    """The scenario of this name. Raises: Stop if there is none; ValueError for a file in error."""
    if name not in names():
        known = ", ".join(names())
        raise Stop(f"there is no scenario {clean(name)}", f"There are: {known}.")
    text = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    return parse(name, text)


def parse(name: str, text: str) -> Scenario:
    """A scenario's text. Raises: ValueError for what is not one."""
    file = msgspec.convert(tomllib.loads(text, parse_float=Decimal), _File)
    steps = []
    for step in file.step:
        if len(step) != 1 or not set(step) <= set(KINDS):
            raise ValueError(f"{name}: a step is one of {', '.join(KINDS)}, not {list(step)}")
        ((kind, values),) = step.items()
        steps.append((kind, msgspec.convert(values, KINDS[kind])))
    return Scenario(name, file.about, tuple(steps))


class Run:
    """A scenario as it goes: the payments that it made, by name."""

    def __init__(self, client: Client) -> None:
        """Nothing has happened yet."""
        self._client = client
        self._payments: dict[str, str] = {}
        self._newest = ""

    @property
    def payment(self) -> str | None:
        """The payment that a step is about unless it names one."""
        return self._newest or None

    def take(self, step: Step) -> Json:
        """Take a step; returns what it came to. Raises: Stop if it came out otherwise."""
        match step:
            case Pay():
                return self._pay(step)
            case Simulate():
                body = given(action=step.action, amount=_number(step.amount))
                return self._post(f"{self._path(step.of)}/simulate", body, step.refused)
            case Refund():
                body = given(amount=_number(step.amount))
                return self._post(f"{self._path(step.of)}/refund", body, step.refused)
            case Advance():
                span = step.days * 86_400 + step.hours * 3_600 + step.seconds
                return moved(self._client, {"advanceSeconds": span}).data
            case Fault():
                body = given(operation=step.operation, sequence=step.sequence)
                return self._post("/sandbox/faults", body, None)
            case Details():
                claim = self.claim(None, None)
                body = given(rail=step.rail, holderName=step.holder_name, account=step.account)
                path = f"/claims/{part(str(claim.get('id')))}/payer-details"
                return self._post(path, body, step.refused)
            case Empty():
                return self._empty(step)
            case Expect():
                return self._expect(step)

    def claim(self, of: str | None, kind: str | None) -> Json:
        """The newest claim on a payment, of a kind if it is given; empty if there is none."""
        query = {"transactionId": self._id(of), "kind": kind, "limit": 1}
        rows = self._client.get("/claims", **query).rows
        return rows[0] if rows else {}

    def balance(self) -> Json:
        """The book's balance."""
        found = self._client.get("/me/balance").data.get("balance")
        assert isinstance(found, dict), "its own promise"
        return found

    def _pay(self, step: Pay) -> Json:
        body = given(amount=_number(step.amount), paymentMethodId=step.method, country=step.country)
        made = self._post("/payments", body, None)
        self._newest = str(made["id"])
        if step.name is not None:
            self._payments[step.name] = self._newest
        if step.paid and made.get("status") == "pending":
            self._post(f"{self._path(None)}/simulate", {"action": "paid"}, None)
        return self._client.get(self._path(None)).data

    def _empty(self, step: Empty) -> Json:
        available = self.balance()["available"]
        assert isinstance(available, int | Decimal), "an amount is a number"
        asked = (Decimal(available) - step.leave).quantize(CENT, ROUND_DOWN)
        if asked > 0:
            newest = self._newest
            self._pay(Pay(amount=asked, method="sbx_pix", country="BR"))
            for action in ("inquiry", "med"):
                self._post(f"{self._path(None)}/simulate", {"action": action}, None)
            self._newest = newest
        return self.balance()

    def _expect(self, step: Expect) -> Json:
        """Look until it is so."""
        until = clock.monotonic() + WAIT_SECONDS
        while True:
            payment = self._client.get(self._path(step.of)).data if step.payment else {}
            claim = self.claim(step.of, step.kind) if step.claim else {}
            wrong = [
                *_differences("payment", step.payment, payment),
                *_differences("claim", step.claim, claim),
            ]
            if not wrong:
                return {**payment, **claim}
            if clock.monotonic() > until:
                raise Stop("; ".join(wrong), "The scenario does not end as it should.")
            clock.sleep_seconds(LOOK_SECONDS)

    def _post(self, path: str, body: Json, refused: str | None) -> Json:
        """Ask for something that is granted, or refused with this code. Raises: Stop."""
        try:
            reply = self._client.post(path, body, key=retry_key(None))
        except Stop as stop:
            if refused is not None and f"({refused}," in stop.text:
                return {"refused": refused}
            raise
        if refused is not None:
            raise Stop(f"{path} was granted, not refused with {refused}")
        return reply.data

    def _path(self, of: str | None) -> str:
        return f"/payments/{part(self._id(of))}"

    def _id(self, of: str | None) -> str:
        if of is None:
            return self._newest
        if of not in self._payments:
            raise Stop(f"no payment is called {clean(of)} so far")
        return self._payments[of]


def _number(amount: int | Decimal | None) -> msgspec.Raw | None:
    """An amount as a JSON number, exactly as it was written."""
    return None if amount is None else msgspec.Raw(f"{amount:f}".encode())


def _differences(what: str, wanted: dict[str, object], found: Json) -> list[str]:
    return [
        f"{what}.{path} is {clean(pick(found, path))}, not {clean(value)}"
        for path, value in wanted.items()
        if not _is_as_wanted(pick(found, path), value)
    ]


def _is_as_wanted(found: object, wanted: object) -> bool:
    """Equal, or between a least and a most."""
    if not isinstance(wanted, dict):
        return found == wanted
    limits = msgspec.convert(wanted, Between)
    return isinstance(found, int | Decimal) and limits.min <= found <= limits.max
