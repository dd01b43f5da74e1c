"""What all work on a service's repositories shares that is no backup: its run, its locks, its jobs, its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.events import Body, hash_of
from drp.domain.recovery.plan import RECOVERY_KINDS
from drp.domain.service import Service
from drp.domain.values import to_stamp
from drp.errors import BusyError, CancelledError, DrpError, ExitCode
from drp.ports import ActionState, World
from drp.workflows.host_jobs import HostJob, keeper_of, repository_job, start_or_adopt
from drp.workflows.naming import action_folder, new_run, run_folder
from drp.workflows.repository import (
    ca_certificate,
    centre_of,
    copy_lock,
    living_runs,
    lock_repositories,
    reading_lock,
    repository_url,
    secrets_of,
)

MOST_POINTS = 1_000_000


@dataclass(frozen=True, slots=True)
class Repository:
    """A service's repository of one host, and the host that looks after it."""

    host: str
    keeper: str
    url: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run found. `error` where that is a failure all the same."""

    body: Body
    error: DrpError | None = None


@dataclass(frozen=True, slots=True)
class UpkeepResult:
    """What became of one service's forget, prune, check or spot check."""

    service: str
    kind: str
    run: str
    body: Body = field(default_factory=dict)
    error: DrpError | None = None


Work = Callable[[World, Service, str, Body], Outcome]
"""Does the work of a run: of which service, the run, and its plan."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of upkeep. An `is_alone` one removes something, so that nothing else may work on the repositories. One
    that `goes_on` is taken up again where it was cut off; others begin anew."""

    name: str
    work: Work
    is_alone: bool
    goes_on: bool


def keep_up(
    world: World, kind: Kind, services: Sequence[str], options: Body, due: Mapping[str, datetime] | None = None
) -> list[UpkeepResult]:
    """One run for each service in turn. A service that fails does not stop the others; one that was cut off goes on.

    `due` is the moment of the schedule that each run is for, where it is for one.
    """
    results = []
    for name in services:
        try:
            results.append(_keep_up_one(world, kind, world.city.services[name], options, (due or {}).get(name)))
        except CancelledError:
            raise
        except DrpError as error:
            results.append(UpkeepResult(name, kind.name, "", error=error))
    return results


def _keep_up_one(world: World, kind: Kind, service: Service, options: Body, due_at: datetime | None) -> UpkeepResult:
    with _locks(world, kind, service):
        plan = {"service": service.id, **options}
        unfinished = _unfinished(world, kind, service)
        if kind.is_alone:
            _refuse_company(world, kind, service, unfinished)
        if unfinished is not None and kind.goes_on:
            world.say(f"{service.id}: going on with {unfinished}, which was cut off")
            result = _carry_out(world, kind, service, unfinished)
            if world.ledger.events(unfinished)[0].body["plan"] == plan:
                return result
        elif unfinished is not None:
            _close(world, unfinished, DrpError("it was cut off"))
        run = new_run(kind.name, world.clock.now())
        body = {"plan": plan, "by": world.operator} | ({"due_at": to_stamp(due_at)} if due_at else {})
        world.ledger.open_run(run, kind.name, hash_of(plan), [service.id], body)
        return _carry_out(world, kind, service, run)


def _carry_out(world: World, kind: Kind, service: Service, run: str) -> UpkeepResult:
    try:
        outcome = kind.work(world, service, run, world.ledger.events(run)[0].body["plan"])
    except DrpError as error:
        outcome = Outcome({}, error)
    except KeyboardInterrupt:
        _cancel(world, service, run)
        text = f"the {kind.name} was cancelled"
        raise CancelledError(text, where=service.id, hint="run the same command again") from None
    _close(world, run, outcome.error)
    return UpkeepResult(service.id, kind.name, run, outcome.body, outcome.error)


def _close(world: World, run: str, error: DrpError | None) -> None:
    body: Body = {"outcome": "done", "exit_code": int(ExitCode.DONE)}
    if error is not None:
        body = {"outcome": "failed", "exit_code": int(error.exit_code), "error": str(error)[:2000]}
    world.ledger.append(run, "run.closed", body)


