"""The refusals of the calls that decide a claim: approve, reject."""

from collections.abc import Iterator

from tests.http.asking import Row, post


def decisions() -> Iterator[Row]:
    """Approving and rejecting what is out, what waits, and what one asked for oneself."""
    as_is: dict[str, object] = {"kind": "user_dispute", "status": "released", "pendingReason": None}
    for action, body in (("approve", "{}"), ("reject", '{"reason":"x"}')):
        ask = post(f"/claims/{{released}}/{action}", body)
        yield Row(f"{action} what is out", ask, "claim_transition_invalid", None, as_is)
        for name in ("absent_claim", "foreign_claim"):
            yield Row(f"{action} {name}", post(f"/claims/{{{name}}}/{action}", body), "not_found")
    waits: dict[str, object] = {"status": "pending", "pendingReason": "awaiting_payer_details"}
    ask = post("/claims/{waiting}/approve", "{}")
    yield Row("approve before the details", ask, "claim_transition_invalid", None, waits)
    ask = post("/claims/{waiting}/reject", '{"reason":"x"}')
    yield Row("reject what one asked for", ask, "self_approval")
    for body, code in (("{}", "missing_field"), ('{"reason":1}', "invalid_field")):
        yield Row(f"reject {body}", post("/claims/{waiting}/reject", body), code, "reason")
