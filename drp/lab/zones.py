"""The name servers that a lab builds: those in its own network that its services are switched at."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from pathlib import Path

from drp.domain.recovery.cutover import ways_of
from drp.domain.service import Service
from drp.domain.traffic import DnsZone
from drp.errors import UsageError
from drp.lab.plan import LabNameServer, LabZone


def name_servers_of(workspace: Path, services: Iterable[Service], network: IPv4Network) -> tuple[LabNameServer, ...]:
    """By what the services declare under `traffic`. A server elsewhere is somebody else's: the lab builds none, and
    reaches none. UsageError where a key of one in the lab is kept anywhere but in a file."""
    found: dict[tuple[str, int], dict[LabZone, None]] = {}
    for service in services:
        for way in ways_of(service):
            if not isinstance(way, DnsZone) or not _is_inside(way.server, network):
                continue
            if way.key.secret.file is None:
                where = f"inventories/services/{service.id}.yaml"
                text = f"the lab needs the key for updates of {way.zone} as a file"
                raise UsageError(text, where=where, hint="write {file: var/lab/secrets/…}")
            records = tuple(
                (record.name, record.type, value) for record in way.records for value in record.values_at("primary")
            )
            zone = LabZone(
                way.zone.rstrip("."), way.key.name, way.key.algorithm, workspace / way.key.secret.file, records
            )
            found.setdefault((way.server, way.port), {})[zone] = None
    return tuple(LabNameServer(address, port, tuple(zones)) for (address, port), zones in found.items())


def _is_inside(server: str, network: IPv4Network) -> bool:
    try:
        return IPv4Address(server) in network
    except AddressValueError:
        return False
