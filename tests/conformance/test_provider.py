"""What every provider adapter does, run against the provider's real process over real sockets.

Another adapter joins by handing the suite a caller and a record to compare with. Each case looks
at both sides: the outcome that the adapter reports, and the effects that the provider recorded.
"""

import asyncio

import pytest

from clawback.currencies import EXPONENTS
from clawback.providers import port
from clawback.providers.sandbox import SandboxProvider
from tests.sandbox.peer import QUICK, SECRET, Caller, Peer

REFUND_ENDINGS = {
    # fault: outcome, effects at the provider, what a look-up then finds
    "none": (port.Accepted, 1, port.Accepted),
    "slow": (port.Unknown, 1, port.Accepted),
    "decline": (port.Declined, 0, port.Declined),
    "unavailable": (port.Unknown, 0, port.Absent),
    "rate_limited": (port.Unknown, 0, port.Absent),
    "timeout_before_effect": (port.Unknown, 0, port.Absent),
    "timeout_after_effect": (port.Unknown, 1, port.Accepted),
    "error_after_effect": (port.Unknown, 1, port.Accepted),
    "bad_body": (port.Unknown, 1, port.Accepted),
    "wrong_amount": (port.Accepted, 1, port.Accepted),
    "never_settles": (port.Accepted, 1, port.Accepted),
    "fails_after_3_days": (port.Accepted, 1, port.Accepted),
}
LOOKUP_ENDINGS = {
    "none": port.Accepted,
    "slow": port.Unknown,
    "decline": port.Declined,
    "unavailable": port.Unknown,
    "rate_limited": port.Unknown,
    "timeout_before_effect": port.Unknown,
    "timeout_after_effect": port.Unknown,
    "error_after_effect": port.Unknown,
    "bad_body": port.Unknown,
    "wrong_amount": port.Accepted,
    "never_settles": port.Accepted,
    "fails_after_3_days": port.Accepted,
}
CHARGE_ENDINGS = {
    "none": port.Completed,
    "slow": port.Unknown,
    "decline": port.Failed,
    "unavailable": port.Unknown,
    "rate_limited": port.Unknown,
    "timeout_before_effect": port.Unknown,
    "timeout_after_effect": port.Unknown,
    "error_after_effect": port.Unknown,
    "bad_body": port.Unknown,
    "wrong_amount": port.Completed,
    "never_settles": port.Pending,
    "fails_after_3_days": port.Pending,
}


async def test_a_refund_is_accepted_and_later_settled(caller: Caller, peer: Peer) -> None:
    charge = await caller.paid("spei")
    request = caller.refund_request(charge)
    accepted = await caller.provider.refund(request)
    assert isinstance(accepted, port.Accepted)
    assert (accepted.amount_minor, accepted.currency) == (1000, "MXN")
    assert accepted.settles_at is not None
    settled = await caller.provider.lookup_refund(caller.about(request, accepted.settles_at))
    assert isinstance(settled, port.Settled)
    assert settled.provider_reference == accepted.provider_reference
    assert settled.rail_reference == accepted.rail_reference
    assert settled.settled_at == accepted.settles_at
    assert await peer.effects(charge.reference) == 1


@pytest.mark.parametrize("fault", REFUND_ENDINGS)
async def test_each_ending_of_a_refund_is_one_outcome(
    caller: Caller, peer: Peer, fault: str
) -> None:
    outcome, effects, found = REFUND_ENDINGS[fault]
    charge = await caller.paid("spei")
    request = caller.refund_request(charge)
    await caller.fault("refund", fault)
    assert type(await caller.provider.refund(request)) is outcome
    assert await caller.fired() == {fault: 1}
    assert await peer.effects(charge.reference) == effects
    looked_up = await caller.provider.lookup_refund(caller.about(request))
    assert type(looked_up) is found


@pytest.mark.parametrize("fault", REFUND_ENDINGS)
async def test_sending_again_after_any_ending_has_one_effect(
    caller: Caller, peer: Peer, fault: str
) -> None:
    charge = await caller.paid("spei", amount_minor=1000)
    request = caller.refund_request(charge)
    await caller.fault("refund", fault)
    await caller.provider.refund(request)
    again = await caller.provider.refund(request)
    assert isinstance(again, port.Declined if fault == "decline" else port.Accepted)
    assert await peer.effects(charge.reference) == (0 if fault == "decline" else 1)


