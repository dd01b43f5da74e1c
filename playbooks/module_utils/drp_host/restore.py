"""Restore datasets, and look at what arrived before any application can change it."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import time
from collections import Counter

from .content import absence, inspect
from .process import Output, program_of, within
from .tools import check_tools
from .trouble import Trouble, meaning_of, no_space_or, tail


def restore(host):
    """Restore datasets and look at what arrived, before any application can change it. Data of the same name that is
    there already is replaced."""
    check_tools(host)
    results, found = [], {}
    for dataset in host.job["datasets"]:
        clear(host, dataset)
        for part in dataset["parts"]:
            started = time.monotonic()
            action = restore_stream if part["kind"] == "stream" else restore_tree
            result = within(dataset, action, host, part)
            result["duration_ms"] = int((time.monotonic() - started) * 1000)
            results.append(dict(result, dataset=dataset["id"], part=part["name"]))
        found[dataset["id"]] = inspect(host, dataset)
    return {"parts": results, "datasets": found}


def remove(host):
    """Remove what a drill restored. drp asks for it only where the host was proved empty of it before."""
    for dataset in host.job["datasets"]:
        clear(host, dataset)
    return absence(host)


def clear(host, dataset):
    """Take away what a restore would mix with: what came after the restore point must not survive in it."""
    for command in dataset["prepare_restore"]:
        within(dataset, host.run, command)
    for part in dataset["parts"]:
        for path in part.get("paths", []):
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            elif os.path.lexists(path):
                os.unlink(path)


def restore_stream(host, part):
    argv = host.restic + ["dump", "--no-lock", part["snapshot"], "/" + part["file"]]
    restic = host.start(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    loader = host.start(part["restore"], stdin=restic.stdout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    restic.stdout.close()
    errors, output = Output(restic.stderr), Output(loader.stdout)
    host.wait(restic, loader)
    if restic.poll() not in (None, 0):
        host.end(loader)
        raise Trouble(meaning_of(errors.text()), "restic ended with %d: %s" % (restic.returncode, tail(errors.text())))
    if loader.poll() not in (None, 0):
        host.end(restic)
        text = tail(output.text())
        reason = "%s ended with %d: %s" % (program_of(part["restore"]), loader.returncode, text)
        raise Trouble(no_space_or("load", text), reason)
    return {"expected": {}, "actual": {}}


def restore_tree(host, part):
    listing = host.run_restic("ls", "--json", "--no-lock", part["snapshot"], limit=3600)
    nodes = [json.loads(line) for line in listing.splitlines()]
    nodes = [node for node in nodes if node.get("struct_type") == "node" and below(node["path"], part["paths"])]
    argv = host.restic + ["restore", "--no-lock", "--verify", "--target", "/", part["snapshot"]]
    argv += [word for path in part["paths"] for word in ("--include", path)]
    process = host.start(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, errors = Output(process.stdout), Output(process.stderr)
    host.wait(process)
    if process.returncode:
        text = errors.text() + output.text()
        raise Trouble(meaning_of(text), "restic ended with %d: %s" % (process.returncode, tail(text)))
    expected = {"files": 0, "bytes": 0}
    actual = {"files": 0, "bytes": 0}
    there = Counter(look_below(part["paths"]))
    for node in nodes:
        if node["type"] == "dir":
            continue
        is_file = node["type"] == "file"
        entry = (printable(node["path"]), is_file, node.get("size", 0) if is_file else 0)
        expected["files"] += 1
        expected["bytes"] += entry[2]
        if there[entry]:
            there[entry] -= 1
            actual["files"] += 1
            actual["bytes"] += entry[2]
    return {"expected": expected, "actual": actual}


def look_below(roots):
    """All that is there below some paths and is no directory: (printable path, whether it is a file, its size)."""
    waiting = [os.fsencode(root) for root in roots]
    while waiting:
        path = waiting.pop()
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(found.st_mode):
            waiting += [os.path.join(path, name) for name in os.listdir(path)]
        else:
            is_file = stat.S_ISREG(found.st_mode)
            yield printable(path.decode("utf-8", "replace")), is_file, found.st_size if is_file else 0


def printable(path):
    """A path as restic's JSON shows it: bytes that are no UTF-8, as in names from old file servers, are replaced there,
    by one sign or several."""
    return re.sub("\ufffd+", "\ufffd", path)


def below(path, roots):
    return any(path == root or path.startswith(root.rstrip("/") + "/") for root in roots)
