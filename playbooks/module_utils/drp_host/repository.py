"""A repository from the host: opening it, backing up into it, and reading back what it holds."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import subprocess
from urllib.parse import urlsplit

from .process import OPEN_LIMIT_SECONDS, Output
from .trouble import Trouble, meaning_of, tail

RESTIC_INCOMPLETE = 3


def open_repository(host):
    """Prove that the repository opens with this password and these keys; make it where that is allowed.

    To open one costs restic half a second, so it is left to the backup itself where drp's ledger says that there is
    a repository and that nothing can have left a lock in it; then the DR centre only has to be there.
    """
    job = host.job
    limit = min(OPEN_LIMIT_SECONDS, host.stall_seconds)
    if job.get("may_create_repository"):
        try:
            host.run_restic("cat", "config", "--no-lock", limit=limit)
        except Trouble as trouble:
            if trouble.kind != "no_repository":
                raise
            host.run_restic("init", limit=OPEN_LIMIT_SECONDS)
            host.emit({"event": "repository.created"})
            return
    if job.get("may_unlock"):
        # drp's ledger proves that no run of this service is alive; plain unlock takes only dead locks of this host.
        host.run_restic("unlock", limit=limit)
    elif not job.get("may_create_repository"):
        reach_dr_centre(job["repository"]["url"], host.ca_pem, limit)


def reach_dr_centre(url, ca_pem, limit):
    """Trouble where nobody answers at the address of a repository, or shows another certificate than one that may be
    trusted: restic would try again for minutes."""
    address = urlsplit(url[len("s3:") :]) if url.startswith("s3:") else None
    if address is None or not address.hostname:
        return
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        with socket.create_connection((address.hostname, port), timeout=limit) as plain:
            if address.scheme == "https":
                context = ssl.create_default_context(cadata=ca_pem or None)
                context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # as restic does not ask for it either
                context.wrap_socket(plain, server_hostname=address.hostname).close()
    except ssl.SSLCertVerificationError as error:
        raise Trouble("certificate", "%s:%d: %s" % (address.hostname, port, error.verify_message))
    except OSError as error:
        raise Trouble("unreachable", "%s:%d: %s" % (address.hostname, port, error))


def tags_of(host, dataset, part):
    job = host.job
    own = ["drp", "service:" + job["service"], "run:" + job["run"], "dataset:" + dataset["id"], "part:" + part["name"]]
    return ",".join(own + list(job.get("tags", [])))


def start_backup(host, dataset, part, arguments, **options):
    summary = {}

    def on_line(line):
        try:
            message = json.loads(line)
        except ValueError:
            return False
        if isinstance(message, dict) and message.get("message_type") == "summary":
            summary.update(message)
            host.snapshots[dataset["id"], part["name"]] = message.get("snapshot_id", "")
        elif isinstance(message, dict) and message.get("message_type") == "status":
            host.emit(
                {
                    "event": "part.progress",
                    "dataset": dataset["id"],
                    "part": part["name"],
                    "bytes": message.get("bytes_done", 0),
                }
            )
        return isinstance(message, dict) and message.get("message_type") != "error"

    argv = host.restic + ["backup", "--json", "--host", host.job["restic_host"], "--tag", tags_of(host, dataset, part)]
    process = host.start(argv + arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    return process, Output(process.stdout, on_line), Output(process.stderr), summary


def finish_restic(host, restic, output, errors, may_vanish=False):
    """Trouble unless restic has backed everything up. How many files vanished while it ran, which it tells with 3, is
    given back: each of them must be gone by now; a file that is there and could not be read is a failure."""
    host.wait(restic)
    text = errors.text() + output.text()
    vanished = vanished_files(text) if may_vanish and restic.returncode == RESTIC_INCOMPLETE else None
    if (restic.returncode != 0 and vanished is None) or "does not exist, skipping" in text:
        raise Trouble(meaning_of(text), "restic ended with %d: %s" % (restic.returncode, tail(text)))
    return vanished or 0


def vanished_files(complaints):
    """The number of files that restic complained about, if none of them is there any more; None if one is, if restic
    does not say which, or if it complains about anything else."""
    paths = set()
    for line in complaints.splitlines():
        try:
            message = json.loads(line)
        except ValueError:
            continue
        if isinstance(message, dict) and message.get("message_type") == "error":
            paths.add(message.get("item"))
    # A name that is no UTF-8 has lost bytes on the way here, so nobody can look for it.
    if not paths or any(not path or "\ufffd" in path or os.path.lexists(path) for path in paths):
        return None
    return len(paths)


def assign_snapshots(host, parts):
    """Each part's snapshot, as restic named it when it was written; restic 0.14 tells the beginning of its name. drp
    asks the DR centre whether it is there."""
    for part in parts:
        part["snapshot"] = host.snapshots.get((part["dataset"], part["part"]), "")
        if not re.match("[0-9a-f]{8,64}$", part["snapshot"]):
            raise Trouble("strange_answer", "restic ended well and told no snapshot", part["dataset"])
