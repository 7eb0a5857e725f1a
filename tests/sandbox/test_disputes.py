"""Cases at the sandbox provider: their rounds, deadlines, evidence, ends, and what is told."""

from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from clawback.providers import port
from clawback.sandbox import protocol
from tests.sandbox.peer import Caller, Peer
from tests.sandbox.test_notices import notified, read

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
TEXT = port.Document(type="receipt", text="It was delivered on Monday.")
METHOD: dict[port.DisputeKind, str] = {"chargeback": "card", "inquiry": "card", "med": "pix"}
DUE: dict[port.DisputeKind, timedelta] = {
    "chargeback": 14 * DAY,
    "inquiry": 7 * DAY,
    "med": 3 * DAY,
}


class Network:
    """What a card or PIX network does to a charge of a caller."""

    def __init__(self, caller: Caller, charge: port.ChargeRequest) -> None:
        self.caller = caller
        self.charge = charge
        self._references = 0

    async def does(
        self,
        action: port.DisputeAction,
        *,
        amount_minor: int | None = None,
        case: str | None = None,
        reference: str | None = None,
    ) -> port.DisputeNotice | port.Absent | port.Unavailable | port.Unknown:
        return await self.caller.provider.simulate_dispute(
            port.DisputeSimulation(
                book=self.caller.book,
                book_time=self.caller.now(),
                charge_reference=self.charge.reference,
                action=action,
                amount_minor=amount_minor,
                case=case,
                reference=reference,
            )
        )

    async def makes(
        self, action: port.DisputeAction, amount_minor: int | None = None
    ) -> port.DisputeNotice:
        told = await self.does(action, amount_minor=amount_minor)
        assert isinstance(told, port.DisputeNotice), told
        return told

    async def stands(
        self, case: port.DisputeNotice, at: datetime | None = None
    ) -> port.DisputeNotice:
        told = await self.caller.provider.lookup_dispute(
            port.DisputeLookup(
                book=self.caller.book,
                book_time=at or self.caller.now(),
                case=case.case,
                kind=case.kind,
            )
        )
        assert isinstance(told, port.DisputeNotice), told
        return told

    async def submits(
        self,
        case: port.DisputeNotice,
        reference: str,
        *documents: port.Document,
        at: datetime | None = None,
    ) -> port.Outcome:
        return await self.caller.provider.submit_evidence(
            port.EvidenceRequest(
                book=self.caller.book,
                book_time=at or self.caller.now(),
                reference=self.unique(reference),
                case=case.case,
                kind=case.kind,
                documents=documents or (TEXT,),
            )
        )

    async def accepts(self, case: port.DisputeNotice, reference: str) -> port.Outcome:
        return await self.caller.provider.accept_dispute(
            port.AcceptRequest(
                book=self.caller.book,
                book_time=self.caller.now(),
                reference=self.unique(reference),
                case=case.case,
                kind=case.kind,
            )
        )

    def unique(self, name: str) -> str:
        """Names are the provider's, whatever the book."""
        return sha256((self.caller.book + name).encode()).hexdigest()[:16].upper()


async def network(caller: Caller, method: str = "card") -> Network:
    return Network(caller, await caller.paid(method))


async def recorded(peer: Peer, charge: port.ChargeRequest) -> list[protocol.RecordedDispute]:
    reply = await peer.call("GET", f"/record/disputes?charge={charge.reference}")
    return msgspec.json.decode(reply.body, type=protocol.DisputeRecord).data


@pytest.mark.parametrize("kind", DUE)
async def test_a_case_asks_for_evidence_in_time(caller: Caller, kind: port.DisputeKind) -> None:
    net = await network(caller, METHOD[kind])
    case = await net.makes(kind)
    assert (case.kind, case.status, case.round) == (kind, "opened", 1)
    assert (case.amount_minor, case.currency) == (net.charge.amount_minor, net.charge.currency)
    assert case.evidence_due_at == case.at + DUE[kind]
    assert case.reason
    assert case.reason_code
    assert (case.rail_reference is not None) == (METHOD[kind] == "card")
    assert await net.stands(case) == case
    again = await net.does(kind)
    assert again == port.Unknown(reason="status_409"), "none of that kind may be open"


async def test_only_a_paid_charge_is_disputed_and_a_med_is_of_pix(caller: Caller) -> None:
    unpaid = caller.charge_request("spei")
    await caller.provider.charge(unpaid)
    assert await Network(caller, unpaid).does("chargeback") == port.Unknown(reason="status_409")
    assert await (await network(caller)).does("med") == port.Unknown(reason="status_409")
    absent = Network(caller, caller.charge_request("card"))
    assert await absent.does("chargeback") == port.Absent()


