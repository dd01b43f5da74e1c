"""What of a service's `traffic` can never work, or would lead the users of another service along."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from drp.domain.findings import Finding, service_fault
from drp.domain.inventory import AnsibleHost
from drp.domain.recovery.cutover import user_place, ways_of
from drp.domain.service import Service
from drp.domain.traffic import DnsZone, FloatingAddress, HaproxyBackend

Thing = tuple[str, ...]


def traffic_faults(services: Mapping[str, Service], hosts: Mapping[str, AnsibleHost] | None) -> Iterator[Finding]:
    """All of them; hosts are None where their file could not be read."""
    own_addresses = {host.address: host.name for host in (hosts or {}).values()}
    led: dict[Thing, str] = {}
    for service in services.values():
        yield from _nowhere_to_look(service)
        yield from _on_a_hosts_own_address(service, own_addresses)
        for position, way in enumerate(service.traffic or ()):
            things: list[Thing] = []
            if isinstance(way, DnsZone):
                things = [(record.name.rstrip("."), record.type) for record in way.records]
            elif isinstance(way, HaproxyBackend):
                names = (*way.primary, *way.recovery)
                things = [(host, way.socket, way.backend, name) for host in way.hosts for name in names]
            for thing in things:
                other = led.setdefault(thing, service.id)
                if other != service.id:
                    yield service_fault(
                        service.id,
                        ("traffic", position),
                        "same-traffic",
                        f"{' '.join(thing)} is switched by service {other} too",
                        "what leads users may belong to one service alone; a switch of one would lead the others along",
                    )


def _nowhere_to_look(service: Service) -> Iterator[Finding]:
    """Without a place that stays the same for users, a probe could only look at a host: that proves no switch."""
    if service.traffic and user_place(service) is None:
        yield service_fault(
            service.id,
            ("traffic",),
            "no-user-address",
            "nobody knows where users reach the service: a HAProxy back end or a command alone does not say it",
            "write address: with what users connect to, such as the proxy's own address",
        )
    if service.traffic and not service.runs_on:
        yield service_fault(
            service.id,
            ("traffic",),
            "no-host",
            "traffic is switched between sites, and the service has no hosts",
            "write runs_on and recovers_on, or take traffic away",
        )


def _on_a_hosts_own_address(service: Service, own_addresses: Mapping[str, str]) -> Iterator[Finding]:
    for position, way in enumerate(ways_of(service)):
        if not isinstance(way, FloatingAddress):
            continue
        host = own_addresses.get(str(way.address))
        if host is not None:
            yield service_fault(
                service.id,
                ("traffic", position, "address") if service.traffic else ("address",),
                "address-of-a-host",
                f"{way.address} is host {host}'s own address, so it cannot move",
                "write an address that no host has of its own; or another way, such as dns, under traffic",
            )
