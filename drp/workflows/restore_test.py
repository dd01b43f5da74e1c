"""Test restores: bring a restore point back into a place apart at the recovery site, compare it with what was backed
up, and remove it again. What agrees is proved to be restorable."""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.datasets import Scratch, read_dataset
from drp.domain.datasets.order import restore_order
from drp.domain.events import Body, hash_of
from drp.domain.protection.proofs import counting
from drp.domain.recovery.restore_choice import draw_point, draw_service, newest, unproved_for
from drp.domain.recovery.restore_plan import SPACE_FACTOR_PERCENT, PlannedJob, RestorePlan
from drp.domain.service import Service
from drp.domain.values import to_stamp
from drp.errors import CancelledError, DrpError, ExitCode, IntegrityError, UsageError
from drp.ports import ActionState, World
from drp.workflows.host_jobs import POLL_SECONDS, HostJob
from drp.workflows.naming import action_folder, new_run
from drp.workflows.repository import refuse_removal
from drp.workflows.restore_request import available_points, repository_host_of
from drp.workflows.restoring import first_wrong, job_on, joined, record_findings, start_job

DEFAULT_LIMIT = timedelta(hours=4)
SCRATCH_ROOT = "/var/tmp"  # noqa: S108 - a folder of its own with a name that nobody can guess is made in it
RUNS_LOOKED_AT = 500


@dataclass(frozen=True, slots=True)
class TestResult:
    """What became of the test restore of one service. `proved` are the datasets that agreed."""

    __test__ = False  # not a test of pytest's

    service: str
    run: str = ""
    restore_point: str = ""
    proved: tuple[str, ...] = ()
    error: DrpError | None = None
    duration_ms: int = 0
    notes: tuple[str, ...] = field(default=())


def restore_test(
    world: World,
    services: Sequence[str],
    *,
    points: dict[str, RestorePoint] | None = None,
    due: dict[str, datetime] | None = None,
    limit: timedelta = DEFAULT_LIMIT,
) -> list[TestResult]:
    """Test the newest restore point of each service in turn, or the one in `points`. One that fails does not stop the
    others. `due`: the moments of the schedule that these tests are for."""
    results = []
    for name in services:
        try:
            results.append(_test_one(world, name, (points or {}).get(name), (due or {}).get(name), limit))
        except CancelledError:
            raise
        except DrpError as error:
            results.append(TestResult(name, error=error))
    return results


def draw(world: World, services: Sequence[str], chance: random.Random) -> tuple[str, RestorePoint]:
    """A service and one of its restore points by chance: what has gone unproved for long is likelier."""
    now = world.clock.now()
    unproved = {
        name: _unproved_for(world, world.city.services[name], now) for name in services if available_points(world, name)
    }
    if not unproved:
        raise UsageError("no service has a restore point", hint="back up first: drp backup run")
    service = draw_service(unproved, chance)
    return service, draw_point(available_points(world, service), chance)


def _unproved_for(world: World, service: Service, now: datetime) -> timedelta:
    proofs = counting(service, world.ledger.proofs(service.id)).newest.values()
    return unproved_for([item.id for item in service.datasets], list(proofs), now)


def _test_one(
    world: World, name: str, point: RestorePoint | None, due_at: datetime | None, limit: timedelta
) -> TestResult:
    service = world.city.services[name]
    world.locks.acquire(f"restore-test-{name}", f"drp restore test of {name}")
    try:
        run = _unfinished(world, name)
        if run is None:
            run = _open(world, service, point, due_at)
        else:
            world.say(f"{name}: going on with {run}, which was cut off")
        _clean_up_after_others(world, run, name)
        return _carry_out(world, run, limit)
    finally:
        world.locks.release(f"restore-test-{name}")


def _unfinished(world: World, service: str) -> str | None:
    """A test that was cut off. This process holds the service's lock, so nobody else follows it."""
    rows = world.ledger.runs(kinds=("restore-test",), limit=RUNS_LOOKED_AT, only_open=True)
    return next((row.run for row in rows if row.services == (service,)), None)


