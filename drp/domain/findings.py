"""What is wrong, or worth a second look, in the files of a workspace: a finding says where it stands and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Location = tuple[str | int, ...]

Severity = Literal["fault", "warning"]
"""A fault makes the workspace unusable; a warning is told, and everything that it does not concern goes on."""

WORKSPACE, HOSTS, NETWORK, PEOPLE, DOCUMENTS, ASSETS = "workspace", "hosts", "network", "people", "documents", "assets"
SERVICE, RUNBOOK = "service", "runbook"


@dataclass(frozen=True, slots=True)
class Record:
    """A file of the workspace: its kind (one of the names above), and which one where there are several of a kind."""

    kind: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """`code` is a stable name for programs; `location` is the path of keys in the file; `services` are those that it
    concerns."""

    severity: Severity
    code: str
    record: Record
    location: Location
    message: str
    hint: str
    services: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Advice:
    """A kind of warning: its stable name, and what to do about it, the same in every place where it is found."""

    code: str
    hint: str

    def at(self, record: Record, location: Location, message: str, services: Sequence[str] = ()) -> Finding:
        """A warning of this kind in one place."""
        return Finding("warning", self.code, record, location, message, self.hint, tuple(services))


def listed(names: Sequence[str], most: int = 8) -> str:
    """Names for people: `a, b, c`; of many only the first, and how many there are."""
    return ", ".join(names[:most]) + (f" … ({len(names)} in all)" if len(names) > most else "")


def service_record(name: str) -> Record:
    return Record(SERVICE, name)


def service_fault(service: str, location: Location, code: str, message: str, hint: str) -> Finding:
    """What makes the file of a service invalid."""
    return Finding("fault", code, service_record(service), location, message, hint, (service,))
