"""The table of refusals: every row of the contract's section 3 that a request can reach.

Grouped by the contract's steps. Where a value must be accepted, it is sent for a payment that is
not captured yet: the answer `payment_not_refundable` says that its form was taken, and nothing is
changed by it.
"""

from collections.abc import Iterator
from typing import Final

from tests.http.asking import Ask, Row, get, pay, post, raw, refund
from tests.http.claim_refusals import batches, decisions
from tests.http.ledger_refusals import ledger
from tests.http.refused_webhooks import webhooks

MXN: Final = {"currency": "MXN"}
SPEI: Final = '"paymentMethodId":"sbx_spei","country":"MX"'
DIGITS_15: Final = "123456789012345"


def amounts() -> Iterator[Row]:
    """The money rules with their borders, on a refund."""
    for rule, texts in {
        "not_a_number": ('"10"', "null", "true", "false", "{}", "[]", "[10]", '"NaN"', '""',
                         '" 10 "', '"1_0"', '{"amount":10}'),
        "not_positive": ("0", "0.0", "-0", "-0.0", "-1", "-0.01", "0e5", "-1e3", "0.00e-9"),
        "too_large": ("1000000000000", "1e12", "1.0e12", "999999999999999", "1e15",
                      "1000000000000.01"),
        "digits": (DIGITS_15 + "6", "0.1234567890123456", "1." + "0" * 31, "1" * 33, "9" * 5000,
                   "1e" + "9" * 5000, "-" + "1" * 16, "1234567890.1234567", "1" + "0" * 15),
        "exponent": ("1e16", "1e-16", "1E+16", "1e400", "1e-400", "0e16", "1e999999"),
        "precision": ("10.005", "0.001", "1e-3", "1e-15", "861.181", "10.0050"),
    }.items():  # fmt: skip
        for text in texts:
            body = f'{{"amount":{text}}}'
            name = f"amount {text[:40]}"
            yield Row(name, refund(body), "invalid_amount", "amount", {"rule": rule})
    says = {"rule": "too_large", "maximum": 1_000_000_000_000}
    yield Row("its maximum", refund('{"amount":1e12}'), "invalid_amount", "amount", says)
    says = {"rule": "precision", "decimals": 2}
    yield Row("its decimals", refund('{"amount":1.001}'), "invalid_amount", "amount", says)
    for text in ("10.5", "0.1", "1e-1", "47108.01"):
        says = {"rule": "precision", "decimals": 0}
        ask = refund(f'{{"amount":{text}}}', "clp")
        yield Row(f"CLP {text}", ask, "invalid_amount", "amount", says)
    for text in ("10", "10.000", "1e1", "1.0E+1", "0.01", "1e-2", "999999999999.99", "1" + "0" * 11,
                 "10." + "0" * 28, "0.10e2", "123456789012.34"):  # fmt: skip
        ask = refund(f'{{"amount":{text}}}', "pending")
        yield Row(f"taken: amount {text}", ask, "payment_not_refundable")
    over = {"remaining": 47108, "captured": 47108, "claimed": 0, "currency": "CLP"}
    ask = refund('{"amount":47109.0}', "clp")
    yield Row("CLP 47109.0", ask, "refund_exceeds_remaining", "amount", over)


def guards() -> Iterator[Row]:
    """`expectedRemaining`: the same rules, but zero is allowed."""
    where = "expectedRemaining"
    for rule, text in (("not_a_number", '"1"'), ("not_a_number", "null"), ("not_positive", "-0.01"),
                       ("too_large", "1e12"), ("digits", DIGITS_15 + "1"), ("exponent", "1e16"),
                       ("precision", "861.185")):  # fmt: skip
        ask = refund(f'{{"amount":10,"{where}":{text}}}')
        yield Row(f"{where} {text}", ask, "invalid_amount", where, {"rule": rule})
    for text in ("0", "861.17", "861.19", "10"):
        says = {"expected": float(text), "remaining": 861.18, "currency": "MXN"}
        ask = refund(f'{{"amount":10,"{where}":{text}}}')
        yield Row(f"{where} {text}", ask, "remaining_changed", where, says)
    ask = refund(f'{{"amount":900,"{where}":900}}')
    yield Row("a guard comes before the cap", ask, "remaining_changed", where)
    ask = refund(f'{{"amount":861.19,"{where}":861.18}}')
    yield Row("a guard that holds", ask, "refund_exceeds_remaining", "amount")
    ask = refund('{"amount":10.001,"expectedRemaining":10.001}')
    yield Row("both imprecise", ask, "invalid_amount", "amount", {"rule": "precision"})