async def test_the_record_shows_a_double_effect_where_there_is_one(
    caller: Caller, peer: Peer
) -> None:
    """The control: a caller that mints a new reference after a time-out pays twice."""
    charge = await caller.paid("spei")
    await caller.fault("refund", "timeout_after_effect")
    assert isinstance(await caller.provider.refund(caller.refund_request(charge)), port.Unknown)
    await caller.provider.refund(caller.refund_request(charge, generation=2))
    assert await peer.effects(charge.reference) == 2


@pytest.mark.parametrize("fault", LOOKUP_ENDINGS)
async def test_each_ending_of_a_lookup_is_one_outcome(caller: Caller, fault: str) -> None:
    charge = await caller.paid("spei")
    request = caller.refund_request(charge)
    await caller.provider.refund(request)
    await caller.fault("lookup", fault)
    found = await caller.provider.lookup_refund(caller.about(request))
    assert type(found) is LOOKUP_ENDINGS[fault]


@pytest.mark.parametrize("fault", LOOKUP_ENDINGS)
async def test_a_lookup_of_many_ends_as_one_of_each(caller: Caller, fault: str) -> None:
    charge = await caller.paid("spei")
    requests = [caller.refund_request(charge) for _ in range(3)]
    for request in requests:
        await caller.provider.refund(request)
    await caller.fault("lookup", "none", fault)
    found = await caller.provider.lookup_refunds([caller.about(one) for one in requests])
    if LOOKUP_ENDINGS[fault] is port.Unknown:
        assert [type(one) for one in found] == [port.Unknown] * 3
    else:
        assert [type(one) for one in found] == [
            port.Accepted,
            LOOKUP_ENDINGS[fault],
            port.Accepted,
        ]


async def test_a_lookup_of_many_finds_each_or_nothing(caller: Caller) -> None:
    charge = await caller.paid("spei")
    sent, never_sent = caller.refund_request(charge), caller.refund_request(charge)
    await caller.provider.refund(sent)
    found = await caller.provider.lookup_refunds([caller.about(never_sent), caller.about(sent)])
    assert [type(one) for one in found] == [port.Absent, port.Accepted]
    assert list(await caller.provider.lookup_refunds([])) == []


async def test_a_hundred_lookups_fit_into_one_call(caller: Caller, peer: Peer) -> None:
    charge = await caller.paid("pix", amount_minor=100_000)
    requests = [caller.refund_request(charge) for _ in range(100)]
    sent = await asyncio.gather(*(caller.provider.refund(one) for one in requests))
    assert all(isinstance(one, port.Accepted) for one in sent)
    found = await caller.provider.lookup_refunds([caller.about(one) for one in requests])
    assert len(found) == 100
    assert all(isinstance(one, port.Accepted | port.Settled) for one in found)
    assert await peer.effects(charge.reference) == 100


@pytest.mark.parametrize("fault", CHARGE_ENDINGS)
async def test_each_ending_of_a_charge_is_one_value(caller: Caller, peer: Peer, fault: str) -> None:
    request = caller.charge_request("card")
    await caller.fault("charge", fault)
    assert type(await caller.provider.charge(request)) is CHARGE_ENDINGS[fault]
    again = await caller.provider.charge(request)
    assert type(again) in {port.Completed, port.Failed, port.Pending}
    assert len(await peer.charges(caller.book)) == 1


async def test_twenty_copies_at_once_have_one_effect_and_one_answer(
    caller: Caller, peer: Peer
) -> None:
    charge = await caller.paid("spei")
    request = caller.refund_request(charge)
    outcomes = await asyncio.gather(*(caller.provider.refund(request) for _ in range(20)))
    assert len(set(outcomes)) == 1
    assert isinstance(outcomes[0], port.Accepted)
    (recorded,) = await peer.refunds(charge.reference)
    assert (recorded.effects, recorded.asked) == (1, 20)


async def test_a_reference_with_another_amount_is_doubtful_and_has_no_effect(
    caller: Caller, peer: Peer
) -> None:
    charge = await caller.paid("spei")
    request = caller.refund_request(charge, 1000)
    await caller.provider.refund(request)
    other = port.RefundRequest(
        book=request.book,
        book_time=request.book_time,
        reference=request.reference,
        charge_reference=request.charge_reference,
        amount_minor=2000,
        currency=request.currency,
    )
    assert await caller.provider.refund(other) == port.Unknown(reason="status_409")
    (recorded,) = await peer.refunds(charge.reference)
    assert (recorded.amount_minor, recorded.effects) == (1000, 1)


