"""What a merchant's software listens with: keeps what it is sent, answers as it is told."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.closing import Closing


class Receiver(Closing):
    """A server on the loopback."""

    def __init__(self) -> None:
        """It takes everything until `status` says otherwise."""
        self.status = 200
        self.headers: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                outer.headers.append({k.lower(): v for k, v in self.headers.items()})
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/hooks"

    def until(self, count: int) -> None:
        """Wait until it was sent so many."""
        end = time.monotonic() + 30
        while len(self.headers) < count:
            assert time.monotonic() < end, f"{len(self.headers)} of {count}"
            time.sleep(0.05)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
