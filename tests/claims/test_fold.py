"""What becomes of an approved claim, whatever the provider says and in whatever order."""

import itertools
from datetime import timedelta

import pytest

from clawback.claims import fold
from clawback.ids import ClaimId
from clawback.lanes.records import Fact
from clawback.providers import port
from tests.model_checks import check
from tests.model_world import START, World


def test_the_way_of_a_refund() -> None:
    """freeze, resolve_approved, release: one entry each, one event each."""
    world = World()
    payment = world.pay()
    claim = world.released(payment, "10")
    assert (claim.status, claim.resolution, claim.version) == ("released", "refunded", 3)
    assert [entry.type for entry in world.entries] == [
        "capture", "freeze", "resolve_approved", "release",
    ]  # fmt: skip
    assert world.payment(payment.payment_id).refunded_minor == 1_000
    assert world.balance("provider:sandbox", "MXN") == -85_118
    check(world)


def test_a_declined_refund_gives_everything_back_once() -> None:
    """Failed for good: money where it came from, the cap free again."""
    world = World()
    payment = world.pay()
    claim = world.opened(payment, "10")
    world.start(claim)
    claim = world.report(claim, "declined")
    assert (claim.status, claim.resolution) == ("failed", "declined_by_provider")
    assert world.balance("pending") == 500_000
    assert world.payment(payment.payment_id).remaining_minor == 86_118
    check(world)


def test_unknown_stays_unknown_until_somebody_knows() -> None:
    """No time ends it; the next step is to ask, never to send again."""
    world = World()
    claim = world.opened(world.pay(), "10")
    world.start(claim)
    claim = world.report(claim, "unknown")
    assert claim.pending_reason == "provider_unknown"
    for _ in range(12):
        world.later(days=2)
        started = world.start(claim)
        assert started.attempt is not None
        assert started.attempt.operation == "lookup"
        claim = world.report(claim, "unknown")
    assert claim.status == "approved"
    world.later(days=2)
    world.start(claim)
    assert world.report(claim, "settled").status == "released"
    check(world)


@pytest.mark.parametrize("found", [port.Unknown, port.Unavailable])
@pytest.mark.parametrize(("asked", "waits"), [(None, 1), (0, 1), (3, 3), (86_400, 86_400)])
def test_a_provider_that_asks_to_wait_is_left_alone_so_long(
    found: type[port.Unknown | port.Unavailable], asked: int | None, waits: int
) -> None:
    """As long as told, never less than the back-off; the next try has the same reference."""
    world = World()
    claim = world.opened(world.pay(), "10")
    first = world.start(claim).attempt
    assert first is not None
    world.accepted(
        fold.RecordOutcome(
            claim_id=claim.claim_id,
            number=first.number,
            report=fold.report(found(reason="status_429", retry_after_seconds=asked)),
            fact_id="fct_wait",
            real_now=world.now,
            actor="provider:sandbox",
        )
    )
    world.later(seconds=waits - 0.001)
    assert world.start(claim).attempt is None
    world.later(seconds=0.001)
    again = world.start(claim).attempt
    assert again is not None
    assert again.reference == first.reference


def test_a_refund_that_settles_slowly_is_asked_about_ever_more_rarely() -> None:
    """A lost notice is found within a quarter of the wait; a slow rail is not asked for ever."""
    world = World()
    claim = world.opened(world.pay(), "10")
    begun, waits = world.now, [timedelta(0)]
    while world.now - begun < timedelta(days=30) and len(waits) < 90:
        started = world.start(claim).attempt
        assert started is not None
        world.accepted(
            fold.RecordOutcome(
                claim_id=claim.claim_id,
                number=started.number,
                report=fold.Report(status="accepted", amount_minor=1_000, currency="MXN"),
                fact_id=f"fct_{started.number}",
                real_now=world.now,
                actor="worker",
            )
        )
        claim = world.claim(claim.claim_id)
        assert claim.due_at is not None
        waits.append(claim.due_at - world.now)
        assert waits[-1] <= max(timedelta(minutes=10), (world.now - begun) / 4)
        world.later(seconds=waits[-1].total_seconds())
    assert waits == sorted(waits)
    assert (waits[-1], len(waits) < 90) == (timedelta(days=1), True)
    assert (claim.status, claim.version) == ("approved", 2)
    check(world)


def test_absent_means_sent_again_under_the_same_reference() -> None:
    """Only after the provider said that it knows nothing of it."""
    world = World()
    claim = world.opened(world.pay(), "10")
    first = world.start(claim).attempt
    world.report(claim, "unknown")
    world.later(hours=1)
    world.start(claim)
    world.report(claim, "absent")
    again = world.start(claim).attempt
    assert first is not None
    assert again is not None
    assert (again.operation, again.reference) == ("refund", first.reference)


