"""Where a service's backups are, and the secrets that open them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from drp.domain.events import Body
from drp.domain.inventory import DrCentre
from drp.domain.protection import backup_of
from drp.domain.service import Service
from drp.errors import BusyError, DrpError
from drp.ports import ActionState, World
from drp.workflows.naming import run_folder


def centre_of(world: World, service: Service) -> DrCentre:
    return world.city.workspace.dr_centres[backup_of(service).dr_centre]


def prefix_of(service: Service, host: str) -> str:
    """A repository belongs to one service on one host, so that a host's keys need to reach nothing else."""
    return f"{service.id}/{host}"


def repository_url(centre: DrCentre, service: Service, host: str) -> str:
    return f"s3:{centre.endpoint}/{centre.bucket}/{prefix_of(service, host)}"


def secrets_of(world: World, service: Service, executor: str, centre: DrCentre | None = None) -> Body:
    """What restic needs on the host `executor`. Never written anywhere by drp; see `adapters.actions`."""
    del executor  # every host uses the DR centre's one pair of keys so far
    centre = centre or centre_of(world, service)
    return {
        "password": world.secrets.read(backup_of(service).password, f"repository password of {service.id}"),
        "access_key_id": world.secrets.read(centre.access_key_id, "S3 access key id"),
        "secret_access_key": world.secrets.read(centre.secret_access_key, "S3 secret access key"),
    }


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
