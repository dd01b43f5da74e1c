"""Files that drp.yaml names and whose content must be the declared one."""

from __future__ import annotations

import hashlib
from pathlib import Path

from drp.domain.backups.settings import ResticProgram
from drp.domain.findings import WORKSPACE, Finding, Record


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


def _fault(key: str, message: str, hint: str) -> Finding:
    return Finding("fault", "carried-restic", Record(WORKSPACE), ("backups", "restic", key), message, hint)