def test_a_stale_attempt_changes_nothing() -> None:
    """A worker that lost its lease comes back too late."""
    world = World()
    claim = world.opened(world.pay(), "10")
    world.start(claim)
    assert world.start(claim).attempt is None, "one at a time while the lease runs"
    world.later(seconds=31)
    second = world.start(claim).attempt
    assert second is not None
    assert second.number == 2
    before = world.claim(claim.claim_id)
    assert world.report(claim, "declined", number=1) == before
    assert world.report(claim, "settled").status == "released"
    check(world)


def test_a_lease_runs_on_real_time_whatever_the_book_s_clock() -> None:
    """Moved 90 days ahead, before the call or during it, the book's clock ends no lease."""
    world = World()
    claim = world.opened(world.pay(), "10")
    world.later(days=90)
    assert _start(world, claim.claim_id, seconds=0).attempt is not None
    world.later(days=30)
    assert _start(world, claim.claim_id, seconds=29).attempt is None
    taken_over = _start(world, claim.claim_id, seconds=31).attempt
    assert taken_over is not None, "in real time it is over"
    assert taken_over.operation == "lookup"


def _start(world: World, claim_id: ClaimId, *, seconds: int) -> fold.AttemptStarted:
    """A worker comes so many real seconds after the start of the world."""
    outcome = world.accepted(
        fold.StartAttempt(
            claim_id=claim_id,
            attempt_id=f"att_real_{seconds}",
            real_now=START + timedelta(seconds=seconds),
            lease_seconds=30,
            actor="worker",
        )
    )
    assert isinstance(outcome.response, fold.AttemptStarted)
    return outcome.response


def test_another_amount_is_never_booked() -> None:
    """Review, no posting, no automatic step."""
    world = World()
    claim = world.opened(world.pay(), "10")
    world.start(claim)
    entries = len(world.entries)
    world.accepted(
        fold.RecordOutcome(
            claim_id=claim.claim_id,
            number=1,
            report=fold.Report(status="settled", amount_minor=999, currency="MXN"),
            fact_id="fct_x",
            real_now=world.now,
            actor="provider:sandbox",
        )
    )
    claim = world.claim(claim.claim_id)
    assert claim.needs_review
    assert (claim.status, len(world.entries)) == ("approved", entries)
    world.later(days=1)
    assert world.start(claim).attempt is None
    check(world)


def test_money_that_comes_back_is_booked_once() -> None:
    """Released, then returned: to available, the cap free, the payment reinstated."""
    world = World()
    payment = world.pay()
    claim = world.released(payment)
    assert world.payment(payment.payment_id).status == "refunded"
    for _ in range(2):
        _notice(world, claim.claim_id, "returned", f"n{_}")
    claim = world.claim(claim.claim_id)
    assert (claim.status, claim.resolution) == ("reversed", "returned")
    assert world.balance("available") == 500_000
    assert world.payment(payment.payment_id).status == "completed"
    assert [entry.type for entry in world.entries].count("reverse") == 1
    check(world)


def _notice(world: World, claim_id: str, status: str, event: str) -> None:
    claim = world.claim(claim_id)  # type: ignore[arg-type]  # a claim's id
    world.accepted(
        fold.RecordNotice(
            claim_id=claim.claim_id,
            fact=Fact(
                fact_id=f"fct_{event}",
                book_id=None,
                provider="sandbox",
                provider_account="default",
                source="notice",
                event_key=event,
                type=f"refund.{status}",
                reference="R",
                object_id=claim.claim_id,
                received_at=world.now,
            ),
            report=world.said(claim, status),
            actor="provider:sandbox",
        )
    )


@pytest.mark.parametrize("order", list(itertools.permutations(["accepted", "settled", "returned"])))
def test_facts_fold_to_one_end_in_any_order(order: tuple[str, ...]) -> None:
    """Order and repetition do not matter: once it came back, it came back."""
    world = World()
    payment = world.pay()
    claim = world.opened(payment, "10")
    world.start(claim)
    for number, status in enumerate((*order, *order)):
        _notice(world, claim.claim_id, status, f"{status}{number % 3}")
    claim = world.claim(claim.claim_id)
    assert claim.status == "reversed"
    assert world.payment(payment.payment_id).refunded_minor == 0
    check(world)


def test_a_repeated_notice_is_one_fact() -> None:
    """A thousand copies: one effect."""
    world = World()
    claim = world.opened(world.pay(), "10")
    world.start(claim)
    for _ in range(1_000):
        _notice(world, claim.claim_id, "settled", "same")
    assert world.claim(claim.claim_id).version == 3
    assert len(world.state.facts) == 1
    check(world)
