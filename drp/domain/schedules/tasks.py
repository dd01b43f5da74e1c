"""What a city wants done again and again: backups, copies, retention, checks, restore tests and prunes of services."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from drp.domain.backups.record import SCHEDULED_KINDS
from drp.domain.backups.settings import BackupSettings, CopySettings
from drp.domain.inventory import City
from drp.domain.objectives import own_or_tiers
from drp.domain.protection.gaps import gaps_of
from drp.domain.schedules.due import Task, Trigger, offset_of
from drp.domain.schedules.schedule import Schedule, parse_schedule
from drp.domain.service import Service

_EACH_DAY = parse_schedule("daily 00:00")
_NO_OBJECTIVE = int(timedelta(days=3650).total_seconds())


def tasks_of(city: City, services: Collection[str] = (), kinds: Collection[str] = SCHEDULED_KINDS) -> list[Task]:
    """The tasks of these services (default: all) that can be backed up."""
    tasks: list[Task] = []
    for name in services or city.services:
        service = city.services[name]
        if service.backup is None or gaps_of(service, "backup", city.hosts, city.workspace.tiers):
            continue
        for kind in kinds:
            if kind == "copy":
                tasks += [_copy_task(city, service, copy) for copy in service.backup.copies]
                continue
            found = _schedules_of(city, service, service.backup, kind)
            if found is not None:
                tasks.append(_task(city, service, kind, *found))
    return tasks


def _schedules_of(
    city: City, service: Service, backup: BackupSettings, kind: str
) -> tuple[Trigger, tuple[Schedule, ...]] | None:
    """When a kind of task is to be done for a service; None where it is not to be done."""
    proof = city.workspace.backups.proof
    match kind:
        case "backup":
            return None if backup.schedule is None else (Trigger.SCHEDULE, (parse_schedule(backup.schedule),))
        case "forget":
            return (Trigger.DAILY_AFTER_BACKUP, (_EACH_DAY,)) if has_retention(city, service) else None
        case "preflight":
            return Trigger.SCHEDULE, (parse_schedule(proof.preflight),)
        case "check":
            return Trigger.SCHEDULE, (parse_schedule(proof.check),)
        case "restore-test":
            return Trigger.SCHEDULE, (parse_schedule(proof.restore_test),)
        case "prune":
            return (Trigger.SCHEDULE, (parse_schedule(proof.prune),)) if has_retention(city, service) else None
    raise ValueError(f"no such kind of task: {kind}")


def has_retention(city: City, service: Service) -> bool:
    """Whether a policy says which restore points of a service are kept: its own, its tier's, or the workspace's."""
    tier = city.workspace.tiers.get(service.tier) if service.tier else None
    own = service.backup.retention if service.backup is not None else None
    return (
        own is not None
        or (tier is not None and tier.retention is not None)
        or (city.workspace.backups.retention is not None)
    )


def _copy_task(city: City, service: Service, copy: CopySettings) -> Task:
    """Each DR centre has a task of its own: it follows its own schedule, or each backup."""
    when = copy.when
    if when is None:
        return _task(city, service, "copy", Trigger.EACH_BACKUP, (), copy.dr_centre)
    return _task(city, service, "copy", Trigger.SCHEDULE, (when,), copy.dr_centre)


def _task(
    city: City, service: Service, kind: str, trigger: Trigger, schedules: tuple[Schedule, ...], dr_centre: str = ""
) -> Task:
    backups = city.workspace.backups
    # Restore tests take turns at each moment, which is the same for all; what follows a backup needs no offset.
    spread = trigger is Trigger.SCHEDULE and kind != "restore-test"
    return Task(
        service=service.id,
        kind=kind,
        trigger=trigger,
        schedules=schedules,
        zone=city.workspace.organisation.time_zone,
        offset=offset_of(service.id, f"{kind} {dr_centre}".rstrip(), schedules) if spread else timedelta(),
        order=(SCHEDULED_KINDS.index(kind), priority_of(city, service)),
        retry=backups.retry,
        rpo=own_or_tiers(service, city.workspace.tiers, "rpo") if kind == "backup" else None,
        blackouts=tuple(each for each in backups.blackouts if not each.services or service.id in each.services),
        dr_centre=dr_centre,
    )


def priority_of(city: City, service: Service) -> int:
    """How soon its turn comes, least first: by what its tier promises, so that it does not matter in which order tiers
    are written; without a tier, by what it promises itself."""
    tier = city.workspace.tiers.get(service.tier) if service.tier else None
    rto = tier.rto if tier is not None else service.rto
    return _NO_OBJECTIVE if rto is None else int(rto.total_seconds())
