"""Every call with random requests, right ones and wrong ones, against what /openapi.json declares.

A generator that knows only the document sends requests over real sockets to a running tree. Only
declared statuses, content types and bodies may come back, an error's code must be one that the
document lists for its status, and a request that was refused has left no trace in its book.
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final, NamedTuple, cast

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, Response
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.counts import LONG, count, seeded
from tests.support.databases import BookHash
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree
from tests.support.wire import API, Line

RIGHT: Final = count(50, 25_000)
WRONG: Final = count(50, 25_000)
EACH: Final = 8
"""Every call is tried at least so often."""
BATCH: Final = 20
"""After so many refused requests the book is looked at."""

SETTLING_SECONDS: Final = 3.0
"""The sandbox provider says nothing for 2 s before it settles a refund."""

CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
KNOWN: Final[dict[str, tuple[object, ...]]] = {
    "amount": (0.01, 1, 10, 10.005, 50, 861.18, 861.19, 1e12, 0, -1),
    "expectedRemaining": (861.18, 0),
    "paymentMethodId": ("sbx_spei", "sbx_card", "sbx_pix"),
    "country": ("MX", "BRA"),
    "action": ("paid", "processing", "failed", "expired", "refunded", "chargeback"),
}
Case = schemathesis.Case[Any]
Document = dict[str, Any]

pytestmark = pytest.mark.timeout(3000)


class Ids(NamedTuple):
    """Things that a random id would never hit."""

    payments: tuple[str, ...]
    claims: tuple[str, ...]
    webhooks: tuple[str, ...]


class Seen:
    """What has come back so far."""

    def __init__(self) -> None:
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.codes: Counter[str] = Counter()

    def note(self, case: Case, response: Response) -> None:
        self.statuses[case.operation.label, response.status_code] += 1
        if response.status_code >= 400:
            self.codes[response.json()["error"]["code"]] += 1


@pytest.fixture(scope="module")
def document(served: Tree) -> Document:
    with Line(served.address) as line:
        found = line.call("GET", "/openapi.json", [], None)
    assert found.status == 200, found
    return found.json


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as made:
        yield made


def fill(shop: Shop) -> Ids:
    """Payments and claims to hit."""
    payments = [shop.take_payment(action=one) for one in ("paid", "", "failed", "processing")]
    oxxo = [shop.take_payment(method="sbx_oxxo") for _ in range(3)]
    claims = [shop.post(f"/payments/{name}/refund", {"amount": 1})["refundId"] for name in oxxo]
    inbox = shop.post("/webhooks", {"events": ["*"]})["id"]
    return Ids(tuple(payments), tuple(claims), (inbox,))


def cases(document: Document, ids: Ids, mode: GenerationMode) -> list[st.SearchStrategy[Case]]:
    """Requests for every call; half of those for an object name one that is there."""
    schema = schemathesis.openapi.from_dict(_keyless(document))
    calls = []
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        found = [operation.as_strategy(generation_mode=mode)]
        if "{id}" in operation.path:
            names = getattr(ids, operation.path.split("/")[1])
            found += [
                operation.as_strategy(generation_mode=mode, path_parameters={"id": name})
                for name in names
            ]
        calls.append(st.one_of(found).flatmap(_nearer))
    return calls


def _keyless(document: Document) -> Document:
    """The document without its keys: the shop's own key is sent, and no other is made up."""
    found = copy.deepcopy(document)
    del found["components"]["securitySchemes"]
    for methods in found["paths"].values():
        for operation in methods.values():
            del operation["security"]
    return found


def _nearer(case: Case) -> st.SearchStrategy[Case]:
    """The case as it is, or with values that a random text or number would never hit."""
    if not isinstance(case.body, dict):
        return st.just(case)
    body = cast("dict[str, object]", case.body)
    known = {name: st.sampled_from(KNOWN[name]) for name in KNOWN if name in body}
    if "paymentMethodId" in known and "paymentMethod" not in body:
        known["country"] = st.sampled_from(KNOWN["country"])

    def change(values: dict[str, object]) -> Case:
        body.update(values)
        return case

    return st.one_of(st.just({}), st.fixed_dictionaries(known)).map(change)


def send(case: Case, shop: Shop, session: requests.Session) -> Response:
    """Send it with the shop's key, which it may neither forget nor change."""
    host, port = shop.address
    case.headers.pop("Authorization", None)
    return case.call(
        base_url=f"http://{host}:{port}{API}",
        session=session,
        headers={"Authorization": f"Bearer {shop.key}"},
        timeout=20,
    )


def check(case: Case, response: Response, document: Document) -> None:
    """Only what is declared comes back."""
    case.validate_response(response, checks=CHECKS)
    if response.status_code < 400:
        return
    method, path = case.operation.method, case.operation.path
    declared = document["paths"][path][method]["responses"][str(response.status_code)]
    error = response.json()["error"]
    assert error["code"] in declared["description"].split(", "), (case.operation.label, error)
    assert error["docUrl"] == f"/docs/errors#{error['code']}"
    assert [error["requestId"]] == response.headers["request-id"]


