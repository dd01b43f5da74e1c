"""Tries a TCP port: a connection, TLS, something sent, something that must come back."""

from __future__ import annotations

import socket
import ssl

from drp.adapters.probes.base import AttemptFailed, Deadline, Target
from drp.domain.checks import TcpCheck

LARGEST_ANSWER_BYTES = 65_536


class TcpProbe:
    """Implements `drp.adapters.probes.base.Probe`."""

    def __init__(self, check: TcpCheck, target: Target) -> None:
        self.check, self.target = check, target

    def attempt(self, deadline: Deadline) -> str:
        check = self.check
        with socket.create_connection((self.target.address, check.port), timeout=deadline.left()) as line:
            deadline.guard(line)
            if not check.tls:
                return self._talk(line, deadline)
            context = ssl.create_default_context(cafile=self.target.file(check.ca_certificate))
            with context.wrap_socket(line, server_hostname=check.server_name or self.target.address) as secured:
                return self._talk(secured, deadline)

    def _talk(self, line: socket.socket, deadline: Deadline) -> str:
        if self.check.bytes_to_send:
            line.settimeout(deadline.left())
            line.sendall(self.check.bytes_to_send)
        expected, received = self.check.bytes_expected, bytearray()
        while expected not in received:
            if len(received) >= LARGEST_ANSWER_BYTES:
                raise AttemptFailed(f"port {self.check.port}: the answer lacks what is expected")
            line.settimeout(deadline.left())
            piece = line.recv(LARGEST_ANSWER_BYTES - len(received))
            deadline.left()
            if not piece:
                raise AttemptFailed(f"port {self.check.port}: it hung up before what is expected")
            received += piece
        return f"port {self.check.port} " + ("answers as expected" if expected else "takes connections")
