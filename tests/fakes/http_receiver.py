"""A real HTTP server on loopback that keeps what it was sent, and answers as it is told to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Received:
    """One request."""

    method: str
    path: str
    body: bytes


class Receiver:
    """`status` is what it answers with; while `silent`, it reads a request and answers nothing."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.status = 200
        self.silent = False
        self.goes_on = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def _take(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                receiver.requests.append(Received(self.command, self.path, body))
                if receiver.silent:
                    receiver.goes_on.wait(60)
                    self.close_connection = True
                    return
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_POST = do_PUT = do_GET = _take  # noqa: N815 - the names are the base class's

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the same
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port: int = self.server.server_address[1]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.goes_on.set()
        receiver.server.shutdown()
        receiver.server.server_close()
        thread.join()
