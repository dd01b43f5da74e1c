"""What the lab builds for a workspace: its inventory, resolved into a plan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drp.domain.graph import with_dependencies
from drp.domain.inventory import City
from drp.domain.protection.gaps import backup_of
from drp.domain.recovery.compiling import hosts_at
from drp.domain.service import Service
from drp.errors import UsageError
from drp.lab.plan import DISK_BYTES, LabDrCentre, LabFiles, LabHost, LabPlan, LabService, names_of
from drp.lab.state import load
from drp.lab.zones import name_servers_of

_HINT = "add `lab: {network: 198.18.0.0/16, dr_centre: NAME}`; see drp.yaml of the drp repository"


def with_what_is_there(workspace: Path, city: City, named: Sequence[str], *, everything: bool) -> list[str]:
    """The services that `drp lab up` means: those named with all that they need, or those of drp.yaml; and those that
    the lab has already. UsageError for one that cannot be built."""
    fit = [name for name, service in city.services.items() if _can_be_built(service)]
    if city.workspace.lab is None or everything:
        return fit
    for name in named:
        if name not in city.services:
            raise UsageError(f"no service {name!r}", hint="known: drp inventory list")
        if name not in fit:
            text = "the lab cannot build it: it has no host at the primary site of this inventory, or no backup"
            raise UsageError(text, where=name, hint=f"complete inventories/services/{name}.yaml")
    needs = {name: city.services[name].depends_on for name in city.services}
    state = load(names_of(workspace))
    there = [] if state is None else [service.id for service in state.plan.services]
    wanted = {*with_dependencies(list(named), needs), *there} if named else {*city.workspace.lab.services, *there}
    return [name for name in fit if name in wanted] if wanted else fit


def plan_of(workspace: Path, city: City, named: Sequence[str] = ()) -> LabPlan:
    """The plan for the named services, or for those of the `lab:` section: their hosts at both sites, and the DR
    centres. UsageError where the workspace has no such section."""
    settings = city.workspace.lab
    if settings is None:
        raise UsageError("drp.yaml has no section lab", where=str(workspace), hint=_HINT)
    chosen = named or settings.services
    services = [
        service for service in city.services.values() if (not chosen or service.id in chosen) and _can_be_built(service)
    ]
    hosts = {host for service in services for site in ("primary", "recovery") for host in hosts_at(service, site)}
    return LabPlan(
        workspace=workspace,
        network=settings.network,
        hosts=tuple(
            LabHost(host.name, host.site, host.address, settings.disk or DISK_BYTES)
            for host in city.hosts.values()
            if host.site is not None and (not chosen or host.name in hosts)
        ),
        services=tuple(_service(service) for service in services),
        dr_centres=tuple(_centre(workspace, city, name) for name in (settings.dr_centre, *settings.other_dr_centres)),
        files=LabFiles(
            ssh_private_key=workspace / city.workspace.ssh.private_key,
            ssh_known_hosts=workspace / city.workspace.ssh.known_hosts,
            repository_passwords={
                service.id: _file(workspace, backup_of(service).password.file, f"the backup password of {service.id}")
                for service in services
            },
        ),
        name_servers=name_servers_of(workspace, services, settings.network),
    )


def _can_be_built(service: Service) -> bool:
    return bool(service.runs_on) and service.backup is not None


def _service(service: Service) -> LabService:
    declared: dict[str, Any] = service.model_dump(mode="json", include={"depends_on", "datasets", "checks"})
    recovery = service.recovery.model_dump(mode="json", include={"accounts", "start"})
    address = str(service.address) if service.address else None
    return LabService(service.id, service.runs_on[0], address, {"title": service.title.id, **declared, **recovery})


def _file(workspace: Path, path: str | None, what: str) -> Path:
    if path is None:
        raise UsageError(f"the lab needs {what} as a file", where="drp.yaml", hint="write {file: var/lab/…}")
    return workspace / path


def _centre(workspace: Path, city: City, name: str) -> LabDrCentre:
    found = city.workspace.dr_centres[name]
    return LabDrCentre(
        name,
        found.endpoint,
        found.bucket,
        ca_certificate=_file(workspace, found.ca_certificate, f"the ca_certificate of DR centre {name}"),
        access_key_id=_file(workspace, found.access_key_id.file, f"the access_key_id of DR centre {name}"),
        secret_access_key=_file(workspace, found.secret_access_key.file, f"the secret_access_key of DR centre {name}"),
    )
