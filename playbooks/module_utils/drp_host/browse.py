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
LIST_LIMIT_SECONDS = 3600


def list_snapshot(host):
    """What lies in folders of snapshots: {part, folder} each; with `recursive` everything below."""
    check_tools(host)
    entries, left_off = [], 0
    for look in host.job["looks"]:
        for node in nodes_of(host, look["snapshot"], look["folder"], host.job["recursive"]):
            if len(entries) == MOST_ENTRIES:
                left_off += 1
                continue
            entries.append(
                {
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
            )
    return {"entries": entries, "left_off": left_off}


def nodes_of(host, snapshot, folder, recursive):
    """The nodes in a folder of a snapshot, as restic lists them; the node itself where it is a file."""
    argv = host.restic + ["ls", "--json", "--no-lock", snapshot]
    asked = printable(as_bytes(folder).decode("utf-8", "replace")) if folder else ""
    if folder:
        argv += (["--recursive"] if recursive else []) + [as_bytes(folder)]
    process = host.start(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    errors, found = Output(process.stderr), False
    try:
        for line in process.stdout:
            node = json.loads(line.decode("utf-8", "replace"))
            if node.get("struct_type") != "node":
                continue
            found = True
            if not folder and not recursive and node["path"].count("/") > 1:
                continue
            # The folder that was asked for is listed as the first entry of itself.
            if node["type"] != "dir" or printable(node["path"]) != asked:
                yield node
    finally:
        if process.poll() is None and found is None:
            host.end(process)
        process.stdout.close()
        process.wait()
    if process.returncode:
        raise Trouble(meaning_of(errors.text()), "restic ended with %d: %s" % (process.returncode, tail(errors.text())))
    if folder and not found:
        raise Trouble("not_in_snapshot", "%s is not in the snapshot" % asked)


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
    above = os.path.dirname(path) or b"/"
    argv = host.restic + ["ls", "--json", "--no-lock", host.job["snapshot"]]
    argv += [above] if above != b"/" else []
    process = host.start(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    errors, asked, found = Output(process.stderr), shown(path), None
    for line in process.stdout:
        node = json.loads(line.decode("utf-8", "replace"))
        if node.get("struct_type") == "node" and printable(node["path"]) == asked:
            # Two names that differ only in what is no UTF-8 look the same here; the size is then not known.
            found = dict(node, size=None) if found and found.get("size") != node.get("size") else node
    process.stdout.close()
    process.wait()
    if process.returncode:
        raise Trouble(meaning_of(errors.text()), "restic ended with %d: %s" % (process.returncode, tail(errors.text())))
    if found is None:
        raise Trouble("not_in_snapshot", "%s is not in the snapshot" % asked)
    return found


def as_bytes(path):
    """A path as the file system has it: names that are no UTF-8 come as surrogates."""
    return path.encode("utf-8", "surrogateescape")


def shown(path):
    return printable(path.decode("utf-8", "replace"))
