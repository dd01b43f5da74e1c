"""Back services up to their DR centre: all datasets of a service become one restore point, or none."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from drp.domain.events import Body, hash_of
from drp.domain.protection import backup_of
from drp.domain.restore_point import RestorePoint, Snapshot
from drp.domain.service import Service
from drp.domain.values import from_stamp, to_stamp
from drp.errors import CancelledError, DrpError, ExitCode
from drp.ports import ActionState, World
from drp.workflows import quiescing
from drp.workflows.host_jobs import HostJob, repository_job, start_or_adopt
from drp.workflows.naming import action_folder, new_run
from drp.workflows.repository import ca_certificate, centre_of, prefix_of, repository_url, secrets_of

PROGRESS_EVERY_SECONDS = 5


@dataclass(frozen=True, slots=True)
class BackupResult:
    """What became of one service's backup. With a restore point, an error says what a person must still do: the data is
    good."""

    service: str
    run: str
    restore_point: RestorePoint | None
    error: DrpError | None


def back_up(world: World, services: Sequence[str], due: Mapping[str, datetime] | None = None) -> list[BackupResult]:
    """Back up each service in turn. A service that fails leaves no restore point and does not stop the others.

    `due` names the moments of the schedule that the backups are for, where they are for one.
    """
    results = []
    for name in services:
        service = world.city.services[name]
        try:
            results.append(_back_up_one(world, service, (due or {}).get(name)))
        except CancelledError:
            raise
        except DrpError as error:
            results.append(BackupResult(name, "", None, error))
    return results


def _back_up_one(world: World, service: Service, due_at: datetime | None) -> BackupResult:
    world.locks.acquire(f"backup-{service.id}", f"drp backup of {service.id}")
    try:
        run = _unfinished(world, service)
        if run is not None and _is_lost(world, run):
            world.say(f"{service.id}: {run} was lost with the control node; starting anew")
            error = "lost without a result, as after a power cut"
            world.ledger.append(
                run, "run.closed", {"outcome": "failed", "exit_code": int(ExitCode.FAILED), "error": error}
            )
            run = None
        if run is None:
            run = _open(world, service, due_at)
        else:
            world.say(f"{service.id}: going on with {run}, which was cut off")
        try:
            point = _carry_out(world, service, run)
        except DrpError as error:
            body = {"outcome": "failed", "exit_code": int(error.exit_code), "error": str(error)[:2000]}
            world.ledger.append(run, "run.closed", body)
            return BackupResult(service.id, run, None, error)
        except KeyboardInterrupt:
            _cancel(world, service, run)
            raise CancelledError("the backup was cancelled; it left no restore point", where=service.id) from None
        world.ledger.append(run, "restore_point.recorded", point.record())
        world.ledger.append(run, "run.closed", {"outcome": "done", "exit_code": int(ExitCode.DONE)})
        return BackupResult(service.id, run, point, quiescing.not_resumed(world, run, service))
    finally:
        world.locks.release(f"backup-{service.id}")


def _unfinished(world: World, service: Service) -> str | None:
    """A backup of this service that was cut off. This process holds the service's lock, so nobody else follows it."""
    for row in world.ledger.runs(kinds=("backup",), limit=200):
        if row.closed_at is None and row.services == (service.id,):
            return row.run
    return None


def _is_lost(world: World, run: str) -> bool:
    """Whether a part of a backup is gone without a result: what it had sent cannot become a restore point."""
    hosts = world.ledger.events(run)[0].body["plan"]["hosts"]
    return any(world.actions.state(action_folder(world, run, host)) is ActionState.LOST for host in hosts)


def _open(world: World, service: Service, due_at: datetime | None) -> str:
    run = new_run("backup", world.clock.now())
    site = world.ledger.active_site(service.id)
    hosts = list(dict.fromkeys(service.stand_in(dataset.host, site) for dataset in service.datasets))
    plan = {"service": service.id, "site": site, "hosts": hosts, "sentinel": f"{run}-{secrets.token_hex(8)}"}
    body: Body = {"plan": plan, "by": world.operator}
    if due_at is not None:
        body["due_at"] = to_stamp(due_at)
    world.ledger.open_run(run, "backup", hash_of(plan), [service.id], body)
    return run


def _carry_out(world: World, service: Service, run: str) -> RestorePoint:
    plan = world.ledger.events(run)[0].body["plan"]
    results: dict[str, Body] = {}
    for host in plan["hosts"]:
        job = _start(world, service, run, plan, host)
        try:
            result = job.wait()
        finally:
            quiescing.record(world, run, service, host, job.messages)
        results[host] = {"result": result, "clock": job.clock}
        world.ledger.append(run, "clock.measured", {"host": host, **job.clock})
    arrived_at = max(_arrival(world, service, host, results[host]["result"]) for host in plan["hosts"])
    return _restore_point(world, service, run, plan, results, arrived_at)


