"""Payments decided without a database: captured once, settled when due, revived by late money."""

from datetime import timedelta

import pytest

from clawback.ids import PaymentId
from clawback.payments.model import (
    UNPAID,
    ChargeTaken,
    RecordCharge,
    SettleDue,
    TakeCharge,
    captured_status,
    usd_e4_of_first,
)
from tests.model_checks import check
from tests.model_world import World


def record(
    payment_id: PaymentId, status: str, *, amount_minor: int = 86_118, currency: str = "MXN"
) -> RecordCharge:
    """What the provider says of a charge."""
    return RecordCharge(
        payment_id=payment_id,
        status=status,
        actor="provider:sandbox",
        amount_minor=amount_minor,
        currency=currency,
        window_days=180,
    )


@pytest.mark.parametrize(
    ("gross", "fee", "reserve_percent", "expected"),
    [
        (500_000, (0, 0), 0, {"pending": 500_000, "fees": 0, "reserve": 0, "debt": 0}),
        (500_000, (29_000, 3_000), 0, {"pending": 482_500, "fees": 17_500, "reserve": 0}),
        (500_000, (0, 0), 10, {"pending": 450_000, "reserve": 50_000}),
        (10_000, (0, 20_000), 10, {"pending": 0, "reserve": 0, "fees": 20_000, "debt": -10_000}),
        (10_000, (0, 9_500), 10, {"pending": 0, "reserve": 500, "fees": 9_500}),
    ],
)
def test_capture_books_fee_reserve_and_rest(
    gross: int, fee: tuple[int, int], reserve_percent: int, expected: dict[str, int]
) -> None:
    """The fee first, then the reserve, then pending; a fee above gross is debt."""
    world = World(reserve_percent_e4=reserve_percent * 10_000)
    world.pay(usd_e4=gross, fee=fee)
    assert {name: world.balance(name) for name in expected} == expected
    check(world)


@pytest.mark.parametrize(
    ("told", "ends"),
    [
        (("completed", "completed"), "completed"),
        (("failed", "completed"), "completed"),
        (("expired", "completed"), "completed"),
        (("completed", "failed"), "completed"),
        (("processing", "pending"), "processing"),
        (("failed", "pending"), "failed"),
        (("unknown", "completed", "expired"), "completed"),
    ],
)
def test_what_is_stronger_wins_whatever_came_first(told: tuple[str, ...], ends: str) -> None:
    """A capture is never undone, and late money revives a failed payment."""
    world = World()
    payment = world.pay(captured=False)
    for status in told:
        world.accepted(record(payment.payment_id, status))
    assert world.payment(payment.payment_id).status == ends
    assert len([entry for entry in world.entries if entry.type == "capture"]) == (
        ends == "completed"
    )
    check(world)


@pytest.mark.parametrize("before", ["pending", "processing", "failed", "expired"])
@pytest.mark.parametrize(("amount_minor", "currency"), [(861, "MXN"), (86_118, "USD")])
def test_other_money_than_was_asked_is_never_booked(
    before: str, amount_minor: int, currency: str
) -> None:
    """99.99 for 100, USD for MXN: told, asked again ever more seldom, and booked once right."""
    world = World()
    name = world.pay(captured=False).payment_id
    world.accepted(record(name, before))
    version = world.payment(name).version
    for hours, wait in ((0, 5), (0.5, 1_800), (9, 3_600)):
        world.later(hours=hours)
        world.accepted(record(name, "completed", amount_minor=amount_minor, currency=currency))
        doubted = world.payment(name)
        version += 1
        assert (doubted.status, doubted.version, world.entries) == (before, version, [])
        assert world.notices[-1].note == "amount or currency differs from what was asked"
        if before in UNPAID:
            assert doubted.due_at == world.now + timedelta(seconds=wait)
        else:
            assert doubted.due_at is None
        check(world)
    world.accepted(record(name, "completed"))
    assert world.payment(name).status == "completed"
    assert [entry.type for entry in world.entries] == ["capture"]
    check(world)


def test_settlement_and_reserve_come_when_due_and_once() -> None:
    """Nothing a moment before; everything once, however often it is asked."""
    world = World(reserve_percent_e4=100_000)
    payment = world.pay()
    world.later(hours=47, minutes=59)
    world.accepted(SettleDue(payment_id=payment.payment_id))
    assert world.balance("available") == 0
    world.later(minutes=1)
    for _ in range(3):
        world.accepted(SettleDue(payment_id=payment.payment_id))
    assert (world.balance("available"), world.balance("reserve")) == (450_000, 50_000)
    world.later(days=90)
    for _ in range(3):
        world.accepted(SettleDue(payment_id=payment.payment_id))
    assert (world.balance("available"), world.balance("reserve")) == (500_000, 0)
    assert world.payment(payment.payment_id).due_at is None
    check(world)


def test_one_caller_at_a_time_may_charge() -> None:
    """The lease runs on real time and is given to one."""
    world = World()
    payment = world.pay(captured=False)
    take = TakeCharge(payment_id=payment.payment_id, real_now=world.now)
    answers = [world.accepted(take).response for _ in range(2)]
    assert [isinstance(one, ChargeTaken) and one.is_ours for one in answers] == [True, False]


def test_values_of_parts_round_half_to_even() -> None:
    """The contract's table: 10 MXN are 0.5806 USD; ties go to even."""
    payment = World().pay()
    assert usd_e4_of_first(1_000, payment) == 5_806
    assert usd_e4_of_first(86_118, payment) == 500_000
    tie = World().pay(usd_e4=25, local_minor=10)
    assert [usd_e4_of_first(part, tie) for part in (1, 3, 5)] == [2, 8, 12]


def test_status_follows_what_was_given_back() -> None:
    """A full refund makes it refunded, a part leaves it completed."""
    world = World()
    payment = world.pay()
    world.released(payment, "10")
    assert captured_status(world.payment(payment.payment_id)) == "completed"
    world.released(payment, "851.18")
    assert world.payment(payment.payment_id).status == "refunded"
    check(world)