def payment_amounts() -> Iterator[Row]:
    """The USD amount of a payment."""
    for rule, texts in {
        "not_a_number": ('"50"', "null", "[]"),
        "not_positive": ("0", "-50"),
        "too_large": ("100000.01", "100001", "1e6"),
        "precision": ("50.001", "0.001", "1e-3"),
        "digits": ("1" * 16,),
        "exponent": ("1e16",),
    }.items():
        for text in texts:
            ask = pay(f'{{"amount":{text},{SPEI}}}')
            yield Row(f"pay {text}", ask, "invalid_amount", "amount", {"rule": rule})
    says = {"rule": "too_large", "maximum": 100_000}
    ask = pay(f'{{"amount":100000.01,{SPEI}}}')
    yield Row("pay: its maximum", ask, "invalid_amount", "amount", says)
    for text in ("100000", "1e5", "0.01", "50.00"):
        ask = pay(f'{{"amount":{text},"paymentMethodId":"sbx_none"}}')
        yield Row(f"taken: pay {text}", ask, "payment_method_unavailable", "paymentMethodId")


BAD_JSON: Final = {
    "empty": b"", "blanks": b" \r\n\t ", "null": b"null", "a list": b"[]", "a text": b'"x"',
    "a number": b"10", "true": b"true", "cut": b'{"amount":10', "more behind": b'{"amount":10}x',
    "two objects": b'{"amount":10}{"amount":10}', "a comma too many": b'{"amount":10,}',
    "single quotes": b"{'amount':10}", "a comment": b'{"amount":10}//x', "NaN": b'{"amount":NaN}',
    "Infinity": b'{"amount":Infinity}', "minus Infinity": b'{"amount":-Infinity}',
    "leading zero": b'{"amount":010}', "plus": b'{"amount":+10}', "no whole part": b'{"amount":.5}',
    "no fraction": b'{"amount":1.}', "hexadecimal": b'{"amount":0x10}',
    "underscore": b'{"amount":1_0}', "Arabic digits": '{"amount":\u0661\u0660}'.encode(),
    "fullwidth digits": '{"amount":\uff11\uff10}'.encode(), "a mark": b'\xef\xbb\xbf{"amount":10}',
    "UTF-16": '{"amount":10}'.encode("utf-16"), "Latin-1": b'{"reason":"\xe9"}',
    "overlong": b'{"reason":"\xc0\xaf"}', "a raw surrogate": b'{"reason":"\xed\xa0\x80"}',
    "a lone surrogate": b'{"reason":"\\ud800"}', "a lone low one": b'{"reason":"x\\udfffx"}',
    "surrogates reversed": b'{"reason":"\\udc00\\ud800"}', "NUL": b'{"reason":"a\\u0000b"}',
    "a raw NUL": b'{"reason":"a\x00b"}', "a raw control": b'{"reason":"a\x01b"}',
    "a raw line end": b'{"reason":"a\nb"}', "NUL in a name": b'{"rea\\u0000son":"x"}',
    "too deep": b'{"reason":' + b"[" * 32 + b"]" * 32 + b"}",
    "far too deep": b'{"reason":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "deep and unknown": b'{"x":' + b'{"x":' * 40 + b"1" + b"}" * 41,
    "a surrogate in an unknown field": b'{"x":"\\ud800"}', "a form": b"amount=10",
    "also twice": b'{"amount":10,"amount":10,"reason":"\\ud800"}',
}  # fmt: skip
TWICE: Final = {
    "amount": b'{"amount":10,"amount":20}', "the same": b'{"amount":10,"amount":10}',
    "escaped": b'{"amount":10,"am\\u006funt":20}', "texts": b'{"reason":"a","reason":"b"}',
    "behind a quote": b'{"reason":"x\\"","reason":"y"}', "unknown": b'{"x":1,"x":2}',
    "apart": b'{"amount":10,"reason":"a:b","amount":10}', "inside": b'{"x":{"y":1,"y":2}}',
    "blanks": b'{"amount" :10,"amount"\n:20}', "colons": b'{"reason":":","reason":":"}',
    "in a list": b'{"amount":10,"x":[{"y":1,"y":1}]}',
}  # fmt: skip


def json_rules() -> Iterator[Row]:
    """What is no JSON to us, and names that come twice."""
    for name, body in BAD_JSON.items():
        yield Row(f"JSON: {name}", refund(body), "invalid_json")
        if body.strip():
            yield Row(f"JSON of a payment: {name}", pay(body), "invalid_json")
    for name, body in TWICE.items():
        yield Row(f"twice: {name}", refund(body), "duplicate_key")
    ask = pay('{"amount":50,"metadata":{"a":"1","a":"2"}}')
    yield Row("twice: metadata", ask, "duplicate_key")
    deep = b'{"reason":' + b"[" * 31 + b"]" * 31 + b"}"
    yield Row("deep enough", refund(deep), "invalid_field", "reason")
    for text in ("\\ud83d\\ude00", "a\\tb", "é😀", '\\"{}:,\\\\', '{\\"amount\\":1}'):
        ask = refund(f'{{"amount":10,"reason":"{text}"}}', "pending")
        yield Row(f"taken: reason {text}", ask, "payment_not_refundable")


def fields() -> Iterator[Row]:
    """Unknown, missing and wrong fields."""
    for name in ("amuont", "Amount", "refundId", "transactionId", "amountUsd", "currency", "status",
                 "createdAt", "id", "bookId", "", "__proto__"):  # fmt: skip
        ask = refund(f'{{"amount":10,"{name}":1}}')
        yield Row(f"unknown {name}", ask, "unknown_field", name)
    errors: list[dict[str, str]] = [
        {"param": name, "code": "unknown_field"} for name in ("alpha", "zeta")
    ]
    ask = refund('{"zeta":1,"alpha":2}')
    yield Row("two unknown", ask, "unknown_field", "alpha", {"errors": errors})
    errors = [
        {"param": "zeta", "code": "unknown_field"},
        {"param": "reason", "code": "invalid_field"},
        {"param": "amount", "code": "invalid_amount"},
    ]
    ask = refund('{"amount":"10","reason":5,"zeta":1}')
    yield Row("one of each", ask, "unknown_field", "zeta", {"errors": errors})
    many = ",".join(f'"f{number:02}":1' for number in range(25))
    errors = [{"param": f"f{number:02}", "code": "unknown_field"} for number in range(20)]
    says = {"errors": errors}
    yield Row("many unknown", refund(f"{{{many}}}"), "unknown_field", "f00", says)
    for value in ("5", "{}", "[]", "true", '"' + "x" * 501 + '"', '"' + "😀" * 501 + '"'):
        ask = refund(f'{{"amount":10,"reason":{value}}}')
        yield Row(f"reason {value[:10]}", ask, "invalid_field", "reason")
    for value in ('"' + "😀" * 500 + '"', '""', "null"):
        ask = refund(f'{{"amount":10,"reason":{value}}}', "pending")
        yield Row(f"taken: reason {value[:10]}", ask, "payment_not_refundable")
    ask = post("/claims/{released}/cancel", '{"reason":1}')
    yield Row("cancel: reason", ask, "invalid_field", "reason")
    ask = post("/claims/{released}/cancel", '{"resaon":"x"}')
    yield Row("cancel: unknown", ask, "unknown_field", "resaon")


def payment_fields() -> Iterator[Row]:
    """The fields of a payment, and which methods there are."""
    long = {"userName": 120, "userEmail": 254, "userPhone": 32, "documentType": 16,
            "documentId": 32, "merchantOrderId": 128}  # fmt: skip
    for name, most in long.items():
        for value in ('"' + "x" * (most + 1) + '"', "5", "{}"):
            ask = pay(f'{{"amount":50,{SPEI},"{name}":{value}}}')
            yield Row(f"{name} {value[:8]}", ask, "invalid_field", name)
    for value in ("http://shop.example", "ftp://x", "javascript:alert(1)", "shop", "https://",
                  "https://" + "x" * 2041):  # fmt: skip
        ask = pay(f'{{"amount":50,{SPEI},"returnUrl":"{value}"}}')
        yield Row(f"returnUrl {value[:20]}", ask, "invalid_field", "returnUrl")
    keys = ",".join(f'"k{number}":"v"' for number in range(21))
    for value in (f"{{{keys}}}", '{"' + "k" * 41 + '":"v"}', '{"":"v"}', '{"k":5}', '{"k":null}',
                  '{"k":"' + "v" * 501 + '"}', "[]", '"x"', '{"k":{"x":"y"}}'):  # fmt: skip
        ask = pay(f'{{"amount":50,{SPEI},"metadata":{value}}}')
        yield Row(f"metadata {value[:12]}", ask, "invalid_field", "metadata…")
    for name, body, param in (
        ("no amount", f"{{{SPEI}}}", "amount"),
        ("empty", "", "amount"),
        ("no method", '{"amount":50}', "paymentMethodId"),
        ("null method", '{"amount":50,"paymentMethodId":null}', "paymentMethodId"),
        ("a slug without country", '{"amount":50,"paymentMethod":"spei"}', "country"),
        ("many countries", '{"amount":50,"paymentMethodId":"sbx_card"}', "country"),
    ):
        yield Row(f"pay: {name}", pay(body), "missing_field", param)
    ask = pay('{"amount":50,"paymentMethodId":"sbx_spei","paymentMethod":"pix"}')
    yield Row("pay: they disagree", ask, "invalid_field", "paymentMethod")
    for body, param in (
        ('"paymentMethodId":"sbx_none"', "paymentMethodId"),
        ('"paymentMethodId":"sbx_spei","country":"BR"', "country"),
        ('"paymentMethodId":"sbx_spei","country":"XX"', "country"),
        ('"paymentMethod":"spei","country":"CL"', "paymentMethod"),
        ('"paymentMethod":"none","country":"MX"', "paymentMethod"),
    ):
        ask = pay(f'{{"amount":50,{body}}}')
        yield Row(f"pay: {body}", ask, "payment_method_unavailable", param)
    ask = pay(f'{{"amount":50,{SPEI}}}', key="live")
    yield Row("pay: sandbox with a live key", ask, "payment_method_unavailable", "paymentMethodId")
    ask = pay(f'{{"amount":50,{SPEI}}}', Sandbox_Simulate="med")
    yield Row("pay: med on spei", ask, "invalid_parameter", "Sandbox-Simulate")


def simulations() -> Iterator[Row]:
    """POST /payments/{id}/simulate."""
    path = "/payments/{pending}/simulate"
    for body, code, param in (
        ("", "missing_field", "action"),
        ("{}", "missing_field", "action"),
        ('{"action":null}', "missing_field", "action"),
        ('{"action":"nope"}', "invalid_field", "action"),
        ('{"action":5}', "invalid_field", "action"),
        ('{"action":"paid","x":1}', "unknown_field", "x"),
        ('{"action":"paid","amount":"x"}', "invalid_amount", "amount"),
        ('{"action":"paid","reason":5}', "invalid_field", "reason"),
    ):
        yield Row(f"simulate {body}", post(path, body), code, param)
    for name, action in (("spei", "paid"), ("spei", "failed"), ("failed", "processing"),
                         ("expired", "failed"), ("processing", "processing")):  # fmt: skip
        ask = post(f"/payments/{{{name}}}/simulate", f'{{"action":"{action}"}}')
        says = {"action": action, "status": "completed" if name == "spei" else name}
        yield Row(f"simulate {action} on {name}", ask, "simulate_not_possible", None, says)
    ask = post("/payments/{spei}/simulate", '{"action":"paid"}', key="live")
    yield Row("simulate with a live key", ask, "sandbox_only")
    ask = pay(f'{{"amount":50,{SPEI}}}', key="live", Sandbox_Simulate="paid")
    yield Row("Sandbox-Simulate with a live key", ask, "sandbox_only")
    for value in ("nope", "PAID", ""):
        ask = pay(f'{{"amount":50,{SPEI}}}', Sandbox_Simulate=value)
        yield Row(f"Sandbox-Simulate {value}", ask, "invalid_parameter", "Sandbox-Simulate")
    ask = refund("{}", Sandbox_Simulate="paid")
    yield Row("Sandbox-Simulate elsewhere", ask, "invalid_parameter", "Sandbox-Simulate")


def states() -> Iterator[Row]:
    """What the payment or claim does not allow as it stands."""
    for name in ("pending", "processing", "failed", "expired"):
        says = {"status": name}
        yield Row(f"refund {name}", refund("{}", name), "payment_not_refundable", None, says)
    ask = refund('{"amount":10.005}', "pending")
    yield Row("precision before state", ask, "invalid_amount", "amount", {"rule": "precision"})
    over = {"remaining": 851.18, "captured": 861.18, "claimed": 10, **MXN}
    for body in ("{}", '{"amount":851.19}', '{"amount":861.18}', '{"amount":999999999999.99}'):
        ask = refund(body, "part")
        yield Row(f"more than is left {body}", ask, "refund_exceeds_remaining", "amount", over)
    over = {"remaining": 0, "captured": 861.18, "claimed": 861.18, **MXN}
    for body in ("{}", '{"amount":0.01}'):
        ask = refund(body, "spent")
        yield Row(f"nothing is left {body}", ask, "refund_exceeds_remaining", "amount", over)
    ask = refund('{"amount":861.19}')
    yield Row("a cent too many", ask, "refund_exceeds_remaining", "amount")
    for body in ('{"amount":1}', '{"amount":200624.99}'):
        ask = refund(body, "pse")
        yield Row(f"PSE {body}", ask, "partial_refund_not_supported", "amount")
    ask = refund("{}", "pse_done")
    yield Row("PSE again", ask, "multiple_refunds_not_supported", None, {"maxRefunds": 1})
    ask = refund('{"amount":1}', "pse_done")
    yield Row("PSE again, a part", ask, "partial_refund_not_supported", "amount")
    ask = refund('{"amount":1}', "card20")
    yield Row("card, the 21st", ask, "multiple_refunds_not_supported", None, {"maxRefunds": 20})
    ask = refund('{"amount":1}', "late", key="patient")
    yield Row("after the window", ask, "refund_window_closed")
    ask = refund('{"amount":862}', "late", key="patient")
    yield Row("after the window, too much", ask, "refund_window_closed")
    as_is: dict[str, object] = {"kind": "user_dispute", "status": "released", "pendingReason": None}
    ask = post("/claims/{released}/cancel", "{}")
    yield Row("cancel what is out", ask, "claim_transition_invalid", None, as_is)
    yield Row(
        "cancel, no body", post("/claims/{canceled}/cancel", None), "claim_transition_invalid"
    )
    for name, body, limit in (("a claim", '{"amount":17.23}', "maxClaimUsd"),
                              ("a day", '{"amount":8}', "maxDayUsd")):  # fmt: skip
        ask = refund(body, key="limited")
        yield Row(f"a key's limit for {name}", ask, "key_limit_exceeded", None, {"limit": limit})


def keys() -> Iterator[Row]:
    """Who calls, and whether they may."""
    for value in ("(none)", "Basic c2s6", "Bearer", "Bearer ", "{secret}", "Token {secret}"):
        ask = refund("{}", key="", Authorization=value)
        yield Row(f"Authorization {value}", ask, "missing_api_key")
    for value in ("x", "sk_test_" + "A" * 36, "{secret}x", "{secret} x", "{unknown}", "{revoked}",
                  "{expired_key}", "é" * 10, "{secret},{secret}", "SK_TEST_" + "A" * 36,
                  "' OR 1=1 --"):  # fmt: skip
        ask = refund("{}", key="", Authorization=f"Bearer {value}")
        yield Row(f"Bearer {value}", ask, "invalid_api_key")
    yield Row("key before body", refund("x", key="revoked"), "invalid_api_key")
    for path in ("/payments?key={secret}", "/payments/{secret}", "/claims?after={live}",
                 "/ping?x={publishable}"):  # fmt: skip
        yield Row(f"GET {path}", get(path), "key_in_url")
        yield Row(f"GET {path}, no key", get(path, key=""), "key_in_url")
    for ask in (
        refund("{}", key="publishable"),
        pay("{}", key="publishable"),
        get("/payments", key="publishable"),
        get("/me", key="publishable"),
        get("/events", key="publishable"),
        get("/claims/{released}", key="publishable", Clawback_Version="nope"),
    ):
        yield Row(f"publishable {ask.path}", ask, "key_kind_not_allowed")
    for scope, ask in (
        ("claims:write", refund("{}", key="reader")),
        ("claims:write", post("/claims/{released}/cancel", "{}", key="reader")),
        ("claims:write", refund("x", key="reader")),
        ("payments:write", pay("{}", key="reader")),
        ("sandbox:use", post("/payments/{pending}/simulate", "{}", key="reader")),
        ("claims:read", get("/claims", key="reader")),
        ("claims:read", get("/claims/{released}", key="reader")),
        ("balance:read", get("/me/balance", key="reader")),
        ("ledger:read", get("/ledger/accounts", key="reader")),
        ("ledger:read", get("/ledger/entries", key="reader")),
        ("events:read", get("/events", key="reader")),
    ):
        yield Row(f"{scope} {ask.path}", ask, "scope_missing", None, {"scope": scope})


def headers() -> Iterator[Row]:
    """Version, content type, idempotency key."""
    for value in ("2020-01-01", "latest", "", "2026-05-13", "2026-05-12,2026-05-12"):
        says = {"supported": ["2026-05-12"]}
        ask = refund("{}", Clawback_Version=value)
        yield Row(f"version {value}", ask, "invalid_version", None, says)
    yield Row("version before body", refund("x", Clawback_Version="1"), "invalid_version")
    for value in ("(none)", "text/plain", "application/x-www-form-urlencoded", "text/csv", "",
                  "multipart/form-data; boundary=x", "application/jsonx", "json"):  # fmt: skip
        yield Row(f"type {value}", refund("{}", Content_Type=value), "unsupported_media_type")
        yield Row(f"type {value}", pay("x", Content_Type=value), "unsupported_media_type")
    for value in ("gzip", "identity", "br", ""):
        yield Row(
            f"encoding {value}", refund("{}", Content_Encoding=value), "unsupported_media_type"
        )
    for value in ("", "x" * 256, "é", "a\tb", "\x80"):
        ask = refund("{}", Idempotency_Key=value)
        yield Row(f"key {value[:4]!r}", ask, "invalid_idempotency_key")
        yield Row(f"key {value[:4]!r}", pay("x", Idempotency_Key=value), "invalid_idempotency_key")
    for value in ("x" * 255, "!", "a b~"):
        ask = refund("{}", "pending", Idempotency_Key=value)
        yield Row(f"taken: key {value[:4]}", ask, "payment_not_refundable")
    ask = refund("{}", "strict_payment", key="strict")
    yield Row("a key is demanded", ask, "idempotency_key_required")
    yield Row("demanded before shape", pay("x", key="strict"), "idempotency_key_required")
    for value in ("application/json; charset=utf-8", "APPLICATION/JSON", "application/json;"):
        ask = refund("{}", "pending", Content_Type=value)
        yield Row(f"taken: type {value}", ask, "payment_not_refundable")
    for name, ask in (
        ("another amount", refund('{"amount":11}', "part", Idempotency_Key="part-key")),
        ("another payment", refund('{"amount":10}', Idempotency_Key="part-key")),
        ("no amount", refund('{"reason":"x"}', "part", Idempotency_Key="part-key")),
        ("an absent payment", refund('{"amount":10}', "absent", Idempotency_Key="part-key")),
        ("a name that is none", refund('{"amount":10}', "malformed", Idempotency_Key="part-key")),
    ):
        yield Row(f"key used for {name}", ask, "idempotency_conflict")


def queries() -> Iterator[Row]:
    """Query parameters."""
    for path, param in (
        ("/payments/{spei}/refund?x=1", "x"),
        ("/payments?x=1", "x"), ("/payments?limit=abc", "limit"), ("/payments?limit=1.5", "limit"),
        ("/payments?limit=5&limit=6", "limit"), ("/payments?offset=10001", "offset"),
        ("/payments?offset=1&after={spei}", "offset"), ("/payments?from=yesterday", "from"),
        ("/payments?from=2026-01-01T00:00:00", "from"), ("/payments?to=", "to"),
        ("/payments?disputed=maybe", "disputed"), ("/payments?limit=%D9%A1", "limit"),
        ("/payments?limit=0x10", "limit"), ("/payments?limit=1e1", "limit"),
        ("/payments?status=%00", "status"), ("/payments?status=%FF", None),
        ("/payments?status=paid", "status"), ("/payments?country=XX", "country"),
        ("/claims?status=open", "status"), ("/claims?kind=dispute", "kind"),
        ("/claims?pendingReason=x", "pendingReason"), ("/events?type=claim.", "type"),
        ("/claims?needsReview=x", "needsReview"), ("/claims?dueBefore=1", "dueBefore"),
        ("/payments?from=1", "from"), ("/payments?disputed=null", "disputed"),
        ("/payments?limit=null", "limit"), ("/payments?limit=5.0", "limit"),
        ("/claims?Limit=1", "Limit"), ("/events?after=evt_none", "after"),
        ("/events?limit=x", "limit"), ("/payment-methods?country=XX", "country"),
        ("/payment-methods?channel=NOPE", "channel"), ("/ping?x=1", "x"), ("/me?limit=1", "limit"),
        ("/payments/{spei}?expand=x", "expand"), ("/ledger/entries?limit=x", "limit"),
        ("/ledger/accounts?x=1", "x"), ("/me/balance?currency=USD", "currency"),
    ):  # fmt: skip
        ask = post(path, "{}") if "refund" in path else get(path)
        yield Row(f"query {path}", ask, "invalid_parameter", param)


def routes() -> Iterator[Row]:
    """Paths and methods."""
    for path in ("/nope", "/payments/", "/payments/{spei}/", "/payments//refund", "//payments",
                 "/payments/{spei}/refund/x", "/Payments", "/payments%2f{spei}", "/",
                 "/payments/%2e%2e/claims", "/payments/../claims", "/%70ayments",
                 "/payments;x", "/refunds"):  # fmt: skip
        yield Row(f"path {path}", get(path), "route_not_found")
    yield Row("path before key", get("/nope", key=""), "route_not_found")
    for method, path in (("PUT", "/payments"), ("DELETE", "/payments/{spei}"),
                         ("GET", "/payments/{spei}/refund"),
                         ("PATCH", "/claims/{released}"), ("POST", "/claims"), ("POST", "/ping"),
                         ("TRACE", "/payments"), ("DELETE", "/claims/{released}")):  # fmt: skip
        yield Row(f"{method} {path}", get(path, method=method), "method_not_allowed")
    yield Row("method before key", get("/payments", key="", method="PUT"), "method_not_allowed")


def transport() -> Iterator[Row]:
    """HTTP itself, and its sizes."""
    usual = "Content-Type: application/json\r\nContent-Length: 2"
    for name, lines in {
        "two keys": f"{usual}\r\nAuthorization: Bearer x",
        "two types": f"{usual}\r\nContent-Type: text/plain",
        "two hosts": f"{usual}\r\nHost: other.test",
        "two idempotency keys": f"{usual}\r\nIdempotency-Key: a\r\nIdempotency-Key: a",
        "two versions": f"{usual}\r\nClawback-Version: a\r\nClawback-Version: a",
        "two lengths": f"{usual}\r\nContent-Length: 2",
        "different lengths": f"{usual}\r\nContent-Length: 3",
        "length and chunks": f"{usual}\r\nTransfer-Encoding: chunked",
        "a blank before the colon": f"{usual}\r\nX-A : b",
        "a folded line": f"{usual}\r\nX-A: b\r\n c",
        "no colon": f"{usual}\r\nnonsense",
        "a length with a sign": "Content-Type: application/json\r\nContent-Length: +2",
        "a length in hex": "Content-Type: application/json\r\nContent-Length: 0x2",
        "a negative length": "Content-Type: application/json\r\nContent-Length: -2",
        "a control character": f"{usual}\r\nIdempotency-Key: a\x7fb",
        "a NUL": f"{usual}\r\nX-A: a\x00b",
        "a carriage return": f"{usual}\r\nX-A: a\rb",
        "an empty name": f"{usual}\r\n: b",
        "chunks and more": "Content-Type: application/json\r\nTransfer-Encoding: chunked, gzip",
    }.items():
        yield Row(f"HTTP: {name}", raw(lines, rest=b"{}"), "invalid_header")
    chunked = "Content-Type: application/json\r\nTransfer-Encoding: chunked"
    yield Row("HTTP: a bad chunk", raw(chunked, rest=b"xyz\r\n{}\r\n0\r\n\r\n"), "invalid_header")
    line = Ask("GET", "", raw=b"GET /api/v1/ping\r\n\r\n")
    yield Row("HTTP: no version", line, "invalid_header")
    line = Ask("GET", "", raw=b"NONSENSE\r\n\r\n")
    yield Row("HTTP: no request", line, "invalid_header")
    large = f"{usual}\r\nX-A: " + "x" * 33_000
    yield Row(
        "a large header", raw(large, rest=b"{}"), "headers_too_large", None, {"limit": 32_768}
    )
    many = usual + "".join(f"\r\nX-{number}: y" for number in range(101))
    yield Row("many headers", raw(many, rest=b"{}"), "headers_too_large")
    says = {"limit": 8_192}
    yield Row("a long address", get("/payments?status=" + "x" * 8_300), "uri_too_long", None, says)
    says = {"limit": 65_536}
    for name, ask in (
        ("sent", refund(b'{"amount":10}' + b" " * 65_524)),
        ("announced", raw("Content-Type: application/json\r\nContent-Length: 65537")),
        ("chunked", raw(chunked, rest=b"12000\r\n" + b" " * 0x12000 + b"\r\n0\r\n\r\n")),
        ("of no path", post("/nope", b" " * 65_537)),
    ):
        yield Row(f"a large body {name}", ask, "body_too_large", None, says)
    ask = refund(b'{"amount":10}' + b" " * 65_523, "pending")
    yield Row("taken: a body of 64 KiB", ask, "payment_not_refundable")


def notices() -> Iterator[Row]:
    """A provider's webhooks: the signature decides."""
    path = "/providers/sandbox/webhooks"
    for name, ask in (
        ("none", post(path, "{}", key="")),
        ("an API key", post(path, "{}")),
        ("nonsense", post(path, "{}", key="", webhook_id="x", webhook_timestamp="1",
                          webhook_signature="v1,eA==")),
        ("no comma", post(path, "{}", key="", webhook_id="x", webhook_timestamp="{now}",
                          webhook_signature="eA==")),
        ("not ASCII", post(path, "{}", key="", webhook_id="é", webhook_timestamp="{now}",
                           webhook_signature="v1,é")),
        ("of another body", post(path, "{ }", key="", webhook_id="msg", webhook_timestamp="{now}",
                                 webhook_signature="{signed}")),
    ):  # fmt: skip
        yield Row(f"signature: {name}", ask, "invalid_signature")
    ask = post(path, "{}", key="", webhook_id="msg", webhook_timestamp="{old}",
               webhook_signature="{signed_old}")  # fmt: skip
    yield Row("signature: an old one", ask, "stale_timestamp")
    for where in ("/providers/nobody/webhooks", f"{path}?account=nobody"):
        yield Row(f"webhook {where}", post(where, "{}", key=""), "route_not_found")
    ask = post(path, b" " * 262_145, key="")
    yield Row("a large webhook", ask, "body_too_large", None, {"limit": 262_144})


def rates() -> Iterator[Row]:
    """A key whose rate is used up."""
    yield Row("a key's rate", refund("{}", key="slow"), "rate_limited")
    yield Row("rate before permission", get("/claims", key="slow"), "rate_limited")


TABLE: Final = (
    *amounts(), *guards(), *payment_amounts(), *json_rules(), *fields(), *payment_fields(),
    *simulations(), *states(), *keys(), *headers(), *queries(), *routes(), *transport(),
    *notices(), *webhooks(), *decisions(), *batches(), *ledger(), *rates(),
)  # fmt: skip
