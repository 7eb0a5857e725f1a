"""Giving money back by hand: how much, what it comes to, a last look, then the API's own call.

Three steps, each a page that also fits into a dialog: the form, the confirmation, which names the
amount and the payer and asks the preflight again, and the refund itself. Each confirmation carries
an idempotency key and what was left when it was shown, so that neither a second click nor a stale
screen gives anything back that was not seen.
"""

import re
from typing import Any, Final

import msgspec
from starlette.responses import Response

from clawback.dashboard.asking import Json
from clawback.dashboard.guard import BookPage, Visit
from clawback.dashboard.payments import read_payment
from clawback.dashboard.roles import REFUND
from clawback.errors import Refused
from clawback.http.answers import render_refusal
from clawback.ids import opaque

REASONS: Final = ("requested_by_customer", "duplicate", "fraudulent", "other")
_NUMBER: Final = re.compile(r"[0-9]{1,15}(\.[0-9]{1,6})?", re.ASCII)


def amount_of(text: str) -> msgspec.Raw | str:
    """What was typed, as the number that it is; anything else as it is, for the API to refuse."""
    plain = text.strip()
    if _NUMBER.fullmatch(plain) is None:
        return plain
    whole, dot, rest = plain.partition(".")
    return msgspec.Raw(f"{whole.lstrip('0') or '0'}{dot}{rest}".encode())


def explained(refused: Refused) -> Json:
    """A refusal as the API says it, for a page to show."""
    _, body = render_refusal(refused, "")
    error: Json = msgspec.json.decode(body)["error"]
    return error


async def ask_how_much(visit: Visit) -> Response:
    """The form, with what may be given back."""
    return await _form(visit, visit.query.get("amount", ""), visit.query.get("reason", ""))


async def _form(
    visit: Visit, amount: str, reason: str, error: Json | None = None, status: int = 200
) -> Response:
    payment = await read_payment(visit.ask, visit.path["id"])
    if isinstance(payment, Refused):
        return visit.refused(payment)
    ability = await visit.ask.get(f"/payments/{payment['id']}/refundability")
    return visit.page(
        "refund.html",
        status,
        payment=payment,
        ability=ability,
        amount=amount,
        reason=reason,
        reasons=REASONS,
        error=error,
    )


async def confirm(visit: Visit) -> Response:
    """The last look: amount in both currencies, the payer, what it waits for, what is left."""
    amount, reason = visit.query.get("amount", ""), _reason(visit.query)
    payment = await read_payment(visit.ask, visit.path["id"])
    if isinstance(payment, Refused):
        return visit.refused(payment)
    given: Any = amount_of(amount)
    asked = bytes(given).decode() if isinstance(given, msgspec.Raw) else given
    ability = await visit.ask.get(f"/payments/{payment['id']}/refundability", amount=asked or "-")
    if isinstance(ability, Refused):
        return await _form(visit, amount, reason, explained(ability), 422)
    if not ability["allowed"]:
        return await _form(visit, amount, reason, {"reasons": ability["reasons"]}, 422)
    return visit.page(
        "refund_confirm.html",
        payment=payment,
        ability=ability,
        amount=asked,
        reason=reason,
        key=opaque("dash-", size=16),
    )


def _reason(given: dict[str, str]) -> str:
    """What was chosen, and what was written beside it."""
    chosen, written = given.get("reason", ""), given.get("note", "").strip()
    return f"{chosen}: {written}"[:500] if chosen and written else (chosen or written)[:500]


async def refund(visit: Visit) -> Response:
    """The refund. What the API refuses is said on the form, with what was typed."""
    form = visit.form
    body: dict[str, object] = {"amount": amount_of(form.get("amount", ""))}
    if form.get("reason"):
        body["reason"] = form["reason"]
    if form.get("remaining"):
        body["expectedRemaining"] = amount_of(form["remaining"])
    payment_id = visit.path["id"]
    key = form.get("key") or None
    found = await visit.ask.do("POST", f"/payments/{payment_id}/refund", body, key)
    if isinstance(found, Refused):
        given = (form.get("amount", ""), form.get("reason", ""))
        return await _form(visit, *given, explained(found), 422)
    return visit.go(f"/claims/{found['refundId']}")


PAGES: Final = (
    BookPage("/payments/{id}/refund", ask_how_much, REFUND),
    BookPage("/payments/{id}/refund/confirm", confirm, REFUND),
    BookPage("/payments/{id}/refund", refund, REFUND, method="POST"),
)
