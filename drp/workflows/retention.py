"""Forget restore points that a retention lets go, and free what they took; both read back what really happened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from drp.domain.backups.record import Mark
from drp.domain.backups.restore_point import RestorePoint
from drp.domain.backups.retention import (
    Decision,
    Guards,
    Listed,
    PointDecision,
    RepositoryView,
    RunFate,
    decide,
    newest_proven,
    policy_arguments,
    policy_of,
)
from drp.domain.backups.settings import Retention
from drp.domain.events import Body, hash_of
from drp.domain.protection.gaps import backup_of
from drp.domain.service import Service
from drp.domain.values import from_stamp
from drp.errors import DrpError, ExitCode, IntegrityError, UsageError
from drp.ports import ActionState, World
from drp.workflows.backup_status import backup_status
from drp.workflows.check import record_checks
from drp.workflows.naming import action_folder, new_run
from drp.workflows.repository_locks import LockedOut
from drp.workflows.upkeep import (
    MOST_POINTS,
    Kind,
    Outcome,
    Repository,
    UpkeepResult,
    do_job,
    fresh_action,
    keep_up,
    repositories_of,
    upkeep_job,
)

UNTOUCHED_SHOWN = 50
BEING_FORGOTTEN = "it is being forgotten"


def forget(
    world: World, services: Sequence[str], *, preview: bool = False, due: Mapping[str, datetime] | None = None
) -> list[UpkeepResult]:
    """Forget what the retention of each service lets go; with `preview`, only say what that would be."""
    return keep_up(world, PREVIEW if preview else FORGET, services, {"preview": preview}, due)


def prune(world: World, services: Sequence[str], *, due: Mapping[str, datetime] | None = None) -> list[UpkeepResult]:
    """Free what no snapshot needs any more, in all repositories of each service."""
    return keep_up(world, PRUNE, services, {}, due)


# -- forget ----------------------------------------------------------------------------------------------------------


def _forget(world: World, service: Service, run: str, plan: Body) -> Outcome:
    policy, origin = policy_of(service, world.city.workspace.tiers, world.city.workspace.backups)
    if policy is None:
        world.say(f"{service.id}: {origin}")
        return Outcome({"policy": None, "from": origin, "points": [], "forgotten": [], "residue": 0, "untouched": {}})
    points = world.ledger.restore_points(service.id, limit=MOST_POINTS)
    repositories = repositories_of(world, service, points)
    decided = _recorded_decision(world, run)
    if decided is None or not _has_begun(world, run, repositories):
        decided = _decide(world, service, run, policy, points, repositories)
        if not plan["preview"]:
            _announce(world, service, run, decided)
    if plan["preview"]:
        return Outcome(_summary(policy, origin, decided, []))
    forgotten, left = _carry_out(world, service, run, repositories, decided)
    body = _summary(policy, origin, decided, forgotten)
    if left:
        text = f"{len(left)} snapshots are still there though restic was told to forget them: {', '.join(left[:5])}"
        hint = "run drp backup forget again; ask the DR centre whether the backup keys may delete"
        return Outcome(body, DrpError(text, where=service.id, hint=hint))
    return Outcome(body)


FORGET = Kind("forget", _forget, is_alone=True, goes_on=True)
PREVIEW = Kind("forget-preview", _forget, is_alone=False, goes_on=False)


def _decide(
    world: World,
    service: Service,
    run: str,
    policy: Retention,
    points: Sequence[RestorePoint],
    repositories: Sequence[Repository],
) -> Body:
    views = []
    for repository in repositories:
        job = upkeep_job(world, service, repository, run, "forget_plan", policy=policy_arguments(policy))
        # Always a new look: after a crash an old one would not know of what came since.
        action = fresh_action(world, run, f"forget_plan-{repository.host}")
        result = do_job(world, service, run, action, repository.keeper, job)
        views.append(RepositoryView.from_result(repository.host, repository.url, result))
    given_up = _given_up_before(world, service)
    stranded = world.ledger.stranded(service.id)
    listed = [snapshot for view in views for snapshot in view.snapshots]
    fates = _fates(world, [*points, *stranded], listed, given_up)
    marks = world.ledger.marks(service.id)
    copies = world.ledger.copies(service.id)
    guards = Guards(
        held={mark.restore_point: mark.reason for mark in marks if mark.mark == "held"},
        proven=newest_proven(points, world.ledger.proofs(service.id)),
        copied={
            copy.dr_centre: {row.restore_point for row in copies if row.dr_centre == copy.dr_centre}
            for copy in backup_of(service).copies
        },
    )
    decision = decide(policy, points, views, fates, guards, world.clock.now(), stranded=stranded)
    return _record_of(decision, given_up)


def _record_of(decision: Decision, given_up: Iterable[str]) -> Body:
    """The decision as the ledger holds it. A restore point that an earlier run was cut off in forgetting is gone: some
    of its snapshots are."""
    half = {point.id for point in decision.points if point.missing and point.id in set(given_up)}
    return {
        "points": [
            (point.record() | {"stays": False, "reasons": ["an earlier run has begun to forget it"]})
            if point.id in half
            else point.record()
            for point in decision.points
        ],
        "broken": [point.id for point in decision.points if _is_broken(point, half)],
        "forget": {host: list(ids) for host, ids in decision.forget.items()},
        "residue": decision.residue,
        "untouched": dict(list(decision.untouched.items())[:UNTOUCHED_SHOWN]),
        "untouched_in_all": len(decision.untouched),
    }


def _is_broken(point: PointDecision, half: Iterable[str]) -> bool:
    return bool(point.missing) and point.id not in half


def _announce(world: World, service: Service, run: str, decided: Body) -> None:
    """Before anything goes, no restore point that goes counts as whole any more: whatever happens in between."""
    world.ledger.append(run, "retention.decided", decided)
    for point in decided["points"]:
        if not point["stays"]:
            _distrust(world, service, run, point["id"], BEING_FORGOTTEN)
    going = {point["id"] for point in decided["points"] if not point["stays"]}
    for mark in world.ledger.marks(service.id):
        # An earlier run was about to forget it and did not come to it; since then something else keeps it.
        if mark.reason == BEING_FORGOTTEN and mark.restore_point not in going | set(decided["broken"]):
            body = {"id": mark.restore_point, "service": service.id}
            world.ledger.append(run, "restore_point.trusted", body)
    for id_ in decided["broken"]:
        _distrust(world, service, run, id_, "some of its snapshots are not in the repository")


def _distrust(world: World, service: Service, run: str, point: str, reason: str) -> None:
    body = {"id": point, "service": service.id, "reason": reason}
    world.ledger.append(run, "restore_point.distrusted", body)


def _recorded_decision(world: World, run: str) -> Body | None:
    """What a run decided last; None where it has not."""
    events = reversed(world.ledger.events(run))
    return next((event.body for event in events if event.type == "retention.decided"), None)


def _has_begun(world: World, run: str, repositories: Sequence[Repository]) -> bool:
    """Whether this run has begun to carry out what it decided: then it goes on with just that."""
    actions = [f"forget-{repository.host}" for repository in repositories]
    return any(world.actions.state(action_folder(world, run, name)) is not ActionState.ABSENT for name in actions)


def _fates(
    world: World, points: Sequence[RestorePoint], snapshots: Sequence[Listed], given_up: Iterable[str]
) -> dict[str, RunFate]:
    """What became of the runs that have snapshots but no restore point."""
    known, gone = {point.id for point in points}, set(given_up)
    fates: dict[str, RunFate] = {}
    for run in {run for snapshot in snapshots if (run := snapshot.tagged("run"))} - known:
        try:
            row = world.ledger.run(run)
        except UsageError:
            continue
        fates[run] = RunFate(
            is_open=row.closed_at is None,
            is_done=row.outcome == "done",
            closed_at=None if row.closed_at is None else from_stamp(row.closed_at),
            is_forgotten=run in gone,
        )
    return fates


def _given_up_before(world: World, service: Service) -> set[str]:
    """Restore points that earlier runs of this kind decided to forget, and did not see wholly gone."""
    found: set[str] = set()
    for row in world.ledger.runs(kinds=(FORGET.name,), limit=10_000):
        if row.services == (service.id,) and row.outcome in ("failed", "aborted"):
            decided = _recorded_decision(world, row.run)
            found |= {point["id"] for point in (decided or {"points": []})["points"] if not point["stays"]}
    return found


def _carry_out(
    world: World, service: Service, run: str, repositories: Sequence[Repository], decided: Body
) -> tuple[list[str], list[str]]:
    """Forget what was decided. Gives the restore points that are gone, and the snapshots that are not."""
    going = {point["id"] for point in decided["points"] if not point["stays"]}
    # After it was announced: a hold that came before is seen here, and one that comes later sees the announcement.
    held = sorted(going & {mark.restore_point for mark in world.ledger.marks(service.id) if mark.mark == "held"})
    if held:
        text = f"{', '.join(held)} has been put on hold since it was decided to forget it; nothing more was removed"
        raise DrpError(text, where=service.id, hint=f"what may go is decided anew: drp backup forget {service.id}")
    known = [*world.ledger.restore_points(service.id, limit=MOST_POINTS), *world.ledger.stranded(service.id)]
    points = {point.id: point for point in known}
    gone: set[str] = set()
    left: list[str] = []
    for repository in repositories:
        ids = decided["forget"].get(repository.host, [])
        if not ids:
            continue
        job = upkeep_job(world, service, repository, run, "forget", snapshots=ids)
        door = LockedOut(world, service, repository, run)
        result = door.do(partial(_do, world, service, run, f"forget-{repository.host}", repository.keeper, job))
        gone |= set(result["gone"])
        left += result["left"]
    forgotten = [event.body["id"] for event in world.ledger.events(run) if event.type == "restore_point.forgotten"]
    for id_ in sorted(going & set(points)):
        theirs = {item.snapshot for item in points[id_].snapshots}
        remains = sorted(theirs & set(left))
        if theirs & gone or not remains:
            body: Body = {"id": id_, "service": service.id, "left": remains}
            world.ledger.append(run, "restore_point.forgotten", body)
            forgotten.append(id_)
        else:
            world.ledger.append(run, "restore_point.trusted", {"id": id_, "service": service.id})
    return forgotten, left


def _do(world: World, service: Service, run: str, action: str, executor: str, job: Body, suffix: str) -> Body:
    return do_job(world, service, run, action + suffix, executor, job)


def _summary(policy: Retention, origin: str, decided: Mapping[str, Any], forgotten: Sequence[str]) -> Body:
    return {
        "policy": policy.model_dump(mode="json", exclude_defaults=True),
        "from": origin,
        "points": decided["points"],
        "broken": decided["broken"],
        "residue": decided["residue"],
        "snapshots": sum(len(ids) for ids in decided["forget"].values()),
        "untouched": decided["untouched"],
        "untouched_in_all": decided["untouched_in_all"],
        "forgotten": list(forgotten),
    }


# -- prune -----------------------------------------------------------------------------------------------------------


def _prune(world: World, service: Service, run: str, plan: Body) -> Outcome:
    del plan
    points = world.ledger.restore_points(service.id, limit=MOST_POINTS)
    found = []
    for repository in repositories_of(world, service, points):
        job = upkeep_job(world, service, repository, run, "prune")
        door = LockedOut(world, service, repository, run)
        result = door.do(partial(_do, world, service, run, f"prune-{repository.host}", repository.keeper, job))
        found.append({"host": repository.host, "said": result["said"], "good": result["good"]})
        record_checks(world, service, run, repository, result, points)
    bad = [item["host"] for item in found if not item["good"]]
    if bad:
        text = f"after the prune the repository of {', '.join(bad)} is not whole"
        hint = "recover nothing from it before it is examined: drp backup check --all"
        return Outcome({"repositories": found}, IntegrityError(text, where=service.id, hint=hint))
    return Outcome({"repositories": found})


PRUNE = Kind("prune", _prune, is_alone=True, goes_on=True)


# -- legal hold ------------------------------------------------------------------------------------------------------


def hold(world: World, restore_point: str, reason: str) -> Mark:
    """Keep a restore point whatever the retention says, until it is released."""
    return _mark(world, restore_point, reason, "held")


def accept_size(world: World, service: str, datasets: Sequence[str], reason: str) -> list[str]:
    """Have the newest size of datasets stand for what is usual; of all that are too small by now if none is named.
    Gives those that were accepted."""
    (status,) = backup_status(world, [service])
    shrunk = {found.size.dataset: found.size.restore_point for found in status.shrunk}
    unknown = [name for name in datasets if name not in shrunk]
    if unknown or not shrunk:
        text = f"dataset {', '.join(unknown)} has its usual size" if unknown else "all datasets have their usual size"
        raise UsageError(text, where=service, hint=f"see: drp backup status {service}")
    accepted = list(datasets or shrunk)
    for name in accepted:
        body = {"dataset": name, "restore_point": shrunk[name], "reason": reason}
        _note(world, "accept", service, "size.accepted", body)
    return accepted


def release(world: World, restore_point: str, reason: str) -> None:
    """End a hold."""
    service = _service_of(world, restore_point)
    if not any(mark.restore_point == restore_point and mark.mark == "held" for mark in world.ledger.marks(service)):
        raise UsageError("it is not on hold", where=restore_point, hint=f"drp backup list {service}")
    _note(world, "release", service, "restore_point.released", {"id": restore_point, "reason": reason})


def distrust(world: World, restore_point: str, reason: str) -> Mark:
    """Have recoveries pass over a restore point, as long as there is one that is not known to be bad."""
    service = _service_of(world, restore_point)
    _note(world, "distrust", service, "restore_point.distrusted", {"id": restore_point, "reason": reason})
    return next(
        row for row in world.ledger.marks(service) if (row.restore_point, row.mark) == (restore_point, "distrusted")
    )


def trust(world: World, restore_point: str, reason: str) -> None:
    """Take a person's distrust back. What a check found is taken back only by a check."""
    service = _service_of(world, restore_point)
    rows = [row for row in world.ledger.marks(service) if row.restore_point == restore_point]
    if not any(row.mark == "distrusted" and row.by != "drp" for row in rows):
        hint = f"see: drp backup list {service}; what a check found, a whole check takes back: drp backup check"
        raise UsageError("nobody has marked it as bad", where=restore_point, hint=hint)
    _note(world, "trust", service, "restore_point.trusted", {"id": restore_point, "reason": reason})


