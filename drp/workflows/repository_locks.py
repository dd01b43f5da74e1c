"""Locks that restic left in repositories: list them, judge them by what the ledger and their hosts know, and remove
those of the dead. A living one's is never removed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drp.domain.backups.repository_locks import LockVerdict, RepositoryLock, judge_locks
from drp.domain.events import Body
from drp.domain.service import Service
from drp.errors import BusyError, DrpError
from drp.ports import World
from drp.workflows.repository import centre_of, living_runs, prefix_of
from drp.workflows.upkeep import (
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


def look_at_locks(world: World, services: Sequence[str], *, remove_dead: bool) -> list[UpkeepResult]:
    """The locks of the repositories of services, each with a verdict; the dead ones are removed where that is asked."""
    return keep_up(world, _KIND, services, {"remove_dead": remove_dead})


def _work(world: World, service: Service, run: str, plan: Body) -> Outcome:
    found = []
    for repository in repositories_of(world, service, world.ledger.restore_points(service.id)):
        verdicts = judge(world, service, repository, run)
        removed = remove_dead_locks(world, service, repository, run, verdicts) if plan["remove_dead"] else []
        found += [
            {
                **verdict.lock.record(),
                "repository": repository.host,
                "is_dead": verdict.is_dead,
                "why": verdict.why,
                "removed": verdict.lock.id in removed,
            }
            for verdict in verdicts
        ]
    return Outcome({"locks": found})


_KIND = Kind("locks", _work, is_alone=False, goes_on=False)


def judge(world: World, service: Service, repository: Repository, run: str) -> list[LockVerdict]:
    """Ask for a repository's locks on the host that looks after it, and whether their owners live on it and on the host
    itself. One that cannot be asked proves nothing."""
    first = _ask(world, service, repository, run, repository.keeper)
    locks = [RepositoryLock.from_result(lock) for lock in first["locks"]]
    processes = {first["node"]: _alive(first)}
    if any(lock.node != first["node"] for lock in locks) and repository.host != repository.keeper:
        try:
            second = _ask(world, service, repository, run, repository.host)
        except DrpError as error:
            world.say(f"{service.id}: {repository.host} cannot be asked for its processes: {error.message}")
        else:
            # Where both have the same name, a process counts as alive if either of them has it.
            known = processes.setdefault(second["node"], {})
            for lock, runs in _alive(second).items():
                known[lock] = known.get(lock, False) or runs
    others = [name for name in living_runs(world, service) if name != run]
    return judge_locks(locks, processes, others, world.clock.now())


def _alive(result: Body) -> dict[str, bool]:
    return {lock["id"]: lock["runs"] for lock in result["locks"] if lock["runs"] is not None}


def _ask(world: World, service: Service, repository: Repository, run: str, executor: str) -> Body:
    """Each time anew: what an earlier look saw may have changed."""
    action = fresh_action(world, run, f"locks-{repository.host}-by-{executor}")
    return do_job(world, service, run, action, executor, upkeep_job(world, service, repository, run, "locks"))


def remove_dead_locks(
    world: World, service: Service, repository: Repository, run: str, verdicts: list[LockVerdict]
) -> list[str]:
    """Remove the locks of the dead by their IDs, which no other lock ever has; gives those that are really gone."""
    centre, prefix = centre_of(world, service), prefix_of(service, repository.host)
    removed = []
    for verdict in verdicts:
        if not verdict.is_dead:
            continue
        lock = verdict.lock
        world.store.remove_lock(centre, prefix, lock.id)
        if world.store.stored_at(centre, f"{prefix}/locks/{lock.id}") is not None:
            text = f"the DR centre still has lock {lock.id[:8]}, though it took its removal"
            raise DrpError(text, where=service.id, hint="may the backup keys delete below locks/?")
        body = {"service": service.id, "host": repository.host, "lock": lock.record(), "proof": verdict.why}
        world.ledger.append(run, "lock.removed", body)
        world.say(f"{service.id}: removed a dead lock of {lock.node}: {verdict.why}")
        removed.append(lock.id)
    return removed


@dataclass(frozen=True, slots=True)
class LockedOut:
    """A job that may find the repository locked."""

    world: World
    service: Service
    repository: Repository
    run: str

    def do(self, job: Callable[[str], Body]) -> Body:
        """Do a job; where dead locks keep it out, remove them and do it once more. `job` takes a suffix for the
        action's name. BusyError names a living owner."""
        try:
            return job("")
        except BusyError:
            verdicts = judge(self.world, self.service, self.repository, self.run)
            living = [verdict for verdict in verdicts if not verdict.is_dead]
            for verdict in living:
                text = f"the repository is locked by {verdict.lock.node}: {verdict.why}"
                hint = f"wait for it; see all locks with: drp backup locks {self.service.id}"
                raise BusyError(text, where=self.service.id, hint=hint) from None
            remove_dead_locks(self.world, self.service, self.repository, self.run, verdicts)
            return job("-unlocked")


def let_in(world: World, service: Service, run: str, hosts: Sequence[str], error: DrpError) -> DrpError:
    """What to say of a run that failed with `error`. Where dead locks kept it out of the repositories of these hosts,
    they are removed, so that the next run gets in."""
    if not isinstance(error, BusyError):
        return error
    points = world.ledger.restore_points(service.id)
    removed = []
    try:
        for repository in repositories_of(world, service, points):
            if repository.host in hosts:
                verdicts = judge(world, service, repository, run)
                removed += remove_dead_locks(world, service, repository, run, verdicts)
    except DrpError as why:
        world.say(f"{service.id}: its locks could not be looked at: {why.message}")
    if not removed:
        return error
    text = f"the repository was locked by a restic that is dead; drp has removed its lock ({removed[0][:8]})"
    return BusyError(text, where=service.id, hint="run the same command again")
