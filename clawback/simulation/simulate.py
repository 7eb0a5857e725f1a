"""POST /payments/{id}/simulate: make something happen to a test payment (contract, section 12).

The sandbox provider is told, and what it answers is a fact like any other, recorded by the command
that also takes its notices: nothing here changes money by itself. The notice that follows finds
the fact there already. Under an idempotency key an action is done once, however often it is asked.
"""

import asyncio
from typing import Annotated, Final, cast

import msgspec

from clawback import clock
from clawback.claims.disputes import RecordDispute
from clawback.claims.ending import Changed
from clawback.claims.fold import RecordNotice, report
from clawback.claims.notices import dispute_fact, refund_fact
from clawback.claims.outside import RecordOutsideRefund
from clawback.currencies import exponent
from clawback.errors import IdempotencyInProgress, InvalidAmount, Refused, Unavailable
from clawback.ids import ClaimId, PaymentId
from clawback.lanes.records import Claim
from clawback.money import Amount, AmountError, positive
from clawback.payments import jobs
from clawback.payments.refusals import FieldInvalid
from clawback.providers import port
from clawback.route import Answer, Call, Kept, NoQuery, Route
from clawback.simulation import actions
from clawback.simulation.actions import Plan, ReadScene, Simulate
from clawback.simulation.api import reference_of

SENT_WAITS: Final = (0.02, 0.05, *(0.1,) * 20)
"""How long an approved refund is waited for that a worker is just sending, 2 s in all."""

PROVIDER: Final = "provider:sandbox"

_ENCODER: Final = msgspec.json.Encoder()


