"""What every application of the lab says of itself: which services it serves, and how it is put on their hosts."""

from __future__ import annotations

import io
import tarfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, ClassVar

from drp.lab.client import Citizens
from drp.lab.plan import LabPlan, LabService

DIRECTORY, LINK = tarfile.DIRTYPE, tarfile.SYMTYPE


@dataclass(frozen=True)
class Entry:
    """A file of an application on its host, by its absolute path; or a folder, or a link to `target`. `owner` is the
    number of the account and group it belongs to."""

    path: str
    content: bytes = b""
    mode: int = 0o644
    owner: int = 0
    kind: bytes = tarfile.REGTYPE
    target: str = ""


def folder(path: str, owner: int = 0) -> Entry:
    """A folder of the application's own; what its account writes is for it alone."""
    return Entry(path, mode=0o750 if owner else 0o755, owner=owner, kind=DIRECTORY)


def link(path: str, target: str) -> Entry:
    return Entry(path, mode=0o777, kind=LINK, target=target)


def resource(package: str, name: str, values: Mapping[str, Any] | None = None) -> bytes:
    """A file that lies beside an application; each @NAME@ in it becomes the value of that name."""
    content = files(package).joinpath(name).read_text(encoding="utf-8")
    for key, value in (values or {}).items():
        content = content.replace(f"@{key}@", str(value))
    return content.encode()


def archive(entries: Iterable[Entry]) -> bytes:
    """Entries as a tar archive, to be unpacked in the root of a host."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for entry in entries:
            info = tarfile.TarInfo(entry.path.lstrip("/"))
            info.mode, info.uid, info.gid, info.mtime = entry.mode, entry.owner, entry.owner, int(time.time())
            info.type, info.linkname, info.size = entry.kind, entry.target, len(entry.content)
            tar.addfile(info, io.BytesIO(entry.content))
    return buffer.getvalue()


class Application(ABC):
    """One program that services of a certain shape can have in the lab. It must come back by drp's own playbooks with
    nothing but what such a service declares."""

    programs: ClassVar[Mapping[str, str]] = {}
    """Programs that its hosts need beside those of every lab: path → Debian package."""

    citizens: ClassVar[Citizens | None] = None
    """How `drp.lab.client` writes to it, and keeps a record of what was acknowledged; None where users only read."""

    @abstractmethod
    def serves(self, service: LabService) -> bool:
        """Whether it can be what this service declares."""

    @abstractmethod
    def entries(self, service: LabService, plan: LabPlan) -> list[Entry]:
        """The files that are put on its host first."""

    @abstractmethod
    def script(self, service: LabService) -> str:
        """The shell script that fills and starts it there; run by root when accounts and files are in place."""

    def accounts(self, service: LabService) -> list[dict[str, Any]]:
        return service.accounts

    @property
    def own_check(self) -> dict[str, Any] | None:
        """A check that shows it usable, where the service declares none."""
        return None

    def interface(self, service: LabService) -> str:
        """The URL at which other services ask it for what they need of it, by the name that users know."""
        path = service.requests[0][0] if service.requests else "/"
        return f"http://{service.name}{path}"
