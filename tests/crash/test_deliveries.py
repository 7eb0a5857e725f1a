"""A worker that is killed in the middle of deliveries: nothing is lost, ids and bytes stay.

The receiver counts what it gets before and after; each event must have come at least once, always
with the same bytes, and what was under way at the kill is tried again when its lease is over.
"""

import json
import os
import signal
import threading
import time
from collections import defaultdict
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.processes import wait_gone
from tests.support.counts import count
from tests.support.shops import demo_shop
from tests.support.trees import Tree

pytestmark = pytest.mark.timeout(300)


class Slow:
    """Answers 200 after a while, so that a kill always meets deliveries under way."""

    def __init__(self) -> None:
        self.bodies: dict[str, list[bytes]] = defaultdict(list)
        self.under_way = 0
        lock, outer = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                with lock:
                    outer.bodies[str(self.headers["webhook-id"])].append(body)
                    outer.under_way += 1
                time.sleep(0.3)
                with lock:
                    outer.under_way -= 1
                with suppress(OSError):  # the killed worker waits no more
                    self.send_response(200)
                    self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.mark.long
def test_a_killed_worker_loses_no_delivery(tmp_path: Path) -> None:
    tree, receiver = Tree(tmp_path / "data", processes=1), Slow()
    try:
        shop = demo_shop(tree)
        made = shop.post("/webhooks", {"events": ["payment.*"], "url": receiver.url})
        for _ in range(count(1, 10)):
            for _ in range(10):
                shop.take_payment()
            tree.until("deliveries under way", lambda: receiver.under_way >= 2, 20)
            tree.until("a worker", lambda: tree.pid("worker") is not None, 20)
            pid = tree.pid("worker")
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            assert not wait_gone([pid], 10)
        path = f"/webhooks/{made['id']}/deliveries"
        events = count(1, 10) * 20

        def is_done() -> bool:
            return shop.count(path, status="succeeded") >= events

        tree.until("all delivered", is_done, 90)
        assert shop.count(path) == events
        rows = shop.get(path, limit=100)["data"]
        assert any(row["attempts"] > 1 for row in rows), "the control: a kill met some under way"
    finally:
        tree.close()
        receiver.close()
    assert len(receiver.bodies) == events, "none is lost, none is new"
    for name, bodies in receiver.bodies.items():
        assert len(set(bodies)) == 1
        assert json.loads(bodies[0])["id"] == name
