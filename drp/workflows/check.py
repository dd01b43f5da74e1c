"""Check repositories: their structure each time, and by turns all of their data, so that none goes unread for long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from drp.domain.backups.record import Mark
from drp.domain.backups.restore_point import RestorePoint
from drp.domain.events import Body
from drp.domain.protection.gaps import backup_of
from drp.domain.service import Service
from drp.errors import DrpError, IntegrityError
from drp.ports import World
from drp.workflows.check_copies import check_copies
from drp.workflows.check_turn import turn_of
from drp.workflows.upkeep import (
    MOST_POINTS,
    Kind,
    Outcome,
    Repository,
    UpkeepResult,
    do_job,
    keep_up,
    repositories_of,
    upkeep_job,
)

DAMAGE = "found damage in the repository"


def check(
    world: World, services: Sequence[str], *, everything: bool = False, due: Mapping[str, datetime] | None = None
) -> list[UpkeepResult]:
    """Check the repositories of each service; with `everything`, read all data at once. A service without a restore
    point has nothing to check: its result names no run and no repositories, and is not to be called good."""
    results = []
    for name in services:
        if world.ledger.restore_points(name, limit=1):
            results += keep_up(world, CHECK, [name], {"everything": everything}, due)
        else:
            results.append(UpkeepResult(name, CHECK.name, "", {"repositories": []}))
    return results


def _check(world: World, service: Service, run: str, plan: Body) -> Outcome:
    """Repositories first, then their copies. One that cannot be checked does not keep the others from it: a copy is
    wanted most while its source is away."""
    points = world.ledger.restore_points(service.id, limit=MOST_POINTS)
    found: list[Body] = []
    errors: list[DrpError] = []
    for repository in repositories_of(world, service, points):
        try:
            found.append(_check_one(world, service, run, repository, points, everything=plan["everything"]))
        except DrpError as error:
            errors.append(error)
    damage = _damage(service, found)
    copies, troubles = check_copies(world, service, run, points, everything=plan["everything"])
    errors = [*([damage] if damage else []), *errors, *troubles]
    return Outcome({"repositories": found + copies}, _joined(errors))


def _check_one(
    world: World,
    service: Service,
    run: str,
    repository: Repository,
    points: Sequence[RestorePoint],
    *,
    everything: bool,
) -> Body:
    centre = backup_of(service).dr_centre
    turn = turn_of(world, service, run, repository.host, centre, everything=everything)
    job = upkeep_job(world, service, repository, run, "check", parts=turn["parts"])
    result = do_job(world, service, run, f"check-{repository.host}", repository.keeper, job)
    return {
        "host": repository.host,
        "dr_centre": centre,
        "parts": turn["parts"],
        "is_late": turn["is_late"],
        "good": result["good"],
        "checks": result["checks"],
        "distrusted": record_checks(world, service, run, repository, result, points),
    }


def _joined(errors: Sequence[DrpError]) -> DrpError | None:
    """All of them as one: damage counts for more than what could not be looked at."""
    ordered = sorted(errors, key=lambda error: not isinstance(error, IntegrityError))
    if len(ordered) < 2:
        return ordered[0] if ordered else None
    first, *others = ordered
    text = "; ".join([first.message, *map(str, others)])
    return type(first)(text, where=first.where, hint=first.hint)


CHECK = Kind("check", _check, is_alone=False, goes_on=True)


def record_checks(
    world: World,
    service: Service,
    run: str,
    repository: Repository,
    result: Body,
    points: Sequence[RestorePoint],
) -> list[str]:
    """Note what a check found; gives the restore points that cannot be trusted by it. Where restic cannot say which
    snapshots the damage is in, it is none of them that can."""
    key = {"service": service.id, "host": repository.host, "dr_centre": backup_of(service).dr_centre}
    known = {
        (event.body["part"], event.body["parts"])
        for event in world.ledger.events(run)
        if event.type == "check.recorded"
        and (event.body["host"], event.body["dr_centre"]) == (key["host"], key["dr_centre"])
    }
    for item in result["checks"]:
        if (item["part"], item["parts"]) not in known:
            more = {"is_good": item["good"], "doubted": item["doubted"], "packs": item["packs"], "text": item["text"]}
            body = {**key, "part": item["part"], "parts": item["parts"], **more}
            world.ledger.append(run, "check.recorded", body)
    here = [point for point in points if point.repositories.get(repository.host) == repository.url]
    distrusted = {mark.restore_point: mark for mark in world.ledger.marks(service.id) if mark.mark == "distrusted"}
    if result["good"]:
        if any((item["part"], item["parts"]) == (1, 1) for item in result["checks"]):
            _trust_again(world, service, run, here, distrusted)
        return []
    hit = set(result["hit"])
    affected = [point for point in here if hit & {item.snapshot for item in point.snapshots}]
    stranded = [
        point for point in world.ledger.stranded(service.id) if hit & {item.snapshot for item in point.snapshots}
    ]
    # Where the damage is in what a failback has kept, the restore points are as good as they were.
    bad = [point.id for point in [*affected, *stranded] or here]
    for id_ in bad:
        if id_ not in distrusted:
            reason = f"{run} {DAMAGE} of {repository.host}"
            body = {"id": id_, "service": service.id, "reason": reason}
            world.ledger.append(run, "restore_point.distrusted", body)
    return bad


def _trust_again(
    world: World, service: Service, run: str, points: Sequence[RestorePoint], distrusted: Mapping[str, Mark]
) -> None:
    """All data of a repository was read and is good. What was distrusted for damage alone is trusted again, unless
    another repository that it is in was found damaged and not yet wholly good since."""
    damaged: set[tuple[str, str]] = set()
    for row in world.ledger.checks(service.id):  # they come oldest first
        if not row.is_good:
            damaged.add((row.host, row.dr_centre))
        elif (row.part, row.parts) == (1, 1):
            damaged.discard((row.host, row.dr_centre))
    for point in points:
        mark = distrusted.get(point.id)
        if (
            mark is not None
            and DAMAGE in mark.reason
            and mark.by == "drp"
            and not damaged & {(host, point.dr_centre) for host in point.repositories}
        ):
            world.ledger.append(run, "restore_point.trusted", {"id": point.id, "service": service.id})


def _damage(service: Service, found: Sequence[Body]) -> IntegrityError | None:
    bad = [item for item in found if not item["good"]]
    if not bad:
        return None
    packs = sorted({pack for item in bad for check in item["checks"] for pack in check["packs"]})
    points = sorted({point for item in bad for point in item["distrusted"]})
    text = f"the repository of {', '.join(item['host'] for item in bad)} is damaged"
    if packs:
        text += f", in pack {', '.join(packs[:5])}" + (f" and {len(packs) - 5} more" if len(packs) > 5 else "")
    text += f"; {len(points)} restore points cannot be trusted: {', '.join(points[:5])}"
    hint = (
        "back up now (what is missing is sent again), and have the DR centre's storage examined before it is repaired"
    )
    return IntegrityError(text, where=service.id, hint=hint)
