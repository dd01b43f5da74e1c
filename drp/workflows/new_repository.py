"""Begin repositories for hosts whose own S3 keys reach nothing but their repositories."""

from __future__ import annotations

import base64

from drp.domain.backups.copying import kind_of
from drp.domain.service import Service
from drp.errors import DrpError
from drp.ports import World
from drp.workflows.host_jobs import repository_job, start_or_adopt
from drp.workflows.repository import ca_certificate, centre_of, prefix_of, secrets_of

MOST_BYTES = 100_000


def provide_repository(world: World, service: Service, host: str, run: str) -> None:
    """Make a host's repository where it is not there yet and the host cannot do it: the host makes the first objects,
    encrypted, and the control node stores them. `config` comes last: it is what makes a repository of them."""
    centre = centre_of(world, service)
    prefix = prefix_of(service, host)
    if not centre.host_keys or world.store.stored_at(centre, f"{prefix}/config") is not None:
        return
    world.say(f"{service.id}: a new repository for {host} at {centre.title}")
    job = start_or_adopt(
        world,
        run,
        f"new-repository-{host}",
        host,
        lambda: repository_job(world, service, host, run, "new_repository"),
        secrets=lambda: secrets_of(world, service, host),
        certificate=ca_certificate(world.workspace, centre),
        where=f"{service.id} on {host}",
    )
    objects = {str(key): base64.b64decode(str(content)) for key, content in job.wait()["objects"].items()}
    kinds = sorted(str(kind_of(key)) for key in objects)
    if kinds != ["config", "keys"] or any(not 0 < len(content) <= MOST_BYTES for content in objects.values()):
        hint = "look at the run's files under var/runs, and at restic on the host"
        raise DrpError("the host gave no repository", where=f"{service.id} on {host}", hint=hint)
    for key in sorted(objects, key=lambda key: key == "config"):
        world.store.write(centre, f"{prefix}/{key}", objects[key])
