"""What the sandbox provider does by itself, on the book's clock, and what it refuses."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from clawback.clock import real_now, wire_time
from clawback.providers import port
from clawback.sandbox import protocol
from tests.sandbox.peer import Caller, Peer

SECOND = timedelta(seconds=1)
PAYMENT_DATA = {
    "spei": {"method", "clabe", "bankName", "beneficiary", "reference"},
    "oxxo": {"method", "voucherCode", "voucherUrl", "reference"},
    "pix": {"method", "qrCode", "qrCodeUrl"},
    "pse": {"method", "redirectUrl"},
    "card": {"method", "brand"},
}
EXPIRES = {
    "spei": timedelta(hours=24),
    "oxxo": timedelta(days=7),
    "pix": timedelta(hours=1),
    "pse": timedelta(minutes=30),
}

_GOLD = msgspec.json.encode(
    protocol.AskCharge(
        reference="A",
        method="gold",
        amount_minor=1,
        currency="MXN",
        country="MX",
        merchant_name="M",
    )
)


@pytest.mark.parametrize("method", PAYMENT_DATA)
async def test_a_charge_says_how_to_pay_and_until_when(caller: Caller, method: str) -> None:
    request = caller.charge_request(method)
    charged = await caller.provider.charge(request)
    assert isinstance(charged, port.Completed if method == "card" else port.Pending)
    assert set(charged.payment_data) == PAYMENT_DATA[method]
    assert charged.payment_data["method"] == method
    if method != "card":
        assert charged.expires_at is not None
        late = charged.expires_at - request.book_time - EXPIRES[method]
        assert timedelta(0) <= late < SECOND


@pytest.mark.parametrize(
    ("simulate", "seconds", "kind"),
    [
        ("paid", 5, port.Completed),
        ("failed", 5, port.Failed),
        ("expired", 30, port.Expired),
        ("slow_payment", 300, port.Completed),
        ("chargeback", 5, port.Completed),
        ("inquiry", 5, port.Completed),
        ("med", 5, port.Completed),
    ],
)
async def test_a_simulation_takes_effect_at_its_time_of_the_book(
    caller: Caller, simulate: str, seconds: int, kind: type[port.KnownCharge]
) -> None:
    request = caller.charge_request("spei", simulate=simulate)
    charged = await caller.provider.charge(request)
    assert isinstance(charged, port.Pending)
    assert charged.next_change_at is not None
    assert charged.next_change_at - request.book_time >= seconds * SECOND
    before = charged.next_change_at - SECOND
    assert isinstance(
        await caller.provider.lookup_charge(caller.about(request, before)), port.Pending
    )
    at = charged.next_change_at
    assert isinstance(await caller.provider.lookup_charge(caller.about(request, at)), kind)


@pytest.mark.parametrize(
    ("simulate", "kind"), [("failed", port.Failed), ("slow_payment", port.Completed)]
)
async def test_a_card_is_decided_at_once(
    caller: Caller, simulate: str, kind: type[port.KnownCharge]
) -> None:
    request = caller.charge_request("card", simulate=simulate)
    assert isinstance(await caller.provider.charge(request), kind)


async def test_a_charge_that_nobody_pays_expires(caller: Caller) -> None:
    request = caller.charge_request("pse")
    await caller.provider.charge(request)
    later = request.book_time + timedelta(minutes=31)
    found = await caller.provider.lookup_charge(caller.about(request, later))
    assert isinstance(found, port.Expired)


async def test_late_money_completes_an_expired_charge_and_nothing_undoes_it(
    caller: Caller,
) -> None:
    request = caller.charge_request("spei")
    await caller.provider.charge(request)
    about = caller.about(request)
    taken: tuple[port.ChargeAction, ...] = ("processing", "expired", "completed", "completed")
    for status in taken:
        charged = await caller.provider.simulate_charge(about, status)
        assert isinstance(charged, port.Charge)
        assert charged.status == status
    refused_now: tuple[port.ChargeAction, ...] = ("failed", "expired", "processing")
    for status in refused_now:
        refused = await caller.provider.simulate_charge(about, status)
        assert refused == port.Unknown(reason="status_409")


async def test_the_provider_settles_by_itself(caller: Caller) -> None:
    """No look-up makes it happen: the settlement time is that of the schedule."""
    charge = await caller.paid()
    request = caller.refund_request(charge)
    accepted = await caller.provider.refund(request)
    assert isinstance(accepted, port.Accepted)
    await asyncio.sleep(2.2)
    found = await caller.provider.lookup_refund(caller.about(request))
    assert isinstance(found, port.Settled)
    assert found.settled_at == accepted.settles_at


async def test_a_book_that_moves_its_clock_settles_at_once(caller: Caller, peer: Peer) -> None:
    charge = await caller.paid()
    other = Caller(caller.provider)
    other_refund = other.refund_request(await other.paid())
    await caller.provider.refund(caller.refund_request(charge))
    await other.provider.refund(other_refund)
    later = real_now() + timedelta(days=1)
    await caller.provider.next_change_at(book=caller.book, book_time=later)
    await asyncio.sleep(0.05)
    (recorded,) = await peer.refunds(charge.reference)
    assert recorded.status == "settled"
    found = await other.provider.lookup_refund(other.about(other_refund))
    assert isinstance(found, port.Accepted), "each book has its own clock"


async def test_it_tells_when_it_will_next_change_something(caller: Caller) -> None:
    now = real_now()
    assert await caller.provider.next_change_at(book=caller.book, book_time=now) is None
    charge = await caller.paid()
    accepted = await caller.provider.refund(caller.refund_request(charge))
    assert isinstance(accepted, port.Accepted)
    next_at = await caller.provider.next_change_at(book=caller.book, book_time=now)
    assert next_at == accepted.settles_at


async def test_a_bounce_comes_three_days_after_success_under_the_same_key(
    caller: Caller, peer: Peer
) -> None:
    charge = await caller.paid("spei", amount_minor=1000)
    request = caller.refund_request(charge)
    await caller.fault("refund", "fails_after_3_days")
    accepted = await caller.provider.refund(request)
    assert isinstance(accepted, port.Accepted)
    assert accepted.settles_at is not None
    bounced_at = accepted.settles_at + timedelta(days=3)
    found = await caller.provider.lookup_refund(caller.about(request, bounced_at - SECOND))
    assert isinstance(found, port.Settled)
    found = await caller.provider.lookup_refund(caller.about(request, bounced_at))
    assert isinstance(found, port.Returned)
    assert found.rail_reference == accepted.rail_reference
    assert await peer.effects(charge.reference) == 0
    caller.now = lambda: bounced_at
    again = await caller.provider.refund(caller.refund_request(charge))
    assert isinstance(again, port.Accepted), "the money is back and can be refunded anew"


async def test_what_never_settles_does_not_settle_in_a_year(caller: Caller) -> None:
    charge = await caller.paid()
    request = caller.refund_request(charge)
    await caller.fault("refund", "never_settles")
    await caller.provider.refund(request)
    later = real_now() + timedelta(days=365)
    assert isinstance(
        await caller.provider.lookup_refund(caller.about(request, later)), port.Accepted
    )


async def test_a_card_refund_has_its_arn_two_business_days_after_settlement(
    caller: Caller,
) -> None:
    request = caller.refund_request(await caller.paid("card"))
    accepted = await caller.provider.refund(request)
    assert isinstance(accepted, port.Accepted)
    assert accepted.rail_reference is None
    later = real_now() + timedelta(days=5)
    found = await caller.provider.lookup_refund(caller.about(request, later))
    assert isinstance(found, port.Settled)
    assert found.rail_reference is not None
    assert len(found.rail_reference) == 23


async def test_a_refund_can_be_decided_by_hand_and_decided_anew(caller: Caller, peer: Peer) -> None:
    charge = await caller.paid("spei", amount_minor=1000)
    request = caller.refund_request(charge)
    await caller.provider.refund(request)
    about = caller.about(request)
    expected: tuple[tuple[port.RefundAction, type[port.Found], int], ...] = (
        ("declined", port.Declined, 0),
        ("settled", port.Settled, 1),
        ("returned", port.Returned, 0),
        ("settled", port.Settled, 1),
    )
    for status, kind, effects in expected:
        assert isinstance(await caller.provider.simulate_refund(about, status), kind)
        assert await peer.effects(charge.reference) == effects
    refused = await caller.provider.simulate_refund(about, "declined")
    assert refused == port.Unknown(reason="status_409")


async def test_paid_late_never_means_more_than_was_charged(caller: Caller, peer: Peer) -> None:
    charge = await caller.paid("spei", amount_minor=1000)
    first = caller.refund_request(charge)
    await caller.provider.refund(first)
    await caller.provider.simulate_refund(caller.about(first), "declined")
    await caller.provider.refund(caller.refund_request(charge))
    late = await caller.provider.simulate_refund(caller.about(first), "settled")
    assert late == port.Unknown(reason="status_409")
    assert await peer.effects(charge.reference) == 1


@pytest.mark.parametrize("status", ["pending", "failed"])
async def test_what_was_not_paid_is_not_refunded(caller: Caller, status: str) -> None:
    request = caller.charge_request("spei")
    await caller.provider.charge(request)
    if status == "failed":
        await caller.provider.simulate_charge(caller.about(request), "failed")
    declined = await caller.provider.refund(caller.refund_request(request))
    assert isinstance(declined, port.Declined)
    assert declined.reason == "charge_not_completed"


async def test_a_repeated_reference_is_answered_with_the_same_bytes(
    caller: Caller, peer: Peer
) -> None:
    charge = await caller.paid()
    request = caller.refund_request(charge)
    asked = protocol.AskRefund(
        reference=request.reference,
        charge_reference=charge.reference,
        amount_minor=1000,
        currency="MXN",
    )
    body = msgspec.json.encode(asked)
    first = await peer.call("POST", "/refunds", body, headers=caller.headers())
    await caller.provider.simulate_refund(caller.about(request), "settled")
    again = await peer.call("POST", "/refunds", body, headers=caller.headers())
    assert first.body == again.body


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/refunds", b"{"),
        ("/refunds", b"[]"),
        ("/refunds", b'{"reference":"A","chargeReference":"B","amountMinor":1}'),
        ("/refunds", b'{"reference":"A","chargeReference":"B","amountMinor":0,"currency":"MXN"}'),
        ("/refunds", b'{"reference":"a b","chargeReference":"B","amountMinor":1,"currency":"MXN"}'),
        ("/refunds", b'{"reference":"A","chargeReference":"B","amountMinor":1.5,"currency":"MXN"}'),
        ("/refunds", b'{"reference":"A","chargeReference":"B","amountMinor":1,"currency":"mxn"}'),
        (
            "/refunds",
            b'{"reference":"A","chargeReference":"B","amountMinor":1,"currency":"MXN","x":1}',
        ),
        ("/charges", _GOLD),
        ("/faults", b'{"operation":"refund","sequence":[]}'),
        ("/faults", b'{"operation":"refund","sequence":["lost"]}'),
        ("/faults", b'{"operation":"webhook","sequence":["decline"]}'),
        ("/faults", b'{"operation":"dance","sequence":["none"]}'),
    ],
)
async def test_what_is_not_of_the_protocol_is_refused(
    caller: Caller, peer: Peer, path: str, body: bytes
) -> None:
    reply = await peer.call("POST", path, body, headers=caller.headers())
    assert reply.status == 400, reply.body


@pytest.mark.parametrize("stamp", ["yesterday", "2026-05-12T20:27:53", ""])
async def test_a_book_time_without_a_zone_is_refused(peer: Peer, stamp: str) -> None:
    reply = await peer.call("GET", "/due", headers={"x-book": "b", "x-book-time": stamp})
    assert reply.status == 400


async def test_a_stranger_learns_nothing_but_that_it_lives(peer: Peer) -> None:
    for target in ("/record/refunds", "/faults", "/refunds/X", "/nowhere"):
        reply = await peer.call("GET", target, headers={"authorization": "Bearer guess"})
        assert reply.status == 401
    assert (await peer.call("GET", "/healthz", headers={"authorization": "none"})).status == 200


async def test_an_unknown_call_is_told_apart_from_an_absent_object(peer: Peer) -> None:
    nowhere = await peer.call("GET", "/nowhere")
    absent = await peer.call("GET", "/refunds/ABSENT")
    assert (nowhere.status, absent.status) == (404, 404)
    assert nowhere.body != absent.body == b'{"error":"not_found"}'


async def test_a_clock_never_goes_back(caller: Caller) -> None:
    request = caller.refund_request(await caller.paid())
    await caller.provider.refund(request)
    later = real_now() + timedelta(hours=1)
    assert isinstance(
        await caller.provider.lookup_refund(caller.about(request, later)), port.Settled
    )
    second = caller.charge_request("spei")
    charged = await caller.provider.charge(second)
    assert isinstance(charged, port.Pending)
    assert charged.expires_at is not None
    assert charged.expires_at > later + timedelta(hours=23), wire_time(charged.expires_at)


async def test_a_long_record_is_read_page_by_page(caller: Caller, peer: Peer) -> None:
    charge = await caller.paid("pix", amount_minor=300_000)
    refunds = [caller.provider.refund(caller.refund_request(charge)) for _ in range(300)]
    await asyncio.gather(*refunds)
    first = await peer.call("GET", f"/record/refunds?charge={charge.reference}")
    page = msgspec.json.decode(first.body, type=protocol.RefundRecord)
    assert len(page.data) == 250
    target = f"/record/refunds?charge={charge.reference}&after={page.next}"
    rest = msgspec.json.decode((await peer.call("GET", target)).body, type=protocol.RefundRecord)
    assert (len(rest.data), rest.next) == (50, None)
