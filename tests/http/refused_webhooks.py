"""The rows of the table of refusals about webhook endpoints.

Their fields, the addresses that they may have, how many a book may have, and what is not there.
Nothing is looked up in the names here: every address is written as a number.
"""

from collections.abc import Iterator

from tests.http.asking import Row, get, post


def webhooks() -> Iterator[Row]:
    """Webhook endpoints: fields, addresses, and how many there may be."""
    for body, code, param in (
        ("", "missing_field", "events"),
        ('{"events":null}', "missing_field", "events"),
        ('{"events":[]}', "invalid_field", "events"),
        ('{"events":"*"}', "invalid_field", "events"),
        ('{"events":["claim.nothing"]}', "invalid_field", "events…"),
        ('{"events":["claim.released\\n"]}', "invalid_field", "events…"),
        ('{"events":["*"],"url":5}', "invalid_field", "url"),
        ('{"events":["*"],"description":"' + "x" * 241 + '"}', "invalid_field", "description"),
        ('{"events":["*"],"secret":"x"}', "unknown_field", "secret"),
    ):
        yield Row(f"webhook {body[:40]}", post("/webhooks", body), code, param)
    for url, rule in (
        ("ftp://127.0.0.1/", "scheme"), ("https://8.8.8.8:444/", "port"),
        ("https://a@8.8.8.8/", "user_info"), ("https://8.8.8.8/#a", "fragment"),
        ("https://8.8.8.8/" + "x" * 2033, "length"), ("https:///x", "form"),
        ("https://10.0.0.1/", "address"), ("https://127.0.0.1/", "address"),
        ("http://8.8.8.8/", "address"),
    ):  # fmt: skip
        ask = post("/webhooks", f'{{"events":["*"],"url":"{url}"}}')
        yield Row(f"webhook to {url[:30]}", ask, "webhook_url_refused", "url", {"rule": rule})
    ask = post("/webhooks", '{"events":["*"],"url":"http://127.0.0.1:9/"}', key="live")
    yield Row("live to loopback", ask, "webhook_url_refused", "url", {"rule": "scheme"})
    ask = post("/webhooks", '{"events":["*"]}', key="hooked")
    yield Row("a 21st endpoint", ask, "webhook_limit_reached", None, {"limit": 20})
    ask = post("/webhooks", '{"events":["*"]}', key="reader")
    yield Row("webhooks without scope", ask, "scope_missing", None, {"scope": "webhooks:manage"})
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/inbox"), ("GET", "/deliveries")):
        for name in ("{hook_elsewhere}", "wh_0000000000000000", "nothing"):
            ask = get(f"/webhooks/{name}{path}", method=method)
            yield Row(f"{method} webhook {name}{path}", ask, "not_found")
    for path, body in (("/rotate-secret", "{}"), ("/replay", '{"since":"2026-01-01T00:00:00Z"}'),
                       ("/deliveries/dlv_x/replay", "{}")):  # fmt: skip
        yield Row(f"webhook {path}", post(f"/webhooks/{{hook_elsewhere}}{path}", body), "not_found")
    for body, code in (("{}", "missing_field"),
                       ('{"since":"2026-01-01T00:00:00"}', "invalid_field"),
                       ('{"since":"today"}', "invalid_field")):  # fmt: skip
        yield Row(f"replay {body}", post("/webhooks/{hook_elsewhere}/replay", body), code, "since")
