"""What the hosts of a backup have told becomes one restore point, once the DR centre says that all of it is there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from drp.domain.backups.restore_point import RestorePoint, Snapshot
from drp.domain.events import Body
from drp.domain.protection.gaps import backup_of
from drp.domain.service import Service
from drp.domain.values import from_stamp
from drp.errors import DrpError
from drp.ports import World
from drp.workflows.repository import centre_of, prefix_of, repository_url


def restore_point_of(world: World, service: Service, run: str, results: dict[str, Body]) -> RestorePoint:
    """The restore point of a run, of what each host has told. DrpError where the DR centre lacks a snapshot."""
    opened = world.ledger.events(run)[0].body
    plan = opened["plan"]
    centre = centre_of(world, service)
    snapshots: list[Snapshot] = []
    arrived_at = datetime.min.replace(tzinfo=UTC)
    for host in plan["hosts"]:
        of_host, newest = _arrived(world, service, host, results[host]["result"]["parts"])
        snapshots += of_host
        arrived_at = max(arrived_at, newest)
    without = [dataset.id for dataset in service.datasets if dataset.id not in {item.dataset for item in snapshots}]
    if without:
        text = f"no snapshot was made of {', '.join(without)}"
        raise DrpError(text, where=service.id, hint="see what the run left under var/runs, and run the backup again")
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
        # A DR centre whose clock runs ahead must not make a restore point of the future, which nobody would use.
        arrived_at=min(arrived_at, world.clock.now()),
        dr_centre=backup_of(service).dr_centre,
        repositories={host: repository_url(centre, service, host) for host in plan["hosts"]},
        snapshots=tuple(snapshots),
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
        tags=backup_of(service).tags,
        due_at=from_stamp(opened["due_at"]) if opened.get("due_at") else None,
    )


def _arrived(world: World, service: Service, host: str, parts: list[Body]) -> tuple[list[Snapshot], datetime]:
    """The snapshots of a host, and when the DR centre says it got the last of them.

    An old restic tells the beginning of a snapshot's name only; the whole of it is the DR centre's to say. A snapshot
    that it does not know, or of which it knows two, has not arrived.
    """
    folder = f"{prefix_of(service, host)}/snapshots/"
    prefix = folder + (parts[0]["snapshot"] if len(parts) == 1 else "")
    listed = {item.key: item.stored_at for item in world.store.objects(centre_of(world, service), prefix)}
    snapshots, newest = [], datetime.min.replace(tzinfo=UTC)
    for part in parts:
        names = [key for key in listed if key.startswith(folder + part["snapshot"])]
        if not part["snapshot"] or len(names) != 1:
            text = f"snapshot {part['snapshot'][:8]} of {part['dataset']} is not at the DR centre"
            raise DrpError(text, where=service.id, hint="run the backup again; ask the DR centre if it repeats")
        newest = max(newest, listed[names[0]])
        snapshots.append(
            Snapshot(
                dataset=part["dataset"],
                part=part["part"],
                snapshot=names[0].removeprefix(folder),
                files=part["files"],
                bytes=part["bytes"],
                duration_ms=part["duration_ms"],
            )
        )
    return snapshots, newest
