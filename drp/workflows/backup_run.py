"""The backup of one service: begun or taken up, followed on all its hosts at once, and recorded."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from drp.domain.backups.limits import Upload, Work, sites_of
from drp.domain.backups.record import SCHEDULED_KINDS
from drp.domain.backups.restore_point import RestorePoint
from drp.domain.datasets import DatasetType
from drp.domain.events import Body, hash_of
from drp.domain.protection.gaps import backup_of
from drp.domain.service import Service
from drp.domain.values import show_size, to_stamp
from drp.errors import BusyError, DrpError, ExitCode
from drp.ports import ActionState, RunRow, World
from drp.workflows import quiescing
from drp.workflows.backup_point import restore_point_of
from drp.workflows.host_jobs import HostJob, repository_job, start_or_adopt
from drp.workflows.naming import action_folder, new_run
from drp.workflows.new_repository import provide_repository
from drp.workflows.repository import ca_certificate, centre_of, lock_repositories, secrets_of
from drp.workflows.repository_locks import let_in

PROGRESS_EVERY_SECONDS = 5
GROWTH_PERCENT = 120

BackupKind = Literal["backup", "keep"]
"""`keep`: of what lies at a site on which the service is not active. It is no restore point to recover from."""
RECORDED_AS: dict[BackupKind, str] = {"backup": "restore_point.recorded", "keep": "stranded.recorded"}

LimitOf = Callable[[str], int | None]
"""What a restic on a host may send, in KiB/s, if it starts now."""


@dataclass(frozen=True, slots=True)
class BackupResult:
    """What became of one service's backup. With a restore point, an error says what a person must still do: the data is
    good."""

    service: str
    run: str
    restore_point: RestorePoint | None
    error: DrpError | None


class BackupRun:
    """One service's backup, which this drp follows and nobody else: it holds the service's locks until `let_go`."""

    def __init__(
        self,
        world: World,
        service: Service,
        due_at: datetime | None,
        *,
        may_be_locked: bool,
        kind: BackupKind = "backup",
        site: str | None = None,
        is_of_move: bool = False,
        quiesce: bool = True,
    ) -> None:
        """Take the service's locks, and take up its unfinished run or open a new one. BusyError where another drp is
        at work on the service or on its repositories.

        `may_be_locked`: something that worked on the repositories may have left a lock behind. `site`: another one than
        that on which the service is active. `is_of_move`: a planned move of the service makes it; no other one begins
        meanwhile. `quiesce`: whether the service's own commands hold it still.
        """
        if not is_of_move:
            refuse_beside_move(world, service)
        self.quiesce = quiesce
        self.world, self.service, self.may_be_locked = world, service, may_be_locked
        self.kind: BackupKind = kind
        self.site = site or world.ledger.active_site(service.id)
        self.locks: list[str] = []
        self.jobs: dict[str, HostJob] = {}
        self.uploads: dict[str, int | None] = {}
        self.results: dict[str, Body] = {}
        self.error: DrpError | None = None
        try:
            holder = f"drp backup of {service.id}"
            world.locks.acquire(service_lock(service), holder)
            self.locks.append(service_lock(service))
            run = self._unfinished()
            # Another site may have been active when an unfinished one began: its own hosts count, not today's.
            hosts = self._plan_of(run)["hosts"] if run else hosts_of(world, service, self.site)
            self.locks += lock_repositories(world, service, hosts, holder)
            self.run = run or self._open(hosts, due_at)
            self.plan = self._plan_of(self.run)
            self.was_taken_up = run is not None
        except BaseException:
            self.let_go()
            raise
        if run is not None:
            world.say(f"{service.id}: going on with {run}, which was cut off")

    def _plan_of(self, run: str) -> Body:
        plan: Body = self.world.ledger.events(run)[0].body["plan"]
        return plan

    def let_go(self) -> None:
        """Let others work on the service."""
        for name in self.locks:
            self.world.locks.release(name)
        self.locks.clear()

    # -- beginning -------------------------------------------------------------------------------------------------

    def _unfinished(self) -> str | None:
        """A run of this service that was cut off and can be followed to its end. Those that cannot are closed."""
        found = None
        for row in self.world.ledger.runs(kinds=(self.kind,), only_open=True):
            if row.services != (self.service.id,):
                continue
            reason = self._why_not(row)
            if reason is None and found is None:
                found = row.run
                continue
            self.may_be_locked = True
            reason = reason or "a newer run of this service took its place"
            self.world.say(f"{self.service.id}: {row.run} was {reason}; starting anew")
            body = {"outcome": "failed", "exit_code": int(ExitCode.FAILED), "error": reason}
            self.world.ledger.append(row.run, "run.closed", body)
        return found

    def _why_not(self, row: RunRow) -> str | None:
        """Why a run that was cut off cannot become a restore point any more; None where it can."""
        for job in jobs_of(self.world, row):
            if job.is_lost:
                return "lost with the control node, as after a power cut"
            if job.was_stopped:
                return "stopped before it was whole"
        return None

    def _open(self, hosts: list[str], due_at: datetime | None) -> str:
        world, service = self.world, self.service
        run = new_run(self.kind, world.clock.now())
        plan: Body = {} if self.quiesce else {"quiesce": False}
        plan |= {"service": service.id, "site": self.site, "hosts": hosts, "sentinel": f"{run}-{secrets.token_hex(8)}"}
        body: Body = {"plan": plan, "by": world.operator}
        if due_at is not None:
            body["due_at"] = to_stamp(due_at)
        world.ledger.open_run(run, self.kind, hash_of(plan), [service.id], body)
        return run

    # -- following -------------------------------------------------------------------------------------------------

    def follow(self, limit_of: LimitOf) -> BackupResult | None:
        """Start what may start, and look at what runs; the result once there is one. Never waits."""
        try:
            self._start(limit_of)
            self._look()
            if self.error is None:
                if len(self.results) < len(self.plan["hosts"]):
                    return None
                point = restore_point_of(self.world, self.service, self.run, self.results)
        except DrpError as error:
            self.error = self.error or error
        except (LookupError, TypeError, ValueError, AttributeError, AssertionError) as error:
            # A host that is out of its owner's hands may tell anything: it must not end the others' backups.
            text = f"what its hosts told cannot be understood: {type(error).__name__}: {str(error)[:200]}"
            hint = f"see messages.jsonl in var/runs/{self.run}, and whether the host is still your own"
            self.error = self.error or DrpError(text, where=self.service.id, hint=hint)
        if self.error is not None:
            return self._give_up(self.error)
        self.world.ledger.append(self.run, RECORDED_AS[self.kind], point.record())
        self.world.ledger.append(self.run, "run.closed", {"outcome": "done", "exit_code": int(ExitCode.DONE)})
        return BackupResult(self.service.id, self.run, point, quiescing.not_resumed(self.world, self.run, self.service))

    def _give_up(self, error: DrpError) -> BackupResult | None:
        """A backup that has failed anywhere makes no restore point: what still runs of it is stopped first."""
        if not self.has_stopped():
            self.ask_to_stop()
            return None
        self._note_quiescing()
        # This waits, where a repository was locked: for a few seconds, and only then.
        error = let_in(self.world, self.service, self.run, self.plan["hosts"], error)
        body = {"outcome": "failed", "exit_code": int(error.exit_code), "error": str(error)[:2000]}
        self.world.ledger.append(self.run, "run.closed", body)
        return BackupResult(self.service.id, self.run, None, error)

    def _start(self, limit_of: LimitOf) -> None:
        """Start the hosts' jobs, all at once: each writes its sentinels first, then backs its datasets up in their
        order. Where commands quiesce something, one host after the other: what they stop on one may be needed on
        another."""
        for host in self.plan["hosts"]:
            if self.error is not None or (backup_of(self.service).quiesce and len(self.results) < len(self.jobs)):
                return
            if host not in self.jobs:
                self.jobs[host] = self._start_on(host, limit_of)

    def _start_on(self, host: str, limit_of: LimitOf) -> HostJob:
        world, service = self.world, self.service
        centre = centre_of(world, service)
        folder = action_folder(world, self.run, host)
        self.uploads[host] = limit_of(host) if world.actions.state(folder) is ActionState.ABSENT else None
        limit = self.uploads[host]

        def job() -> Body:
            limited = "" if limit is None else f", at most {show_size(limit * 1024)}/s"
            world.say(f"{service.id}: backing up on {host} to {centre.title}{limited}")
            return self._job(host, limit)

        return start_or_adopt(
            world,
            self.run,
            host,
            host,
            job,
            secrets=lambda: secrets_of(world, service, host),
            certificate=ca_certificate(world.workspace, centre),
            where=f"{service.id} on {host}",
            on_message=_teller(world, service),
            noted=None if limit is None else {"upload_limit_kib": limit},
        )

    def _job(self, host: str, limit: int | None) -> Body:
        world, service, plan = self.world, self.service, self.plan
        job = repository_job(world, service, host, self.run, "backup")
        is_known = _is_known(world, service, host, job["repository"]["url"])
        if not is_known:
            provide_repository(world, service, host, self.run)
        datasets = [dataset for dataset in service.datasets if service.stand_in(dataset.host, plan["site"]) == host]
        procedures = [dataset.procedure(service.id, plan["sentinel"]) for dataset in datasets]
        return job | {
            "may_create_repository": not is_known,
            "may_unlock": self.may_be_locked,
            "upload_limit_kib": limit,
            "expected_bytes": _expected_bytes(world, service, datasets),
            "tags": list(backup_of(service).tags),
            "requires": ["restic", *(name for procedure in procedures for name in procedure["requires"])],
            "datasets": procedures,
            "quiesce": quiescing.orders_of(service, plan["site"], host) if plan.get("quiesce", True) else {},
        }

    def _look(self) -> None:
        for host, job in self.jobs.items():
            if host in self.results or not job.has_ended():
                continue
            quiescing.record(self.world, self.run, self.service, host, job.messages)
            self.results[host] = {"result": job.result(), "clock": job.clock}
            self.world.ledger.append(self.run, "clock.measured", {"host": host, **job.clock})

    # -- stopping --------------------------------------------------------------------------------------------------

    def ask_to_stop(self) -> None:
        """Have its hosts end cleanly, without waiting for that. To be repeated: one that just starts may miss it."""
        for job in self.jobs.values():
            job.ask_to_stop()

    def has_stopped(self) -> bool:
        return all(job.has_ended() for job in self.jobs.values())

    def close_as_cancelled(self) -> None:
        """It left no restore point; where it has just recorded one, it is done."""
        self._note_quiescing()
        if any(event.type == RECORDED_AS[self.kind] for event in self.world.ledger.events(self.run)):
            self.world.ledger.append(self.run, "run.closed", {"outcome": "done", "exit_code": int(ExitCode.DONE)})
            return
        self.world.ledger.append(self.run, "run.closed", {"outcome": "aborted", "exit_code": int(ExitCode.CANCELLED)})

    def _note_quiescing(self) -> None:
        for host, job in self.jobs.items():
            quiescing.record(self.world, self.run, self.service, host, job.messages)

    # -- what it takes of the limits -------------------------------------------------------------------------------

    @property
    def work(self) -> Work:
        return work_of(self.world, self.service.id, self.plan["hosts"])

    @property
    def uploading(self) -> list[Upload]:
        """What its restics send that run now."""
        hosts = self.world.city.hosts
        return [Upload(hosts[host].site, self.uploads[host]) for host in self.jobs if host not in self.results]


def refuse_beside_move(world: World, service: Service) -> None:
    """BusyError while a planned move of the service has not ended: it makes backups of its own, and the commands that
    hold a service still could start it again where it was stopped."""
    for row in world.ledger.runs(kinds=("switchover", "failback"), only_open=True):
        if service.id in row.services:
            hint = f"wait for it; if it was cut off: drp run resume {row.run}"
            raise BusyError(f"{row.run} moves the service and backs it up itself", where=service.id, hint=hint)


def service_lock(service: Service) -> str:
    """Who holds it follows the service's backup; its repositories have locks of their own."""
    return f"backup-{service.id}"


