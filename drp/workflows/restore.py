"""Bring data of a service back: the whole of it or single datasets, as they were at some time, to where they came from
or to another place."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from drp.domain.datasets import DatasetType, Scratch, read_dataset
from drp.domain.datasets.order import restore_order
from drp.domain.events import Body, hash_of
from drp.domain.recovery.restore_choice import Choice, newest
from drp.domain.recovery.restore_plan import PlannedJob, RestorePlan, is_below
from drp.domain.recovery.verification import DataCheck
from drp.domain.service import Service
from drp.domain.values import show_duration
from drp.errors import CancelledError, DrpError, ExitCode, IntegrityError, UsageError
from drp.ports import World
from drp.workflows.backup import back_up
from drp.workflows.host_jobs import HostJob, keeper_of
from drp.workflows.naming import action_folder, new_run
from drp.workflows.repository import centre_named, refuse_removal
from drp.workflows.restore_request import (
    RestoreRequest,
    available_points,
    choose,
    holding,
    in_use,
    repository_host_of,
    url_at,
)
from drp.workflows.restoring import (
    first_wrong,
    job_on,
    joined,
    look_on,
    record_findings,
    start_job,
    wait_for_all,
)


@dataclass(frozen=True, slots=True)
class Consent:
    """Who wants the restore and why, and what they agreed to."""

    by: str
    reason: str
    replace_existing: bool = False
    backup_first: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """What the hosts say of the places before anything is done. `unknown`: why a host cannot say."""

    found: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    space: tuple[Body, ...] = ()
    amounts: dict[str, Body] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """How a restore ended."""

    run: str
    checks: list[DataCheck] = field(default_factory=list)
    error: DrpError | None = None


def prepare(world: World, request: RestoreRequest) -> tuple[RestorePlan, Choice]:
    """Decide what would be restored, from where and to where. Asks no host and changes nothing."""
    service = world.city.services[request.service]
    choice, datasets = choose(world, request)
    point = choice.point
    names = request.datasets or datasets or tuple(point.datasets)
    unknown = [name for name in names if name not in point.datasets]
    if unknown:
        hint = f"it holds {', '.join(point.datasets)}"
        raise UsageError(f"restore point {point.id} has no dataset {', '.join(unknown)}", where=service.id, hint=hint)
    if request.paths:
        names = holding(service, point, names, request.paths)
    centre = request.from_centre or point.dr_centre
    jobs: dict[tuple[str, str], list[str]] = {}
    for name in restore_order([dataset.id for dataset in service.datasets], point.datasets):
        if name in names:
            dataset = read_dataset(point.datasets[name])
            place = (_target(world, service, dataset, request), repository_host_of(service, point, dataset))
            jobs.setdefault(place, []).append(name)
    scratch = None
    if request.scratch is not None:
        scratch = _scratch(request.scratch)
    planned = tuple(
        PlannedJob(target, source, url_at(world, service, point, centre, source), tuple(found))
        for (target, source), found in jobs.items()
    )
    production = () if scratch else tuple(sorted({job.host for job in planned} & in_use(world)))
    plan = RestorePlan(service.id, point, centre, planned, scratch, production, request.paths)
    if scratch is not None:
        _refuse_places_in_use(world, plan)
    return plan, choice


def _refuse_places_in_use(world: World, plan: RestorePlan) -> None:
    """A scratch place is emptied first, and nobody types a name for it: it must not hold, or lie in, anybody's data."""
    for folder in {plan.folder_of(job) for job in plan.jobs}:
        for service in world.city.services.values():
            for place in (place for dataset in service.datasets for place in dataset.places if place[0] == "/"):
                if is_below(folder, place) or is_below(place, folder):
                    text = f"{folder} is no place apart: {service.id} has its data in {place}"
                    raise UsageError(text, where="--scratch", hint="name a new folder, such as /var/tmp/look")


def _target(world: World, service: Service, dataset: DatasetType, request: RestoreRequest) -> str:
    if request.to is not None:
        host = request.to
    elif request.scratch is not None:
        host = keeper_of(service, dataset.host)
    elif world.ledger.active_site(service.id) == "primary":
        host = dataset.host
    else:
        host = service.recovers_on.get(dataset.host, dataset.host)
    if host not in world.city.hosts:
        hint = "known: " + ", ".join(sorted(world.city.hosts)[:20])
        raise UsageError(f"host {host!r} is not in the Ansible inventory", where=service.id, hint=hint)
    return host


