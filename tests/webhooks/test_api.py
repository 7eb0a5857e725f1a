"""Endpoints and deliveries over HTTP: what each call takes, answers and leaves behind.

One tree serves all tests; each has a merchant of its own, so that their books do not meet.
"""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from tests.support.databases import Database
from tests.support.shops import Shop, other_shop
from tests.support.trees import Tree

ROW = ["id", "url", "managed", "events", "description", "active", "disabledReason", "createdAt",
       "updatedAt"]  # fmt: skip
_NUMBERS = iter(range(1, 1000))


@pytest.fixture
def shop(tree: Tree) -> Shop:
    return other_shop(tree, f"MCH-HOOK-{next(_NUMBERS)}")


class Receiver:
    """A plain HTTP/1.0 server, as simple ones are: its answers end with the connection."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hooks?a=b"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    try:
        yield made
    finally:
        made.close()


def until(look: Callable[[], Any], seconds: float = 15) -> Any:  # noqa: ANN401 - what it finds
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.05)
    return found


def create(shop: Shop, *events: str, **more: object) -> dict[str, Any]:
    return shop.post("/webhooks", {"events": list(events) or ["*"], **more})


def call(shop: Shop, method: str, path: str, body: object = None) -> dict[str, Any]:
    reply = shop.call(method, path, body)
    assert reply.status == 200, reply
    return reply.json


def test_a_new_endpoint_shows_its_secret_this_once(shop: Shop, receiver: Receiver) -> None:
    reply = shop.call("POST", "/webhooks", {"events": ["claim.*", "claim.*"], "url": receiver.url})
    made = reply.json
    assert (reply.status, reply.header("location")) == (201, f"/api/v1/webhooks/{made['id']}")
    assert list(made) == [*ROW[:7], "secret", "createdAt"]
    assert made["events"] == ["claim.*"]
    assert (made["active"], made["managed"], made["disabledReason"]) == (True, False, None)
    assert len(base64.b64decode(made["secret"].removeprefix("whsec_"), validate=True)) == 32
    assert list(shop.get(f"/webhooks/{made['id']}")) == ROW
    listed = shop.get("/webhooks")
    assert [list(row) for row in listed["data"]] == [ROW]
    assert listed["pagination"]["total"] == 1
    assert "whsec_" not in json.dumps(listed)


def test_a_repeat_under_a_key_gets_the_same_secret_which_is_kept_sealed(
    tree: Tree, shop: Shop
) -> None:
    body = {"events": ["*"]}
    first = shop.call("POST", "/webhooks", body, "a-key")
    again = shop.call("POST", "/webhooks", body, "a-key")
    assert (again.status, again.body) == (201, first.body)
    assert again.header("idempotent-replayed") == "true"
    assert again.header("location") == first.header("location")
    assert shop.call("POST", "/webhooks", {"events": ["claim.*"]}, "a-key").status == 409
    name = first.json["id"]
    new = [shop.call("POST", f"/webhooks/{name}/rotate-secret", {}, "b-key") for _ in range(2)]
    assert new[0].body == new[1].body
    secrets = [first.json["secret"], new[0].json["secret"]]
    with Database(tree.dev["databaseUrl"]) as database:
        kept = database.rows("SELECT i::text AS row FROM idempotency_keys AS i")
        kept += database.rows("SELECT p::text AS row FROM endpoints AS p")
        for secret in secrets:
            assert not [row for row in kept if secret[6:] in row["row"]]
        assert [row for row in kept if "a-key" in row["row"]], "the control: the key is there"


def test_patch_changes_what_is_named_and_null_clears(shop: Shop, receiver: Receiver) -> None:
    made = create(shop, "*", url=receiver.url, description="ours")
    path = f"/webhooks/{made['id']}"
    row = call(shop, "PATCH", path, {"events": ["payment.*", "claim.released"]})
    assert (row["events"], row["description"]) == (["payment.*", "claim.released"], "ours")
    assert row["updatedAt"] >= row["createdAt"]
    assert call(shop, "PATCH", path, {"description": None})["description"] is None
    assert call(shop, "PATCH", path, {"active": False})["active"] is False
    assert call(shop, "PATCH", path, {})["active"] is False
    row = call(shop, "PATCH", path, {"url": None, "active": True})
    assert (row["url"], row["managed"], row["active"]) == (None, True, True)
    for body, code in (({"events": None}, 400), ({"active": None}, 400), ({"events": []}, 400),
                       ({"url": "https://10.0.0.1/"}, 422), ({"secret": "x"}, 400)):  # fmt: skip
        assert shop.call("PATCH", path, body).status == code
    assert shop.get(path) == row


def test_what_is_removed_is_gone_with_its_deliveries_and_the_events_stay(shop: Shop) -> None:
    made = create(shop)
    path = f"/webhooks/{made['id']}"
    shop.take_payment()
    until(lambda: shop.get(f"{path}/inbox")["data"])
    assert call(shop, "DELETE", path) == {"ok": True, "id": made["id"]}
    for method, where in (("GET", ""), ("DELETE", ""), ("GET", "/deliveries"), ("GET", "/inbox")):
        assert shop.call(method, path + where).status == 404
    assert shop.get("/webhooks")["data"] == []
    assert len(shop.get("/events")["data"]) >= 2


def test_a_delivery_is_listed_with_how_it_went(shop: Shop, receiver: Receiver) -> None:
    receiver.status = 500
    made = create(shop, "payment.created", url=receiver.url)
    payment = shop.take_payment()
    path = f"/webhooks/{made['id']}/deliveries"
    row = until(lambda: shop.get(path, status="failed")["data"])[0]
    event = next(e for e in shop.get("/events")["data"] if e["type"] == "payment.created")
    assert row == {
        "id": row["id"], "eventId": event["id"], "event": "payment.created", "status": "failed",
        "attempts": 1, "lastStatusCode": 500, "lastError": None,
        "nextAttemptAt": row["nextAttemptAt"], "succeededAt": None,
        "createdAt": row["createdAt"], "relatedId": payment,
    }  # fmt: skip
    receiver.status = 204
    again = shop.post(f"{path}/{row['id']}/replay", {}, 200)
    assert again == {
        "ok": True, "deliveryId": row["id"], "previousStatus": "failed", "newStatus": "pending",
        "nextAttemptAt": again["nextAttemptAt"],
    }  # fmt: skip
    done = until(lambda: shop.get(path, status="succeeded")["data"])[0]
    assert (done["attempts"], done["lastStatusCode"], done["nextAttemptAt"]) == (2, 204, None)
    assert shop.get(path, status="dead_letter")["data"] == []
    assert shop.call("GET", f"{path}?status=nope").code == "invalid_parameter"
    assert receiver.got[0][1] == receiver.got[1][1]
    for headers, body in receiver.got:
        assert headers["clawback-delivery"] == row["id"]
        Webhook(made["secret"]).verify(body, headers, json_parse=False)
        assert json.loads(body) == event


def test_an_inbox_holds_what_would_have_been_sent(shop: Shop) -> None:
    made = create(shop, "payment.*")
    shop.take_payment()
    rows = until(lambda: len(found := shop.get(f"/webhooks/{made['id']}/inbox")["data"]) > 1
                 and found)  # fmt: skip
    events = {event["id"]: event for event in shop.get("/events")["data"]}
    for row in rows:
        assert json.loads(row["body"]) == events[row["eventId"]]
        assert row["headers"]["clawback-delivery"] == row["id"]
        Webhook(made["secret"]).verify(row["body"], row["headers"], json_parse=False)
    page = shop.get(f"/webhooks/{made['id']}/inbox", limit=1)
    rest = shop.get(f"/webhooks/{made['id']}/inbox", after=page["pagination"]["next"])
    assert page["data"] + rest["data"] == rows


def test_both_secrets_sign_until_the_old_one_ends(shop: Shop, receiver: Receiver) -> None:
    made = create(shop, "payment.created", url=receiver.url)
    path = f"/webhooks/{made['id']}/rotate-secret"
    second = shop.post(path, {}, 200)
    assert list(second) == ["id", "secret", "previousSecretExpiresAt", "rotatedAt"]
    shop.take_payment()
    headers, body = until(lambda: receiver.got)[0]
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (made["secret"], second["secret"]):
        Webhook(secret).verify(body, headers, json_parse=False)
    third = shop.post(path, {"immediate": True}, 200)
    shop.take_payment()
    headers, body = until(lambda: receiver.got[1:])[0]
    Webhook(third["secret"]).verify(body, headers, json_parse=False)
    for secret in (made["secret"], second["secret"]):
        with pytest.raises(Exception, match="No matching signature"):
            Webhook(secret).verify(body, headers, json_parse=False)


def test_a_replay_brings_what_was_missed_and_on_request_everything(
    shop: Shop, receiver: Receiver
) -> None:
    made = create(shop, "payment.*", url=receiver.url)
    path = f"/webhooks/{made['id']}"
    begun = shop.get("/ping")["timestamp"]
    shop.take_payment()
    until(lambda: len(receiver.got) == 2)
    call(shop, "PATCH", path, {"active": False})
    shop.take_payment()
    time.sleep(1)
    call(shop, "PATCH", path, {"active": True})
    shop.take_payment()
    until(lambda: len(receiver.got) == 4)
    until(lambda: len(shop.get(f"{path}/deliveries", status="succeeded")["data"]) == 4)
    assert shop.post(f"{path}/replay", {"since": begun}, 200) == {"ok": True, "queued": 2}
    until(lambda: len(receiver.got) == 6)
    until(lambda: len(shop.get(f"{path}/deliveries", status="succeeded")["data"]) == 6)
    assert shop.post(f"{path}/replay", {"since": begun}, 200)["queued"] == 0
    everything = {"since": begun, "includeSucceeded": True}
    assert shop.post(f"{path}/replay", everything, 200)["queued"] == 6
    until(lambda: len(receiver.got) == 12)
    assert shop.post(f"{path}/replay", {**everything, "until": begun}, 200)["queued"] == 0
    bodies = [body for _, body in receiver.got]
    assert all(bodies.count(body) == 2 for body in bodies)
    for headers, body in receiver.got:
        Webhook(made["secret"]).verify(body, headers, json_parse=False)


def test_a_foreign_endpoint_is_not_there(tree: Tree, shop: Shop) -> None:
    name = create(shop)["id"]
    other = other_shop(tree, f"MCH-HOOK-{next(_NUMBERS)}")
    absent = other.call("GET", "/webhooks/wh_0000000000000000")
    foreign = other.call("GET", f"/webhooks/{name}")
    assert absent.status == foreign.status == 404
    assert absent.json["error"] | {"requestId": ""} == foreign.json["error"] | {"requestId": ""}
    for method, where in (("PATCH", ""), ("DELETE", ""), ("POST", "/rotate-secret")):
        assert other.call(method, f"/webhooks/{name}{where}", {}).status == 404
    assert shop.get(f"/webhooks/{name}")["active"] is True


def test_the_page_after_the_last_event_goes_on_from_the_newest(shop: Shop) -> None:
    assert shop.get("/events")["pagination"]["next"] is None
    shop.take_payment()
    events = shop.get("/events")["data"]
    newest = events[-1]["id"]
    assert shop.get("/events", type="claim.*")["pagination"]["next"] == newest
    assert shop.get("/events", **{"from": "9999-01-01T00:00:00Z"})["pagination"]["next"] == newest
    assert shop.get("/events", limit=1)["pagination"]["next"] == events[0]["id"]
    shop.take_payment()
    assert len(shop.get("/events", after=newest)["data"]) == len(events)


def test_a_new_sealing_key_seals_secrets_and_kept_answers_anew(
    tree: Tree, shop: Shop, receiver: Receiver
) -> None:
    made = shop.call("POST", "/webhooks", {"events": ["*"], "url": receiver.url}, "before")
    name, first = made.json["id"], made.json["secret"]
    second = shop.post(f"/webhooks/{name}/rotate-secret", {}, 200)["secret"]
    done = tree.told("providers", "rotate-key", "--key-file", str(tree.data / "seal.key"))
    assert int(done["resealed"]) >= 1
    again = shop.call("POST", "/webhooks", {"events": ["*"], "url": receiver.url}, "before")
    assert again.body == made.body
    shop.take_payment()
    headers, body = until(lambda: receiver.got)[0]
    for secret in (first, second):
        Webhook(secret).verify(body, headers, json_parse=False)
