"""What a lab consists of, resolved by the caller from the workspace, and the names that follow from it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from drp.errors import UsageError

BENCHMARKING = IPv4Network("198.18.0.0/15")
"""RFC 2544's range for tests between machines. No network on the internet uses or carries it."""

SITES = ("primary", "recovery")
GIBIBYTE = 1024**3
DISK_BYTES = 2 * GIBIBYTE
SMALLEST_DISK_BYTES = 128 * 1024**2
DR_CENTRE = "dr-centre"
NAME_SERVER = "name-server"
"""What the roles of the S3 servers' and the name servers' processes begin with; no host may be called this."""

_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_SERVICE_ID = re.compile(r"[a-z0-9][a-z0-9._-]*", re.ASCII)


@dataclass(frozen=True)
class LabHost:
    """One host. `address` is IPv4; `disk_bytes` is what its file systems hold before they are full (memory)."""

    name: str
    site: str
    address: str
    disk_bytes: int = DISK_BYTES


@dataclass(frozen=True)
class LabService:
    """A service and the primary host it runs on. `address` is the one that citizens use and that moves, or None.

    `declared` is what its file says about how it is built, as plain data: title, depends_on, datasets, accounts, start
    and checks, as `drp.wiring.lab_plan` takes them from it.
    """

    id: str
    host: str
    address: str | None = None
    declared: Mapping[str, Any] = field(default_factory=dict)

    @property
    def datasets(self) -> list[dict[str, Any]]:
        return list(self.declared.get("datasets", ()))

    def dataset(self, type_: str) -> dict[str, Any]:
        """Its first dataset of a type; empty where it has none."""
        return next((dataset for dataset in self.datasets if dataset["type"] == type_), {})

    @property
    def paths(self) -> list[str]:
        """The files and folders that are backed up as such."""
        return [path for dataset in self.datasets for path in dataset.get("paths", ())]

    @property
    def units(self) -> list[str]:
        return list(self.declared.get("start", ()))

    @property
    def accounts(self) -> list[dict[str, Any]]:
        """Its accounts of the operating system: name, uid and home of each."""
        return list(self.declared.get("accounts", ()))

    @property
    def checks(self) -> list[dict[str, Any]]:
        return list(self.declared.get("checks", ()))

    @property
    def requests(self) -> list[tuple[str, str]]:
        """What its checks over HTTP read: path and the text that is expected there, which may be empty."""
        steps = [step for check in self.checks if check["type"] == "http" for step in check["steps"]]
        gets = [step for step in steps if step["request"].startswith("GET /") and "$" not in step["request"]]
        return [(step["request"].split(" ", 1)[1], step["expect_text"] or "") for step in gets]

    @property
    def name(self) -> str:
        """The name that its users know: the one that its checks ask for, or its id."""
        return next((check["host_header"] for check in self.checks if check.get("host_header")), self.id)


@dataclass(frozen=True)
class LabFiles:
    """Where the lab writes what drp reads: absolute paths. What exists already is kept.

    `repository_passwords` maps service ids to files.
    """

    ssh_private_key: Path
    ssh_known_hosts: Path
    repository_passwords: Mapping[str, Path]


@dataclass(frozen=True)
class LabDrCentre:
    """An S3 server. `endpoint` is https://ADDRESS:PORT with an address of the lab's network; the paths are those of the
    files that the lab writes its certificate authority and its keys into."""

    name: str
    endpoint: str
    bucket: str
    ca_certificate: Path
    access_key_id: Path
    secret_access_key: Path

    @property
    def address(self) -> str:
        return urlsplit(self.endpoint).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.endpoint).port or 443

    @property
    def role(self) -> str:
        """What its processes are called: the role in their environment, pid file, log, cable."""
        return f"{DR_CENTRE}-{self.name}"


@dataclass(frozen=True)
class LabZone:
    """A zone, the key that may update it, and what it says at first. `records` are (name, type, value), names whole."""

    zone: str
    key: str
    algorithm: str
    secret: Path
    records: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class LabNameServer:
    """A name server at an address of the lab's network, with the zones that services are switched in."""

    address: str
    port: int
    zones: tuple[LabZone, ...]

    @property
    def role(self) -> str:
        """What its processes are called."""
        return f"{NAME_SERVER}-{self.address.replace('.', '-')}"