def _start(world: World, service: Service, run: str, plan: Body, host: str) -> HostJob:
    centre = centre_of(world, service)

    def job() -> Body:
        world.say(f"{service.id}: backing up on {host} to {centre.title}")
        return _job(world, service, run, plan, host)

    return start_or_adopt(
        world,
        run,
        host,
        host,
        job,
        secrets=lambda: secrets_of(world, service, host),
        certificate=ca_certificate(world.workspace, centre),
        where=f"{service.id} on {host}",
        on_message=_teller(world, service),
    )


def _job(world: World, service: Service, run: str, plan: Body, host: str) -> Body:
    job = repository_job(world, service, host, run, "backup")
    url = job["repository"]["url"]
    known = any(point.repositories.get(host) == url for point in world.ledger.restore_points(service.id))
    procedures = [
        dataset.procedure(service.id, plan["sentinel"])
        for dataset in service.datasets
        if service.stand_in(dataset.host, plan["site"]) == host
    ]
    return job | {
        "may_create_repository": not known,
        "may_unlock": True,
        "requires": ["restic", *(name for procedure in procedures for name in procedure["requires"])],
        "datasets": procedures,
        "quiesce": quiescing.orders_of(service, plan["site"], host),
    }


def _teller(world: World, service: Service) -> Callable[[Body], None]:
    """Says how a backup goes on: each part that has ended, and now and then how far a long one is."""
    told_at = world.clock.monotonic()

    def tell(message: Body) -> None:
        nonlocal told_at
        if message["event"] == "part.ended":
            text = f"{message['files']} files, {_size(message['bytes'])} in {message['duration_ms'] / 1000:.1f} s"
            world.say(f"{service.id}: {message['dataset']}/{message['part']}: {text}")
        elif (
            message["event"] == "part.progress"
            and message["bytes"]
            and world.clock.monotonic() - told_at > PROGRESS_EVERY_SECONDS
        ):
            told_at = world.clock.monotonic()
            world.say(f"{service.id}: {message['dataset']}/{message['part']}: {_size(message['bytes'])} so far")

    return tell


def _arrival(world: World, service: Service, host: str, result: Body) -> datetime:
    """When the DR centre says it got the last snapshot of a host. A snapshot it does not know has not arrived."""
    centre = centre_of(world, service)
    newest = datetime.min.replace(tzinfo=UTC)
    for part in result["parts"]:
        stored = world.store.stored_at(centre, f"{prefix_of(service, host)}/snapshots/{part['snapshot']}")
        if stored is None:
            text = f"snapshot {part['snapshot'][:8]} is not at the DR centre"
            raise DrpError(text, where=service.id, hint="run the backup again; ask the DR centre if it repeats")
        newest = max(newest, stored)
    # A DR centre whose clock runs ahead must not make a restore point of the future, which nobody would use.
    return min(newest, world.clock.now())


def _restore_point(
    world: World,
    service: Service,
    run: str,
    plan: Body,
    results: dict[str, Body],
    arrived_at: datetime,
) -> RestorePoint:
    centre = centre_of(world, service)
    parts = [part for found in results.values() for part in found["result"]["parts"]]
    stamps = [
        from_stamp(sentinel["written_at"]) - timedelta(milliseconds=found["clock"]["offset_ms"])
        for found in results.values()
        for sentinel in found["result"]["sentinels"].values()
    ]
    content: dict[str, dict[str, Any]] = {}
    for found in results.values():
        content |= found["result"]["content"]
    return RestorePoint(
        id=run,
        service=service.id,
        site=plan["site"],
        sentinel=plan["sentinel"],
        sentinel_at=min(stamps),
        arrived_at=arrived_at,
        dr_centre=backup_of(service).dr_centre,
        repositories={host: repository_url(centre, service, host) for host in plan["hosts"]},
        snapshots=tuple(
            Snapshot(
                dataset=part["dataset"],
                part=part["part"],
                snapshot=part["snapshot"],
                files=part["files"],
                bytes=part["bytes"],
                duration_ms=part["duration_ms"],
            )
            for part in parts
        ),
        tools={
            f"{host} {name}": version
            for host, found in results.items()
            for name, version in found["result"]["tools"].items()
        },
        content=content,
        datasets={dataset.id: dataset.mechanics() for dataset in service.datasets},
        clocks={
            dataset.host: results[service.stand_in(dataset.host, plan["site"])]["clock"] for dataset in service.datasets
        },
    )


def _cancel(world: World, service: Service, run: str) -> None:
    world.say(f"{service.id}: stopping; restic takes its lock away first")
    plan = world.ledger.events(run)[0].body["plan"]
    for host in plan["hosts"]:
        job = HostJob(world, action_folder(world, run, host), f"{service.id} on {host}")
        job.stop()
        quiescing.record(world, run, service, host, job.messages)
    world.ledger.append(run, "run.closed", {"outcome": "aborted", "exit_code": int(ExitCode.CANCELLED)})


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
