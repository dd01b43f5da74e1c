"""What the hosts of a stage are to do: the jobs of the datasets, and what a restore point that was turned down had
brought there."""

from __future__ import annotations

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.datasets import DatasetType, read_dataset, with_snapshots
from drp.domain.datasets.order import restore_order
from drp.domain.events import Body
from drp.domain.protection.gaps import backup_of
from drp.domain.recovery.plan import Step
from drp.domain.recovery.run import Recovery
from drp.ports import World
from drp.workflows.isolation import aborted_drills, hosts_connected_by
from drp.workflows.repository import centre_named
from drp.workflows.withdrawal import units_alone


def datasets_of(point: RestorePoint) -> list[DatasetType]:
    """The datasets as they were declared when they were backed up: what was backed up is what is restored."""
    return [read_dataset(declared) for declared in point.datasets.values()]


def hosts_of(recovery: Recovery, step: Step) -> tuple[str, ...]:
    """The hosts that a stage works on: those that the service comes back on, or those that a planned move leaves."""
    planned = recovery.plan.services[step.service]
    if step.stage == "unisolate":
        return hosts_connected_by(recovery, step)
    clears_home = step.stage == "cleanup" and recovery.plan.kind == "failback"
    is_left = step.stage in ("stop", "stopped", "reopen") or clears_home
    return planned.leaves if is_left else planned.hosts


def jobs_of(world: World, recovery: Recovery, step: Step, point: RestorePoint | None) -> list[Body]:
    """The datasets' jobs on the hosts that the stage works on, with the restore point's snapshots, if there is one."""
    service = world.city.services[step.service]
    declared: list[DatasetType] = list(service.datasets)
    if point is not None:
        held = {dataset.id: dataset for dataset in datasets_of(point)}
        declared = [held[name] for name in restore_order([dataset.id for dataset in declared], held)]
    at_new_site = hosts_of(recovery, step) == recovery.plan.services[step.service].hosts
    site = recovery.plan.site if at_new_site else recovery.plan.site_left
    own_runs = aborted_drills(world, service.id)
    jobs = []
    for dataset in declared:
        procedure = dataset.procedure(service.id)
        repository = None
        if point is not None:
            procedure = with_snapshots(procedure, point.snapshots_of(dataset.id))
            url = point.repositories[service.stand_in(dataset.host, point.site)]
            repository = {"url": url, "region": centre_named(world, point.dr_centre).region}
        jobs.append(
            {
                "verb": "restore",
                "run": recovery.run,
                "kind": recovery.plan.kind,
                "own_runs": own_runs,
                "service": service.id,
                "host": service.stand_in(dataset.host, site),
                "repository": repository,
                "stall_seconds": int(backup_of(service).stall_timeout.total_seconds()),
                "requires": ["restic", *procedure["requires"]],
                "datasets": [procedure],
            }
        )
    return jobs


def turned_down(world: World, recovery: Recovery, step: Step) -> Body:
    """What is taken away before the restore: what the restore point before this one had brought. Nothing where there is
    none, and no data where others had put data there before this run: only drp's own goes.

    Units that other services of the run, or services in use, have on the same hosts are not stopped."""
    before = recovery.tried_last(step.service) if step.stage == "restore" else None
    if before is None:
        return {"units": [], "jobs": []}
    service = world.city.services[step.service]
    jobs = jobs_of(world, recovery, step, before) if recovery.proved_empty(service.id) else []
    return {"units": units_alone(world, service, recovery.plan.services), "jobs": jobs}
