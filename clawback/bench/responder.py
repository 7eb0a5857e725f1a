"""A server that does nothing: it answers every request with the same bytes.

What the load generator reaches against it is the most that it can measure.
"""

import select
import socket
import sys
from typing import Final

_ANSWER: Final = (
    b"HTTP/1.1 201 Created\r\nrequest-id: req_0000000000000000\r\nclawback-version: 2026-05-12\r\n"
    b"cache-control: no-store\r\nx-content-type-options: nosniff\r\n"
    b"content-security-policy: default-src 'none'; frame-ancestors 'none'; sandbox\r\n"
    b"location: /api/v1/claims/CLM-00000000-0000\r\nratelimit-limit: 1000000\r\n"
    b"ratelimit-remaining: 1000000\r\nratelimit-reset: 1\r\ncontent-type: application/json\r\n"
    b"content-length: 208\r\n\r\n" + b"x" * 208
)


def main() -> None:
    """Listen on a free port, print it, answer until killed."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    epoll = select.epoll()
    epoll.register(listening.fileno(), select.EPOLLIN)
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    callers: dict[int, socket.socket] = {}
    while True:
        for fd, _ in epoll.poll():
            if fd == listening.fileno():
                made, _ = listening.accept()
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                callers[made.fileno()] = made
                epoll.register(made.fileno(), select.EPOLLIN)
                continue
            caller = callers[fd]
            if caller.recv(65_536):
                caller.send(_ANSWER)
            else:
                epoll.unregister(fd)
                callers.pop(fd).close()


if __name__ == "__main__":
    main()
