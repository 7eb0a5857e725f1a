"""The fault script: which call a fault strikes, and that it is counted."""

from clawback.providers import port
from tests.sandbox.peer import Caller


async def test_faults_strike_one_call_each_in_their_order(caller: Caller) -> None:
    charge = await caller.paid()
    await caller.fault("refund", "rate_limited", "none", "decline")
    kinds = [type(await caller.provider.refund(caller.refund_request(charge))) for _ in range(4)]
    assert kinds == [port.Unknown, port.Accepted, port.Declined, port.Accepted]
    assert await caller.fired() == {"rate_limited": 1, "none": 1, "decline": 1}


async def test_a_filter_leaves_other_charges_alone(caller: Caller) -> None:
    charge, other = await caller.paid(), await caller.paid()
    await caller.fault("refund", "decline", charge_reference=charge.reference)
    spared = await caller.provider.refund(caller.refund_request(other))
    struck = await caller.provider.refund(caller.refund_request(charge))
    assert (type(spared), type(struck)) == (port.Accepted, port.Declined)


async def test_another_book_is_left_alone(caller: Caller) -> None:
    other = Caller(caller.provider)
    charge = await other.paid()
    await caller.fault("refund", "decline")
    outcome = await other.provider.refund(other.refund_request(charge))
    assert isinstance(outcome, port.Accepted)
    assert await caller.fired() == {}


async def test_a_filter_reaches_a_lookup_of_what_never_arrived(caller: Caller) -> None:
    charge = await caller.paid()
    await caller.fault("lookup", "bad_body", charge_reference=charge.reference)
    never_sent = caller.about(caller.refund_request(charge))
    assert isinstance(await caller.provider.lookup_refund(never_sent), port.Unknown)


async def test_a_repeating_script_starts_over(caller: Caller) -> None:
    charge = await caller.paid()
    asked = port.FaultRequest(
        book=caller.book, operation="refund", sequence=("decline", "none"), repeat=True
    )
    script = await caller.provider.add_fault(asked)
    assert script is not None
    assert script.remaining == ("decline", "none")
    kinds = [type(await caller.provider.refund(caller.refund_request(charge))) for _ in range(4)]
    assert kinds == [port.Declined, port.Accepted] * 2
    assert await caller.provider.clear_faults(caller.book) == 1
    outcome = await caller.provider.refund(caller.refund_request(charge))
    assert isinstance(outcome, port.Accepted)


async def test_a_sequence_of_more_than_fifty_is_not_taken(caller: Caller) -> None:
    asked = port.FaultRequest(book=caller.book, operation="refund", sequence=("none",) * 51)
    assert await caller.provider.add_fault(asked) is None