def _scratch(folder: str) -> Scratch:
    try:
        return Scratch(f"drp_restore_{secrets.token_hex(4)}", folder)
    except ValueError as error:
        raise UsageError(str(error), where="--scratch", hint="name a new folder, such as /var/tmp/look") from error


def look(world: World, plan: RestorePlan) -> Look:
    """Ask the hosts what is in the places, how much room there is, and whether the repositories have the snapshots."""
    centre = centre_named(world, plan.dr_centre)
    bodies = {job: job_on(world, plan, job, "", "survey", partly=bool(plan.paths)) for job in plan.jobs}
    results = look_on(world, plan, bodies)
    missing = tuple(item for result in results for item in result["missing"])
    if missing:
        text = f"{centre.title} does not have snapshot {', '.join(item[:8] for item in missing)} any more"
        raise IntegrityError(text, where=plan.service, hint="take another restore point: drp backup list")
    return Look(
        found=tuple(f"{what} on {result['host']}" for result in results for what in result["found"]),
        unknown=tuple(f"{result['host']}: {result['unknown']}" for result in results if result["unknown"]),
        missing=missing,
        amounts={name: amount for result in results for name, amount in result["amounts"].items()},
        space=tuple(disk | {"host": result["host"]} for result in results for disk in result["space"]),
    )


def restore(world: World, plan: RestorePlan, consent: Consent) -> RestoreResult:
    """Carry a plan out. What is in the places is replaced only with consent; DrpError where it must not even start."""
    world.locks.acquire(f"restore-{plan.service}", f"drp restore of {plan.service}")
    try:
        for row in world.ledger.runs(kinds=("restore",), only_open=True):
            if plan.service in row.services:
                hint = f"go on with it: drp run resume {row.run}"
                raise UsageError(f"{row.run} was cut off before it ended", where=plan.service, hint=hint)
        refuse_removal(world, world.city.services[plan.service], plan.dr_centre)
        run = new_run("restore", world.clock.now())
        body = {
            "plan": plan.record(),
            "by": consent.by,
            "reason": consent.reason,
            "operator": world.operator,
            "replace_existing": consent.replace_existing,
            "backup_first": consent.backup_first,
        }
        world.ledger.open_run(run, "restore", hash_of(body["plan"]), [plan.service], body)
        return _go_on(world, run)
    finally:
        world.locks.release(f"restore-{plan.service}")


def resume(world: World, run: str) -> RestoreResult:
    """Go on with a restore that was cut off: what runs is adopted, what has ended is not done again."""
    row = world.ledger.run(run)
    if row.closed_at is not None:
        raise UsageError(f"run {run} has ended", hint=f"see it: drp run show {run}")
    world.ledger.verify(run)
    (service,) = row.services
    world.locks.acquire(f"restore-{service}", f"drp restore of {service}")
    try:
        world.ledger.append(run, "run.resumed", {"operator": world.operator})
        return _go_on(world, run)
    finally:
        world.locks.release(f"restore-{service}")


def _go_on(world: World, run: str) -> RestoreResult:
    opened = world.ledger.events(run)[0].body
    plan = RestorePlan.from_record(opened["plan"])
    held: list[str] = []
    try:
        if opened["backup_first"]:
            _back_up_first(world, run, plan)
        for name in _locks(world, plan):
            world.locks.acquire(name, f"drp restore of {plan.service}")
            held.append(name)
        checks = _carry_out(world, run, plan, opened)
    except KeyboardInterrupt:
        _stop(world, run, plan)
        body = {"outcome": "aborted", "exit_code": int(ExitCode.CANCELLED), "error": "interrupted"}
        world.ledger.append(run, "run.closed", body)
        hint = "its places hold half of the data now: restore again before anybody uses them"
        raise CancelledError("the restore was cancelled", where=run, hint=hint) from None
    except DrpError as error:
        if any(job.is_at_work for job in _started(world, run, plan)):
            _stop(world, run, plan)  # one host could not be asked: what others still write is nobody's any more
        body = {"outcome": "failed", "exit_code": int(error.exit_code), "error": str(error)[:2000]}
        world.ledger.append(run, "run.closed", body)
        return RestoreResult(run, [], error)
    finally:
        for name in held:
            world.locks.release(name)
    return _judge(world, run, plan, checks)


