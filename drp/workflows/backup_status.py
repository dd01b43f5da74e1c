"""How well the services are protected, read from the ledger's projections alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from drp.domain.protection_facts import Facts
from drp.domain.protection_status import WINDOW, ProtectionStatus, status_of
from drp.domain.service import Service
from drp.ports import World

LEAST_PATIENCE = timedelta(minutes=10)
"""A backup that has been due for less is not called missed: it may be waiting its turn, or be on its way."""


def backup_status(world: World, services: Sequence[str]) -> list[ProtectionStatus]:
    """The status of services that have backup settings."""
    now = world.clock.now()
    chosen = [world.city.services[name] for name in services]
    copies = {service.id: _copies_of(service) for service in chosen}
    facts = world.ledger.protection(copies, now, now - WINDOW)
    missed = {service.id: _missed(service, facts[service.id], now) for service in chosen}
    workspace = world.city.workspace
    return [
        status_of(service, facts[service.id], workspace.tiers, workspace.backups, now, missed.get(service.id))
        for service in chosen
    ]


def protected_services(world: World) -> list[str]:
    """All services that have backup settings and something to back up."""
    return [service.id for service in world.city.services.values() if service.backup and service.datasets]


def _copies_of(service: Service) -> tuple[str, ...]:
    return () if service.backup is None else tuple(copy.dr_centre for copy in service.backup.copies)


def _missed(service: Service, facts: Facts, now: datetime) -> datetime | None:
    """Since when a backup of the schedule is missing: its longest gap is over, and the time that a backup takes."""
    assert service.backup is not None
    schedule = service.backup.when
    if schedule is None or facts.history is None:
        return None
    due_at = facts.history.last + schedule.longest_gap
    return due_at if now > due_at + max(service.backup.estimate or timedelta(), LEAST_PATIENCE) else None
