"""Where a service's backups are, and the secrets that open them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from drp.domain.backups.copying import as_copied
from drp.domain.backups.keys import prefix_of as repository_prefix
from drp.domain.backups.restore_point import RestorePoint
from drp.domain.events import Body
from drp.domain.inventory import DrCentre, HostKeys
from drp.domain.protection.gaps import backup_of
from drp.domain.service import Service
from drp.errors import BusyError, DrpError, UsageError
from drp.ports import ActionState, World
from drp.workflows.naming import run_folder

REMOVING_KINDS = ("forget", "prune")
"""Kinds of runs that take data away at a DR centre."""
START_LIMIT_SECONDS, START_POLL_SECONDS = 30.0, 0.1


def centre_of(world: World, service: Service) -> DrCentre:
    return world.city.workspace.dr_centres[backup_of(service).dr_centre]


def centre_named(world: World, name: str) -> DrCentre:
    """A DR centre of drp.yaml; UsageError where there is none of that name."""
    centre = world.city.workspace.dr_centres.get(name)
    if centre is None:
        known = ", ".join(sorted(world.city.workspace.dr_centres))
        raise UsageError(f"no DR centre {name!r}", hint=f"known: {known}")
    return centre


def prefix_of(service: Service, host: str) -> str:
    """A repository belongs to one service on one host, so that a host's keys need to reach nothing else."""
    return repository_prefix(service.id, host)


def repository_url(centre: DrCentre, service: Service, host: str) -> str:
    return f"s3:{centre.endpoint}/{centre.bucket}/{prefix_of(service, host)}"


def secrets_of(world: World, service: Service, executor: str | None, centre: DrCentre | None = None) -> Body:
    """What restic needs on the host `executor`; None is the control node itself, which has the DR centre's general
    pair of keys. Never written anywhere by drp; see `adapters.actions`. `centre` is another one than the service's own.

    DrpError where other hosts have keys of their own at the DR centre and this one has none: it must not get the
    general ones, which reach everything.
    """
    centre = centre or centre_of(world, service)
    pair: DrCentre | HostKeys = centre
    purpose = ""
    if executor is not None and centre.host_keys:
        if executor not in centre.host_keys:
            hint = "add its pair to host_keys of this DR centre in drp.yaml; drp dr-centre policy says what it may do"
            raise DrpError(f"host {executor} has no S3 keys of its own", where=centre.title, hint=hint)
        pair, purpose = centre.host_keys[executor], f" of {executor}"
    return {
        "password": world.secrets.read(backup_of(service).password, f"repository password of {service.id}"),
        "access_key_id": world.secrets.read(pair.access_key_id, f"S3 access key id{purpose}"),
        "secret_access_key": world.secrets.read(pair.secret_access_key, f"S3 secret access key{purpose}"),
    }


def centres_with(world: World, point: RestorePoint) -> list[DrCentre]:
    """The DR centres that a restore point can be restored from: its own first, then those that have a copy of it. Those
    that drp.yaml does not declare any more are left out."""
    names = [point.dr_centre]
    names += [copy.dr_centre for copy in world.ledger.copies(point.service) if copy.restore_point == point.id]
    known = world.city.workspace.dr_centres
    return [known[name] for name in dict.fromkeys(names) if name in known]


def points_at(world: World, service: Service, points: Sequence[RestorePoint], name: str) -> list[RestorePoint]:
    """Those of these restore points of a service that have arrived at a DR centre, as they lie there."""
    centre = centre_named(world, name)
    arrived = {
        copy.restore_point: copy.arrived_at for copy in world.ledger.copies(service.id) if copy.dr_centre == name
    }
    found = []
    for point in points:
        if point.dr_centre == name:
            found.append(point)
        elif point.id in arrived:
            urls = {host: repository_url(centre, service, host) for host in point.repositories}
            found.append(as_copied(point, name, urls, arrived[point.id]))
    return found


def ca_certificate(workspace: Path, centre: DrCentre) -> str:
    """The PEM text of the DR centre's certificate authority; empty where the system's own are enough."""
    if centre.ca_certificate is None:
        return ""
    path = workspace / centre.ca_certificate
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        hint = "check ca_certificate of the DR centre in drp.yaml; in the lab, start it: drp lab up"
        raise DrpError(f"the CA certificate cannot be read: {error.strerror}", where=str(path), hint=hint) from error


