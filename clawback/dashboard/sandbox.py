"""The sandbox, in test books only: payments made by hand, what happens to them, time, faults.

The same calls as the API's; a live book has no such pages at all. What is done to the clock and
which faults are set is noted in the book's acts.
"""

from typing import Final

from starlette.responses import Response

from clawback.dashboard import people
from clawback.dashboard.asking import Json
from clawback.dashboard.guard import BookPage, Visit
from clawback.dashboard.refunds import amount_of, explained
from clawback.dashboard.roles import SANDBOX
from clawback.errors import Refused
from clawback.ids import is_well_formed

ACTIONS: Final = (
    "paid", "processing", "failed", "expired", "refunded", "chargeback", "inquiry", "med",
    "chargeback_won", "chargeback_lost", "chargeback_withdrawn", "chargeback_reopened",
    "chargeback_reversed", "inquiry_won", "inquiry_escalated", "med_won", "med_lost",
    "refund_paid", "refund_failed", "refund_failed_late", "refund_paid_late",
)  # fmt: skip
OPERATIONS: Final = ("charge", "refund", "lookup", "evidence", "accept", "webhook")
FAULTS: Final = (
    "none", "decline", "unavailable", "rate_limited", "timeout_before_effect",
    "timeout_after_effect", "error_after_effect", "bad_body", "wrong_amount", "never_settles",
    "fails_after_3_days", "lost", "duplicate", "out_of_order", "late", "bad_signature",
)  # fmt: skip
SPANS: Final = {"1 h": 3_600, "1 d": 86_400, "2 d": 172_800, "7 d": 604_800, "30 d": 2_592_000}


async def show(
    visit: Visit, said: Json | None = None, error: Json | None = None, status: int = 200
) -> Response:
    """Everything that can be played."""
    moment = await visit.ask.get("/sandbox/clock")
    faults = await visit.ask.get("/sandbox/faults")
    methods = await visit.ask.get("/payment-methods")
    for one in (moment, faults, methods):
        if isinstance(one, Refused):
            return visit.refused(one)
    assert isinstance(faults, dict)
    assert isinstance(methods, dict)
    return visit.page(
        "sandbox.html",
        status,
        clock=moment,
        faults=faults["data"],
        methods=methods["methods"],
        actions=ACTIONS,
        operations=OPERATIONS,
        kinds=FAULTS,
        spans=SPANS,
        said=said,
        error=error,
        typed=visit.form,
    )


async def pay(visit: Visit) -> Response:
    """A payment of the payer's making."""
    form = visit.form
    method, _, country = form.get("method", "").partition(" ")
    body: dict[str, object] = {
        "amount": amount_of(form.get("amount", "")),
        "paymentMethodId": method,
        "country": country,
    }
    for name in ("merchantOrderId", "userName", "userEmail"):
        if form.get(name, "").strip():
            body[name] = form[name].strip()
    found = await visit.ask.do("POST", "/payments", body, form.get("key") or None)
    if isinstance(found, Refused):
        return await show(visit, None, explained(found), 422)
    return visit.go(f"/payments/{found['id']}")


async def simulate(visit: Visit) -> Response:
    """Something happens to a payment."""
    form = visit.form
    name = form.get("payment", "").strip().upper()
    body: dict[str, object] = {"action": form.get("action", "")}
    if form.get("amount", "").strip():
        body["amount"] = amount_of(form["amount"])
    if form.get("reason", "").strip():
        body["reason"] = form["reason"].strip()
    path = name if is_well_formed(name, "TXN-") else "TXN-00000000-0000"
    found = await visit.ask.do("POST", f"/payments/{path}/simulate", body)
    if isinstance(found, Refused):
        return await show(visit, None, explained(found), 422)
    return visit.go(f"/claims/{found['claimId']}" if found["claimId"] else f"/payments/{path}")


async def move_clock(visit: Visit) -> Response:
    """Time goes by in the book."""
    seconds = visit.form.get("seconds", "")
    given = int(seconds) if seconds in map(str, SPANS.values()) else 0
    found = await visit.ask.do("POST", "/sandbox/clock", {"advanceSeconds": given})
    if isinstance(found, Refused):
        return await show(visit, None, explained(found), 422)
    await _note(visit, "clock_moved", f"{given} s")
    return await show(visit, said=found)


async def _note(visit: Visit, action: str, text: str | None) -> None:
    """Note in the book's acts what was done to the book."""
    book, by = visit.held.book, people.By(visit.person.actor)
    async with visit.house.services.writer() as connection:
        await people.note(connection, people.place_of(book), action, book.book_id, by, text)


async def add_fault(visit: Visit) -> Response:
    """Coming calls go wrong."""
    form = visit.form
    operation, sequence = form.get("operation", ""), form.get("sequence", "").replace(",", " ")
    body: dict[str, object] = {
        "operation": operation,
        "sequence": sequence.split(),
        "repeat": form.get("repeat") == "true",
    }
    if form.get("payment", "").strip():
        body["transactionId"] = form["payment"].strip().upper()
    found = await visit.ask.do("POST", "/sandbox/faults", body)
    if isinstance(found, Refused):
        return await show(visit, None, explained(found), 422)
    await _note(visit, "fault_set", f"{operation}: {' '.join(sequence.split())}"[:500])
    return visit.go("/sandbox")


async def clear_faults(visit: Visit) -> Response:
    """All goes well again."""
    found = await visit.ask.do("DELETE", "/sandbox/faults", {})
    if isinstance(found, Refused):
        return visit.refused(found)
    await _note(visit, "faults_cleared", None)
    return visit.go("/sandbox")


PAGES: Final = (
    BookPage("/sandbox", show, SANDBOX, test_only=True),
    BookPage("/sandbox/payments", pay, SANDBOX, method="POST", test_only=True),
    BookPage("/sandbox/simulate", simulate, SANDBOX, method="POST", test_only=True),
    BookPage("/sandbox/clock", move_clock, SANDBOX, method="POST", test_only=True),
    BookPage("/sandbox/faults", add_fault, SANDBOX, method="POST", test_only=True),
    BookPage("/sandbox/faults/clear", clear_faults, SANDBOX, method="POST", test_only=True),
)
