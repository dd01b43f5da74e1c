"""Services that share hosts and units: stopping one may stop the others."""

from __future__ import annotations

from collections.abc import Iterable

from drp.domain.recovery.compiling import hosts_at
from drp.domain.recovery.plan import Site
from drp.domain.service import Service


def services_beside(service: Service, others: Iterable[Service], site: Site) -> list[tuple[str, list[str]]]:
    """The other services that run units of the same name on hosts of this one at a site, with these units.

    Servers that hold datasets are left out: they are not stopped with a service.
    """
    own = own_units(service)
    hosts = set(hosts_at(service, site))
    found = []
    for other in others:
        if other.id == service.id or not other.runs_on or not hosts & set(_hosts_at(other, site)):
            continue
        shared = [unit for unit in own if unit in own_units(other)]
        if shared:
            found.append((other.id, shared))
    return found


def own_units(service: Service) -> list[str]:
    """What is stopped with a service: its units without the servers that hold its data."""
    servers = {unit for dataset in service.datasets for unit in dataset.procedure(service.id)["units"]}
    return [unit for unit in service.recovery.start if unit not in servers]


def stopped_before_backup(service: Service) -> list[str]:
    """What a planned move stops before it backs a service up: not what the backup itself must ask, as the server of a
    directory, which takes the sentinel."""
    asked = {word for dataset in service.datasets for word in dataset.asked_when_backed_up}
    return [unit for unit in own_units(service) if unit.removesuffix(".service") not in asked]


def _hosts_at(service: Service, site: Site) -> tuple[str, ...]:
    """Of a service that may not be recoverable at all."""
    names = (*service.runs_on, *(dataset.host for dataset in service.datasets))
    return tuple(name if site == "primary" else service.recovers_on.get(name, name) for name in names)
