"""The form in which owners change a book's terms: what is wrong stands beside its field.

The terms are read and changed by the functions of the command line. The form knows what it was
filled from: where somebody else was faster nothing is overwritten, and what holds is shown anew.
"""

from collections.abc import Mapping
from typing import Final

from starlette.responses import Response

from clawback.dashboard import people, terms
from clawback.dashboard.guard import BookPage, Visit
from clawback.dashboard.roles import TERMS
from clawback.payments.settling import UTC_HOURS
from clawback.providers.methods import Method, load_methods

_NAMES: Final = frozenset(term.name for term in terms.TERMS)
_BPS_E4: Final = 100


async def show(visit: Visit) -> Response:
    """The form with what holds."""
    return await _form(visit, {}, {})


async def save(visit: Visit) -> Response:
    """Change what was typed anew, or say beside each field what is wrong."""
    given = {
        name: text
        for name, text in visit.form.items()
        if name in _NAMES or name.startswith(terms.FEE)
    }
    place, by = people.place_of(visit.held.book), people.By(visit.person.actor)
    try:
        async with visit.house.services.writer() as connection:
            await terms.change(connection, place, given, by, visit.form.get("lookedAt", ""))
    except terms.TermsRefused as refused:
        return await _form(visit, given, refused.faults)
    except terms.TermsMoved:
        return await _form(visit, {}, {}, has_moved=True)
    return visit.go("/settings")


async def _form(
    visit: Visit,
    given: Mapping[str, str],
    faults: Mapping[str, terms.Fault],
    *,
    has_moved: bool = False,
) -> Response:
    async with visit.house.services.reader() as connection:
        columns = await terms.load(connection, people.place_of(visit.held.book))
    held = {name: "" if text == terms.NONE else text for name, text in terms.typed(columns).items()}
    said = {
        name: visit.speech.say(fault.text, least=fault.least, most=fault.most)
        for name, fault in faults.items()
    }
    return visit.page(
        "terms.html",
        422 if faults or has_moved else 200,
        values={**held, **given},
        faults=said,
        has_moved=has_moved,
        looked_at=visit.form.get("lookedAt", "") if faults else terms.stamp(columns),
        countries=sorted(UTC_HOURS),
        methods=[(one, own_fee(one)) for one in load_methods().all],
    )


def own_fee(method: Method) -> str:
    """What a method costs where a book says nothing, as it is typed."""
    return terms.shown_fee((method.fee_bps * _BPS_E4, method.fee_fixed_usd_e4))


PAGES: Final = (
    BookPage("/settings/book", show, TERMS),
    BookPage("/settings/book", save, TERMS, method="POST"),
)
