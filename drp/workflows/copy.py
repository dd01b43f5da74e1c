"""Copy repositories to other DR centres, object by object; see `drp.domain.backups.copying` for the rules.

A copy that was cut off leaves nothing to mend: the next one goes on where it ended.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime

from drp.domain.backups.copying import (
    LIST_ORDER,
    CopyPlan,
    StoredObject,
    arrival_of,
    kind_of,
    lost_snapshots,
    plan_copy,
    removable,
)
from drp.domain.backups.restore_point import RestorePoint
from drp.domain.backups.settings import CopySettings
from drp.domain.events import Body, hash_of
from drp.domain.inventory import DrCentre
from drp.domain.protection.gaps import backup_of
from drp.domain.service import Service
from drp.domain.values import from_stamp, show_size, to_stamp
from drp.errors import BusyError, CancelledError, DrpError, ExitCode, IntegrityError, UsageError
from drp.ports import World
from drp.workflows.naming import new_run
from drp.workflows.repository import centre_of, copy_lock, lock_repositories, prefix_of, removing_runs, repository_url

SAY_EVERY_SECONDS = 5
MOST_POINTS = 1_000_000
NOTES_FOLDER = ".drp/copies"
"""Where a copy's bucket keeps since when its objects have gone at the source. No service's name begins with a dot."""


@dataclass(slots=True)
class CopyResult:
    """What became of one service's copy to one DR centre. `restore_points` are those that have newly arrived there."""

    service: str
    dr_centre: str
    run: str
    objects: int = 0
    bytes: int = 0
    removed: int = 0
    restore_points: list[str] = field(default_factory=list)
    error: DrpError | None = None


def copied_services(world: World, names: Sequence[str]) -> tuple[str, ...]:
    """The services meant: those named, or all that have copies. UsageError for one that has none."""
    services = world.city.services
    having = tuple(name for name, service in services.items() if service.backup is not None and service.backup.copies)
    for name in names:
        if name not in services:
            raise UsageError(f"no service {name!r}", hint="list them: drp inventory list")
        if name not in having:
            hint = f"add `copies: [{{dr_centre: NAME}}]` to backup in inventories/services/{name}.yaml"
            raise UsageError("it is copied nowhere", where=name, hint=hint)
    if not names and not having:
        hint = "add `copies: [{dr_centre: NAME}]` to backup in a service's file"
        raise UsageError("no service is copied to another DR centre", hint=hint)
    return tuple(dict.fromkeys(names)) or having


def copy(
    world: World,
    services: Sequence[str],
    due: Mapping[str, datetime] | None = None,
    *,
    centres: Sequence[str] = (),
) -> list[CopyResult]:
    """Copy each service's repositories to the DR centres that it declares, or to those of them that are named. One that
    fails does not keep the others. `due` names the moments of the schedule that the copies are for."""
    results = []
    for name in services:
        service = world.city.services[name]
        wanted = [item for item in backup_of(service).copies if not centres or item.dr_centre in centres]
        try:
            results += _copy_service(world, service, wanted, (due or {}).get(name))
        except CancelledError:
            raise
        except DrpError as error:
            results += [CopyResult(name, item.dr_centre, "", error=error) for item in wanted]
    return results


def copy_after_backup(world: World, services: Sequence[str]) -> list[CopyResult]:
    """Copy what has just been backed up to the DR centres whose copies have no schedule of their own."""
    results = []
    for name in services:
        items = backup_of(world.city.services[name]).copies
        centres = [item.dr_centre for item in items if item.schedule is None]
        if centres:
            results += copy(world, [name], centres=centres)
    return results


def _copy_service(
    world: World, service: Service, wanted: Sequence[CopySettings], due_at: datetime | None
) -> list[CopyResult]:
    holder = f"drp copy of {service.id}"
    with ExitStack() as held:
        world.locks.acquire(copy_lock(service), holder)
        held.callback(world.locks.release, copy_lock(service))
        _refuse_removal(world, service)
        _give_up_undeclared(world, service)
        return [_copy_in_a_run(world, service, item, due_at) for item in wanted]


def _copy_in_a_run(world: World, service: Service, item: CopySettings, due_at: datetime | None) -> CopyResult:
    """Each DR centre has a run of its own: what failed at one says nothing of another."""
    run = _open(world, service, item, due_at)
    result = CopyResult(service.id, item.dr_centre, run)
    try:
        _copy_to(world, service, item, result)
    except DrpError as error:
        result.error = error
    except KeyboardInterrupt:
        world.ledger.append(run, "run.closed", {"outcome": "aborted", "exit_code": int(ExitCode.CANCELLED)})
        text = "the copy was cancelled; the next one goes on where it ended"
        raise CancelledError(text, where=service.id, hint=f"drp backup copy {service.id}") from None
    _close(world, run, result.error)
    return result


def _refuse_removal(world: World, service: Service) -> None:
    """A prune that no drp follows any more may be at work all the same."""
    for run in removing_runs(world, service):
        raise BusyError(f"{run} has not ended; a copy waits for it", where=service.id, hint="wait for it")


