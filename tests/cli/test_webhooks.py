"""The commands about webhooks, as typed: endpoints, deliveries, sending again, listening."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from standardwebhooks.webhooks import Webhook

from tests.cli.trees import ROOT, Tree, environment, serving
from tests.support.commands import run_here

pytestmark = pytest.mark.timeout(120)


class Local:
    """A local server that keeps what it is sent."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        kept = self.got

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                kept.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def until(self, count: int) -> None:
        end = time.monotonic() + 20
        while len(self.got) < count:
            assert time.monotonic() < end, f"{len(self.got)} of {count}"
            time.sleep(0.05)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """A tree whose sealing key nobody rotates."""
    with serving(tmp_path_factory.mktemp("webhooks")) as made:
        yield made


@pytest.fixture
def local() -> Iterator[Local]:
    made = Local()
    try:
        yield made
    finally:
        made.close()


def run(tree: Tree, *arguments: str) -> dict[str, object]:
    code, out, err = run_here([*arguments, "--data", str(tree.data), "--json"], {})
    assert code == 0, err
    found: dict[str, object] = json.loads(out)
    return found


def pay(tree: Tree) -> str:
    return str(run(tree, "payments", "create", "50", "--method", "sbx_card")["id"])


def test_an_endpoint_from_its_making_to_its_end(tree: Tree, local: Local) -> None:
    made = run(tree, "webhooks", "create", "--to-url", local.url, "--event", "payment.created")
    name, secret = str(made["id"]), str(made["secret"])
    assert run(tree, "webhooks", "show", name)["events"] == ["payment.created"]
    assert run(tree, "webhooks", "list")["data"]
    pay(tree)
    local.until(1)
    Webhook(secret).verify(local.got[0][1], local.got[0][0], json_parse=False)
    event = json.loads(local.got[0][1])["id"]
    sent = run(tree, "events", "resend", event, "--endpoint", name)
    assert isinstance(sent["data"], list)
    assert sent["data"][0]["queued"] == 1
    local.until(2)
    assert local.got[0][1] == local.got[1][1]
    listed = run(tree, "webhooks", "deliveries", name)["data"]
    assert isinstance(listed, list)
    delivery = listed[0]["id"]
    run(tree, "webhooks", "replay", name, "--delivery", delivery)
    local.until(3)
    past = "2000-01-01T00:00:00Z"
    replayed = run(tree, "webhooks", "replay", name, "--from", past, "--include-succeeded")
    count = replayed["queued"]
    assert isinstance(count, int)
    local.until(3 + count)
    assert run(tree, "webhooks", "set", name, "--off", "--description", "x")["active"] is False
    assert run(tree, "webhooks", "rotate-secret", name, "--immediate")["secret"] != secret
    assert run(tree, "webhooks", "delete", name) == {"ok": True, "id": name}


def test_listening_forwards_what_happens_from_now_on(tree: Tree, local: Local) -> None:
    pay(tree)
    secret = str(run(tree, "listen", "--print-secret")["secret"])
    assert run(tree, "listen", "--print-secret")["secret"] == secret
    listening = subprocess.Popen(
        [sys.executable, "-u", "-m", "clawback", "listen", "--forward-to", local.url, "--events",
         "payment.*", "--data", str(tree.data)],
        cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert listening.stderr is not None
        assert "listening" in listening.stderr.readline()
        payment = pay(tree)
        local.until(2)
        assert listening.stdout is not None
        line = listening.stdout.readline()
        while "payment.created" not in line:  # an earlier payment may settle meanwhile
            assert "payment.updated" in line
            line = listening.stdout.readline()
        assert " 200 " in line
    finally:
        os.kill(listening.pid, signal.SIGINT)
        listening.communicate(timeout=20)
    assert listening.returncode == 130
    for headers, body in local.got:
        Webhook(secret).verify(body, headers, json_parse=False)
        told = json.loads(body)
        assert told["data"]["object"]["id"] == payment, "nothing of before"
        assert headers["webhook-id"] == told["id"]
