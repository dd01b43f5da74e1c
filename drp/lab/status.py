"""What of a lab is there now. Asks the kernel, not the state file, whether a process still runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from drp.lab import network
from drp.lab.plan import LabDrCentre, LabNames, LabNameServer, names_of
from drp.lab.processes import is_running
from drp.lab.services import record_of
from drp.lab.state import DONE, Part, load


@dataclass(frozen=True)
class HostStatus:
    """`state` is "up", "starting" (or interrupted while starting) or "down"; `pid` that of its process 1."""

    name: str
    site: str
    address: str
    state: str
    pid: int | None


@dataclass(frozen=True)
class DrCentreStatus:
    name: str
    endpoint: str
    bucket: str
    up: bool
    pid: int | None


@dataclass(frozen=True)
class ClientStatus:
    """The citizens of a service. `acknowledged` counts the lines of `record`, which begins anew
    when the service is installed."""

    service: str
    up: bool
    pid: int | None
    record: str
    acknowledged: int
    last_acknowledged_at: str | None


@dataclass(frozen=True)
class NetworkStatus:
    bridge: str
    network: str | None
    up: bool


@dataclass(frozen=True)
class NameServerStatus:
    address: str
    zones: tuple[str, ...]
    up: bool
    pid: int | None


@dataclass(frozen=True)
class LabStatus:
    """`exists`: a lab was built here and not taken down. Made for `dataclasses.asdict` and JSON."""

    workspace: str
    exists: bool
    network: NetworkStatus
    hosts: tuple[HostStatus, ...] = ()
    dr_centres: tuple[DrCentreStatus, ...] = ()
    clients: tuple[ClientStatus, ...] = ()
    name_servers: tuple[NameServerStatus, ...] = ()
    fault: str | None = None


def status(workspace: Path) -> LabStatus:
    """Look at the lab, without its lock. Raises IntegrityError when its state file is torn."""
    names = names_of(workspace)
    state = load(names)
    bridge = network.bridge_exists(names)
    if state is None:
        return LabStatus(str(names.workspace), exists=False, network=NetworkStatus(names.bridge, None, bridge))
    plan = state.plan
    return LabStatus(
        str(names.workspace),
        exists=True,
        network=NetworkStatus(names.bridge, str(plan.network), bridge),
        hosts=tuple(
            HostStatus(host.name, host.site, host.address, *_state(state.hosts.get(host.name))) for host in plan.hosts
        ),
        dr_centres=tuple(_dr_centre(centre, state.dr_centres.get(centre.name)) for centre in plan.dr_centres),
        clients=tuple(_client(names, service, part) for service, part in state.clients.items()),
        name_servers=tuple(_name_server(server, state.name_servers.get(server.role)) for server in plan.name_servers),
        fault=None if state.fault is None else state.fault["name"],
    )


def _pid(part: Part | None) -> int | None:
    return part.process.pid if part is not None and part.process is not None and is_running(part.process) else None


def _state(part: Part | None) -> tuple[str, int | None]:
    pid = _pid(part)
    if part is None or pid is None:
        return "down", None
    return ("up" if part.phase == DONE else "starting"), pid


def _dr_centre(centre: LabDrCentre, part: Part | None) -> DrCentreStatus:
    pid = _pid(part)
    return DrCentreStatus(centre.name, centre.endpoint, centre.bucket, pid is not None, pid)


def _name_server(server: LabNameServer, part: Part | None) -> NameServerStatus:
    pid = _pid(part)
    return NameServerStatus(
        server.address, tuple(dict.fromkeys(zone.zone for zone in server.zones)), pid is not None, pid
    )


def _client(names: LabNames, service: str, part: Part) -> ClientStatus:
    record = record_of(names, service)
    # A line that is being written has no end yet.
    lines = record.read_bytes().split(b"\n")[:-1] if record.exists() else []
    last = json.loads(lines[-1])["acknowledged_at"] if lines else None
    return ClientStatus(service, is_running(part.process), _pid(part), str(record), len(lines), last)