def _mark(world: World, restore_point: str, reason: str, mark: str) -> Mark:
    service = _service_of(world, restore_point)
    _note(world, "hold", service, f"restore_point.{mark}", {"id": restore_point, "reason": reason})
    marks = [row for row in world.ledger.marks(service) if row.restore_point == restore_point]
    if any(row.reason == BEING_FORGOTTEN for row in marks):
        text = "it is on hold from now on, but a forget had begun to remove it: it may not be whole any more"
        raise DrpError(text, where=restore_point, hint=f"see what is left of it: drp backup forget {service} --preview")
    return next(row for row in marks if row.mark == mark)


def _note(world: World, kind: str, service: str, type_: str, body: Body) -> None:
    run = new_run(kind, world.clock.now())
    plan = {"service": service, **body}
    world.ledger.open_run(run, kind, hash_of(plan), [service], {"plan": plan, "by": world.operator})
    world.ledger.append(run, type_, {**plan, "by": world.operator})
    world.ledger.append(run, "run.closed", {"outcome": "done", "exit_code": int(ExitCode.DONE)})


def _service_of(world: World, restore_point: str) -> str:
    for arrival in world.ledger.arrivals():
        if arrival.id == restore_point:
            return arrival.service
    for name in world.city.services:
        if any(point.id == restore_point for point in world.ledger.stranded(name)):
            return name  # what a failback has kept
    hint = "list them with: drp backup list; what failbacks have kept: drp backup list --stranded"
    raise UsageError(f"no restore point {restore_point!r}", hint=hint)
