"""A TCP relay before a server, which can be told to fail in the ways that lines and providers do."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Literal

Fault = Literal["none", "refuse", "hang", "503", "cut"]
CLONE_NEWNET = 0x40000000
CHUNK = 16 * 1024
BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
ANSWER_503 = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(BUSY), BUSY)
)


class Relay:
    """Passes connections on to a server. `fault` is what it does instead, from now on and to those that are open:

    refuse   closes at once, before anything is said
    hang     takes what comes, and never says anything
    503      answers that the server is overloaded
    cut      passes on until `cut_after` bytes have gone through, both ways together, then cuts every connection, once;
             with `stays_broken` nothing passes any more
    """

    def __init__(
        self, address: str, port: int, at: str = "127.0.0.1", *, namespace: str = "", tls: ssl.SSLContext | None = None
    ) -> None:
        """`namespace` is the path of the network namespace that it works in; `tls` is what it speaks to say 503."""
        self.target, self.namespace, self.tls = (address, port), namespace, tls
        self.fault: Fault = "none"
        self.cut_after = 0
        self.passed = 0
        self.connections = 0
        self.stays_broken = False  # a line that was cut takes no new connection
        self.rate, self.delay = 0, 0.0
        self.free_at = time.monotonic()
        self.lock = threading.Lock()
        self.open: set[socket.socket] = set()
        self.is_listening = threading.Event()
        self.thread = threading.Thread(target=self._accept, args=(at,), daemon=True)
        self.thread.start()
        assert self.is_listening.wait(60), "the relay does not listen"

    def slow_down(self, *, rate: int, delay: float) -> None:
        """Let through `rate` bytes per second in all, and what follows a silence only after `delay` seconds."""
        self.rate, self.delay = rate, delay

    def _hold_back(self, count: int, silence: float) -> None:
        if not self.rate:
            return
        with self.lock:
            self.free_at = max(self.free_at, time.monotonic()) + count / self.rate
            wait = self.free_at - time.monotonic()
        time.sleep(max(wait, self.delay if silence > self.delay / 2 else 0))

    def become(self, fault: Fault, *, cut_after: int = 0) -> None:
        with self.lock:
            self.fault, self.cut_after, self.passed = fault, cut_after, 0

    def close(self) -> None:
        # A socket that another thread waits at is not closed by closing it.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._cut_all()
        self.thread.join(5)

    def _enter(self) -> None:
        """Have this thread make its sockets in the namespace; the others of the process stay where they are."""
        if self.namespace:
            with open(self.namespace, "rb") as file:
                libc = ctypes.CDLL(None, use_errno=True)
                assert libc.setns(file.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())

    def _accept(self, at: str) -> None:
        self._enter()
        self.listener = socket.create_server((at, 0), backlog=64)
        self.address, self.port = self.listener.getsockname()[:2]
        self.is_listening.set()
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        self._enter()
        with contextlib.suppress(OSError), near:
            self._keep(near)
            match self.fault:
                case "refuse":
                    return
                case "cut" if self.stays_broken and self.passed > self.cut_after:
                    return
                case "503":
                    near.settimeout(5)
                    with self.tls.wrap_socket(near, server_side=True) if self.tls else near as line:
                        line.recv(CHUNK)
                        line.sendall(ANSWER_503)
                    return
                case "hang":
                    self._swallow(near)
                    return
            with socket.create_connection(self.target) as far:
                self._keep(far)
                back = threading.Thread(target=self._pass, args=(far, near), daemon=True)
                back.start()
                self._pass(near, far)
                back.join()

    def _swallow(self, near: socket.socket) -> None:
        while near.recv(CHUNK):
            pass

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            heard_at = time.monotonic()
            while data := source.recv(CHUNK):
                self._hold_back(len(data), time.monotonic() - heard_at)
                heard_at = time.monotonic()
                if self.fault == "hang":
                    continue  # what is under way is swallowed
                target.sendall(data)
                with self.lock:
                    self.passed += len(data)
                    is_over = self.fault == "cut" and self.passed > self.cut_after
                    if is_over and not self.stays_broken:
                        self.fault = "none"
                if is_over:
                    self._cut_all()
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _keep(self, end: socket.socket) -> None:
        with self.lock:
            self.open = {known for known in self.open if known.fileno() >= 0} | {end}

    def _cut_all(self) -> None:
        with self.lock:
            ends, self.open = self.open, set()
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def relay_to(
    address: str, port: int, at: str = "127.0.0.1", *, namespace: str = "", tls: ssl.SSLContext | None = None
) -> Iterator[Relay]:
    relay = Relay(address, port, at, namespace=namespace, tls=tls)
    try:
        yield relay
    finally:
        relay.close()
