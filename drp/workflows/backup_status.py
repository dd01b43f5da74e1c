"""How well the services are protected, read from the ledger's projections alone."""

from __future__ import annotations

from collections.abc import Sequence

from drp.domain.protection.status import WINDOW, ProtectionStatus, status_of
from drp.domain.service import Service
from drp.ports import World
from drp.workflows.schedule import decisions_of


def backup_status(world: World, services: Sequence[str]) -> list[ProtectionStatus]:
    """The status of services that have backup settings."""
    now = world.clock.now()
    chosen = [world.city.services[name] for name in services]
    copies = {service.id: _copies_of(service) for service in chosen}
    facts = world.ledger.protection(copies, now, now - WINDOW)
    scheduled = {found.task.service: found for found in decisions_of(world, services, ("backup",))}
    workspace = world.city.workspace
    return [
        status_of(service, facts[service.id], workspace.tiers, workspace.backups, now, scheduled.get(service.id))
        for service in chosen
    ]


def protected_services(world: World) -> list[str]:
    """All services that have backup settings and something to back up."""
    return [service.id for service in world.city.services.values() if service.backup and service.datasets]


def _copies_of(service: Service) -> tuple[str, ...]:
    return () if service.backup is None else tuple(copy.dr_centre for copy in service.backup.copies)
