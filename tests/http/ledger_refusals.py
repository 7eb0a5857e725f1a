"""Rows of the table of refusals on statements and proofs: the parameter at fault, or the claim."""

from collections.abc import Iterator
from typing import Final

from tests.http.asking import Row, get

_USUAL: Final = {
    "account": "pending",
    "currency": "USD",
    "from": "2026-01-01T00:00:00Z",
    "to": "2026-01-02T00:00:00Z",
}


def _ask(**changed: str | None) -> str:
    given = {name.rstrip("_"): value for name, value in changed.items()}
    query = "&".join(f"{name}={value}" for name, value in (_USUAL | given).items() if value)
    return f"/ledger/statement?{query}"


def ledger() -> Iterator[Row]:
    """Every parameter of a statement lacking, out of form, and at odds with the others."""
    for name in _USUAL:
        yield Row(f"statement without {name}", get(_ask(**{name: None})), "invalid_parameter", name)
    yield Row("statement of nothing", get("/ledger/statement"), "invalid_parameter", "account")
    yield Row("statement, twice", get(_ask() + "&to=x"), "invalid_parameter", "to")
    yield Row("statement, more", get(_ask(limit="1")), "invalid_parameter", "limit")
    for account in ("Pending", "pending%20", "provider:", "provider:none", "provider:a:b", "%27"):
        yield Row(f"account {account}", get(_ask(account=account)), "invalid_parameter", "account")
    ask = get(_ask(account="frozen", currency="MXN"))
    yield Row("no such account in MXN", ask, "invalid_parameter", "account")
    for currency in ("usd", "EUR", "XXX", "US", "USDT"):
        yield Row(f"in {currency}", get(_ask(currency=currency)), "invalid_parameter", "currency")
    for value in ("2026-01-02", "now", "1767225600", "2026-01-02T00:00:00", "2026-13-01T00:00:00Z"):
        for name in ("from", "to"):
            ask = get(_ask(**{name: value}))
            yield Row(f"statement {name} {value}", ask, "invalid_parameter", name)
    for to in ("2026-04-03T00:00:00.001Z", "2025-12-31T23:59:59.999Z", "2027-01-01T00:00:00Z"):
        yield Row(f"statement to {to}", get(_ask(to=to)), "invalid_parameter", "to")
    for name in ("{absent_claim}", "{foreign_claim}", "{spei}", "CLM-1", "x"):
        yield Row(f"proof of {name}", get(f"/ledger/proof?claimId={name}"), "not_found")
    yield Row("proof, more", get("/ledger/proof?x=1"), "invalid_parameter", "x")
    yield Row("proof of no claim", get("/ledger/proof?claimId="), "invalid_parameter", "claimId")
    for path in ("/ledger/proof", _ask()):
        ask = get(path, key="reader")
        yield Row(f"reader {path}", ask, "scope_missing", None, {"scope": "ledger:read"})