@contextmanager
def _locks(world: World, kind: Kind, service: Service) -> Iterator[None]:
    """All upkeep of a service is one at a time; what removes something also keeps backups and copies away. A check
    does not: a backup must never wait for hours."""
    holder = f"drp {kind.name} of {service.id}"
    held = [f"upkeep@{service.id}"]
    world.locks.acquire(held[0], holder)
    try:
        if kind.is_alone:
            for name in (copy_lock(service), reading_lock(service), f"backup-{service.id}"):
                world.locks.acquire(name, holder)
                held.append(name)
            hosts = sorted(set(service.recovers_on) | {dataset.host for dataset in service.datasets})
            hosts += [host for host in sorted(set(service.recovers_on.values())) if host not in hosts]
            held += lock_repositories(world, service, hosts, holder)
        yield
    finally:
        for name in held:
            world.locks.release(name)


def _unfinished(world: World, kind: Kind, service: Service) -> str | None:
    """A run of this kind that was cut off. This process holds the service's lock, so nobody else follows it."""
    for row in world.ledger.runs(kinds=(kind.name,), only_open=True):
        if row.services == (service.id,):
            return row.run
    return None


def _refuse_company(world: World, kind: Kind, service: Service, own: str | None) -> None:
    """Also what no drp follows any more may be at work: an orphaned backup, or a recovery that reads. `own` is the run
    that was cut off and goes on now: it must keep no less away than a new one."""
    busy = [run for run in living_runs(world, service) if run != own]
    recovering = [
        row.run for row in world.ledger.runs(kinds=RECOVERY_KINDS, only_open=True) if service.id in row.services
    ]
    for run in dict.fromkeys((*busy, *recovering)):
        hint = "wait for it"
        if run in recovering:
            hint = f"let it end, or give it up: drp run resume {run}, or drp run abort {run}"
        raise BusyError(f"{run} has not ended; a {kind.name} waits for it", where=service.id, hint=hint)


def _cancel(world: World, service: Service, run: str) -> None:
    world.say(f"{service.id}: stopping; restic takes its lock away first")
    folder = run_folder(world, run)
    for action in sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else ():
        HostJob(world, action_folder(world, run, action), service.id).stop()
    world.ledger.append(run, "run.closed", {"outcome": "aborted", "exit_code": int(ExitCode.CANCELLED)})


# -- repositories and jobs -------------------------------------------------------------------------------------------


def repositories_of(world: World, service: Service, points: Sequence[RestorePoint]) -> list[Repository]:
    """The repositories that hold a service's restore points, at its DR centre of today."""
    centre = centre_of(world, service)
    found: dict[str, Repository] = {}
    for point in points:
        for host, url in point.repositories.items():
            if url == repository_url(centre, service, host):
                found.setdefault(host, Repository(host, _keeper(world, service, host), url))
    return [found[host] for host in sorted(found)]


def _keeper(world: World, service: Service, host: str) -> str:
    keeper = keeper_of(service, host)
    for name in (keeper, host):
        if name in world.city.hosts:
            return name
    hint = f"correct recovers_on in inventories/services/{service.id}.yaml"
    raise DrpError(f"no host looks after the repository of {host}", where=service.id, hint=hint)


def do_job(world: World, service: Service, run: str, action: str, executor: str, job: Body) -> Body:
    """What a job of a run finds. One that was started before drp was killed is taken up; one that was lost without a
    result, as in a power cut, is started again: every job of this kind may be repeated."""
    centre = centre_of(world, service)
    name, attempt = action, 1
    # What was lost may still run on its host for a moment: then restic's own lock keeps the new attempt out.
    while world.actions.state(action_folder(world, run, name)) is ActionState.LOST:
        attempt += 1
        name = f"{action}+{attempt}"  # no host's name has a +, so it is never another host's action

    def start() -> Body:
        world.say(f"{service.id}: {job['verb'].replace('_', ' ')} of {job['restic_host']} on {executor}")
        return job

    return start_or_adopt(
        world,
        run,
        name,
        executor,
        start,
        secrets=lambda: secrets_of(world, service, executor),
        certificate=ca_certificate(world.workspace, centre),
        where=f"{service.id}, repository of {job['restic_host']}, on {executor}",
    ).wait()


def upkeep_job(world: World, service: Service, repository: Repository, run: str, verb: str, **more: object) -> Body:
    """A job on a repository; `more` is what its verb needs."""
    return repository_job(world, service, repository.host, run, verb) | more


def fresh_action(world: World, run: str, action: str) -> str:
    """A name for an action that this run has not used: of a look that must be a new one each time."""
    number = 1
    while world.actions.state(action_folder(world, run, f"{action}-{number}")) is not ActionState.ABSENT:
        number += 1
    return f"{action}-{number}"
