"""A repository from the host: opening it, backing up into it, and reading back what it holds."""

from __future__ import annotations

import json
import os
import subprocess

from .process import OPEN_LIMIT_SECONDS, Output
from .trouble import Trouble, meaning_of, tail

RESTIC_INCOMPLETE = 3


def open_repository(host):
    """Prove that the repository opens with this password and these keys; make it where that is allowed."""
    limit = min(OPEN_LIMIT_SECONDS, host.stall_seconds)
    try:
        host.run_restic("cat", "config", "--no-lock", limit=limit)
    except Trouble as trouble:
        if trouble.kind != "no_repository" or not host.job.get("may_create_repository"):
            raise
        host.run_restic("init", limit=OPEN_LIMIT_SECONDS)
        host.emit({"event": "repository.created"})
        return
    if host.job.get("may_unlock"):
        # drp's ledger proves that no run of this service is alive; plain unlock takes only dead locks of this host.
        host.run_restic("unlock", limit=OPEN_LIMIT_SECONDS)


def tags_of(host, dataset, part):
    job = host.job
    return ",".join(
        ["drp", "service:" + job["service"], "run:" + job["run"], "dataset:" + dataset["id"], "part:" + part["name"]]
    )


def start_backup(host, dataset, part, arguments, **options):
    summary = {}

    def on_line(line):
        try:
            message = json.loads(line)
        except ValueError:
            return False
        if isinstance(message, dict) and message.get("message_type") == "summary":
            summary.update(message)
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
    """Read the repository back: each part must have exactly one snapshot of this run."""
    listed = json.loads(
        host.run_restic(
            "snapshots", "--json", "--no-lock", "--host", host.job["restic_host"], "--tag", "run:" + host.job["run"]
        )
    )
    for part in parts:
        wanted = {"dataset:" + part["dataset"], "part:" + part["part"]}
        found = [snapshot["id"] for snapshot in listed or [] if wanted <= set(snapshot.get("tags") or [])]
        if len(found) != 1:
            raise Trouble("failed", "the repository lists %d snapshots instead of one" % len(found), part["dataset"])
        part["snapshot"] = found[0]