def _open(world: World, service: Service, point: RestorePoint | None, due_at: datetime | None) -> str:
    if point is None:
        choice = newest(available_points(world, service.id))
        if choice is None:
            hint = f"back it up first: drp backup run {service.id}"
            raise UsageError("there is no restore point to test", where=service.id, hint=hint)
        point = choice.point
    plan = plan_of(service, point, secrets.token_hex(4))
    refuse_removal(
        world, service, plan.dr_centre
    )  # before there is a run: that it has to wait says nothing of the backups
    run = new_run("restore-test", world.clock.now())
    body: Body = {"plan": plan.record(), "by": world.operator}
    if due_at is not None:
        body["due_at"] = to_stamp(due_at)
    world.ledger.open_run(run, "restore-test", hash_of(body["plan"]), [service.id], body)
    return run


def plan_of(service: Service, point: RestorePoint, word: str) -> RestorePlan:
    """All datasets of a restore point into a scratch place on the recovery hosts. `word` makes its name its own."""
    jobs: dict[tuple[str, str], list[str]] = {}
    for name in restore_order([dataset.id for dataset in service.datasets], point.datasets):
        dataset = read_dataset(point.datasets[name])
        host = service.recovers_on.get(dataset.host)
        if host is None:
            text = f"no recovery host stands in for {dataset.host}, so there is no place to test {name}"
            raise UsageError(text, where=service.id, hint="add it to recovers_on of the service's file")
        jobs.setdefault((host, repository_host_of(service, point, dataset)), []).append(name)
    planned = tuple(
        PlannedJob(host, source, point.repositories[source], tuple(names)) for (host, source), names in jobs.items()
    )
    scratch = Scratch(f"drp_test_{word}", f"{SCRATCH_ROOT}/drp-test-{word}")
    return RestorePlan(service.id, point, point.dr_centre, planned, scratch)


def _carry_out(world: World, run: str, limit: timedelta) -> TestResult:
    plan = RestorePlan.from_record(world.ledger.events(run)[0].body["plan"])
    error: DrpError | None = None
    results: list[Body] = []
    try:
        jobs = _start(world, run, plan)
        _follow(world, jobs, limit)
        results = [job.result() for job in jobs]
    except KeyboardInterrupt:
        _stop(world, run, plan)
        error = CancelledError(
            "the test restore was cancelled; it proves nothing",
            where=plan.service,
            hint=f"drp restore test {plan.service}",
        )
    except DrpError as trouble:
        if any(job.is_at_work for job in _jobs(world, run, plan)):
            _stop(world, run, plan)  # one host could not be asked: nothing may be swept where others still restore
        error = trouble
    uncleaned = _clean_up(world, run, plan)
    checks = []
    if error is None:
        checks = record_findings(world, run, plan, joined(results), "test-restore")
        wrong = first_wrong(checks)
        if wrong or not checks:
            hint = "take the restore point for damaged: test an older one, and have the DR centre's storage examined"
            error = IntegrityError(wrong or "nothing was compared", where=plan.service, hint=hint)
    if error is None and uncleaned is not None:
        error = uncleaned
    return _close(world, run, plan, results, error)


def _close(world: World, run: str, plan: RestorePlan, results: list[Body], error: DrpError | None) -> TestResult:
    duration_ms = max((result["duration_ms"] for result in results), default=0)
    proved = tuple(event.body["dataset"] for event in world.ledger.events(run) if event.type == "proof.recorded")
    code = ExitCode.DONE if error is None else error.exit_code
    outcome = "done" if error is None else "aborted" if isinstance(error, CancelledError) else "failed"
    body: Body = {"outcome": outcome, "exit_code": int(code), "duration_ms": duration_ms}
    world.ledger.append(run, "run.closed", body | ({"error": str(error)[:2000]} if error else {}))
    if isinstance(error, CancelledError):
        raise error
    started = sorted({unit for result in results for unit in result["units_started"]})
    notes = (f"{', '.join(started)} had to be started at the recovery site, and was left running",) if started else ()
    return TestResult(plan.service, run, plan.point.id, proved, error, duration_ms, notes)


def _start(world: World, run: str, plan: RestorePlan) -> list[HostJob]:
    jobs = []
    for job in plan.jobs:

        def body(job: PlannedJob = job) -> Body:
            world.say(f"{plan.service}: restoring {', '.join(job.datasets)} on {job.host}, to look at it")
            more = {"scratch": plan.folder_of(job), "space_percent": SPACE_FACTOR_PERCENT}
            return job_on(world, plan, job, run, "test_restore", **more)

        jobs.append(start_job(world, plan, job, run, "test", body, again_if_lost=False))
    return jobs


