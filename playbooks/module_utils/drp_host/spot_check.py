"""Compare a random sample of the files of a host with what its newest snapshot says they were."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import stat
import subprocess
from datetime import datetime, timezone

from .process import Output
from .tools import check_tools
from .trouble import Trouble, meaning_of, tail

PIECE = 1 << 20
CANDIDATES_PER_FILE = 20
UNREADABLE_SIGN = "\ufffd"
STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


def spot_check(host):
    """Of each part in `parts` ({dataset, part, snapshot}): take files at random until `files` of them were compared
    that have not changed since the snapshot. Their content must be the snapshot's."""
    check_tools(host)
    return {"parts": [dict(compare_part(host, part), **part) for part in host.job["parts"]]}


def compare_part(host, part):
    wanted = host.job["files"]
    sample, candidates = draw(host, part["snapshot"], wanted * CANDIDATES_PER_FILE)
    result = {"candidates": candidates, "compared": 0, "bytes": 0, "changed": 0, "gone": 0, "differing": []}
    for node in sample:
        if result["compared"] >= wanted:
            break
        state = compare_file(host, part["snapshot"], node)
        if state in ("changed", "gone"):
            result[state] += 1
            continue
        result["compared"] += 1
        result["bytes"] += node["size"]
        if state == "differs":
            result["differing"].append(node["path"])
    return result


def draw(host, snapshot, count):
    """Some files of a snapshot, each as likely as any other, in random order; and how many there are."""
    chosen, seen = [], 0
    choice = random.SystemRandom()

    def on_line(line):
        nonlocal seen
        try:
            node = json.loads(line)
        except ValueError:
            return False
        # A name that is no UTF-8 cannot be found again by what restic's JSON shows of it.
        if node.get("struct_type") != "node" or node["type"] != "file" or UNREADABLE_SIGN in node["path"]:
            return True
        seen += 1
        node = {"path": node["path"], "size": node.get("size", 0), "mtime": node["mtime"], "ctime": node["ctime"]}
        if len(chosen) < count:
            chosen.append(node)
        else:
            place = choice.randrange(seen)
            if place < count:
                chosen[place] = node
        return True

    argv = host.restic + ["ls", "--json", "--no-lock", snapshot]
    process = host.start(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, errors = Output(process.stdout, on_line), Output(process.stderr)
    host.wait(process)
    text = errors.text() + output.text()
    if process.returncode:
        raise Trouble(meaning_of(text), "restic ended with %d: %s" % (process.returncode, tail(text)))
    choice.shuffle(chosen)
    return chosen, seen


def compare_file(host, snapshot, node):
    """`same`, `differs`, `changed` (since the snapshot, so that nothing can be said) or `gone`."""
    if not is_unchanged(node):
        return "changed" if os.path.lexists(node["path"]) else "gone"
    try:
        here = digest_of_file(node["path"])
    except FileNotFoundError:
        return "gone"
    if not is_unchanged(node):
        return "changed"
    return "same" if here == digest_in_snapshot(host, snapshot, node["path"]) else "differs"


def is_unchanged(node):
    """Whether size and both times are the snapshot's, to the nanosecond."""
    try:
        found = os.lstat(node["path"])
    except (FileNotFoundError, NotADirectoryError):
        return False
    return (
        stat.S_ISREG(found.st_mode)
        and found.st_size == node["size"]
        and found.st_mtime_ns == nanoseconds(node["mtime"])
        and found.st_ctime_ns == nanoseconds(node["ctime"])
    )


def nanoseconds(text):
    """A moment as restic writes it, since 1970; Python's own types know no nanoseconds."""
    found = STAMP.fullmatch(text)
    if found is None:
        raise Trouble("strange_answer", "%r is no moment" % (text,))
    whole = datetime.strptime(found.group(1), "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    seconds = int((whole - datetime(1970, 1, 1, tzinfo=timezone.utc)).total_seconds())
    zone = found.group(3)
    if zone != "Z":
        minutes = int(zone[1:3]) * 60 + int(zone[4:6])
        seconds -= 60 * (minutes if zone[0] == "+" else -minutes)
    return seconds * 1000000000 + int((found.group(2) or "0").ljust(9, "0"))


def digest_of_file(path):
    digest = hashlib.sha256()
    number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(number, "rb") as file:
        for piece in iter(lambda: file.read(PIECE), b""):
            digest.update(piece)
    return digest.hexdigest()


class _Digest:
    """Stands for a stream's reader: takes what comes in and keeps its digest only."""

    def __init__(self, stream):
        self.digest, self.stream = hashlib.sha256(), stream

    def __iter__(self):
        for piece in iter(lambda: self.stream.read(PIECE), b""):
            self.digest.update(piece)
        return iter(())


def digest_in_snapshot(host, snapshot, path):
    argv = host.restic + ["dump", "--no-lock", snapshot, path]
    process = host.start(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    content = _Digest(process.stdout)
    reader, errors = Output(content), Output(process.stderr)
    host.wait(process)
    reader.join()
    if process.returncode:
        text = errors.text()
        raise Trouble(meaning_of(text), "restic ended with %d: %s" % (process.returncode, tail(text)))
    return content.digest.hexdigest()
