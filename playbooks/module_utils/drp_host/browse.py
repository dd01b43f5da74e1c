"""Look into a snapshot, and send single files of it to the control node; nothing is written on this host."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess

from .process import Output
from .restore import printable
from .tools import check_tools
from .trouble import ControlGone, Trouble, meaning_of, tail

PIECE_BYTES = 1 << 18
MOST_ENTRIES = 20000


def list_snapshot(host):
    """What lies in folders of snapshots, and whether any of these is there at all; with `recursive` all below them."""
    check_tools(host)
    entries, left_off, is_there = [], 0, False
    for look in host.job["looks"]:
        for node in nodes_of(host, look["snapshot"], look["folders"], host.job["recursive"]):
            is_there = True
            if node["type"] == "dir" and printable(node["path"]) in {shown(as_bytes(path)) for path in look["folders"]}:
                if host.job["asked"]:
                    continue  # a folder is listed as the first entry of itself
            elif not host.job["asked"] and not host.job["recursive"] and not is_root(node, look):
                continue
            if len(entries) == MOST_ENTRIES:
                left_off += 1
                continue
            entries.append(entry_of(node, look))
    return {"entries": entries, "left_off": left_off, "is_there": is_there}


def is_root(node, look):
    return node["path"] in look["folders"]


def entry_of(node, look):
    return {
        "dataset": look["dataset"],
        "part": look["part"],
        "path": node["path"],
        "type": node["type"],
        "bytes": node.get("size", 0) if node["type"] == "file" else 0,
        "modified_at": node.get("mtime", ""),
        "mode": node.get("permissions", ""),
        "owner": "%s:%s" % (node.get("user") or node.get("uid"), node.get("group") or node.get("gid")),
        "target": node.get("linktarget", ""),
        # restic's list replaces what is no UTF-8; such a name cannot be asked for by what is shown.
        "is_exact": "\ufffd" not in node["path"],
    }


def nodes_of(host, snapshot, folders, recursive):
    """The nodes in folders of a snapshot, as restic lists them; a node itself where it is a file."""
    argv = host.restic + ["ls", "--json", "--no-lock"] + (["--recursive"] if recursive else []) + [snapshot]
    process = host.start(
        argv + [as_bytes(folder) for folder in folders],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    errors = Output(process.stderr)
    try:
        for line in process.stdout:
            node = json.loads(line.decode("utf-8", "replace"))
            if node.get("struct_type") == "node":
                yield node
            if host.control_is_gone():
                raise ControlGone
        process.wait()
    finally:
        host.end(process)
        process.stdout.close()
    if process.returncode:
        raise Trouble(meaning_of(errors.text()), "restic ended with %d: %s" % (process.returncode, tail(errors.text())))


def send(host):
    """Send one file of a snapshot, or a folder as a tar archive, piece by piece; then its size and SHA-256."""
    check_tools(host)
    path = as_bytes(host.job["path"])
    node = find(host, path)
    expected = node.get("size", 0) if node["type"] == "file" else None
    if node["type"] not in ("file", "dir"):
        raise Trouble("not_in_snapshot", "%s is a %s, which has no content of its own" % (shown(path), node["type"]))
    host.emit({"event": "sending", "bytes": expected, "type": node["type"]})
    argv = host.restic + ["dump", "--no-lock", host.job["snapshot"], path]
    process = host.start(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    errors, digest, sent = Output(process.stderr), hashlib.sha256(), 0
    try:
        while True:
            piece = os.read(process.stdout.fileno(), PIECE_BYTES)
            if not piece:
                break
            digest.update(piece)
            sent += len(piece)
            host.emit({"event": "data", "bytes": len(piece)}, piece)
            if host.control_is_gone():
                raise ControlGone
        process.wait()
    finally:
        host.end(process)
        process.stdout.close()
    if process.returncode:
        raise Trouble(meaning_of(errors.text()), "restic ended with %d: %s" % (process.returncode, tail(errors.text())))
    if expected is not None and sent != expected:
        raise Trouble("damaged", "%s has %d bytes instead of %d" % (shown(path), sent, expected))
    return {"bytes": sent, "sha256": digest.hexdigest(), "type": node["type"]}


def find(host, path):
    """What is known of a path in a snapshot; Trouble where it is not there."""
    asked, found = shown(path), None
    for node in nodes_of(host, host.job["snapshot"], [path.decode("utf-8", "surrogateescape")], False):
        if printable(node["path"]) == asked:
            found = node
    if found is None:
        raise Trouble("not_in_snapshot", "%s is not in the snapshot" % asked)
    return found


def as_bytes(path):
    """A path as the file system has it: names that are no UTF-8 come as surrogates."""
    return path.encode("utf-8", "surrogateescape")


def shown(path):
    return printable(path.decode("utf-8", "replace"))