def _plan_of(service: Service, item: CopySettings) -> Body:
    return {"service": service.id, "dr_centres": [item.dr_centre]}


def _give_up_undeclared(world: World, service: Service) -> None:
    """Close what was cut off and nobody goes on with: a copy to a DR centre that is none any more."""
    declared = {hash_of(_plan_of(service, item)) for item in backup_of(service).copies}
    for row in world.ledger.runs(kinds=("copy",), only_open=True):
        if row.services == (service.id,) and row.genesis not in declared:
            body = {"outcome": "failed", "exit_code": int(ExitCode.FAILED), "error": "it was cut off"}
            world.ledger.append(row.run, "run.closed", body)


def _open(world: World, service: Service, item: CopySettings, due_at: datetime | None) -> str:
    """The service's unfinished copy to this DR centre, or a new run. This process holds the service's lock, so that
    nobody else follows one."""
    plan = _plan_of(service, item)
    for row in world.ledger.runs(kinds=("copy",), only_open=True):
        if row.services == (service.id,) and row.genesis == hash_of(plan):
            world.say(f"{service.id}: going on with {row.run}, which was cut off")
            return row.run
    run = new_run("copy", world.clock.now())
    opened: Body = {"plan": plan, "by": world.operator}
    if due_at is not None:
        opened["due_at"] = to_stamp(due_at)
    world.ledger.open_run(run, "copy", hash_of(plan), [service.id], opened)
    return run


def _close(world: World, run: str, error: DrpError | None) -> None:
    body: Body = {"outcome": "done", "exit_code": int(ExitCode.DONE)}
    if error is not None:
        body = {"outcome": "failed", "exit_code": int(error.exit_code), "error": str(error)[:2000]}
    world.ledger.append(run, "run.closed", body)


def _copy_to(world: World, service: Service, item: CopySettings, result: CopyResult) -> None:
    """All repositories of a service to one DR centre. What has arrived is recorded even where something else fails."""
    source, target = centre_of(world, service), world.city.workspace.dr_centres[item.dr_centre]
    points = world.ledger.restore_points(service.id, MOST_POINTS)
    hosts = sorted(
        {
            host
            for point in points
            for host, url in point.repositories.items()
            if url == repository_url(source, service, host)
        }
    )
    if not hosts:
        text = f"there is no restore point at {source.title} to copy"
        raise UsageError(text, where=service.id, hint=f"back it up first: drp backup run {service.id}")
    arrived: dict[str, datetime] = {}
    errors = []
    holder = f"drp copy of {service.id}"
    with ExitStack() as held:
        for name in lock_repositories(world, service, hosts, holder, (item.dr_centre,)):
            held.callback(world.locks.release, name)
        for host in hosts:
            repository = _Repository(world, service, host, source, target, item, result, points)
            try:
                repository.bring_up_to_date()
            except DrpError as error:
                errors.append(error)
            arrived |= repository.snapshots
    _record(world, service, item, result, points, arrived)
    if errors:
        raise errors[0]


def _record(
    world: World,
    service: Service,
    item: CopySettings,
    result: CopyResult,
    points: Sequence[RestorePoint],
    arrived: Mapping[str, datetime],
) -> None:
    known = {copy.restore_point for copy in world.ledger.copies(service.id) if copy.dr_centre == item.dr_centre}
    for point in sorted(points, key=lambda point: point.sentinel_at):
        at = arrival_of(point, arrived)
        if at is None or point.id in known or point.dr_centre == item.dr_centre:
            continue
        # A DR centre whose clock runs ahead must not make a copy of the future, which nobody would use.
        at = min(at, world.clock.now())
        body = {
            "restore_point": point.id,
            "service": service.id,
            "dr_centre": item.dr_centre,
            "arrived_at": to_stamp(at),
        }
        world.ledger.append(result.run, "copy.recorded", body)
        result.restore_points.append(point.id)


