"""The invariants that can be seen from the books, the payments and the claims of a world alone."""

from clawback.lanes.records import Claim, Payment
from clawback.ledger import proof
from tests.model_world import World

COUNTS = ("pending", "approved", "released")


def check(world: World) -> None:
    """The invariants that can be seen from the books, the payments and the claims alone."""
    _check_books(world)
    _check_claims(world)
    _check_payments(world)
    _check_events(world)
    _check_summary(world)


def _check_summary(world: World) -> None:
    """Contract, 9.1: the buckets less debt are what came in, less what went, plus what was lost."""
    head = world.state.head
    buckets = sum(
        world.balance(name) for name in ("available", "pending", "frozen", "payable", "reserve")
    )
    fees = head.platform_fees_usd_e4 + head.flat_fees_usd_e4 + head.dispute_fees_usd_e4
    assert world.balance("fees") == fees, "L3: the fee counters are the sums over their entries"
    left = head.gross_volume_usd_e4 - fees - head.returned_usd_e4 - world.balance("loss")
    left -= world.balance("paid_out")
    assert buckets + world.balance("debt") == left, "9.1: netBalance"
    gone = sum(claim.released_usd_e4 for claim in world.claims)
    assert head.returned_usd_e4 == gone, "9.1: returned is what was released and not reversed"
    lost = sum(
        part
        for claim in world.claims
        for source, part in claim.sources
        if source == "loss"
        if claim.status in {"approved", "released"}
    )
    assert world.balance("loss") == -lost, "loss is what excess took and nobody gave back"
    for currency in {payment.currency for payment in world.payments}:
        if currency != "USD":
            held = sum(
                payment.captured_minor - payment.refunded_minor - payment.charged_back_minor
                for payment in world.payments
                if payment.currency == currency
            )
            providers = {f"provider:{payment.provider}" for payment in world.payments}
            owed = sum(world.balance(name, currency) for name in providers)
            assert owed == -held, "conserved, locally"


def _check_books(world: World) -> None:
    balances_: dict[tuple[str, str], tuple[int, int]] = {}
    entries: dict[tuple[int, str], int] = {}
    for posting in world.postings:
        place = (posting.currency, posting.account)
        before, seq = balances_.get(place, (0, 0))
        assert posting.seq == seq + 1, "L3: numbers without a gap"
        assert posting.balance_after == before + posting.amount, "L3: each balance follows"
        balances_[place] = (posting.balance_after, posting.seq)
        key = (posting.height, posting.currency)
        entries[key] = entries.get(key, 0) + posting.amount
        if posting.account in {"pending", "available", "reserve", "frozen", "payable"}:
            assert posting.balance_after >= 0, "L6: never below zero"
        if posting.account in {"debt", "loss"}:
            assert posting.balance_after <= 0, "L6: never above zero"
    assert not any(entries.values()), "L1: every entry balances in each currency"
    known = {key: one for key, one in world.state.accounts.items() if one[1]}
    assert known == balances_, "L3: balances are the sums of their postings"
    previous = proof.GENESIS
    for number, entry in enumerate(world.entries, start=1):
        assert entry.height == number, "L12: heights without a gap"
        assert entry.previous_hash == previous, "L12: the chain holds"
        previous = entry.hash
    assert world.state.head.hash == previous, "L12: the head knows the last hash"
    causes = [entry.cause for entry in world.entries]
    assert len(set(causes)) == len(causes), "L11: one cause, one entry"


def _check_claims(world: World) -> None:
    held = sum(claim.frozen_usd_e4 for claim in world.claims)
    assert world.balance("frozen") == held, "L7: frozen is what claims hold"
    leaving = sum(claim.payable_usd_e4 for claim in world.claims)
    assert world.balance("payable") == leaving, "L7: payable is what is on its way"
    for claim in world.claims:
        _check_claim(claim)
    waiting = sum(claim.missing_usd_e4 > 0 for claim in world.claims)
    assert world.state.head.waiting == waiting, "C6: the head counts who waits"
    if waiting and not world.state.head.top_up_due:
        assert world.balance("available") == 0, "C6: nobody waits while there is money"


