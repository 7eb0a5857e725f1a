"""Fault mixes: exact shares, an order that can be played again, and scripts that go before."""

import msgspec
import pytest

from clawback.clock import monotonic
from clawback.providers import port
from clawback.sandbox import protocol
from clawback.sandbox.mixes import deck
from tests.sandbox.peer import Caller, Peer

SHARES = {"decline": 20, "error_after_effect": 5, "fails_after_3_days": 1}


async def mix(peer: Peer, **asked: object) -> protocol.Mix:
    """Add a mix."""
    body = {"operation": "refund", "percent": SHARES, "seed": 7, **asked}
    reply = await peer.call("POST", "/mixes", msgspec.json.encode(body))
    assert reply.status == 200, reply.body
    return msgspec.json.decode(reply.body, type=protocol.Mix)


async def mixes(peer: Peer) -> list[protocol.Mix]:
    """What they have done so far."""
    return msgspec.json.decode((await peer.call("GET", "/mixes")).body, type=protocol.Mixed).data


async def refunded(caller: Caller, charge: port.ChargeRequest, count: int) -> list[type]:
    """How so many refunds end, one after the other."""
    found = [await caller.provider.refund(caller.refund_request(charge, 1)) for _ in range(count)]
    return [type(one) for one in found]


async def test_of_each_hundred_calls_just_so_many_go_wrong(own_peer: Peer) -> None:
    caller = Caller(own_peer.provider())
    charge = await caller.paid()
    made = await mix(own_peer, book=caller.book)
    for turn in range(2):
        kinds = await refunded(caller, charge, 100)
        assert (kinds.count(port.Declined), kinds.count(port.Unknown)) == (20, 5)
        wanted = [name for name in deck(made, turn) if name in {"decline", "error_after_effect"}]
        met = [one for one in kinds if one is not port.Accepted]
        by_kind = {"decline": port.Declined, "error_after_effect": port.Unknown}
        assert met == [by_kind[name] for name in wanted], "in the order of the seed"
    (found,) = await mixes(own_peer)
    assert found.drawn == 200
    assert found.fired == {
        "decline": 40, "error_after_effect": 10, "fails_after_3_days": 2, "none": 148,
    }  # fmt: skip
    await caller.provider.close()


def test_another_seed_is_another_order() -> None:
    one = protocol.Mix(
        operation="refund", percent=SHARES, seed=1, book=None, hold_seconds=1, drawn=0, fired={}
    )
    other = msgspec.structs.replace(one, seed=2)
    assert deck(one, 0) == deck(one, 0)
    assert deck(one, 0) != deck(one, 1)
    assert deck(one, 0) != deck(other, 0)
    assert sorted(deck(one, 0)) == sorted(deck(other, 0))


async def test_a_script_goes_before_and_another_book_is_left_alone(own_peer: Peer) -> None:
    caller, other = Caller(own_peer.provider()), Caller(own_peer.provider())
    charge, spared = await caller.paid(), await other.paid()
    await mix(own_peer, book=caller.book, percent={"decline": 100})
    await caller.fault("refund", "none")
    assert await refunded(caller, charge, 2) == [port.Accepted, port.Declined]
    assert await refunded(other, spared, 1) == [port.Accepted]
    assert (await own_peer.call("DELETE", "/mixes")).body == b'{"cleared":1}'
    assert await refunded(caller, charge, 1) == [port.Accepted]
    await caller.provider.close()
    await other.provider.close()


async def test_a_mix_says_how_long_its_time_outs_are_held(own_peer: Peer) -> None:
    caller = Caller(own_peer.provider())
    charge = await caller.paid()
    await mix(own_peer, percent={"timeout_after_effect": 100}, holdSeconds=0.01)
    begun = monotonic()
    assert await refunded(caller, charge, 1) == [port.Unknown]
    assert monotonic() - begun < 0.2, "not held as long as without a mix"
    assert await own_peer.effects(charge.reference) == 1
    await caller.provider.close()


async def test_a_restart_goes_on_with_the_deck(own_peer: Peer) -> None:
    caller = Caller(own_peer.provider())
    charge = await caller.paid()
    made = await mix(own_peer)
    first = await refunded(caller, charge, 50)
    await caller.provider.close()
    own_peer.kill()
    own_peer.start()
    again = Caller(own_peer.provider())
    again.book = caller.book
    rest = await refunded(again, charge, 50)
    assert [*first, *rest].count(port.Declined) == 20
    (found,) = await mixes(own_peer)
    assert (found.drawn, found.percent, found.seed) == (100, made.percent, made.seed)
    await again.provider.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"percent": {}},
        {"percent": {"decline": 0}},
        {"percent": {"decline": 101}},
        {"percent": {"decline": 60, "unavailable": 41}},
        {"percent": {"lost": 1}},
        {"operation": "webhook"},
        {"operation": "dance"},
        {"holdSeconds": -1},
        {"holdSeconds": 61},
    ],
)
async def test_what_is_no_mix_is_refused(own_peer: Peer, wrong: dict[str, object]) -> None:
    body = {"operation": "refund", "percent": SHARES, "seed": 7, **wrong}
    reply = await own_peer.call("POST", "/mixes", msgspec.json.encode(body))
    assert reply.status == 400, reply.body
    assert await mixes(own_peer) == []
