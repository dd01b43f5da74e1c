"""Files that a workspace's declarations name: whether they are there, and are what was meant."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from drp.domain.backups.settings import ResticProgram
from drp.domain.findings import WORKSPACE, Finding, Record, service_fault
from drp.domain.recovery.technologies import own_playbooks
from drp.domain.service import Service


def carried_restic_faults(workspace: Path, restic: ResticProgram | None) -> list[Finding]:
    """What is wrong with the restic that is carried to hosts: it is not there, or not the one that was meant."""
    if restic is None:
        return []
    hint = "fetch it from where you trust it, and write the hash that its maker signed; see: sha256sum"
    try:
        with (workspace / restic.file).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return [_fault("file", f"{restic.file} cannot be read: {error.strerror}", hint)]
    if found == restic.sha256:
        return []
    return [_fault("sha256", f"{restic.file} has the SHA-256 {found}", hint)]


def own_playbook_faults(playbooks: Path, services: Mapping[str, Service]) -> list[Finding]:
    """Playbooks that services name and that are not in the workspace's folder, or lead out of it."""
    found = []
    for service in services.values():
        for own in own_playbooks(service):
            path = playbooks / f"{own.playbook}.yml"
            location = ("recovery", "playbooks", f"after_{own.after}")
            if not path.is_file():
                message = f"there is no playbook {path.name} in {playbooks.name}"
                hint = f"write it to {playbooks.name}/{path.name} of the workspace, beside drp's own"
                found.append(service_fault(service.id, location, "no-playbook", message, hint))
            elif not path.resolve().is_relative_to(playbooks.resolve()):
                message = f"{playbooks.name}/{path.name} leads out of the folder {playbooks.name}"
                found.append(service_fault(service.id, location, "no-playbook", message, "put the file itself there"))
    return found


def _fault(key: str, message: str, hint: str) -> Finding:
    return Finding("fault", "carried-restic", Record(WORKSPACE), ("backups", "restic", key), message, hint)
