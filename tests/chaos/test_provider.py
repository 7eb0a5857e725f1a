"""Provider chaos: whatever answers and notices go through, a claim is paid once and ends.

Of a hundred calls that send a refund 20 time out after the effect, 5 are errors with effect and
one comes back three days later; of the notices a tenth is lost, a tenth comes twice, a fifth in
another order; a hundredth of the claims is told with a wrong amount, for good. The oracle is the
provider's own record. The controls are builds with one rule broken; the same judge must see it.
"""

from pathlib import Path
from typing import Any, Final

import pytest

from tests.chaos.market import MIXES, Market, Paid, judge
from tests.support.counts import count, seeded
from tests.support.trees import Tree

pytestmark = pytest.mark.timeout(3_600)

CLAIMS: Final = count(100, 20_000)
MISMATCHES: Final = CLAIMS // 100
MERCHANTS: Final = count(2, 4)
HOLD_SECONDS: Final = count(1, 3) / 4
PATIENCE: Final = count(120, 1_800)
QUARTER: Final = 15 * 60
DAYS: Final = 3 * 86_400 + 3_600
UNEXPECTED: Final = ("claim.failed", "claim.reopened", "claim.canceled")

FRESH_REFERENCE: Final = '''
"""Planted: what is not known is sent again, each time under a new reference."""
import msgspec
from clawback.claims import fold, resending
from clawback.providers import port

_next_attempt = fold._next_attempt


def _fresh(draft, claim, command, operation):
    made = _next_attempt(draft, claim, command, operation)
    sent = sum(one.operation == "refund" for one in draft.attempts_of(claim.claim_id))
    reference = port.refund_reference(claim.claim_id, draft.book.shard, sent)
    return msgspec.structs.replace(
        made, generation=sent, reference=reference, proof="guessed" if sent else None
    )


fold._next_attempt = _fresh
resending.LOOK_FIRST = frozenset()
'''
READ_AS_DECLINED: Final = '''
"""Planted: a call without an answer is taken for a refusal."""
from clawback.providers import port, sandbox_answers

_refunded = sandbox_answers.refunded


def _guessed(*asked):
    found = _refunded(*asked)
    if isinstance(found, port.Unknown):
        return port.Declined(provider_reference=None, reason="no answer")
    return found


sandbox_answers.refunded = _guessed
'''


def run(market: Market, claims: int, mismatches: int, seed: int) -> list[str]:
    """Refunds under faults, until they end and a quarter of an hour has gone by; what is wrong."""
    payments = list(market.take_payments(claims, mismatches))
    market.break_it(seed, hold_seconds=HOLD_SECONDS, **MIXES)
    market.refund(payments)

    def all_struck() -> bool:
        """Every refund was sent, and what the provider knows of has been told of."""
        was_sent = market.struck()["refund"]["drawn"] >= claims - mismatches
        return was_sent and all(one.status != "accepted" for one in market.record())

    market.tree.until("every refund was sent, and told of", all_struck, PATIENCE)
    market.fired = market.struck()
    market.heal_it()
    market.advance(QUARTER)
    return verdict(market)


def verdict(market: Market) -> list[str]:
    """What is wrong now."""
    found = market.claims(), market.record(), market.events(*UNEXPECTED)
    return judge(market.asked, market.planted, *found)


def report(market: Market) -> None:
    """Every fault has fired as often as it should have; the counts, for whoever reads a run."""
    for name, one in market.fired.items():
        print(f"{name}: {one['drawn']} calls, fired {one['fired']}")
        for fault, percent in one["percent"].items():
            least = percent * (one["drawn"] // 100)
            assert one["fired"].get(fault, 0) >= max(1, least), f"{name}: {fault} did not fire"


def test_each_claim_is_paid_once_and_ends(tmp_path: Path) -> None:
    seed = seeded().randrange(2**31)
    tree = Tree(tmp_path / "data", processes=1)
    try:
        market = Market(tree, MERCHANTS)
        wrong = run(market, CLAIMS, MISMATCHES, seed)
        report(market)
        assert wrong == [], f"{len(wrong)}: {wrong[:5]}"
        assert len(market.planted) == MISMATCHES
        late = market.late()
        market.advance(DAYS)
        tree.until("no notice is on its way", lambda: market.notices()[1] == 0, 60)
        wrong = verdict(market)
        assert wrong == [], f"{len(wrong)}: {wrong[:5]}"
        returned = [one for one in market.record() if one.status == "returned"]
        assert len(returned) == late >= max(1, CLAIMS // 100 - 1), "late failures"
        fired, _ = market.notices()
        print(f"claims {len(market.asked)}, in review {len(market.planted)}, returned late"
              f" {late}, notices {dict(fired)}")  # fmt: skip
        tree.audit()
        log = (tree.data / "logs" / "worker.log").read_text()
        assert "work_failed" not in log, "no ending of a call is an error of ours"
    finally:
        tree.close()


@pytest.mark.long
@pytest.mark.parametrize(
    ("planted", "seen"),
    [(FRESH_REFERENCE, "paid 2 times"), (READ_AS_DECLINED, "claim.failed, though nobody")],
)
def test_a_broken_build_is_seen(tmp_path: Path, planted: str, seen: str) -> None:
    (tmp_path / "planted").mkdir()
    (tmp_path / "planted" / "sitecustomize.py").write_text(planted)
    tree = Tree(tmp_path / "data", processes=1, paths=(tmp_path / "planted",))
    try:
        wrong = run(Market(tree, 1), 100, 0, seeded().randrange(2**31))
    finally:
        tree.close()
    assert any(seen in text for text in wrong), wrong


def a_run() -> tuple[dict[str, Any], Paid]:
    """A claim that went well, and what the provider says of it."""
    claim = {"id": "CLM-1", "status": "released", "needsReview": False, "reviewReason": None}
    return claim, Paid("CLM-1", "settled", 1)


def test_the_judge_accepts_a_good_run_and_names_each_fault() -> None:
    claim, paid = a_run()
    asked = {"CLM-1": "TXN-1"}

    def told(
        one: dict[str, Any], *record: Paid, planted: str = "", events: tuple[str, ...] = ()
    ) -> list[str]:
        rows = [{"type": name, "data": {"object": {"id": "CLM-1"}}} for name in events]
        return judge(asked, {planted} - {""}, [one], record, rows)

    assert told(claim, paid) == []
    in_review = {**claim, "status": "approved", "needsReview": True}
    assert told(in_review, paid, planted="CLM-1") == []
    gone = Paid("CLM-1", "returned", 0)
    assert told({**claim, "status": "reversed"}, gone) == []
    assert told(claim, paid, paid) == ["CLM-1: paid 2 times"]
    assert told(claim) == ["CLM-1: released, and paid 0 times"]
    assert told(claim, gone) == ["CLM-1: released, not reversed"]
    assert told({**claim, "status": "approved"}, paid) == ["CLM-1: approved, not released"]
    assert told({**claim, "status": "failed"}, paid) == ["CLM-1: failed, not released"]
    assert "review is True" in told(in_review, paid)[0]
    assert "review is False" in told(claim, paid, planted="CLM-1")[0]
    assert told(claim, paid, Paid("CLM-2", "settled", 1)) == ["paid for nothing: CLM-2"]
    assert told(claim, paid, events=("claim.failed",)) == [
        "CLM-1: claim.failed, though nobody refused it"
    ]
    assert told({**claim, "id": "CLM-2"}, paid)[:2] == [
        "CLM-1 is not there", "CLM-2: nobody asked for it",
    ]  # fmt: skip
