"""Which restore point, datasets and repositories a person means who wants something back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.datasets import DatasetType, read_dataset
from drp.domain.recovery.restore_choice import AmbiguousError, Choice, newest, newest_not_younger, with_snapshot
from drp.domain.recovery.restore_plan import compiled, only
from drp.domain.service import Service
from drp.errors import UsageError
from drp.ports import World
from drp.workflows.repository import centre_named, repository_url
from drp.workflows.trust import trusted

ALL_POINTS = 1_000_000


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """What a person asks for. Without `at`, `restore_point` and `snapshot`: the newest data."""

    service: str
    datasets: tuple[str, ...] = ()
    at: datetime | None = None
    restore_point: str | None = None
    snapshot: str | None = None
    to: str | None = None
    scratch: str | None = None
    from_centre: str | None = None
    paths: tuple[str, ...] = ()


def choose(world: World, request: RestoreRequest) -> tuple[Choice, tuple[str, ...]]:
    """The restore point that a person means, and the datasets where a snapshot tells them. UsageError says why not."""
    points = available_points(world, request.service, request.from_centre)
    hint = f"list them: drp backup list {request.service}"
    if request.restore_point is not None:
        # What a failback has kept is taken only by its name: users never went on from there.
        kept = world.ledger.stranded(request.service) if request.from_centre is None else []
        named = next((point for point in (*points, *kept) if point.id == request.restore_point), None)
        if named is None:
            raise UsageError(f"no restore point {request.restore_point}", where=request.service, hint=hint)
        return Choice(named), ()
    if request.snapshot is not None:
        try:
            point, dataset = with_snapshot(points, request.snapshot)
        except AmbiguousError as error:
            raise UsageError(str(error), where=request.service, hint=hint) from error
        return Choice(point), (dataset,)
    fit = trusted(world, request.service, points) if request.from_centre is None else points
    choice = newest(fit) if request.at is None else newest_not_younger(fit, request.at)
    if choice is None and points:
        oldest = min(point.arrived_at for point in points)
        zone = world.city.workspace.organisation.time_zone
        text = f"no restore point is that old: the oldest had arrived at {_local(oldest, zone)}"
        raise UsageError(text, where=request.service, hint=hint)
    if choice is None:
        raise UsageError("there is no restore point", where=request.service, hint="back it up: drp backup run")
    return choice, ()


def available_points(world: World, service: str, from_centre: str | None = None) -> list[RestorePoint]:
    """The service's restore points; only those of which a DR centre holds the original or a copy, if one is named."""
    points = world.ledger.restore_points(service, limit=ALL_POINTS)
    if from_centre is None:
        return points
    centre_named(world, from_centre)
    copied = {copy.restore_point for copy in world.ledger.copies(service) if copy.dr_centre == from_centre}
    found = [point for point in points if point.dr_centre == from_centre or point.id in copied]
    if points and not found:
        raise UsageError(f"nothing of it has been copied to {from_centre}", where=service, hint="drp status")
    return found


def repository_host_of(service: Service, point: RestorePoint, dataset: DatasetType) -> str:
    """Whose repository a dataset's snapshots are in: that of its host, or of the host that stood in for it."""
    host = dataset.host if point.site == "primary" else service.recovers_on.get(dataset.host, dataset.host)
    if host not in point.repositories:
        text = f"restore point {point.id} is not of host {host}"
        raise UsageError(text, where=service.id, hint=f"it is of {', '.join(point.repositories)}; see recovers_on")
    return host


def in_use(world: World) -> set[str]:
    """The hosts on which services run for their users now."""
    found: set[str] = set()
    for service in world.city.services.values():
        site = world.ledger.active_site(service.id)
        hosts = {*service.runs_on, *(dataset.host for dataset in service.datasets)}
        found |= {host if site == "primary" else service.recovers_on.get(host, host) for host in hosts}
    return found


def holding(service: Service, point: RestorePoint, names: Sequence[str], paths: Sequence[str]) -> tuple[str, ...]:
    """The datasets that have one of the paths. UsageError for a path that is in none, and for one that cannot be asked
    for by its name."""
    found = []
    left = list(paths)
    for name in names:
        procedure = compiled(point, read_dataset(point.datasets[name]), service.id)
        here = [path for part in only(procedure, paths)["parts"] for path in part["paths"]]
        found += [name] if here else []
        left = [path for path in left if path not in here]
    hint = f"see what it holds: drp restore list {service.id}"
    for path in left:
        raise UsageError(f"{printable(path)} is in no file tree of it", where=service.id, hint=hint)
    for path in paths:
        if printable(path) != path:
            text = f"{printable(path)} is no UTF-8, so it cannot be restored alone"
            raise UsageError(text, where=service.id, hint="restore its folder, or download it")
    return tuple(found)


def normal(path: str) -> str:
    """A path as snapshots have it; UsageError where it is none."""
    words = [word for word in path.split("/") if word]
    if "\0" in path or not words or {".", ".."} & set(words):
        raise UsageError(f"{printable(path)!r} is no path of a file", hint="write it whole, as /srv/app/file")
    return "/" + "/".join(words)


def printable(path: str) -> str:
    """A path for people and for the ledger: bytes that are no UTF-8 are spelled out."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def url_at(world: World, service: Service, point: RestorePoint, centre: str, host: str) -> str:
    """Where a repository of the restore point lies: as it was recorded, or its copy at another DR centre."""
    if centre == point.dr_centre:
        return point.repositories[host]
    return repository_url(centre_named(world, centre), service, host)


def _local(moment: datetime, zone: str) -> str:
    """A time as `--at` would be read."""
    return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S} {zone}"