async def test_more_than_is_left_is_declined_and_stays_so(caller: Caller, peer: Peer) -> None:
    charge = await caller.paid("spei", amount_minor=1000)
    first, second = caller.refund_request(charge, 600), caller.refund_request(charge, 500)
    assert isinstance(await caller.provider.refund(first), port.Accepted)
    for _ in range(2):
        declined = await caller.provider.refund(second)
        assert isinstance(declined, port.Declined)
        assert declined.reason == "exceeds_charge"
    assert isinstance(await caller.provider.lookup_refund(caller.about(second)), port.Declined)
    assert await peer.effects(charge.reference) == 1


async def test_what_was_never_sent_is_absent(caller: Caller) -> None:
    charge = await caller.paid("spei")
    request = caller.refund_request(charge)
    assert await caller.provider.lookup_refund(caller.about(request)) == port.Absent()
    unsent = caller.about(caller.charge_request())
    assert await caller.provider.lookup_charge(unsent) == port.Absent()


async def test_another_book_finds_nothing(caller: Caller, peer: Peer) -> None:
    charge = await caller.paid("spei")
    request = caller.refund_request(charge)
    await caller.provider.refund(request)
    stranger = Caller(peer.provider())
    assert await stranger.provider.lookup_refund(stranger.about(request)) == port.Absent()
    declined = await stranger.provider.refund(stranger.refund_request(charge))
    assert isinstance(declined, port.Declined)
    assert declined.reason == "unknown_charge"
    await stranger.provider.close()


async def test_nobody_listening_is_unavailable(caller: Caller, unused_port: int) -> None:
    provider = SandboxProvider(f"http://127.0.0.1:{unused_port}", SECRET, timeouts=QUICK)
    charge = caller.charge_request()
    assert isinstance(await provider.charge(charge), port.Unavailable)
    refund = caller.refund_request(charge)
    assert isinstance(await provider.refund(refund), port.Unavailable)
    assert isinstance(await provider.lookup_refund(caller.about(refund)), port.Unavailable)
    many = await provider.lookup_refunds([caller.about(refund)])
    assert isinstance(many[0], port.Unavailable)


async def test_a_wrong_secret_proves_nothing(caller: Caller, peer: Peer) -> None:
    provider = SandboxProvider(peer.url, "another-secret", timeouts=QUICK)
    charge = await caller.paid()
    refund = caller.refund_request(charge)
    assert await provider.refund(refund) == port.Unknown(reason="status_401")
    assert await peer.effects(charge.reference) == 0
    await provider.close()


async def test_asked_to_wait_it_says_how_long(caller: Caller) -> None:
    charge = await caller.paid()
    await caller.fault("refund", "rate_limited")
    outcome = await caller.provider.refund(caller.refund_request(charge))
    assert outcome == port.Unknown(reason="status_429", retry_after_seconds=1)


async def test_what_the_provider_says_of_the_amount_is_handed_on(caller: Caller) -> None:
    charge = await caller.paid()
    await caller.fault("refund", "wrong_amount")
    outcome = await caller.provider.refund(caller.refund_request(charge, 10000))
    assert isinstance(outcome, port.Accepted)
    assert outcome.amount_minor != 10000


@pytest.mark.parametrize("currency", EXPONENTS)
async def test_one_major_unit_sent_is_one_read_back(caller: Caller, currency: str) -> None:
    unit = 10 ** EXPONENTS[currency]
    request = port.ChargeRequest(
        book=caller.book,
        book_time=caller.now(),
        reference=port.charge_reference(next(caller.names("TXN")), 1),
        method="card",
        amount_minor=unit,
        currency=currency,
        country="US",
        merchant_name="Tienda Norte",
    )
    charged = await caller.provider.charge(request)
    assert isinstance(charged, port.Completed)
    assert (charged.amount_minor, charged.currency) == (unit, currency)
    refunded = await caller.provider.refund(caller.refund_request(request, unit))
    assert isinstance(refunded, port.Accepted)
    assert (refunded.amount_minor, refunded.currency) == (unit, currency)


async def test_a_cancelled_call_leaves_nothing_that_a_later_call_could_read(
    caller: Caller, peer: Peer
) -> None:
    charge = await caller.paid()
    await caller.fault("refund", "slow")
    first = asyncio.create_task(caller.provider.refund(caller.refund_request(charge)))
    await asyncio.sleep(0.1)
    first.cancel()
    second = caller.refund_request(charge, 2000)
    outcome = await caller.provider.refund(second)
    assert isinstance(outcome, port.Accepted)
    assert outcome.amount_minor == 2000
    assert await peer.effects(charge.reference) == 2