class SimulateBody(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """Fields of POST /payments/{id}/simulate. `amount` is in the payment's currency."""

    action: Annotated[str, msgspec.Meta(max_length=32)]
    amount: Amount | msgspec.UnsetType = msgspec.UNSET
    claim_id: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    reason: Annotated[str, msgspec.Meta(max_length=500)] | None = None


class Simulated(msgspec.Struct, frozen=True, rename="camel"):
    """What a simulated action came to."""

    transaction_id: str
    action: str
    status: str
    claim_id: str | None
    claim_status: str | None


SimulateCall = Call[SimulateBody, NoQuery]


async def simulate(call: SimulateCall) -> Answer | Refused:
    """Decide whether it fits, have the provider do it, record what it said, answer."""
    command = _command(call)
    if isinstance(command, Refused):
        return command
    kept: Kept[Plan] = Kept()
    outcome = await call.services.submit(call.book, command, kept, call.key)
    if isinstance(outcome, IdempotencyInProgress) and outcome.object_id is not None:
        claim_id = ClaimId(outcome.object_id) if outcome.object_id.startswith("CLM-") else None
        scene = ReadScene(payment_id=command.payment_id, claim_id=claim_id)
        outcome = await call.services.submit(call.book, scene, kept)
    if kept.value is None:
        return outcome
    done = await _done(call, _with_amount(kept.value, command))
    if done is None:
        refused = msgspec.structs.replace(command, is_refused=True)
        return await call.services.submit(call.book, refused, Kept[Plan]())
    if isinstance(done, Refused):
        return done

    def simulated(scene: Plan) -> Answer:
        return _simulated(scene, call.body.action)

    last = ReadScene(payment_id=command.payment_id, claim_id=done.claim_id)
    return await call.services.submit(call.book, last, simulated, call.key)


def _with_amount(plan: Plan, command: Simulate) -> Plan:
    """The plan of a resumed request too says how much; the precision was checked by the first."""
    if command.amount is None:
        return plan
    amount_minor = command.amount.minor(exponent(plan.payment.currency))
    return msgspec.structs.replace(plan, amount_minor=amount_minor)


def _command(call: SimulateCall) -> Simulate | Refused:
    """The request's shape. Refuses: FieldInvalid, InvalidAmount."""
    body = call.body
    if body.action not in actions.ACTIONS:
        return FieldInvalid(param="action")
    try:
        amount = None if body.amount is msgspec.UNSET else positive(body.amount)
    except AmountError as error:
        return InvalidAmount(param="amount", rule=error.rule, maximum=error.maximum)
    return Simulate(
        payment_id=PaymentId(call.path["id"]),
        action=body.action,
        claim_id=None if body.claim_id is None else ClaimId(body.claim_id),
        amount=amount,
    )


def _simulated(scene: Plan, action: str) -> Answer:
    claim = scene.claim
    done = Simulated(
        scene.payment.payment_id,
        action,
        scene.payment.status,
        None if claim is None else claim.claim_id,
        None if claim is None else claim.status,
    )
    return Answer(200, _ENCODER.encode(done))


class _Done(msgspec.Struct, frozen=True):
    """It has happened, to this claim if to any."""

    claim_id: ClaimId | None


_Ending = _Done | Refused | None
"""None: the provider says that it cannot be as things stand."""


async def _done(call: SimulateCall, plan: Plan) -> _Ending:
    payment = plan.payment
    account = call.services.provider_account(payment.provider, payment.provider_account)
    if account is None or account.mode != "test":
        return Unavailable()
    sandbox = cast("port.Sandbox", account.adapter)
    action = call.body.action
    if actions.charge_status(action) is not None:
        return await _charge(call, plan, sandbox)
    if actions.refund_status(action) is not None:
        return await _refund(call, plan, sandbox)
    if action == "refunded":
        return await _refund_outside(call, plan, sandbox)
    return await _dispute(call, plan, sandbox)


def _impossible(found: object) -> bool:
    """Whether the provider said that it cannot be; anything else that is no answer is a doubt."""
    return found == port.Unknown(reason="status_409")


async def _charge(call: SimulateCall, plan: Plan, sandbox: port.Sandbox) -> _Ending:
    status = actions.charge_status(call.body.action)
    assert status is not None, call.body.action
    about = _about_charge(call, plan)
    charged = await sandbox.simulate_charge(about, status)
    if isinstance(charged, port.Absent):  # it was stored here and never reached the provider
        await jobs.charge(sandbox, call.book, plan.payment, plan.now)
        charged = await sandbox.simulate_charge(about, status)
    if _impossible(charged):
        return None
    if not isinstance(charged, port.Charge):
        return Unavailable()
    outcome = await call.services.submit(
        call.book, jobs.recorded(plan.payment, charged), Kept[object]()
    )
    return outcome if isinstance(outcome, Refused) else _Done(None)


def _about_charge(call: SimulateCall, plan: Plan) -> port.LookupRequest:
    reference = _charge_reference(call, plan)
    return port.LookupRequest(
        book=call.book.book_id,
        book_time=plan.now,
        reference=reference,
        charge_reference=reference,
    )


async def _refund(call: SimulateCall, plan: Plan, sandbox: port.Sandbox) -> _Ending:
    status, claim = actions.refund_status(call.body.action), plan.claim
    assert status is not None, call.body.action
    assert claim is not None, "a refund action is about a claim"
    about = msgspec.structs.replace(
        _about_charge(call, plan), reference=_refund_reference(call, claim)
    )
    found = await sandbox.simulate_refund(about, status)
    for wait in SENT_WAITS:
        if not isinstance(found, port.Absent):
            break
        await asyncio.sleep(wait)
        found = await sandbox.simulate_refund(about, status)
    if _impossible(found) or isinstance(found, port.Absent):
        return None
    if not isinstance(found, port.Settled | port.Declined | port.Returned):
        return Unavailable()
    told = port.RefundNotice(
        id=f"{found.provider_reference or about.reference}_{status}_{claim.version}",
        reference=about.reference,
        charge_reference=about.charge_reference,
        finding=found,
        at=plan.now,
    )
    if claim.attempts == 0:
        return await _record_outside(call, plan.payment.payment_id, told)
    return await _record_refund(call, claim.claim_id, told)


def _charge_reference(call: SimulateCall, plan: Plan) -> str:
    name = plan.payment.payment_id
    return port.charge_reference(name, call.book.home_of(name))


def _refund_reference(call: SimulateCall, claim: Claim) -> str:
    """How the provider knows the refund: by our reference, or its own if it was made outside."""
    if claim.attempts == 0 and claim.provider_reference is not None:
        return claim.provider_reference
    return port.refund_reference(
        claim.claim_id, call.book.home_of(claim.claim_id), claim.generation
    )


async def _record_refund(
    call: SimulateCall, claim_id: ClaimId, notice: port.RefundNotice
) -> _Ending:
    fact = refund_fact("sandbox", "default", notice, claim_id, received_at=call.real_now)
    outcome = await call.services.submit(
        call.book,
        RecordNotice(
            claim_id=claim_id,
            fact=msgspec.structs.replace(fact, source="call"),
            report=report(notice.finding),
            actor=PROVIDER,
        ),
        Kept[object](),
    )
    return outcome if isinstance(outcome, Refused) else _Done(claim_id)


async def _refund_outside(call: SimulateCall, plan: Plan, sandbox: port.Sandbox) -> _Ending:
    told = await sandbox.refund_outside(
        port.OutsideRefund(
            book=call.book.book_id,
            book_time=plan.now,
            charge_reference=_charge_reference(call, plan),
            amount_minor=plan.amount_minor or plan.payment.remaining_minor or None,
            reference=reference_of(call),
        )
    )
    if _impossible(told):
        return None
    if not isinstance(told, port.RefundNotice):
        return Unavailable()
    return await _record_outside(call, plan.payment.payment_id, told)


async def _record_outside(
    call: SimulateCall, payment_id: PaymentId, told: port.RefundNotice
) -> _Ending:
    fact = refund_fact("sandbox", "default", told, payment_id, received_at=call.real_now)
    kept: Kept[Changed | None] = Kept()
    outcome = await call.services.submit(
        call.book,
        RecordOutsideRefund(
            payment_id=payment_id,
            claim_id=call.services.mint.claim(clock.milliseconds(call.real_now)),
            report=report(told.finding),
            fact=msgspec.structs.replace(fact, source="call"),
            actor=PROVIDER,
            reason=call.body.reason,
        ),
        kept,
    )
    return _touched(outcome, kept)


def _touched(outcome: Answer | Refused, kept: "Kept[Changed | None]") -> _Ending:
    """What a fact about a case or an outside refund touched."""
    if isinstance(outcome, Refused):
        return outcome
    return _Done(None if kept.value is None else kept.value.claim.claim_id)


async def _dispute(call: SimulateCall, plan: Plan, sandbox: port.Sandbox) -> _Ending:
    told = await sandbox.simulate_dispute(
        port.DisputeSimulation(
            book=call.book.book_id,
            book_time=plan.now,
            charge_reference=_charge_reference(call, plan),
            action=actions.dispute_action(call.body.action),
            amount_minor=plan.amount_minor,
            case=None if plan.claim is None else plan.claim.provider_reference,
            reason=call.body.reason,
            reference=reference_of(call),
        )
    )
    if _impossible(told):
        return None
    if not isinstance(told, port.DisputeNotice):
        return Unavailable()
    payment_id = plan.payment.payment_id
    fact = dispute_fact("sandbox", "default", told, payment_id, received_at=call.real_now)
    kept: Kept[Changed | None] = Kept()
    outcome = await call.services.submit(
        call.book,
        RecordDispute(
            payment_id=payment_id,
            claim_id=call.services.mint.claim(clock.milliseconds(call.real_now)),
            notice=told,
            fact=msgspec.structs.replace(fact, source="call"),
            actor=PROVIDER,
        ),
        kept,
    )
    return _touched(outcome, kept)


ROUTES: Final = (
    Route(
        "POST",
        "/payments/{id}/simulate",
        simulate,
        "sandbox:use",
        "Make something happen to a test payment",
        Simulated,
        body=SimulateBody,
        errors=("not_found", "invalid_amount", "simulate_not_possible"),
        sandbox_only=True,
    ),
)