def run(calls: list[st.SearchStrategy[Case]], test: Callable[[Case], None], most: int) -> None:
    """Try so many cases; the first that fails is shown with a command that repeats it."""
    wanted = settings(
        max_examples=max(EACH, most // len(calls)),
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    number = seeded().randrange(2**31)
    for strategy in calls:
        with suppress(Unsatisfiable):  # a call that takes nothing cannot be asked wrongly
            seed(number)(wanted(given(strategy)(test)))()


@pytest.mark.long
def test_right_requests_get_what_is_declared(
    served: Tree, document: Document, session: requests.Session
) -> None:
    shop = other_shop(served, "MCH-FUZZ-RIGHT")
    seen = Seen()

    def test(case: Case) -> None:
        response = send(case, shop, session)
        seen.note(case, response)
        check(case, response, document)

    run(cases(document, fill(shop), GenerationMode.POSITIVE), test, RIGHT)
    asked = {label for label, _ in seen.statuses}
    assert asked == {label for label, _ in _calls(document)}
    print(sum(seen.statuses.values()), "cases", dict(seen.codes))
    good = {label for (label, status), _ in seen.statuses.items() if status < 300}
    never = asked - good - {"POST /providers/{provider}/webhooks"}
    reads = {label for label in asked if label.startswith("GET ")}
    assert not never if LONG else len(never & reads) * 4 <= len(reads), never
    assert any(label.startswith("POST ") for label in good)


def _calls(document: Document) -> Iterator[tuple[str, Document]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


@pytest.mark.long
def test_wrong_requests_get_what_is_declared_and_leave_no_trace(
    served: Tree, document: Document, session: requests.Session
) -> None:
    shop = other_shop(served, "MCH-FUZZ-WRONG")
    ids, seen, asked = fill(shop), Seen(), list[str]()
    with BookHash(served.dev["databaseUrl"], "MCH-FUZZ-WRONG") as book:
        state = [book.quiet()]

        def test(case: Case) -> None:
            case.headers.pop("Sandbox-Simulate", None)  # its effects would come much later
            response = send(case, shop, session)
            seen.note(case, response)
            check(case, response, document)
            if response.status_code < 400 and case.method != "GET":
                state[0], asked[:] = book.quiet(SETTLING_SECONDS), []
                return
            asked.append(case.as_curl_command())
            if len(asked) >= BATCH:
                assert book.now() == state[0], f"one of these left a trace: {asked}"
                asked.clear()

        run(cases(document, ids, GenerationMode.NEGATIVE), test, WRONG)
        assert book.now() == state[0], asked
    takes = {label for label, one in _calls(document) if _takes_something(one)}
    assert {label for label, _ in seen.statuses} >= takes
    print(sum(seen.statuses.values()), "cases", dict(seen.codes))
    assert len(seen.codes) >= 6
    refused = sum(n for (_, status), n in seen.statuses.items() if status >= 400)
    assert refused > sum(seen.statuses.values()) / 2


def _takes_something(operation: Document) -> bool:
    """Whether there is a way to ask it wrongly: a path alone has none."""
    return "requestBody" in operation or any(
        one["in"] != "path" and one["schema"] != {"type": "string", "minLength": 1}
        for one in operation["parameters"]
    )


@pytest.mark.long
def test_what_is_not_declared_is_caught(
    served: Tree, document: Document, session: requests.Session
) -> None:
    shop = other_shop(served, "MCH-FUZZ-CONTROL")
    ids = fill(shop)
    for name, plant in PLANTED.items():
        wrong = copy.deepcopy(document)
        plant(wrong)
        with pytest.raises((FailureGroup, KeyError, AssertionError)):
            run(cases(wrong, ids, GenerationMode.POSITIVE), _checker(shop, session, wrong), 300)
        print("caught:", name)
    with BookHash(served.dev["databaseUrl"], "MCH-FUZZ-CONTROL") as book:
        before = book.quiet()
        shop.take_payment(action="")
        assert book.now() != before


def _checker(shop: Shop, session: requests.Session, document: Document) -> Callable[[Case], None]:
    def test(case: Case) -> None:
        check(case, send(case, shop, session), document)

    return test


def _only(document: Document, path: str, method: str) -> Document:
    document["paths"] = {path: {method: document["paths"][path][method]}}
    found: Document = document["paths"][path][method]
    return found


def _no_404(document: Document) -> None:
    del _only(document, "/payments/{id}", "get")["responses"]["404"]


def _no_code(document: Document) -> None:
    told = _only(document, "/payments/{id}", "get")["responses"]["404"]
    told["description"] = told["description"].replace("not_found", "gone")


def _other_type(document: Document) -> None:
    _only(document, "/ping", "get")
    document["components"]["schemas"]["Ping"]["properties"]["mode"] = {"type": "integer"}


def _one_field_more(document: Document) -> None:
    _only(document, "/me/balance", "get")
    document["components"]["schemas"]["Balance"]["required"].append("total")


def _other_media_type(document: Document) -> None:
    content = _only(document, "/me", "get")["responses"]["200"]["content"]
    content["text/plain"] = content.pop("application/json")


PLANTED: Final = {
    "an undeclared status": _no_404,
    "an undeclared code": _no_code,
    "another type": _other_type,
    "a field too few": _one_field_more,
    "another content type": _other_media_type,
}
