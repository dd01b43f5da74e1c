"""Restore datasets, and look at what arrived before any application can change it."""

from __future__ import annotations

import array
import fcntl
import json
import os
import re
import resource
import stat
import subprocess
import termios
import time
from collections import Counter

from .clearing import clear_tree
from .content import absence, inspect
from .copies import mark, unmark
from .process import END_LIMIT_SECONDS, Output, program_of, within
from .tools import check_tools, restic_version
from .trouble import Trouble, meaning_of, no_space_or, tail

LIST_LIMIT_SECONDS = 3600
SPARSE_SINCE = (0, 16)
HALF_A_PIPE = 32768


def restore(host):
    """Restore datasets and look at what arrived, before any application can change it. Data of the same name that is
    there already is replaced."""
    check_tools(host)
    results, found = [], {}
    for dataset in host.job["datasets"]:
        unmark(host.job, dataset)
        clear(host, dataset)
        mark(host.job, dataset)
        for part in dataset["parts"]:
            started, computed = time.monotonic(), seconds_of_children()
            action = restore_stream if part["kind"] == "stream" else restore_tree
            result = within(dataset, action, host, part)
            # What is left of the duration was spent waiting for data: how long the line took is known by that.
            result["duration_ms"] = int((time.monotonic() - started) * 1000)
            result["computing_ms"] = int((seconds_of_children() - computed) * 1000)
            result.setdefault("loading_ms", 0)
            results.append(dict(result, dataset=dataset["id"], part=part["name"]))
        for command in dataset.get("finish_restore", []):
            within(dataset, host.run, command)
        found[dataset["id"]] = inspect(host, dataset)
    return {"parts": results, "datasets": found}


def seconds_of_children():
    """The processor time of all programs that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Loading:
    """For how long a loader had enough to do: its pipe was at least half full, or nothing was to come any more."""

    def __init__(self, pipe, restic):
        self.pipe, self.restic = pipe, restic
        self.seconds, self.looked_at = 0.0, time.monotonic()

    def look(self):
        now = time.monotonic()
        if self.restic.poll() is not None or bytes_in(self.pipe) >= HALF_A_PIPE:
            self.seconds += now - self.looked_at
        self.looked_at = now


def remove(host):
    """Remove what a restore brought. drp asks for it only where the host was proved empty of it before, or where it was
    a scratch place."""
    for dataset in host.job["datasets"]:
        clear(host, dataset, "remove" if "remove" in dataset else "prepare_restore", everything=True)
        unmark(host.job, dataset)
    return absence(host)


def clear(host, dataset, commands="prepare_restore", everything=False):
    """Take away what a restore would mix with: what came after the restore point must not survive in it. What backups
    leave out stays where it is, for nothing would bring it back; `everything` takes that away too."""
    for command in dataset[commands]:
        within(dataset, host.run, command)
    for part in dataset["parts"]:
        kept = [] if everything else [part.get("target", "") + path for path in part.get("excludes", [])]
        for path in places_of(part):
            clear_tree(path, kept)


def places_of(part):
    """Where the files of a part go: their own paths, or the same below a scratch folder."""
    return [part.get("target", "") + path for path in part.get("paths", [])]


def restore_stream(host, part):
    """Feed a snapshot's file to the program that loads it. This program keeps an end of the pipe between both, so that
    it sees afterwards whether the loader took every byte."""
    argv = host.restic + ["dump", "--no-lock", part["snapshot"], "/" + part["file"]]
    read_end, write_end = os.pipe()
    try:
        try:
            restic = host.start(argv, stdin=subprocess.DEVNULL, stdout=write_end, stderr=subprocess.PIPE)
        finally:
            os.close(write_end)
        errors = Output(restic.stderr)
        try:
            loader = host.start(part["restore"], stdin=read_end, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        except Trouble:
            host.end(restic)
            raise
        output = Output(loader.stdout)
        loading = Loading(read_end, restic)
        host.wait(restic, loader, until=loader, look=loading.look)
        loading.look()
        check_loading(host, part, restic, loader, errors, output)
        left = bytes_in(read_end)
    finally:
        os.close(read_end)
    result = {"expected": {}, "actual": {}, "loading_ms": int(loading.seconds * 1000)}
    if part.get("session"):
        return result  # its rows are counted
    size = size_of_file(host, part)
    return dict(result, expected={"bytes": size}, actual={"bytes": size - left})


def check_loading(host, part, restic, loader, errors, output):
    """Trouble unless both have ended well. A loader that ends before restic has not read everything."""
    if loader.poll() == 0:
        try:
            restic.wait(END_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            host.end(restic)
            raise Trouble("load", "%s ended before it had read the whole dump" % program_of(part["restore"]))
    if restic.poll() not in (None, 0):
        host.end(loader)
        raise Trouble(meaning_of(errors.text()), "restic ended with %d: %s" % (restic.returncode, tail(errors.text())))
    if loader.poll() != 0:
        host.end(restic, loader)
        text = tail(output.text())
        reason = "%s ended with %d: %s" % (program_of(part["restore"]), loader.returncode, text)
        raise Trouble(no_space_or("load", text), reason)


def bytes_in(pipe):
    """How many bytes nobody has taken out of a pipe."""
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


def size_of_file(host, part):
    """How many bytes the repository says that a stream's file has."""
    for node in list_nodes(host, part["snapshot"]):
        if node["path"] == "/" + part["file"]:
            return node.get("size", 0)
    raise Trouble("damaged", "snapshot %s does not hold %s" % (part["snapshot"][:8], part["file"]))


def list_nodes(host, snapshot):
    """What a snapshot holds, as restic lists it."""
    listing = host.run_restic("ls", "--json", "--no-lock", snapshot, limit=LIST_LIMIT_SECONDS)
    nodes = [json.loads(line) for line in listing.splitlines()]
    return [node for node in nodes if node.get("struct_type") == "node"]


def literally(path):
    """A path as restic's patterns take it by the letter."""
    return re.sub(r"([\\*?\[])", r"\\\1", path)


def restore_tree(host, part):
    target = part.get("target", "")
    nodes = [node for node in list_nodes(host, part["snapshot"]) if below(node["path"], part["paths"])]
    argv = host.restic + ["restore", "--no-lock", "--verify", "--target", target or "/", part["snapshot"]]
    if restic_version(host) >= SPARSE_SINCE:
        argv.append("--sparse")
    argv += [word for path in part["paths"] for word in ("--include", literally(path))]
    process = host.start(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, errors = Output(process.stdout), Output(process.stderr)
    host.wait(process)
    if process.returncode:
        text = errors.text() + output.text()
        raise Trouble(meaning_of(text), "restic ended with %d: %s" % (process.returncode, tail(text)))
    expected = {"files": 0, "bytes": 0}
    actual = {"files": 0, "bytes": 0}
    there = Counter(look_below(places_of(part)))
    for node in nodes:
        if node["type"] == "dir":
            continue
        is_file = node["type"] == "file"
        entry = (printable(target + node["path"]), is_file, node.get("size", 0) if is_file else 0)
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
