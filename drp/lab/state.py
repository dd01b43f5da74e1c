"""What the lab has built, written down before it is built, and the lock that keeps two commands apart."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from drp.errors import BusyError, IntegrityError, UnreachableError
from drp.lab.plan import LabNames, LabPlan, plan_from_json, plan_to_json
from drp.lab.processes import ProcessIdentity

INTENDED = "intended"
DONE = "done"
SCHEMA = 2


@dataclass
class Part:
    """One thing of the lab: `phase` is "intended" from before it is created until it is complete, then "done"."""

    phase: str = INTENDED
    process: ProcessIdentity | None = None


@dataclass
class LabState:
    """A lab's parts by name. A service's part has no process of its own; the clients' parts share one. `fault` is what
    was broken on purpose (`drp.lab.faults`), written down before anything is."""

    plan: LabPlan
    hosts: dict[str, Part] = field(default_factory=dict)
    services: dict[str, Part] = field(default_factory=dict)
    clients: dict[str, Part] = field(default_factory=dict)
    dr_centres: dict[str, Part] = field(default_factory=dict)
    name_servers: dict[str, Part] = field(default_factory=dict)
    fault: dict[str, Any] | None = None
    _writing: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def save(self, names: LabNames) -> None:
        """Write the state; a reader sees the old one or the new one, also after a power cut."""
        with self._writing:
            data = {
                "schema": SCHEMA,
                "plan": plan_to_json(self.plan),
                "hosts": {name: asdict(part) for name, part in self.hosts.items()},
                "services": {name: asdict(part) for name, part in self.services.items()},
                "clients": {name: asdict(part) for name, part in self.clients.items()},
                "dr_centres": {name: asdict(part) for name, part in self.dr_centres.items()},
                "name_servers": {name: asdict(part) for name, part in self.name_servers.items()},
                "fault": self.fault,
            }
            write_file(_path(names), json.dumps(data, indent=1).encode())


def _path(names: LabNames) -> Path:
    return names.directory / "state.json"


def _part(data: dict[str, Any]) -> Part:
    process = data["process"]
    return Part(data["phase"], None if process is None else ProcessIdentity(**process))


def load(names: LabNames) -> LabState | None:
    """The lab's state, or None when there is none.

    Raises IntegrityError when the file is torn, UnreachableError when this user may not read it.
    """
    path = _path(names)
    try:
        data = json.loads(path.read_bytes())
        return LabState(
            plan_from_json(data["plan"]),
            {name: _part(part) for name, part in data["hosts"].items()},
            {name: _part(part) for name, part in data["services"].items()},
            {name: _part(part) for name, part in data["clients"].items()},
            {name: _part(part) for name, part in data["dr_centres"].items()},
            {name: _part(part) for name, part in data.get("name_servers", {}).items()},
            data.get("fault"),
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        raise UnreachableError("only root may look at the lab", where=str(path), hint="run it as root") from None
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise IntegrityError(
            f"not a lab's state ({type(fault).__name__})",
            where=str(path),
            hint="drp lab down removes the lab without it",
        ) from fault


def forget(names: LabNames) -> None:
    _path(names).unlink(missing_ok=True)


def write_file(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file atomically and durably; directories that are missing are made for root alone."""
    make_directory(path.parent)
    new = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.new")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as handle:
            os.fchmod(handle.fileno(), mode)
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def make_directory(path: Path) -> None:
    """Make a directory and its missing parents, each 0700; existing ones stay as they are."""
    for part in (*reversed(path.parents), path):
        with contextlib.suppress(FileExistsError):
            part.mkdir(mode=0o700)


@contextlib.contextmanager
def hold(names: LabNames) -> Iterator[None]:
    """Hold the lab's lock. Raises BusyError when another lab command has it.

    A process that is being started holds it too until it is its own program (the descriptor closes on exec), so
    whoever gets the lock after a crash sees every process that the crashed command had started.
    """
    make_directory(names.directory)
    handle = os.open(names.directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                "another lab command is at work",
                where=str(names.directory),
                hint="wait until it has ended, then try again",
            ) from None
        yield
    finally:
        os.close(handle)
