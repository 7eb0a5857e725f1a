"""Fifty refunds of one payment at once, from several processes, at two API processes.

What was given is counted from the answers that the callers hold, and compared with the captured
amount, with the payment, its claims and the provider's own record. Whether the sum reaches what
it can is known beforehand: each round's amounts are chosen so that it can be said.
"""

import json
import random
from collections import Counter
from collections.abc import Sequence
from typing import Final

import pytest

from tests.support.counts import count, seeded
from tests.support.databases import Database
from tests.support.shops import Paid, Shop, demo_shop, other_shop, provider_record
from tests.support.trees import Tree
from tests.support.volleys import Gunners, Shot
from tests.support.wire import API, Reply, bearer, request

ROUNDS: Final = count(4, 200)
AT_ONCE: Final = 50
CAPTURED_MINOR: Final = 86_118
WHOLE: Final = 2 * 3 * 31 * 463
assert WHOLE == CAPTURED_MINOR, "50 USD at 17.2236, and its divisors"

OPEN: Final = "SELECT claim_id FROM claims WHERE status IN ('pending', 'approved')"

pytestmark = pytest.mark.timeout(1800)

Given = tuple[int, Reply]
"""An amount that was asked for, and its answer."""


def draw_amounts(draw: random.Random, kind: int) -> tuple[list[int], int | None]:
    """Fifty amounts in centavos, and what their accepted part must come to; None: see `judge`."""
    if kind == 0:
        return [CAPTURED_MINOR] * AT_ONCE, CAPTURED_MINOR
    if kind == 1:
        parts = draw.choice((6, 31))
        return [CAPTURED_MINOR // parts] * AT_ONCE, CAPTURED_MINOR
    if kind == 2:
        cuts = sorted(draw.sample(range(1, CAPTURED_MINOR), AT_ONCE - 1))
        edges = zip([0, *cuts], [*cuts, CAPTURED_MINOR], strict=True)
        return [high - low for low, high in edges], CAPTURED_MINOR
    return [draw.randrange(1, CAPTURED_MINOR // 5) for _ in range(AT_ONCE)], None


def judge(answers: Sequence[Given], must_reach: int | None) -> list[str]:
    """What is wrong with a round, from what the callers were told and nothing else."""
    wrong = []
    given = sum(asked for asked, reply in answers if reply.status == 201)
    refused = [asked for asked, reply in answers if reply.code == "refund_exceeds_remaining"]
    if len(refused) + sum(reply.status == 201 for _, reply in answers) != AT_ONCE:
        strange = Counter((reply.status, reply.code) for _, reply in answers)
        wrong.append(f"other answers than yes and no: {strange}")
    if given > CAPTURED_MINOR:
        wrong.append(f"given {given} of {CAPTURED_MINOR}")
    if must_reach is not None and given != must_reach:
        wrong.append(f"given {given} where {must_reach} could be given")
    if refused and min(refused) <= CAPTURED_MINOR - given:
        wrong.append(f"{min(refused)} was refused although {CAPTURED_MINOR - given} is left")
    ids = [reply.json["refundId"] for _, reply in answers if reply.status == 201]
    if len(set(ids)) != len(ids):
        wrong.append("two callers were given one refund")
    return wrong


def compare(shop: Shop, payment: str, answers: Sequence[Given]) -> None:
    """The callers' answers against the payment and its claims."""
    told = {reply.json["refundId"]: asked for asked, reply in answers if reply.status == 201}
    stored = {one["id"]: round(one["amount"] * 100) for one in shop.claims_of(payment)}
    assert stored == told
    shown = shop.get(f"/payments/{payment}")
    assert round(shown["amountClaimed"] * 100) == sum(told.values())
    assert round(shown["remaining"] * 100) == CAPTURED_MINOR - sum(told.values())


def compare_paid(record: Sequence[Paid], given: Counter[int]) -> None:
    """The provider's own record against what the callers were promised."""
    by_charge: Counter[str] = Counter()
    for paid in record:
        assert paid.effects == 1, paid
        by_charge[paid.charge] += paid.amount_minor
    assert max(by_charge.values()) <= CAPTURED_MINOR
    assert Counter(paid.amount_minor for paid in record) == given


def fire(gunners: Gunners, shop: Shop, payment: str, amounts: Sequence[int]) -> list[Given]:
    """Ask for all of them at once; half of the callers send an idempotency key of their own."""
    shots = []
    for number, minor in enumerate(amounts):
        key = f"{payment}-{number}" if number % 2 else None
        body = f'{{"amount":{minor // 100}.{minor % 100:02}}}'.encode()
        headers = bearer(shop.key, idempotency=key)
        shots.append(Shot(request("POST", f"{API}/payments/{payment}/refund", headers, body)))
    replies = gunners.fire(shots)
    return [(minor, reply) for minor, reply in zip(amounts, replies, strict=True) if reply]


def test_simultaneous_refunds_never_exceed_the_payment_and_reach_it_when_they_can(
    tree: Tree,
) -> None:
    draw = seeded()
    shops = [demo_shop(tree), other_shop(tree, "MCH-RACES")]
    served: Counter[str] = Counter()
    with Database(tree.dev["databaseUrl"]) as database, Gunners(tree.address) as gunners:
        tree.until("what other tests asked for is done", lambda: not database.rows(OPEN), 120)
        promised = Counter(paid.amount_minor for paid in provider_record(tree))
        before = database.deadlocks()
        for number in range(ROUNDS):
            shop = shops[number % len(shops)]
            amounts, must_reach = draw_amounts(draw, number % 4)
            payment = shop.take_payment()
            answers = fire(gunners, shop, payment, amounts)
            assert judge(answers, must_reach) == [], f"round {number}"
            compare(shop, payment, answers)
            served.update(str(reply.header("request-id"))[:10] for _, reply in answers)
            promised.update(asked for asked, reply in answers if reply.status == 201)
        deadlocks = database.deadlocks() - before
    for shop in shops:
        shop.wait_until_settled(120)
    compare_paid(provider_record(tree), promised)
    tree.audit()
    print(f"{ROUNDS} rounds of {AT_ONCE}, {promised.total()} refunds given, served by {served}")
    assert deadlocks == 0
    assert len(served) == 2, f"both API processes must have answered: {served}"


def a_reply(status: int, body: dict[str, object]) -> Reply:
    """An answer, made up."""
    return Reply(status, (), json.dumps(body).encode())


def a_round() -> list[Given]:
    """A round that went well: one of fifty whole refunds was given."""
    no = a_reply(422, {"error": {"code": "refund_exceeds_remaining"}})
    yes = a_reply(201, {"refundId": "CLM-1"})
    return [(CAPTURED_MINOR, yes), *[(CAPTURED_MINOR, no)] * (AT_ONCE - 1)]


def test_the_oracle_accepts_a_good_round_and_catches_each_planted_fault() -> None:
    good = a_round()
    assert judge(good, CAPTURED_MINOR) == []
    doubled = [*good[:-1], (CAPTURED_MINOR, a_reply(201, {"refundId": "CLM-2"}))]
    assert "given 172236 of 86118" in judge(doubled, CAPTURED_MINOR)[0]
    shared = [*good[:-1], good[0]]
    assert judge(shared, None)[-1] == "two callers were given one refund"
    starved = [*good[1:], good[1]]
    assert judge(starved, CAPTURED_MINOR) == [
        "given 0 where 86118 could be given",
        "86118 was refused although 86118 is left",
    ]
    broken = [*good[:-1], (CAPTURED_MINOR, a_reply(500, {"error": {"code": "internal_error"}}))]
    assert "other answers" in judge(broken, CAPTURED_MINOR)[0]
    assert "other answers" in judge(good[:-1], CAPTURED_MINOR)[0]


def test_the_record_oracle_catches_a_refund_that_was_paid_twice() -> None:
    paid = Paid("CLM1", "TXN1", 1_000, 1)
    compare_paid([paid], Counter([1_000]))
    with pytest.raises(AssertionError):
        compare_paid([paid, paid], Counter([1_000]))
    with pytest.raises(AssertionError):
        compare_paid([Paid("CLM1", "TXN1", CAPTURED_MINOR + 1, 1)], Counter([CAPTURED_MINOR + 1]))