@pytest.mark.parametrize(
    ("kind", "ends"),
    [
        ("chargeback", "lost"),
        ("med", "lost"),
        ("inquiry", "escalated"),
    ],
)
async def test_without_evidence_the_network_decides_a_day_later(
    caller: Caller, peer: Peer, kind: port.DisputeKind, ends: str
) -> None:
    net = await network(caller, METHOD[kind])
    case = await net.makes(kind)
    assert case.evidence_due_at is not None
    decides_at = case.evidence_due_at + DAY
    before = await net.stands(case, decides_at - SECOND)
    assert before.status == "opened"
    after = await net.stands(case, decides_at)
    assert (after.status, after.at) == (ends, decides_at)
    (first, *others) = await recorded(peer, net.charge)
    if kind != "inquiry":
        assert (after.amount_minor, first.taken_minor) == (86118, 86118)
        assert others == []
        return
    (chargeback,) = others
    assert (chargeback.case, chargeback.status) == (after.next_case, "opened")
    assert (first.taken_minor, chargeback.taken_minor) == (0, 0)
    assert after.evidence_due_at == decides_at + DUE["chargeback"]
    told = msgspec.structs.replace(after, case=chargeback.case)
    lost = await net.stands(told, decides_at + 15 * DAY)
    assert (lost.kind, lost.status) == ("chargeback", "lost")


async def test_a_submitted_case_waits_to_be_told_its_end(caller: Caller) -> None:
    net = await network(caller)
    case = await net.makes("chargeback")
    assert isinstance(await net.submits(case, "E1"), port.Settled)
    later = await net.stands(case, case.at + 60 * DAY)
    assert later.status == "opened"
    assert (await net.makes("chargeback_won")).status == "won"


async def test_evidence_has_one_effect_for_each_reference(caller: Caller, peer: Peer) -> None:
    net = await network(caller)
    case = await net.makes("chargeback")
    file = port.Document(
        type="shipping",
        filename="r.pdf",
        content_type="application/pdf",
        data=b"%PDF" + bytes(200_000),
        sha256=sha256(b"%PDF" + bytes(200_000)).hexdigest(),
    )
    first = await net.submits(case, "E1", TEXT, file)
    assert isinstance(first, port.Settled)
    assert await net.submits(case, "E1", TEXT, file) == first
    other = await net.submits(case, "E2")
    assert isinstance(other, port.Declined)
    assert other.reason == "submitted_already"
    (line,) = await recorded(peer, net.charge)
    assert (line.evidence, line.asked) == (2, 3)


async def test_a_file_that_is_not_what_it_says_is_refused(caller: Caller) -> None:
    net = await network(caller)
    case = await net.makes("chargeback")
    wrong = port.Document(type="other", data=b"x", sha256="0" * 64)
    assert await net.submits(case, "E1", wrong) == port.Unknown(reason="status_400")


async def test_evidence_after_its_time_is_declined(caller: Caller) -> None:
    net = await network(caller)
    case = await net.makes("chargeback")
    assert case.evidence_due_at is not None
    late = await net.submits(case, "E1", at=case.evidence_due_at + SECOND)
    assert isinstance(late, port.Declined)
    assert late.reason == "evidence_closed"


async def test_giving_in_takes_the_money_once(caller: Caller, peer: Peer) -> None:
    net = await network(caller)
    case = await net.makes("chargeback", amount_minor=90_000)
    first = await net.accepts(case, "A1")
    assert isinstance(first, port.Settled)
    assert first.amount_minor == 90_000
    assert await net.accepts(case, "A1") == first
    other = await net.accepts(case, "A2")
    assert isinstance(other, port.Declined)
    (line,) = await recorded(peer, net.charge)
    assert (line.status, line.taken_minor, line.amount_minor) == ("lost", 90_000, 90_000)


async def test_giving_in_to_an_inquiry_only_ends_it(caller: Caller, peer: Peer) -> None:
    net = await network(caller)
    case = await net.makes("inquiry")
    assert isinstance(await net.accepts(case, "A1"), port.Settled)
    (line,) = await recorded(peer, net.charge)
    assert (line.status, line.taken_minor) == ("withdrawn", 0)


