"""What a drill's copies may reach is never production."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network

from drp.domain.drill_allows import Allowed
from drp.domain.findings import WORKSPACE, Finding, Location, Record, service_record
from drp.domain.inventory import AnsibleHost, Workspace
from drp.domain.recovery.isolation import user_addresses
from drp.domain.service import Service


def drill_allows_faults(
    services: Mapping[str, Service], hosts: Mapping[str, AnsibleHost] | None, workspace: Workspace | None
) -> Iterator[Finding]:
    """All of them, as far as addresses are written as such: names are looked up when a drill starts."""
    lists: list[tuple[Record, Location, Sequence[Allowed], tuple[str, ...]]] = [
        (service_record(service.id), ("recovery", "drill_allows"), service.recovery.drill_allows, (service.id,))
        for service in services.values()
    ]
    if workspace is not None:
        lists.append((Record(WORKSPACE), ("drill_allows",), workspace.drill_allows, ()))
    if not any(allowed for _, _, allowed, _ in lists):
        return
    production = {
        address: f"users' address of {one.id}" for one in services.values() for address in user_addresses(one)
    }
    for host in (hosts or {}).values():
        if host.site == "primary":
            production[host.address] = f"primary host {host.name}"
    for record, location, allowed, concerned in lists:
        for position, item in enumerate(allowed):
            for address, whose in production.items():
                if _is_within(address, item):
                    yield Finding(
                        "fault",
                        "drill-allows-production",
                        record,
                        (*location, position, "to"),
                        f"{item.to} lets a drill reach {address}, {whose}",
                        "a drill leaves production alone: name only what stands elsewhere",
                        concerned,
                    )
                    break


def _is_within(address: str, item: Allowed) -> bool:
    try:
        return ip_address(address) in ip_network(item.to)
    except ValueError:
        return False  # a name
