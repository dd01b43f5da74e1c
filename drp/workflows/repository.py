"""Where a service's backups are, and the secrets that open them."""

from __future__ import annotations

from pathlib import Path

from drp.domain.events import Body
from drp.domain.inventory import DrCentre
from drp.domain.protection import backup_of
from drp.domain.service import Service
from drp.errors import DrpError
from drp.ports import World


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