def _follow(world: World, jobs: Sequence[HostJob], limit: timedelta) -> None:
    until = world.clock.monotonic() + limit.total_seconds()
    waiting = list(jobs)
    while waiting := [job for job in waiting if not job.has_ended()]:
        if world.clock.monotonic() > until:
            for job in waiting:
                job.stop()
            text = f"the test restore took longer than {limit}"
            raise DrpError(text, where=waiting[0].where, hint="allow it more: --limit")
        world.clock.sleep(POLL_SECONDS)


def _stop(world: World, run: str, plan: RestorePlan) -> None:
    world.say(f"{plan.service}: stopping, and removing what was restored")
    for job in _jobs(world, run, plan):
        job.stop()


def _jobs(world: World, run: str, plan: RestorePlan) -> list[HostJob]:
    return [HostJob(world, action_folder(world, run, f"test-{job.name}"), job.host) for job in plan.jobs]


def _clean_up(world: World, run: str, plan: RestorePlan) -> DrpError | None:
    """Have it proved, for each host, that nothing of the test is left there; gives the reason where it cannot be."""
    trouble: DrpError | None = None
    for job in plan.jobs:
        try:
            _prove_removed(world, run, plan, job)
        except DrpError as error:
            trouble = trouble or error
    return trouble


def _prove_removed(world: World, run: str, plan: RestorePlan, job: PlannedJob) -> None:
    events = world.ledger.events(run)
    if any(event.type == "scratch.removed" and event.body["job"] == job.name for event in events):
        return
    folder = action_folder(world, run, f"test-{job.name}")
    if world.actions.state(folder) is ActionState.ABSENT:
        return  # nothing was ever started there
    told = _told_of_removal(world, folder)
    if told is None:
        # It ended before it could clean up, or to say so: the host is asked to do it now.
        attempt = sum(event.type == "sweep.failed" for event in events)
        try:
            told = _sweep(world, run, plan, job, f"sweep{attempt or ''}")
        except DrpError as error:
            world.ledger.append(run, "sweep.failed", {"job": job.name, "error": str(error)[:2000]})
            raise
    world.ledger.append(run, "scratch.removed", {"job": job.name, "host": job.host, "looked_for": told["looked_for"]})


def _told_of_removal(world: World, folder: Path) -> Body | None:
    """What the test itself told of its removal, if it did and nothing was left."""
    for message in reversed(world.actions.messages(folder, 0)):
        if message["event"] == "scratch.removed" and not message["found"]:
            return message
    return None


def _sweep(world: World, run: str, plan: RestorePlan, job: PlannedJob, action: str) -> Body:
    """Have a host remove what a test left there. DrpError where something is left."""
    sweep = start_job(
        world,
        plan,
        job,
        run,
        action,
        lambda: job_on(world, plan, job, run, "remove_scratch", scratch=plan.folder_of(job)),
        reads=False,
    )
    told = sweep.wait()
    if told["found"]:
        text = f"a test restore left {', '.join(told['found'])}"
        raise DrpError(text, where=f"{plan.service} on {job.host}", hint="remove it there by hand, then test again")
    return told


def _clean_up_after_others(world: World, run: str, service: str) -> None:
    """Remove, within this run, what earlier tests of the service could not, as where the host had gone away."""
    removed: set[tuple[str, str]] = set()
    for row in world.ledger.runs(kinds=("restore-test",), limit=RUNS_LOOKED_AT):
        if row.services != (service,) or row.closed_at is None:
            continue
        events = world.ledger.events(row.run)  # newest run first: what a later one removed is gone
        removed |= {(event.body["run"], event.body["job"]) for event in events if event.type == "leftovers.removed"}
        done = {event.body["job"] for event in events if event.type == "scratch.removed"}
        left = {event.body["job"] for event in events if event.type == "sweep.failed"} - done
        plan = RestorePlan.from_record(events[0].body["plan"])
        for job in plan.jobs:
            if job.name not in left or (row.run, job.name) in removed:
                continue
            try:
                _sweep(world, run, plan, job, f"leftovers-{row.run}")
            except DrpError as error:
                world.say(f"{service}: what {row.run} left cannot be removed yet: {error}")
                continue
            world.ledger.append(run, "leftovers.removed", {"run": row.run, "job": job.name, "host": job.host})
