"""Facts in every order, each told twice: one final state, whatever came first."""

import itertools
import random
from datetime import timedelta

import msgspec
import pytest

from clawback.claims.fold import RecordNotice
from clawback.lanes.records import Claim, Payment
from clawback.payments.model import RecordCharge
from tests.model_checks import check
from tests.model_world import START, Words, World

Said = tuple[str, str, Words]

LATE = Words(round=2)
CASE_SETS: dict[str, list[Said]] = {
    "won, then lost in another round, then won back": [
        ("opened", "chargeback", {}),
        ("won", "chargeback", {}),
        ("reopened", "chargeback", LATE),
        ("lost", "chargeback", LATE),
        ("reversed", "chargeback", LATE),
    ],
    "a part is granted after everything else was said": [
        ("opened", "med", {}),
        ("withdrawn", "med", {}),
        ("won", "med", {}),
        ("lost", "med", {"amount_minor": 30_000}),
        ("lost", "med", {"amount_minor": 20_000}),
    ],
    "the second round is still open": [
        ("opened", "chargeback", {}),
        ("lost", "chargeback", {"amount_minor": 30_000}),
        ("reversed", "chargeback", {}),
        ("withdrawn", "chargeback", {}),
        ("won", "chargeback", {}),
        ("reopened", "chargeback", LATE),
    ],
    "an inquiry becomes a chargeback that is lost in part": [
        ("opened", "inquiry", {"case": "inq"}),
        ("withdrawn", "inquiry", {"case": "inq"}),
        ("won", "inquiry", {"case": "inq"}),
        ("escalated", "inquiry", {"case": "inq", "next_case": "cb"}),
        ("opened", "chargeback", {"case": "cb"}),
        ("lost", "chargeback", {"case": "cb", "amount_minor": 50_000}),
    ],
    "words that fit nothing": [
        ("opened", "chargeback", {}),
        ("won", "chargeback", {"amount_minor": 1}),
        ("lost", "chargeback", {"currency": "USD"}),
        ("won", "chargeback", {}),
    ],
}


def _end(world: World, payment: Payment) -> list[object]:
    """All that must not depend on the order. What is the merchant's is one sum, debt taken off.

    An early reversal finds its way to `available` and pays the fee's debt, a late one does not.
    """
    found = world.payment(payment.payment_id)
    ends: list[object] = [
        (
            one.kind,
            one.provider_reference,
            one.status,
            one.resolution,
            one.amount_minor,
            one.forced_share_minor,
            one.excess_minor,
            one.released_minor,
            one.needs_review,
            one.related_claim_id is not None,
        )
        for one in sorted(world.claims, key=lambda one: (one.kind, one.claim_id))
    ]
    own = ("available", "pending", "frozen", "debt")
    sums = {name: world.balance(name) for name in ("payable", "loss", "fees")}
    sums["own"] = sum(world.balance(name) for name in own)
    sums["provider"] = world.balance("provider:sandbox", "MXN")
    amounts = (found.status, found.forced_minor, found.charged_back_minor, found.remaining_minor)
    return [*ends, sums, amounts]


def _told(said: list[Said], order: tuple[int, ...]) -> tuple[World, Payment]:
    world = World(dispute_fee_usd_e4=1_500)
    payment = world.pay()
    for place in order:
        word, kind, words = said[place]
        said_so: Words = {**words, "event": f"e{place}"}
        world.dispute(payment, word, kind, **said_so)
        check(world)
    return world, payment


@pytest.mark.parametrize("name", CASE_SETS)
def test_a_case_ends_the_same_in_every_order(name: str) -> None:
    """Every permutation, each followed by all of it again in another order."""
    said = CASE_SETS[name]
    places = tuple(range(len(said)))
    wanted: list[object] | None = None
    shuffle = random.Random(7)
    for order in itertools.permutations(places):
        again = list(places)
        shuffle.shuffle(again)
        world, payment = _told(said, (*order, *again))
        end = _end(world, payment)
        wanted = wanted or end
        assert end == wanted, order


def test_a_repeat_under_another_name_changes_nothing() -> None:
    """The provider may say the same thing again as if it were new."""
    said = CASE_SETS["an inquiry becomes a chargeback that is lost in part"]
    world, payment = _told(said, (*range(6),))
    before = (_end(world, payment), len(world.entries), len(world.notices))
    for word, kind, words in said:
        world.dispute(payment, word, kind, **words)
    assert (_end(world, payment), len(world.entries), len(world.notices)) == before


def test_what_is_said_before_the_capture_is_known_is_folded_with_it() -> None:
    """A chargeback on a payment whose completion was told late."""
    for order in itertools.permutations(("opened", "lost", "capture")):
        world = World(dispute_fee_usd_e4=0)
        payment = world.pay(captured=False)
        for word in order:
            if word == "capture":
                world.accepted(
                    RecordCharge(
                        payment_id=payment.payment_id,
                        status="completed",
                        actor="provider:sandbox",
                        amount_minor=payment.amount_minor,
                        currency=payment.currency,
                        window_days=180,
                    )
                )
            else:
                world.dispute(payment, word)
            check(world)
        (claim,) = world.claims
        assert (claim.status, claim.resolution) == ("released", "lost"), order


def test_a_verdict_waits_for_its_demand() -> None:
    """`lost` says what was granted, not what was asked: alone it posts nothing."""
    world = World()
    payment = world.pay()
    assert world.dispute(payment, "lost", amount_minor=500) is None
    assert len(world.entries) == 1
    claim = world.touched(payment, "opened")
    assert (claim.status, claim.released_minor) == ("released", 500)
    check(world)


REFUND_FACTS = [("declined", 1), ("settled", 2), ("returned", 3), ("settled", 4), ("returned", 5)]


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_a_refund_ends_the_same_in_every_order(count: int) -> None:
    """The latest proof holds: paid after it failed, came back, paid again, came back again."""
    facts = REFUND_FACTS[:count]
    ends = set()
    for order in itertools.permutations(range(count)):
        world = World()
        payment = world.pay()
        claim = world.opened(payment, "100")
        world.start(claim)
        for place in (*order, *order):
            word, second = facts[place]
            _notice(world, claim, word, f"e{place}", second)
            check(world)
        claim = world.claim(claim.claim_id)
        after = world.payment(payment.payment_id)
        own = world.balance("available") + world.balance("pending")
        ends.add((claim.status, claim.resolution, after.refunded_minor, own))
    assert len(ends) == 1, ends
    assert ends.pop()[0] == ("reversed" if facts[-1][0] == "returned" else "released")


def _notice(world: World, claim: Claim, word: str, event: str, second: int) -> None:
    at = START + timedelta(seconds=second)
    fact = world.fact(event, f"refund.{word}", claim.claim_id)
    world.accepted(
        RecordNotice(
            claim_id=claim.claim_id,
            fact=msgspec.structs.replace(fact, effective_at=at),
            report=msgspec.structs.replace(world.said(claim, word), at=at),
            actor="provider:sandbox",
        )
    )