FAULTS = {
    # fault: outcome, effects at the provider, what a repeat of it finds
    "none": (port.Settled, 1, port.Settled),
    "decline": (port.Declined, 0, port.Declined),
    "unavailable": (port.Unknown, 0, port.Settled),
    "rate_limited": (port.Unknown, 0, port.Settled),
    "timeout_before_effect": (port.Unknown, 0, port.Settled),
    "timeout_after_effect": (port.Unknown, 1, port.Settled),
    "error_after_effect": (port.Unknown, 1, port.Settled),
    "bad_body": (port.Unknown, 1, port.Settled),
    "wrong_amount": (port.Settled, 1, port.Settled),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("operation", ["evidence", "accept"])
async def test_each_ending_of_a_call_is_one_outcome(
    caller: Caller, peer: Peer, operation: str, fault: str
) -> None:
    outcome, effects, repeated = FAULTS[fault]
    net = await network(caller)
    case = await net.makes("chargeback")
    await caller.fault(operation, fault, charge_reference=net.charge.reference)

    async def call() -> port.Outcome:
        name = "R1"
        return await (net.submits if operation == "evidence" else net.accepts)(case, name)

    first = await call()
    assert type(first) is outcome, first
    (line,) = await recorded(peer, net.charge)
    had = line.evidence if operation == "evidence" else int(line.status == "lost")
    assert had == effects or (fault, operation) == ("decline", "evidence")
    assert (await caller.fired()) == {fault: 1}
    assert type(await call()) is repeated
    if isinstance(first, port.Settled):
        assert first.amount_minor == 86118 + (fault == "wrong_amount")


LIVES: dict[str, tuple[tuple[port.DisputeAction, str, int], ...]] = {
    "won, then lost": (
        ("chargeback", "opened", 1),
        ("chargeback_won", "won", 1),
        ("chargeback_reopened", "reopened", 2),
        ("chargeback_lost", "lost", 2),
    ),
    "lost, won back, lost again": (
        ("chargeback", "opened", 1),
        ("chargeback_lost", "lost", 1),
        ("chargeback_reversed", "reversed", 1),
        ("chargeback_reopened", "reopened", 2),
        ("chargeback_lost", "lost", 2),
    ),
    "withdrawn, reopened": (
        ("chargeback", "opened", 1),
        ("chargeback_withdrawn", "withdrawn", 1),
        ("chargeback_reopened", "reopened", 2),
        ("chargeback_won", "won", 2),
    ),
}


@pytest.mark.parametrize("life", LIVES)
async def test_a_case_goes_its_rounds(caller: Caller, life: str) -> None:
    net = await network(caller)
    seen = set()
    for action, status, round_ in LIVES[life]:
        told = await net.makes(action)
        assert (told.status, told.round) == (status, round_)
        assert await net.stands(told) == told
        seen.add(told.id)
    assert len(seen) == len(LIVES[life]), "each change has a name of its own"


@pytest.mark.parametrize(
    ("made", "refused"),
    [
        ((), ("chargeback_won", "chargeback_lost", "chargeback_reopened", "inquiry_escalated")),
        (("chargeback",), ("chargeback_reopened", "chargeback_reversed", "inquiry_won")),
        (("chargeback", "chargeback_won"), ("chargeback_lost", "chargeback_reversed")),
        (("chargeback", "chargeback_lost"), ("chargeback_won", "chargeback_reopened")),
        (("inquiry", "inquiry_won"), ("inquiry_escalated", "chargeback_won")),
    ],
)
async def test_what_does_not_fit_a_case_is_refused(
    caller: Caller,
    made: tuple[port.DisputeAction, ...],
    refused: tuple[port.DisputeAction, ...],
) -> None:
    net = await network(caller)
    for action in made:
        await net.makes(action)
    for action in refused:
        assert await net.does(action) == port.Unknown(reason="status_409")


async def test_a_network_may_grant_a_part_and_never_more(caller: Caller, peer: Peer) -> None:
    net = await network(caller, "pix")
    await net.makes("med")
    assert await net.does("med_lost", amount_minor=86_119) == port.Unknown(reason="status_409")
    lost = await net.makes("med_lost", amount_minor=20_000)
    assert lost.amount_minor == 20_000
    assert lost.rail_reference is not None
    assert lost.rail_reference[0] == "D"
    (line,) = await recorded(peer, net.charge)
    assert (line.amount_minor, line.taken_minor) == (86118, 20_000)


async def test_an_action_of_one_reference_is_done_once(caller: Caller) -> None:
    net = await network(caller)
    name = net.unique("S1")
    first = await net.does("chargeback", reference=name)
    assert isinstance(first, port.DisputeNotice)
    assert await net.does("chargeback", reference=name) == first
    assert await net.does("inquiry", reference=name) == port.Unknown(reason="status_409")


async def test_the_named_case_is_meant(caller: Caller) -> None:
    net = await network(caller)
    old = await net.makes("chargeback")
    await net.makes("chargeback_won")
    await net.makes("chargeback")
    lost = await net.does("chargeback_lost", case=old.case)
    assert lost == port.Unknown(reason="status_409")
    reopened = await net.does("chargeback_reopened", case=old.case)
    assert isinstance(reopened, port.DisputeNotice)
    assert (reopened.case, reopened.status) == (old.case, "reopened")


async def test_a_refund_that_covers_an_inquiry_ends_it_as_long_as_it_holds(caller: Caller) -> None:
    net = await network(caller)
    inquiry = await net.makes("inquiry", amount_minor=50_000)
    small = caller.refund_request(net.charge, 49_999)
    await caller.provider.refund(small)
    assert (await net.stands(inquiry)).status == "opened"
    cover = caller.refund_request(net.charge, 36_119)
    await caller.provider.refund(cover)
    assert (await net.stands(inquiry)).status == "withdrawn", "nothing is left to inquire about"
    await caller.provider.simulate_refund(caller.about(cover), "declined")
    again = await net.stands(inquiry)
    assert (again.status, again.round) == ("reopened", 2)


@pytest.mark.parametrize("kind", DUE)
async def test_a_charge_that_is_to_be_disputed_is_half_a_minute_after_it_completes(
    caller: Caller, peer: Peer, kind: port.DisputeKind
) -> None:
    request = caller.charge_request(METHOD[kind], simulate=kind)
    await caller.provider.charge(request)
    completes = request.book_time + (0 if METHOD[kind] == "card" else 6) * SECOND
    charged = await caller.provider.lookup_charge(caller.about(request, completes))
    assert isinstance(charged, port.Completed)
    assert await recorded(peer, request) == []
    opens_at = await caller.provider.next_change_at(book=caller.book, book_time=completes)
    assert charged.completed_at is not None
    assert opens_at == charged.completed_at + 30 * SECOND
    await caller.provider.next_change_at(book=caller.book, book_time=opens_at)
    (line,) = await recorded(peer, request)
    assert (line.kind, line.status) == (kind, "opened")


async def test_money_given_back_outside_is_one_refund_that_has_left(
    caller: Caller, peer: Peer
) -> None:
    net = await network(caller)
    asked = port.OutsideRefund(
        book=caller.book,
        book_time=caller.now(),
        charge_reference=net.charge.reference,
        amount_minor=30_000,
        reference=net.unique("O1"),
    )
    told = await caller.provider.refund_outside(asked)
    assert isinstance(told, port.RefundNotice)
    assert isinstance(told.finding, port.Settled)
    assert await caller.provider.refund_outside(asked) == told
    rest = msgspec.structs.replace(asked, amount_minor=None, reference=None)
    others = await caller.provider.refund_outside(rest)
    assert isinstance(others, port.RefundNotice)
    assert isinstance(others.finding, port.Settled)
    assert others.finding.amount_minor == 56_118
    assert await caller.provider.refund_outside(rest) == port.Unknown(reason="status_409")
    assert await peer.effects(net.charge.reference) == 2
    about = port.LookupRequest(
        book=caller.book,
        book_time=caller.now(),
        reference=others.finding.provider_reference,
        charge_reference=net.charge.reference,
    )
    found = await caller.provider.simulate_refund(about, "returned")
    assert isinstance(found, port.Returned), "it is known by the provider's name too"
    assert await peer.effects(net.charge.reference) == 1


async def test_every_change_of_a_case_is_told_and_named_as_a_look_up_names_it(
    tmp_path: Path,
) -> None:
    async with notified(tmp_path) as (caller, inbox, _):
        net = await network(caller)
        made = [await net.makes(action) for action in ("chargeback", "chargeback_lost")]
        received = await inbox.of(2)
        assert [read(caller, one) for one in received] == made


@pytest.mark.parametrize("fault", ["duplicate", "out_of_order"])
async def test_notices_of_cases_misbehave_as_scripted(tmp_path: Path, fault: str) -> None:
    async with notified(tmp_path) as (caller, inbox, _):
        await caller.fault("webhook", fault)
        net = await network(caller)
        opened = await net.makes("chargeback")
        won = await net.makes("chargeback_won")
        received = await inbox.of(3 if fault == "duplicate" else 2)
        expected = [opened, opened, won] if fault == "duplicate" else [won, opened]
        found = [read(caller, one) for one in received]
        assert sorted(found, key=repr) == sorted(expected, key=repr)
        if fault == "out_of_order":
            assert found == expected


async def test_what_is_on_its_way_is_counted_until_it_has_arrived(tmp_path: Path) -> None:
    async with notified(tmp_path) as (caller, inbox, _):
        net = await network(caller)
        await net.makes("chargeback")
        await inbox.of(1)
        untold = 1
        for _ in range(200):
            ahead = await caller.provider.look_ahead(book=caller.book, book_time=caller.now())
            assert ahead is not None
            assert ahead.next_at is not None
            untold = ahead.untold
            if untold == 0:
                break
        assert untold == 0


async def test_cases_outlive_the_process(own_peer: Peer) -> None:
    caller = Caller(own_peer.provider())
    net = await network(caller)
    case = await net.makes("chargeback")
    own_peer.kill()
    own_peer.start()
    await caller.provider.close()
    assert await net.stands(case) == case
    await caller.provider.close()
