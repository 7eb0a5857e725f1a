"""The refusals of the calls that decide a claim, and of batches of refunds."""

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
    body = '{"rail":"spei","holderName":"A","account":"999180000000100178"}'
    says = {"fields": [{"field": "account", "rule": "check_digit"}]}
    ask = post("/claims/{waiting}/payer-details", body)
    yield Row("a wrong CLABE", ask, "payer_details_invalid", None, says)
    ask = post("/claims/{released}/payer-details", body)
    yield Row("details of what is out", ask, "claim_transition_invalid", None, as_is)
    for body, code in (
        ("", "missing_field"),
        ("{}", "missing_field"),
        ('{"rail":"wire"}', "invalid_field"),
    ):
        ask = post("/claims/{waiting}/payer-details", body)
        yield Row(f"payer details {body}", ask, code, "rail")
    for body, code in (("{}", "missing_field"), ('{"reason":1}', "invalid_field")):
        yield Row(f"reject {body}", post("/claims/{waiting}/reject", body), code, "reason")


def batches() -> Iterator[Row]:
    """Requests that are no batch, and batches that must not be done."""
    for text, line in (
        ("", 1),
        ("transactionId\n", 1),
        ("id\nx\n", 1),
        ("transactionId,amount\nx\n", 2),
        ('transactionId\nx\n"y\n', 3),
    ):
        ask = post("/refunds/batch", text, Content_Type="text/csv")
        yield Row(f"CSV {text!r}", ask, "invalid_csv", None, {"line": line})
    yield Row("a batch, no body", post("/refunds/batch", ""), "invalid_json")
    for body, code, param in (
        ("{}", "missing_field", "rows"),
        ('{"rows":[]}', "invalid_field", "rows"),
        ('{"rows":[{"x":1}]}', "unknown_field", "rows[0].x"),
        ('{"rows":[{"amount":1,"amount":1}]}', "duplicate_key", None),
        ('{"commitToken":"bct_none"}', "commit_token_invalid", "commitToken"),
    ):
        yield Row(f"batch {body}", post("/refunds/batch", body), code, param)
    body = '{"rows":[{"transactionId":"TXN-MP331BTF-R308"},{"amount":1}],"allOrNothing":true}'
    says = {"rows": [{"row": 1, "code": "not_found"}, {"row": 2, "code": "missing_field"}]}
    yield Row("all or nothing", post("/refunds/batch", body), "batch_refused", None, says)
