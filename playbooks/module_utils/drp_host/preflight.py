"""Look whether a backup or a recovery would find here what it needs. Nothing is changed, and nothing is judged: drp
does that (`drp/domain/protection/preflight.py`)."""

from __future__ import annotations

import os
import socket
import ssl
import sys

from .process import OPEN_LIMIT_SECONDS
from .tools import first_line
from .trouble import Trouble

TLS_LIMIT_SECONDS = 10


def preflight(host):
    """What is here of programs, versions, space and sources; and whether the repository and its store answer."""
    job = host.job
    missing = [name for name in job["requires"] if host.find_program(name) is None]
    versions = {"python": sys.version.split()[0]}
    if "restic" in job["requires"] and "restic" not in missing:
        versions["restic"] = guarded(first_line, host, ["restic", "version"])
    for dataset in job["datasets"]:
        for what, argv in dataset.get("versions", {}).items():
            versions[what] = guarded(first_line, host, argv)
    return {
        "missing": missing,
        "versions": versions,
        "places": [space_of(place) for place in job["places"] + own_places(host)],
        "sources_missing": [path for path in job["sources"] if not os.path.lexists(path)],
        "repository": None if "restic" in missing else repository_of(host),
        "certificate": certificate_of(job["endpoint"], host.ca_pem),
    }


def guarded(action, *arguments):
    try:
        return action(*arguments)
    except Trouble:
        return "unknown"


def own_places(host):
    """Where restic keeps its cache and its unfinished packs."""
    cache = host.restic_environment["RESTIC_CACHE_DIR"]
    return [{"what": "cache", "path": cache}, {"what": "temporary", "path": os.environ.get("TMPDIR") or "/tmp"}]  # noqa: S108


def space_of(place):
    """What is free where a path lies or will lie: in its nearest folder that is there."""
    path = place["path"]
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    disk = os.statvfs(path)
    return dict(
        place,
        device=os.stat(path).st_dev,
        free_bytes=disk.f_bavail * disk.f_frsize,
        # A file system that makes its inodes as it needs them counts none.
        free_inodes=disk.f_favail if disk.f_files else None,
    )


def repository_of(host):
    """Whether the repository opens with this password and these keys, without a lock."""
    try:
        host.run_restic("cat", "config", "--no-lock", limit=min(OPEN_LIMIT_SECONDS, host.stall_seconds))
    except Trouble as trouble:
        return {"opens": False, "kind": trouble.kind, "text": trouble.text}
    return {"opens": True}


def certificate_of(endpoint, ca_pem):
    """Until when the store's TLS certificate is good, as seen from here; None where it is asked without TLS."""
    if endpoint["scheme"] != "https":
        return None
    try:
        context = ssl.create_default_context(cadata=ca_pem or None)
        address = (endpoint["host"], endpoint["port"])
        with socket.create_connection(address, timeout=TLS_LIMIT_SECONDS) as plain:
            with context.wrap_socket(plain, server_hostname=endpoint["host"]) as wrapped:
                return {"expires_at": ssl.cert_time_to_seconds(wrapped.getpeercert()["notAfter"])}
    except (OSError, ValueError) as error:
        return {"trouble": str(error)[:300]}
