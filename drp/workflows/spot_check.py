"""Compare files on their own host with what the newest restore point says they are: the source against the snapshot."""

from __future__ import annotations

from collections.abc import Sequence

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.events import Body
from drp.domain.service import Service
from drp.errors import DrpError, IntegrityError
from drp.ports import World
from drp.workflows.repository import centre_of, repository_url
from drp.workflows.upkeep import Kind, Outcome, Repository, UpkeepResult, do_job, keep_up, upkeep_job

SAMPLE = 20
PATHS_SAID = 10


def spot_check(world: World, services: Sequence[str], *, files: int = SAMPLE) -> list[UpkeepResult]:
    """Compare a random sample of the files of each service, `files` of each dataset, where the service runs now."""
    return keep_up(world, SPOT_CHECK, services, {"files": files})


def _spot_check(world: World, service: Service, run: str, plan: Body) -> Outcome:
    site = world.ledger.active_site(service.id)
    point = next((point for point in world.ledger.restore_points(service.id) if point.site == site), None)
    if point is None:
        text = f"there is no restore point of site {site} to compare with"
        raise DrpError(text, where=service.id, hint=f"drp backup run {service.id}")
    found = []
    for host, parts in _parts_by_host(world, service, point).items():
        executor = host
        repository = Repository(host, executor, point.repositories[host])
        job = upkeep_job(world, service, repository, run, "spot_check", parts=parts, files=plan["files"])
        for part in do_job(world, service, run, f"spot_check-{host}", executor, job)["parts"]:
            body = {"service": service.id, "host": host, "restore_point": point.id, **part}
            body["is_good"] = bool(part["compared"]) and not part["differing"]
            found.append(body)
            world.ledger.append(run, "spot_check.recorded", body)
    if not found:
        world.say(f"{service.id}: it has no files to compare; databases are proved by restore tests")
    return Outcome({"restore_point": point.id, "parts": found}, _difference(service, found))


SPOT_CHECK = Kind("spot-check", _spot_check, is_alone=False, goes_on=True)


def _parts_by_host(world: World, service: Service, point: RestorePoint) -> dict[str, list[Body]]:
    """The trees of a restore point, by the host that they are of: as the point says, whatever is declared now."""
    snapshots = {(item.dataset, item.part): item.snapshot for item in point.snapshots}
    centre = centre_of(world, service)
    found: dict[str, list[Body]] = {}
    for dataset in service.datasets:
        host = service.stand_in(dataset.host, point.site)
        if point.repositories.get(host) != repository_url(centre, service, host):
            continue
        for part in dataset.procedure(service.id)["parts"]:
            snapshot = snapshots.get((dataset.id, part["name"]))
            if part["kind"] == "tree" and snapshot is not None:
                found.setdefault(host, []).append({"dataset": dataset.id, "part": part["name"], "snapshot": snapshot})
    return found


def _difference(service: Service, found: Sequence[Body]) -> DrpError | None:
    differing = [f"{part['host']}:{path}" for part in found for path in part["differing"]]
    if differing:
        named = ", ".join(differing[:PATHS_SAID])
        named += f" and {len(differing) - PATHS_SAID} more" if len(differing) > PATHS_SAID else ""
        text = f"files differ from the restore point though nothing says that they were changed: {named}"
        hint = "find out which of the two is right before the next forget; drp backup hold keeps the restore point"
        return IntegrityError(text, where=service.id, hint=hint)
    silent = [f"{part['dataset']} on {part['host']}" for part in found if not part["compared"]]
    if silent:
        text = f"nothing could be compared of {', '.join(silent)}: every file drawn has changed since, or there is none"
        return DrpError(text, where=service.id, hint="run it again soon after a backup")
    return None
