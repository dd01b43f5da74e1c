"""Restores that drp asks a host for itself: a look at the place and the repository first, then the restore; and test
restores, into a place apart, looked at, and removed again whatever happens."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import time

from .content import absence
from .process import within
from .restore import below, list_nodes, restore, restore_tree
from .tools import check_tools
from .trouble import ControlGone, Trouble

LIST_LIMIT_SECONDS = 120
LOCK_LIMIT_SECONDS = 60
UNIT_LIMIT_SECONDS = 120
NICENESS = 10
STREAM_FOLDER = "/var"
"""Where servers keep what streams are loaded into, as far as anybody can say without asking each of them."""


def survey(host):
    """What is in the way of a restore, whether the snapshots are in the repository, and how much space there is.
    Nothing is changed."""
    check_tools(host)
    missing = missing_snapshots(host)
    amounts = {}
    if host.job["partly"] and not missing:
        for dataset, part in parts_of(host):
            found = amount_of(host, part)
            counted = amounts.setdefault(dataset["id"], {"files": 0, "bytes": 0})
            counted["files"] += found["files"]
            counted["bytes"] += found["bytes"]
            part["bytes"] = found["bytes"]
    return dict(look(host), missing=missing, space=space(host), amounts=amounts)


def parts_of(host):
    return [(dataset, part) for dataset in host.job["datasets"] for part in dataset["parts"]]


def amount_of(host, part):
    """How much a snapshot holds of some paths; Trouble where one of them is not in it."""
    nodes = list_nodes(host, part["snapshot"])
    for path in part["paths"]:
        if not any(below(node["path"], [path]) for node in nodes):
            raise Trouble("not_in_snapshot", "%s is not in the snapshot" % path)
    files = [node for node in nodes if node["type"] != "dir" and below(node["path"], part["paths"])]
    return {"files": len(files), "bytes": sum(node.get("size", 0) for node in files if node["type"] == "file")}


def look(host):
    """What of the datasets is in their place. Where a server is down that would have to tell, `unknown` says so."""
    try:
        return dict(absence(host), unknown="")
    except ControlGone:
        raise
    except Trouble as trouble:
        return {"looked_for": [], "found": [], "host": os.uname().nodename, "unknown": trouble.text}


def bring_back(host):
    """Restore into a place that may be in use. Nothing of what is there is taken away before it is sure that the
    repository opens and lists the snapshots."""
    check_tools(host)
    refuse_missing(host)
    start_units(host)
    if host.job["must_be_empty"]:
        found = absence(host)["found"]
        if found:
            raise Trouble("not_empty", "already there: %s" % ", ".join(found))
    return restore_paths(host) if host.job["partly"] else restore(host)


def restore_paths(host):
    """Bring single paths back. What lies beside them stays as it is."""
    results = []
    for dataset, part in parts_of(host):
        amount_of(host, part)
        result = within(dataset, restore_tree, host, part)
        results.append(dict(result, dataset=dataset["id"], part=part["name"]))
    return {"parts": results, "datasets": {}}


def start_units(host):
    """Start the servers that the data is loaded into, and tell which had to be started. They are left running: who
    stopped them again could take one away that a recovery has begun to use meanwhile."""
    started = []
    for unit in sorted({unit for dataset in host.job["datasets"] for unit in dataset["units"]}):
        try:
            host.run({"argv": ["service", unit, "status"]}, limit=UNIT_LIMIT_SECONDS)
        except ControlGone:
            raise
        except Trouble:
            host.run({"argv": ["service", unit, "start"]}, limit=UNIT_LIMIT_SECONDS)
            started.append(unit)
    return started


def refuse_missing(host):
    missing = missing_snapshots(host)
    if missing:
        raise Trouble("no_snapshot", "the repository does not list %s" % ", ".join(missing))


def missing_snapshots(host):
    """The snapshots of the job that the repository does not list."""
    listed = host.run_restic("list", "snapshots", "--no-lock", limit=LIST_LIMIT_SECONDS).split()
    wanted = [part["snapshot"] for dataset in host.job["datasets"] for part in dataset["parts"]]
    return [snapshot for snapshot in wanted if snapshot not in listed]


def space(host):
    """For each file system that data goes to: how many bytes are free there, and how many will come."""
    found = {}
    for dataset in host.job["datasets"]:
        for part in dataset["parts"]:
            goes_to = [part["target"]] if part.get("target") else part.get("paths", [STREAM_FOLDER])[:1]
            folder = existing(host.job.get("scratch") or goes_to[0] if part.get("target") else goes_to[0])
            disk = os.statvfs(folder)
            entry = found.setdefault(
                os.stat(folder).st_dev, {"folder": folder, "free": disk.f_bavail * disk.f_frsize, "coming": 0}
            )
            entry["coming"] += part.get("bytes", 0)
    return list(found.values())


def existing(path):
    """The folder itself, or the nearest one above it that is there."""
    while not os.path.isdir(path):
        path = os.path.dirname(path) or "/"
    return path


def test_restore(host):
    """Restore into a scratch place, look at what arrived, remove it, and prove that it is gone: all of it, also where
    the restore fails. What lives on this host goes first: this runs with less priority, and only where it has room."""
    lock = hold_lock(host)
    try:
        os.nice(NICENESS)
        check_tools(host)
        refuse_missing(host)
        refuse_without_space(host)
        units = start_units(host)
        taken = absence(host)["found"]
        if taken or os.path.lexists(host.job["scratch"]):
            raise Trouble("not_empty", "the scratch place %s is taken %s" % (host.job["scratch"], ", ".join(taken)))
        started = time.monotonic()
        try:
            # Servers of other accounts may have to reach their own folder within it.
            os.mkdir(host.job["scratch"], 0o711)
            os.chmod(host.job["scratch"], 0o711)  # noqa: S103 - whatever the umask is
            found = restore(host)
            took = int((time.monotonic() - started) * 1000)
        finally:
            removed = empty_scratch(host)
            host.emit(dict(removed, event="scratch.removed"))
        return dict(found, removed=removed, duration_ms=took, units_started=units)
    finally:
        lock.close()


def remove_scratch(host):
    """Remove what a test restore left that was cut off, and prove that it is gone."""
    lock = hold_lock(host)
    try:
        start_units(host)
        return empty_scratch(host)
    finally:
        lock.close()


def empty_scratch(host):
    """Remove a scratch place as far as possible; then tell what is left of it."""
    for dataset in host.job["datasets"]:
        for command in dataset.get("remove", dataset["prepare_restore"]):
            try:
                within(dataset, host.run, command)
            except Trouble:
                pass  # the look below tells what is left
    root = host.job["scratch"]
    try:
        if stat.S_ISDIR(os.lstat(root).st_mode) and os.lstat(root).st_uid == os.getuid():
            shutil.rmtree(root, ignore_errors=True)
    except FileNotFoundError:
        pass
    looked = look(host)
    if looked["unknown"]:
        looked["found"].append("what cannot be looked for: " + looked["unknown"])
    looked["looked_for"].append("path " + root)
    if os.path.lexists(root):
        looked["found"].append("path " + root)
    return looked


def refuse_without_space(host):
    for disk in space(host):
        needed = disk["coming"] * host.job["space_percent"] // 100
        if disk["free"] < needed:
            text = "%d bytes are needed below %s, %d are free" % (needed, disk["folder"], disk["free"])
            raise Trouble("no_space", text)


def hold_lock(host):
    """Hold the scratch place until the process ends. The name lives in the kernel, so that nothing is left of it."""
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    limit = time.monotonic() + host.job.get("lock_seconds", LOCK_LIMIT_SECONDS)
    while True:
        try:
            lock.bind("\0drp-scratch " + host.job["scratch"])
            return lock
        except OSError:
            if time.monotonic() > limit:
                lock.close()
                raise Trouble("scratch_busy", "a test restore is still at work in %s" % host.job["scratch"])
        time.sleep(0.1)