def _locks(world: World, plan: RestorePlan) -> list[str]:
    """What must not happen meanwhile. A backup of half-restored data would be a restore point that nobody wants; a
    drill or a failover would find what is being written."""
    if plan.scratch is not None:
        return []
    names = [f"backup-{plan.service}"] if plan.production else []
    stand_ins = {host for service in world.city.services.values() for host in service.recovers_on.values()}
    return [*names, "recovery"] if stand_ins & {job.host for job in plan.jobs} else names


def _back_up_first(world: World, run: str, plan: RestorePlan) -> None:
    if any(event.type == "backup.made" for event in world.ledger.events(run)):
        return
    world.say(f"{plan.service}: backing up what is there now, so that the restore can be undone")
    (result,) = back_up(world, [plan.service])
    if result.error is not None or result.restore_point is None:
        text = f"the backup before the restore failed, so nothing was restored: {result.error}"
        raise DrpError(text, where=plan.service, hint="mend it, or restore without --backup-first")
    world.ledger.append(run, "backup.made", {"restore_point": result.restore_point.id})


def _carry_out(world: World, run: str, plan: RestorePlan, opened: Body) -> list[DataCheck]:
    must_be_empty = not opened["replace_existing"]
    jobs = []
    for job in plan.jobs:

        def body(job: PlannedJob = job) -> Body:
            world.say(f"{plan.service}: restoring {', '.join(job.datasets)} on {job.host}")
            # What an attempt of this very run left half done before its machine went is no stranger's data.
            empty = must_be_empty and not _was_started(world, run, job)
            return job_on(world, plan, job, run, "bring_back", must_be_empty=empty, partly=bool(plan.paths))

        jobs.append(start_job(world, plan, job, run, "restore", body))
    wait_for_all(world, jobs)
    return record_findings(world, run, plan, joined([job.result() for job in jobs]), "restore")


def _was_started(world: World, run: str, job: PlannedJob) -> bool:
    """Also in an earlier attempt; another host's name may begin with this one's."""
    action = f"restore-{job.name}"
    started = [event.body["action"] for event in world.ledger.events(run) if event.type == "action.started"]
    return any(name == action or name.startswith(f"{action}+") for name in started)


def _stop(world: World, run: str, plan: RestorePlan) -> None:
    world.say(f"{plan.service}: stopping")
    for job in _started(world, run, plan):
        job.stop()


def _started(world: World, run: str, plan: RestorePlan) -> list[HostJob]:
    started = [event.body for event in world.ledger.events(run) if event.type == "action.started"]
    return [
        HostJob(world, action_folder(world, run, body["action"]), f"{plan.service} on {body['host']}")
        for body in started
    ]


def _judge(world: World, run: str, plan: RestorePlan, checks: Sequence[DataCheck]) -> RestoreResult:
    error = None
    wrong = first_wrong(checks)
    if wrong or not checks:
        hint = "take an older restore point; if the application ran meanwhile, stop it and restore again"
        error = IntegrityError(wrong or "nothing was compared", where=plan.service, hint=hint)
    code = ExitCode.DONE if error is None else error.exit_code
    body: Body = {"outcome": "done" if error is None else "failed", "exit_code": int(code)}
    world.ledger.append(run, "run.closed", body | ({"error": str(error)[:2000]} if error else {}))
    return RestoreResult(run, list(checks), error)


def undo_hint(world: World, plan: RestorePlan) -> str:
    """How to get back what a restore over production replaces."""
    points = available_points(world, plan.service)
    choice = newest(points)
    if choice is None or world.ledger.active_site(plan.service) != choice.point.site:
        return "what is there now is in no restore point; add --backup-first"
    age = show_duration(world.clock.now() - choice.point.sentinel_at)
    return (
        f"to undo: drp restore {plan.service} --restore-point {choice.point.id}; what was written in the {age} since"
        " then is in no restore point (--backup-first makes one now)"
    )


def units_to_stop(world: World, plan: RestorePlan) -> list[str]:
    """The programs that use the data and should be stopped before; drp restore stops none."""
    service = world.city.services[plan.service]
    if plan.paths:
        return []
    servers = {unit for job in plan.jobs for procedure in plan.procedures(job) for unit in procedure["units"]}
    return [unit for unit in service.recovery.start if unit not in servers]
