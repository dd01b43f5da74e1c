"""Check repositories: their structure each time, and by turns all of their data, so that none goes unread for long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from drp.domain.backups.checking import plan_check
from drp.domain.backups.record import Mark
from drp.domain.backups.restore_point import RestorePoint
from drp.domain.events import Body
from drp.domain.protection.gaps import backup_of
from drp.domain.schedules.schedule import parse_schedule
from drp.domain.service import Service
from drp.errors import IntegrityError
from drp.ports import World
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
JITTER = timedelta(minutes=5)
"""How much later than its schedule says a check may start without being missed."""


def check(
    world: World, services: Sequence[str], *, everything: bool = False, due: Mapping[str, datetime] | None = None
) -> list[UpkeepResult]:
    """Check the repositories of each service; with `everything`, read all data at once."""
    return keep_up(world, CHECK, services, {"everything": everything}, due)


def _check(world: World, service: Service, run: str, plan: Body) -> Outcome:
    points = world.ledger.restore_points(service.id, limit=MOST_POINTS)
    found = []
    for repository in repositories_of(world, service, points):
        turn = _turn(world, service, run, repository, everything=plan["everything"])
        job = upkeep_job(world, service, repository, run, "check", parts=turn["parts"])
        result = do_job(world, service, run, f"check-{repository.host}", repository.keeper, job)
        distrusted = record_checks(world, service, run, repository, result, points)
        found.append(
            {
                "host": repository.host,
                "parts": turn["parts"],
                "is_late": turn["is_late"],
                "good": result["good"],
                "checks": result["checks"],
                "distrusted": distrusted,
            }
        )
    if not found:
        world.say(f"{service.id}: there is no restore point yet, so there is nothing to check")
    return Outcome({"repositories": found}, _damage(service, found))


CHECK = Kind("check", _check, is_alone=False, goes_on=True)


def _turn(world: World, service: Service, run: str, repository: Repository, *, everything: bool) -> Body:
    """Which parts this run reads of a repository. It is decided once: a run that was cut off goes on with the same."""
    for event in world.ledger.events(run):
        if event.type == "check.planned" and event.body["host"] == repository.host:
            return event.body
    proof = world.city.workspace.backups.proof
    centre = backup_of(service).dr_centre
    checks = [row for row in world.ledger.checks(service.id) if row.host == repository.host and row.dr_centre == centre]
    gap = parse_schedule(proof.check).longest_gap + JITTER
    turn = plan_check(checks, gap, proof.everything_within, world.clock.now())
    numbers, parts = ((1,), 1) if everything else (turn.numbers, turn.parts)
    body = {
        "service": service.id,
        "host": repository.host,
        "parts": [[number, parts] for number in numbers],
        "is_late": turn.is_late,
    }
    world.ledger.append(run, "check.planned", body)
    return body


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
        if event.type == "check.recorded" and event.body["host"] == repository.host
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
    bad = [point.id for point in affected or here]
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
    damaged: set[str] = set()
    for row in world.ledger.checks(service.id):  # they come oldest first
        if not row.is_good:
            damaged.add(row.host)
        elif (row.part, row.parts) == (1, 1):
            damaged.discard(row.host)
    for point in points:
        mark = distrusted.get(point.id)
        if mark is not None and DAMAGE in mark.reason and not damaged & set(point.repositories):
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
