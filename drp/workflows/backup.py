"""Back services up to their DR centre: all datasets of a service become one restore point, or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from drp.domain.backups.limits import Upload, Urgency, Work, by_urgency, may_start, upload_limit
from drp.domain.objectives import own_or_tiers
from drp.errors import BusyError, CancelledError, DrpError
from drp.ports import ActionState, RunRow, World
from drp.workflows.backup_run import (
    BackupResult,
    BackupRun,
    hosts_of,
    jobs_of,
    services_in_trouble,
    work_of,
)
from drp.workflows.host_jobs import STOP_LIMIT_SECONDS

__all__ = ["BackupResult", "back_up", "most_urgent_first"]

POLL_SECONDS = 0.05
LOOK_AT_OTHERS_SECONDS = 0.5
START_LOCK = "backup-start"
"""Held while a drp counts what runs and starts what may: of two that count at once, both would start too much."""


def back_up(world: World, services: Sequence[str], due: Mapping[str, datetime] | None = None) -> list[BackupResult]:
    """Back services up, many at once within the limits of `backups.limits`, those first that stand first.

    A service that fails leaves no restore point and does not stop the others. CancelledError where a person stops them
    (what has ended keeps its restore point).

    `due` names the moments of the schedule that the backups are for, where they are for one.
    """
    return _Batch(world, services, due or {}).run()


def most_urgent_first(world: World, services: Iterable[str]) -> list[str]:
    """Services in the order in which their backups are wanted: the shortest RPO, then what breaks it first."""
    sites = world.ledger.active_sites()
    newest = {(times.service, times.site): times.newest for times in world.ledger.data_times()}
    return by_urgency(
        Urgency(
            name,
            own_or_tiers(world.city.services[name], world.city.workspace.tiers, "rpo"),
            newest.get((name, sites[name][0] if name in sites else "primary")),
        )
        for name in services
    )


class _Batch:
    """The services that wait, those that run, and the results of those that have ended."""

    def __init__(self, world: World, services: Sequence[str], due: Mapping[str, datetime]) -> None:
        self.world, self.services, self.due = world, list(dict.fromkeys(services)), due
        self.settings = world.city.workspace.backups.limits
        self.zone = ZoneInfo(world.city.workspace.organisation.time_zone)
        self.waiting = {name: work_of(world, name, hosts_of(world, world.city.services[name])) for name in services}
        self.running: dict[str, BackupRun] = {}
        self.results: dict[str, BackupResult] = {}
        self.in_trouble = services_in_trouble(world)
        self.uploads_of_others: list[Upload] = []
        self.next_look = world.clock.monotonic()

    def run(self) -> list[BackupResult]:
        try:
            self.take_up()
            self.start()
            if self.running:
                self.world.store.get_ready()
            while self.waiting or self.running:
                self.follow()
                self.start()
                if self.waiting or self.running:
                    self.world.clock.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            self.stop()
            text = "the backup was cancelled; it left no restore point"
            where = ", ".join([*self.running, *self.waiting][:5])
            raise CancelledError(text, where=where, hint="run the same command again") from None
        finally:
            for run in self.running.values():
                run.let_go()
        return [self.results[name] for name in self.services]

    # -- starting --------------------------------------------------------------------------------------------------

    def take_up(self) -> None:
        """Follow what a drp that was killed had started: it runs already, whatever the limits say."""
        for row in self.world.ledger.runs(kinds=("backup",), only_open=True):
            if row.services and row.services[0] in self.waiting and _is_at_work(self.world, row):
                self.begin(row.services[0])

    def start(self) -> None:
        """Start what may start now beside what this drp and others run."""
        if self.world.clock.monotonic() < self.next_look or not self.room_beside([]):
            return
        try:
            self.world.locks.acquire(START_LOCK, "drp, starting backups,")
        except BusyError:
            return  # for a moment; it is tried again
        try:
            others = self.look_at_others()
            for work in self.room_beside(others):
                self.begin(work.service)
            if others and self.waiting:
                self.next_look = self.world.clock.monotonic() + LOOK_AT_OTHERS_SECONDS
        finally:
            self.world.locks.release(START_LOCK)

    def room_beside(self, others: Sequence[Work]) -> list[Work]:
        """What may start beside what this drp runs, and others."""
        own = [run.work for run in self.running.values()]
        return may_start(list(self.waiting.values()), [*own, *others], self.settings) if self.waiting else []

    def look_at_others(self) -> list[Work]:
        """What other processes of drp back up at this moment, which counts too."""
        others: list[Work] = []
        self.uploads_of_others = []
        mine = {run.run for run in self.running.values()}
        for row in self.world.ledger.runs(kinds=("backup",), only_open=True):
            if row.run not in mine and _is_at_work(self.world, row):
                hosts = self.world.ledger.events(row.run)[0].body["plan"]["hosts"]
                others.append(work_of(self.world, row.services[0], hosts))
                self.uploads_of_others += _uploads(self.world, row)
        return others

    def begin(self, name: str) -> None:
        self.waiting.pop(name, None)
        service = self.world.city.services[name]
        try:
            run = BackupRun(self.world, service, self.due.get(name), may_be_locked=name in self.in_trouble)
        except DrpError as error:
            self.results[name] = BackupResult(name, "", None, error)
            return
        self.running[name] = run
        self.look_at(run)

    def upload_limit(self, host: str) -> int | None:
        """What a restic that starts now on a host may send."""
        hosts = self.world.city.hosts
        running = [upload for run in self.running.values() for upload in run.uploading]
        return upload_limit(
            self.settings.bandwidth,
            self.world.clock.now().astimezone(self.zone),
            hosts[host].site,
            [*running, *self.uploads_of_others],
            [Upload(hosts[name].site) for work in self.waiting.values() for name in work.hosts],
            self.settings.at_once,
        )

    # -- following -------------------------------------------------------------------------------------------------

    def follow(self) -> None:
        for run in list(self.running.values()):
            self.look_at(run)

    def look_at(self, run: BackupRun) -> None:
        result = run.follow(self.upload_limit)
        if result is None:
            return
        name = run.service.id
        self.results[name] = result
        del self.running[name]
        run.let_go()
        if run.was_taken_up and result.restore_point is None:
            # What was cut off has failed; what was asked for now has not been tried yet.
            self.world.say(f"{name}: {result.run} has failed since it was cut off ({result.error}); starting anew")
            self.in_trouble.add(name)
            self.begin(name)

    def stop(self) -> None:
        """End all that runs, and what this drp has started; each restic takes its lock away first."""
        for name in self.running:
            self.world.say(f"{name}: stopping; restic takes its lock away first")
        limit = self.world.clock.monotonic() + STOP_LIMIT_SECONDS
        while self.world.clock.monotonic() < limit and not all(run.has_stopped() for run in self.running.values()):
            for run in self.running.values():
                run.ask_to_stop()
            self.world.clock.sleep(POLL_SECONDS)
        for run in self.running.values():
            run.close_as_cancelled()


def _is_at_work(world: World, row: RunRow) -> bool:
    return any(world.actions.state(job.folder) is ActionState.RUNNING for job in jobs_of(world, row))


def _uploads(world: World, row: RunRow) -> list[Upload]:
    """What another process of drp has allowed its restics to send."""
    started = [event.body for event in world.ledger.events(row.run) if event.type == "action.started"]
    return [Upload(world.city.hosts[body["host"]].site, body.get("upload_limit_kib")) for body in started]