def hosts_of(world: World, service: Service, site: str | None = None) -> list[str]:
    """The hosts that hold a service's datasets at a site (the one where it is active, unless another is named), in the
    order of the datasets."""
    site = site or world.ledger.active_site(service.id)
    return list(dict.fromkeys(service.stand_in(dataset.host, site) for dataset in service.datasets))


def work_of(world: World, service: str, hosts: list[str]) -> Work:
    return Work(service, tuple(hosts), sites_of(hosts, {name: host.site for name, host in world.city.hosts.items()}))


def jobs_of(world: World, row: RunRow) -> list[HostJob]:
    """What an open backup run has on hosts, started or not."""
    hosts = world.ledger.events(row.run)[0].body["plan"]["hosts"]
    return [HostJob(world, action_folder(world, row.run, host), f"{row.run} on {host}") for host in hosts]


def services_in_trouble(world: World) -> set[str]:
    """The services of which something that ended otherwise than well was the last of its kind: it may have left a lock
    in a repository. After a good one there is nothing to take away, and asking the DR centre would take time."""
    return {
        state.service
        for kind in SCHEDULED_KINDS
        for state in (world.ledger.copy_states() if kind == "copy" else world.ledger.backup_states(kind)).values()
        if state.outcome != "done"
    }


def _expected_bytes(world: World, service: Service, datasets: Sequence[DatasetType]) -> int | None:
    """How much these datasets will bring, with something to spare: as much as last time, or as is declared. None where
    nobody knows."""
    last: dict[str, int] = {}
    for point in world.ledger.restore_points(service.id, limit=1):
        for part in point.snapshots:
            last[part.dataset] = last.get(part.dataset, 0) + part.bytes
    sizes = [last.get(dataset.id, dataset.size) for dataset in datasets]
    known = [size for size in sizes if size is not None]
    return sum(known) * GROWTH_PERCENT // 100 if len(known) == len(sizes) else None


def _is_known(world: World, service: Service, host: str, url: str) -> bool:
    """Whether a restore point lies in a repository, so that it must be there."""
    for limit in (1, 1000):  # nearly always the newest one says it
        if any(point.repositories.get(host) == url for point in world.ledger.restore_points(service.id, limit)):
            return True
    return False


def _teller(world: World, service: Service) -> Callable[[Body], None]:
    """Says how a backup goes on: each part that has ended, and now and then how far a long one is."""
    told_at = world.clock.monotonic()

    def tell(message: Body) -> None:
        nonlocal told_at
        if message["event"] == "part.ended":
            text = f"{message['files']} files, {show_size(message['bytes'])} in {message['duration_ms'] / 1000:.1f} s"
            world.say(f"{service.id}: {message['dataset']}/{message['part']}: {text}")
        elif (
            message["event"] == "part.progress"
            and message["bytes"]
            and world.clock.monotonic() - told_at > PROGRESS_EVERY_SECONDS
        ):
            told_at = world.clock.monotonic()
            world.say(f"{service.id}: {message['dataset']}/{message['part']}: {show_size(message['bytes'])} so far")

    return tell