def _check_payments(world: World) -> None:
    assert world.balance("pending") == sum(p.pending_usd_e4 for p in world.payments), "L7"
    assert world.balance("reserve") == sum(p.reserve_usd_e4 for p in world.payments), "L7"
    for payment in world.payments:
        mine = [c for c in world.claims if c.payment_id == payment.payment_id]
        counted = [c for c in mine if c.status in COUNTS and c.kind != "inquiry"]
        assert sum(c.claimed_share_minor for c in counted) == payment.claimed_minor, "C2"
        assert sum(c.forced_share_minor for c in counted) == payment.forced_minor, "C2"
        assert payment.claimed_minor <= payment.captured_minor, "C1: never more than captured"
        _check_given_back(payment, mine)
        worth = sum(_counted_usd_e4(c) for c in counted)
        assert worth == payment.claimed_usd_e4, "L10: USD claimed"
        is_plain = all(c.kind == "user_dispute" and c.round == 1 for c in mine)
        is_full = payment.claimed_minor == payment.captured_minor and payment.forced_minor == 0
        if is_plain and is_full and len(mine) == len(counted) > 0:
            assert payment.claimed_usd_e4 == payment.amount_usd_e4, "L10: all parts add up"
        overlap = payment.claimed_minor + payment.forced_minor - payment.captured_minor
        excess = sum(c.excess_minor for c in counted)
        assert excess >= overlap, "8.4: what does not fit is excess"
        is_final = any(c.excess_minor for c in counted if c.status != "pending")
        if any(c.excess_minor for c in counted) and not is_final:
            assert excess == max(0, overlap), "8.1: excess falls when there is room"
        for claim in mine:
            if claim.kind == "inquiry" and claim.status == "pending":
                fits = min(claim.amount_minor, payment.remaining_minor)
                assert claim.amount_minor - claim.excess_minor >= fits, "8.1: of an inquiry too"
        disputes_ = [c for c in mine if c.kind != "user_dispute" and c.is_open]
        newest = max(disputes_, key=lambda c: (c.created_at, c.claim_id), default=None)
        assert payment.open_dispute_id == (newest and newest.claim_id), "the newest open dispute"


def _counted_usd_e4(claim: Claim) -> int:
    if claim.status == "pending":
        return claim.amount_usd_e4
    return claim.payable_usd_e4 + claim.released_usd_e4


def _check_given_back(payment: Payment, mine: list[Claim]) -> None:
    gone = sum(c.released_minor for c in mine if c.kind == "user_dispute")
    assert gone == payment.refunded_minor, "what was given back is what was released"
    taken = sum(c.released_minor for c in mine if c.kind != "user_dispute")
    assert taken == payment.charged_back_minor, "what networks took is what was released"


def _check_claim(claim: Claim) -> None:
    held = claim.frozen_usd_e4 + claim.payable_usd_e4 + claim.released_usd_e4
    if claim.status in COUNTS:
        assert sum(part for _, part in claim.sources) == held, "C7: where the money came from"
    if claim.status == "pending":
        known = claim.frozen_usd_e4 + claim.missing_usd_e4 + claim.excess_usd_e4
        assert known == claim.amount_usd_e4, "L8"
    shares = claim.claimed_share_minor + claim.forced_share_minor
    counts = claim.status in COUNTS and claim.kind != "inquiry"
    assert (shares > 0) == counts, "C2: shares"
    if counts and claim.kind == "user_dispute":
        assert shares == claim.amount_minor, "C2: a refund counts whole"
        if claim.status == "approved":
            assert claim.payable_usd_e4 == claim.amount_usd_e4, "C6: approved when fully frozen"
    if claim.kind == "inquiry":
        assert claim.status in {"pending", "rejected", "canceled"}, "an inquiry pays nothing"


def _check_events(world: World) -> None:
    versions: dict[str, list[int]] = {}
    for number, notice in enumerate(world.notices, start=1):
        assert notice.number == number, "E1: events numbered without a gap"
        subject = notice.subject
        assert isinstance(subject, Payment | Claim), "no command of this model is about an endpoint"
        name = subject.claim_id if isinstance(subject, Claim) else subject.payment_id
        if notice.version is not None:
            versions.setdefault(name, []).append(notice.version)
    told = [
        notice.subject.claim_id
        for notice in world.notices
        if notice.type == "claim.excess_recorded" and isinstance(notice.subject, Claim)
    ]
    assert len(set(told)) == len(told), "C3: an excess is announced once"
    for found in versions.values():
        assert found == list(range(1, len(found) + 1)), "E1: versions 1, 2, 3 …"
