"""Asks a DNS server for a name's IPv4 addresses: one question, one datagram (RFC 1035)."""

from __future__ import annotations

import secrets
import socket
import struct
from ipaddress import IPv4Address

from drp.adapters.probes.base import AttemptFailed, Deadline, Target
from drp.domain.checks import DnsCheck

LARGEST_DATAGRAM = 4096
HEADER = struct.Struct(">6H")
RECORD = struct.Struct(">2HIH")
RECURSION_WANTED, IS_ANSWER, IS_CUT, CODE = 0x0100, 0x8000, 0x0200, 0x000F
TYPE_A, CLASS_IN = 1, 1
_CODES = {1: "the question was not understood", 2: "the server failed", 3: "no such name", 5: "refused"}


class DnsProbe:
    """Implements `drp.adapters.probes.base.Probe`."""

    def __init__(self, check: DnsCheck, target: Target) -> None:
        self.check, self.target = check, target

    def attempt(self, deadline: Deadline) -> str:
        number = secrets.randbelow(1 << 16)
        labels = [label.encode("ascii") for label in self.check.name.rstrip(".").split(".")]
        name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
        question = name + struct.pack(">2H", TYPE_A, CLASS_IN)
        server = (self.check.server or self.target.address, self.check.port)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.connect(server)  # from then on only this server's datagrams come in
            line.send(HEADER.pack(number, RECURSION_WANTED, 1, 0, 0, 0) + question)
            while True:
                line.settimeout(deadline.left())
                answer = line.recv(LARGEST_DATAGRAM)
                if len(answer) >= HEADER.size and HEADER.unpack_from(answer)[0] == number:
                    break
        found = _addresses(answer, question)
        missing = [str(address) for address in self.check.expect if address not in found]
        if missing or not found:
            raise AttemptFailed(f"{self.check.name}: the answer lacks {', '.join(missing) or 'an address'}")
        return f"{self.check.name} has its addresses"


def _addresses(answer: bytes, question: bytes) -> set[IPv4Address]:
    """All IPv4 addresses of an answer; those of an alias's target too."""
    _, flags, questions, answers, _, _ = HEADER.unpack_from(answer)
    if flags & CODE:
        raise AttemptFailed(_CODES.get(flags & CODE, f"answer code {flags & CODE}"))
    position = HEADER.size + len(question)
    if not flags & IS_ANSWER or questions != 1 or answer[HEADER.size : position].lower() != question.lower():
        raise AttemptFailed("the answer is to another question")
    if flags & IS_CUT:
        raise AttemptFailed("the answer is too long for a datagram")
    found = set()
    try:
        for _ in range(answers):
            position = _after_name(answer, position)
            kind, class_, _, size = RECORD.unpack_from(answer, position)
            position += RECORD.size
            data = answer[position : position + size]
            if len(data) < size:
                raise IndexError
            if (kind, class_, size) == (TYPE_A, CLASS_IN, 4):
                found.add(IPv4Address(data))
            position += size
    except (struct.error, IndexError):
        raise AttemptFailed("the answer is damaged") from None
    return found


def _after_name(answer: bytes, position: int) -> int:
    """Where what follows a name begins. A pointer to an earlier name ends it; it is not followed."""
    while size := answer[position]:
        if size & 0xC0:
            return position + 2
        position += 1 + size
    return position + 1