# -- one at a time -----------------------------------------------------------------------------------------------------


def repository_lock(service: Service, host: str, centre: str = "") -> str:
    """The name of the lock that whatever works on a repository holds: backup, check, forget, prune, copy. `host` is the
    one that the repository belongs to, `centre` the DR centre that it is at, if not the service's own."""
    return f"repository@{service.id}@{host}@{centre or backup_of(service).dr_centre}"


def copy_lock(service: Service) -> str:
    """The name of the lock that a copy holds, and whatever removes something from a service's repositories (forget,
    prune): a backup may go on beside a copy, which may take hours; a prune may not."""
    return f"copying@{service.id}"


def reading_lock(service: Service) -> str:
    """The name of the lock that is held by what removes something from a service's repositories; and by a reader for
    the moment of its start."""
    return f"reading@{service.id}"


@contextmanager
def holding_repositories(
    world: World, service: Service, hosts: Sequence[str], holder: str, centres: Sequence[str] = ("",)
) -> Iterator[None]:
    """Keep all others of drp away from the repositories of a service on these hosts. BusyError names who is there."""
    held = lock_repositories(world, service, hosts, holder, centres)
    try:
        yield
    finally:
        for name in held:
            world.locks.release(name)


def lock_repositories(
    world: World, service: Service, hosts: Sequence[str], holder: str, centres: Sequence[str] = ("",)
) -> list[str]:
    """Take the locks of repositories, all or none, and give their names. BusyError names who holds one."""
    held: list[str] = []
    for host in hosts:
        for centre in centres:
            name = repository_lock(service, host, centre)
            try:
                world.locks.acquire(name, holder)
            except BusyError:
                for taken in held:
                    world.locks.release(taken)
                raise
            held.append(name)
    return held


def removing_runs(world: World, service: Service) -> list[str]:
    """Runs that are taking data of a service away at its DR centre, whether a drp follows them or not."""
    return [run for run in living_runs(world, service) if world.ledger.run(run).kind in REMOVING_KINDS]


def refuse_removal(world: World, service: Service, dr_centre: str = "") -> None:
    """Whoever reads a repository without restic's lock, as every restore does, must not begin while something is taken
    away there: BusyError. What is to be removed later waits, for it looks for runs at work. Things are removed at the
    service's own DR centre: a copy at another `dr_centre` can be read meanwhile."""
    if dr_centre not in ("", backup_of(service).dr_centre):
        return
    for run in removing_runs(world, service):
        raise BusyError(
            f"{run} removes data at the DR centre, which must not happen while it is read",
            where=service.id,
            hint=f"wait for it, then try again; see how far it is: drp run show {run}",
        )


@contextmanager
def starting_to_read(world: World, service: Service, dr_centre: str, holder: str) -> Iterator[None]:
    """Hold off whatever removes data of a service until a reader's action has been started, from when on it is seen at
    work. BusyError where something is being removed already. Another reader that starts just now is waited for."""
    if dr_centre != backup_of(service).dr_centre:
        yield
        return
    name, until = reading_lock(service), world.clock.monotonic() + START_LIMIT_SECONDS
    while True:
        refuse_removal(world, service)
        try:
            world.locks.acquire(name, holder)
            break
        except BusyError:
            if world.clock.monotonic() > until:
                raise
        world.clock.sleep(START_POLL_SECONDS)
    try:
        refuse_removal(world, service)
        yield
    finally:
        world.locks.release(name)


def living_runs(world: World, service: Service) -> list[str]:
    """Runs of any kind with an action that is at work on a service, whether a drp follows it or not: as long as there
    is one, no lock in its repositories may be called dead."""
    return [
        row.run
        for row in world.ledger.runs(only_open=True)
        if service.id in row.services
        and run_folder(world, row.run).is_dir()
        and any(
            world.actions.state(folder) is ActionState.RUNNING
            for folder in run_folder(world, row.run).iterdir()
            if folder.is_dir()
        )
    ]