@dataclass(frozen=True)
class LabPlan:
    """Everything the lab needs."""

    workspace: Path
    network: IPv4Network
    hosts: tuple[LabHost, ...]
    services: tuple[LabService, ...]
    dr_centres: tuple[LabDrCentre, ...]
    files: LabFiles
    name_servers: tuple[LabNameServer, ...] = ()

    @property
    def gateway(self) -> IPv4Address:
        """The machine's own address on the lab's bridge, the first of the network. Nothing is routed through it."""
        return self.network.network_address + 1

    def service(self, name: str) -> LabService | None:
        """The service of this id, if the lab has it."""
        return next((service for service in self.services if service.id == name), None)

    def dr_centre(self, name: str = "") -> LabDrCentre:
        """The DR centre of this name, or the first one. UsageError for a name that the lab does not have."""
        found = [centre for centre in self.dr_centres if name in ("", centre.name)]
        if not found:
            raise UsageError(f"the lab has no DR centre {name!r}", hint="see: drp lab status")
        return found[0]


@dataclass(frozen=True)
class LabNames:
    """What this lab's things are called on the machine: all derived from the workspace's path, so that a lab can be
    found and removed when nothing else about it is known."""

    workspace: Path

    @property
    def marker(self) -> str:
        """The value of DRP_LAB in the environment of every process of this lab."""
        return hashlib.sha256(str(self.workspace).encode()).hexdigest()[:32]

    @property
    def bridge(self) -> str:
        return f"drp-{self.marker[:8]}"

    @property
    def interface_prefix(self) -> str:
        return f"v{self.marker[:7]}"

    def interface(self, name: str) -> str:
        """The machine's end of a host's cable (14 characters; Linux allows 15)."""
        return self.interface_prefix + hashlib.sha256(name.encode()).hexdigest()[:6]

    def mac(self, name: str) -> str:
        """A host's hardware address: the same after every rebuild, so that nobody's neighbour table goes stale."""
        digest = hashlib.sha256(f"{self.marker}/{name}".encode()).hexdigest()
        return "02:" + ":".join(digest[at : at + 2] for at in range(0, 10, 2))

    @property
    def directory(self) -> Path:
        return self.workspace / "var" / "lab"

    def pid_file(self, name: str) -> Path:
        return self.directory / "run" / f"{name}.pid"

    def log_file(self, name: str) -> Path:
        return self.directory / "logs" / f"{name}.log"


def names_of(workspace: Path) -> LabNames:
    return LabNames(workspace.resolve())


def check_plan(plan: LabPlan) -> None:
    """Raise UsageError for the first thing in `plan` that cannot be built, or that could touch a real network."""
    if plan.workspace.resolve() == Path("/"):
        raise UsageError("the root directory cannot be a lab's workspace", hint="make one with: drp init DIRECTORY")
    if not plan.workspace.is_dir():
        raise UsageError(
            "there is no such directory", where=str(plan.workspace), hint="make it with: drp init DIRECTORY"
        )
    network = plan.network
    if not network.subnet_of(BENCHMARKING) or network.prefixlen > 28:
        raise UsageError(
            f"the lab's network {network} is not inside {BENCHMARKING}, or smaller than a /28",
            where="drp.yaml",
            hint=f"a lab must never be able to reach a real network: use one inside {BENCHMARKING} (RFC 2544)",
        )
    taken: dict[IPv4Address, str] = {plan.gateway: "this machine's end of the lab's bridge"}
    names: set[str] = set()
    for host in plan.hosts:
        _check_host(host, names)
        _claim(taken, host.address, f"host {host.name}", network)
    for service in plan.services:
        _check_service(plan, service, names)
        if service.address is not None:
            _claim(taken, service.address, f"service {service.id}", network)
    for centre in plan.dr_centres:
        _check_dr_centre(centre, network, names)
        _claim(taken, centre.address, f"the endpoint of DR centre {centre.name}", network)
    for server in plan.name_servers:
        _claim(taken, server.address, f"the name server {server.address}", network)


def _check_dr_centre(centre: LabDrCentre, network: IPv4Network, names: set[str]) -> None:
    try:
        parts = urlsplit(centre.endpoint)
        in_range = parts.port is None or parts.port > 0
    except ValueError:
        in_range = False
    if not in_range or parts.scheme != "https" or not parts.hostname or parts.path not in ("", "/"):
        raise UsageError(
            f"the lab cannot serve S3 at {centre.endpoint!r}",
            hint=f"write https://{network.network_address + 10}:9000",
        )
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", centre.bucket):
        raise UsageError(f"{centre.bucket!r} is not a bucket name", hint="3 to 63 small letters, digits, dots, hyphens")
    if not _HOST_NAME.fullmatch(centre.name) or centre.role in names:
        raise UsageError(f"{centre.name!r} cannot be a lab DR centre's name", hint="small letters, digits and hyphens")