@dataclass(slots=True)
class _Repository:
    """One repository of a service, at its DR centre and at the one that it is copied to. `snapshots` are those that are
    whole at the copy, by name, with the time at which they arrived there."""

    world: World
    service: Service
    host: str
    source: DrCentre
    target: DrCentre
    item: CopySettings
    result: CopyResult
    points: Sequence[RestorePoint]
    snapshots: dict[str, datetime] = field(default_factory=dict)

    @property
    def prefix(self) -> str:
        return prefix_of(self.service, self.host) + "/"

    def bring_up_to_date(self) -> None:
        """Copy what is new, then remove what has long gone. Raises what went wrong first."""
        here = self._listing(self.source)
        there = self._listing(self.target)
        renew_config = self._refuse_another(here, there)
        notes = self._read_notes() if there else {}
        plan = plan_copy(here, there, notes, self.world.clock.now(), renew_config=renew_config)
        self._copy(plan)
        self._look_back(here)
        self._keep_notes(notes, plan.missed)
        lost = lost_snapshots(plan.missed, self.points)
        if lost:
            text = f"snapshot {lost[0][0][:8]} of {lost[0][1]} has gone at the source, and drp did not forget it"
            hint = f"the copy keeps it; find out who removed it, and restore from there: --from {self.item.dr_centre}"
            raise IntegrityError(text, where=f"{self.source.endpoint}/{self.source.bucket}", hint=hint)
        self._remove(plan)

    def _listing(self, centre: DrCentre) -> dict[str, StoredObject]:
        """By key below the prefix; see `drp.domain.backups.copying` for the order."""
        found: dict[str, StoredObject] = {}
        for kind in LIST_ORDER:
            for stored in self.world.store.objects(centre, f"{self.prefix}{kind}"):
                key = stored.key.removeprefix(self.prefix)
                if kind_of(key) == kind:
                    found[key] = stored
        return found

    def _refuse_another(self, here: Mapping[str, StoredObject], there: Mapping[str, StoredObject]) -> bool:
        """Stop where the two are not one repository; whether the copy's configuration is an older one.

        They are one where their configurations are equal, or where they share a key: only a copy has the same.
        """
        where = f"{self.source.endpoint}/{self.source.bucket}/{self.prefix}"
        if "config" not in here:
            hint = "ask the DR centre where it has gone; the copy stays as it is"
            raise IntegrityError("the repository is gone: it has no config", where=where, hint=hint)
        keys = {key for key in there if kind_of(key) == "keys"}
        if "config" not in there and not keys:
            return False
        if "config" in there and self._config(self.source) == self._config(self.target):
            return False
        if any(key in here for key in keys):
            return True  # restic writes the configuration anew when it raises a repository's version
        hint = "put the older one aside, or have the copy made in another bucket; nothing was copied or removed"
        raise IntegrityError(
            f"another repository lies at {self.target.title}: one of the two was begun anew", where=where, hint=hint
        )

    def _config(self, centre: DrCentre) -> bytes | None:
        return self.world.store.read(centre, f"{self.prefix}config")

    def _copy(self, plan: CopyPlan) -> None:
        say, clock, name = self.world.say, self.world.clock, f"{self.service.id} of {self.host}"
        if plan.objects:
            say(f"{name}: {plan.objects} objects, {show_size(plan.bytes)}, to {self.target.title}")
        sent, told_at = 0, clock.monotonic()

        def on_copied(stored: StoredObject) -> None:
            nonlocal sent, told_at
            sent += stored.bytes
            self.result.objects += 1
            self.result.bytes += stored.bytes
            if clock.monotonic() - told_at > SAY_EVERY_SECONDS:
                told_at = clock.monotonic()
                say(f"{name}: {show_size(sent)} of {show_size(plan.bytes)}")

        for stage in plan.stages:
            if stage:
                self.world.store.copy(self.source, self.target, stage, rate=self.item.rate, on_copied=on_copied)

    def _look_back(self, here: Mapping[str, StoredObject]) -> None:
        """What the copy says that it has, in the end: only that has arrived."""
        for stored in self.world.store.objects(self.target, f"{self.prefix}snapshots/"):
            key = stored.key.removeprefix(self.prefix)
            if key in here and stored.bytes == here[key].bytes:
                self.snapshots[stored.name] = stored.stored_at

    def _remove(self, plan: CopyPlan) -> None:
        kept = {part.snapshot for point in self.points for part in point.snapshots}
        stages = removable(plan.missed, kept, self.world.clock.now())
        count = sum(map(len, stages))
        for keys in stages:
            self.world.store.remove(self.target, [self.prefix + key for key in keys])
        if count:
            self.world.say(
                f"{self.service.id} of {self.host}: {count} objects that had gone at the source were removed"
            )
            body: Body = {"service": self.service.id, "host": self.host, "dr_centre": self.item.dr_centre}
            self.world.ledger.append(self.result.run, "copy.cleared", body | {"objects": count})
            self.result.removed += count

    # -- since when objects have gone ----------------------------------------------------------------------------------

    @property
    def _notes_key(self) -> str:
        return f"{NOTES_FOLDER}/{self.prefix.rstrip('/')}.json"

    def _read_notes(self) -> dict[str, datetime]:
        """Notes that cannot be read make the grace time begin anew: that removes nothing too early."""
        content = self.world.store.read(self.target, self._notes_key)
        if content is None:
            return {}
        try:
            return {str(key): from_stamp(since) for key, since in json.loads(content)["gone_since"].items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            self.world.say(f"{self.service.id}: {self._notes_key} cannot be read; what has gone is kept a week more")
            return {}

    def _keep_notes(self, before: Mapping[str, datetime], now: Mapping[str, datetime]) -> None:
        if dict(before) != dict(now):
            record = {"gone_since": {key: to_stamp(since) for key, since in sorted(now.items())}}
            self.world.store.write(self.target, self._notes_key, json.dumps(record).encode())