def _check_host(host: LabHost, names: set[str]) -> None:
    reserved = host.name == "localhost" or host.name.startswith((DR_CENTRE, NAME_SERVER))
    if not _HOST_NAME.fullmatch(host.name) or reserved:
        raise UsageError(f"{host.name!r} cannot be a lab host's name", hint="small letters, digits and hyphens")
    if host.name in names:
        raise UsageError(f"host {host.name} is in the plan twice")
    if host.site not in SITES:
        raise UsageError(f"host {host.name} is at site {host.site!r}; the lab knows {' and '.join(SITES)}")
    if host.disk_bytes < SMALLEST_DISK_BYTES:
        raise UsageError(f"host {host.name}: a disk of {host.disk_bytes} bytes is less than {SMALLEST_DISK_BYTES}")
    names.add(host.name)


def _check_service(plan: LabPlan, service: LabService, names: set[str]) -> None:
    if not _SERVICE_ID.fullmatch(service.id):
        raise UsageError(f"{service.id!r} cannot be a lab service's id")
    if service.host not in names:
        raise UsageError(f"service {service.id} runs on {service.host}, which is not one of the lab's hosts")
    if service.id not in plan.files.repository_passwords:
        raise UsageError(f"service {service.id} has no file for its repository password")


def _claim(taken: dict[IPv4Address, str], text: str, owner: str, network: IPv4Network) -> None:
    try:
        address = IPv4Address(text)
    except AddressValueError:
        raise UsageError(f"{owner}: {text!r} is not an IPv4 address", hint=f"use one inside {network}") from None
    if address not in network or address in (network.network_address, network.broadcast_address):
        raise UsageError(
            f"{owner}: {address} is not an address of the lab's network {network}",
            hint=f"a lab must never be able to reach a real network: addresses are inside {BENCHMARKING} (RFC 2544)",
        )
    if address in taken:
        raise UsageError(f"{owner}: {address} is already {taken[address]}'s")
    taken[address] = owner


def plan_to_json(plan: LabPlan) -> dict[str, Any]:
    files = plan.files
    return {
        "workspace": str(plan.workspace),
        "network": str(plan.network),
        "hosts": [vars(host) for host in plan.hosts],
        "services": [vars(service) for service in plan.services],
        "dr_centres": [{name: str(value) for name, value in vars(centre).items()} for centre in plan.dr_centres],
        "files": {
            **{name: str(value) for name, value in vars(files).items() if name != "repository_passwords"},
            "repository_passwords": {service: str(path) for service, path in files.repository_passwords.items()},
        },
        "name_servers": [
            {**vars(server), "zones": [{**vars(zone), "secret": str(zone.secret)} for zone in server.zones]}
            for server in plan.name_servers
        ],
    }


def plan_from_json(data: Mapping[str, Any]) -> LabPlan:
    """The plan that `plan_to_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
    files = dict(data["files"])
    passwords = {service: Path(path) for service, path in files.pop("repository_passwords").items()}
    return LabPlan(
        workspace=Path(data["workspace"]),
        network=IPv4Network(data["network"]),
        hosts=tuple(LabHost(**host) for host in data["hosts"]),
        services=tuple(LabService(**service) for service in data["services"]),
        dr_centres=tuple(_dr_centre(centre) for centre in data["dr_centres"]),
        files=LabFiles(**{name: Path(path) for name, path in files.items()}, repository_passwords=passwords),
        name_servers=tuple(_name_server(server) for server in data.get("name_servers", [])),
    )


def _dr_centre(data: Mapping[str, str]) -> LabDrCentre:
    paths = {name: Path(data[name]) for name in ("ca_certificate", "access_key_id", "secret_access_key")}
    return LabDrCentre(data["name"], data["endpoint"], data["bucket"], **paths)


def _name_server(data: Mapping[str, Any]) -> LabNameServer:
    zones = tuple(
        LabZone(**{**zone, "secret": Path(zone["secret"]), "records": tuple(tuple(item) for item in zone["records"])})
        for zone in data["zones"]
    )
    return LabNameServer(data["address"], data["port"], zones)
