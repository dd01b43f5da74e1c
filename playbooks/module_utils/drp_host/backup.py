"""Back datasets up: the sentinel first, then each part as one snapshot; all of them, or none that counts."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import threading
import time

from .content import expand, write_sentinel
from .process import END_LIMIT_SECONDS, Output, program_of, within
from .quiesce import quiesced, resume_left
from .repository import assign_snapshots, finish_restic, open_repository, start_backup
from .space import check_space
from .tools import check_tools
from .trouble import ControlGone, Trouble, no_space_or, tail

UNLOCK_LIMIT_SECONDS = 10
PIECE_BYTES = 1 << 20
LAST_BYTES = 512
COUNT_STALLS = 12  # counting every row of a large table takes longer than any other silence


def backup(host):
    """Back up, and leave no lock behind: a restic that is interrupted in the very moment in which it makes its lock
    does not take it away."""
    resume_left(host)
    try:
        return back_up_all(host)
    except Trouble:
        if host.has_ended_restic:
            try:
                host.run_restic("unlock", limit=UNLOCK_LIMIT_SECONDS)
            except Trouble:
                pass  # the DR centre is away; the next backup does it
        raise


def back_up_all(host):
    """Write the sentinel, then back every dataset up in the declared order; all or nothing is reported."""
    job = host.job
    tools = check_tools(host)
    check_space(host)
    open_repository(host)
    with quiesced(host) as quiet:
        sentinels, content, parts = back_up_datasets(host, job["datasets"])
    assign_snapshots(host, parts)
    return {"sentinels": sentinels, "content": content, "parts": parts, "tools": tools, "quiesce": quiet}


def back_up_datasets(host, datasets):
    """The sentinels first, then every part: {dataset: sentinel}, {dataset: what was counted}, the parts."""
    sentinels = {}
    for dataset in datasets:
        sentinels[dataset["id"]] = within(dataset, write_sentinel, host, dataset)
    content, parts = {}, []
    for dataset in datasets:
        newest_at = sentinels[dataset["id"]].get("newest_at")
        content[dataset["id"]] = {"newest_at": newest_at} if newest_at else {}
        for part in expand(host, dataset, dataset["parts"]):
            parts.append(back_up_part(host, dataset, part, content[dataset["id"]]))
    return sentinels, content, parts


def back_up_part(host, dataset, part, content):
    """Back one part up; `content` gets what was counted. The part as the result tells it, still without snapshot."""
    started = time.monotonic()
    host.emit({"event": "part.started", "dataset": dataset["id"], "part": part["name"]})
    action = back_up_stream if part["kind"] == "stream" else back_up_tree
    counted = within(dataset, action, host, dataset, part)
    for what, found in counted["content"].items():
        # Several parts may count rows: each has tables of its own.
        content[what] = {**content.get(what, {}), **found} if isinstance(found, dict) else found
    done = {
        "dataset": dataset["id"],
        "part": part["name"],
        "files": counted["files"],
        "bytes": counted["bytes"],
        "duration_ms": int((time.monotonic() - started) * 1000),
    }
    host.emit(dict(done, event="part.ended"))
    return done


def back_up_stream(host, dataset, part):
    """Stream a dump into restic. This program holds the pipe's write end open until the dump has ended well; only
    then does restic see the end of the data. A failed dump interrupts restic instead, which then leaves no snapshot
    (restic 0.14 takes the end of a broken stream for the end of the data)."""
    session = Session(host, part["session"]) if part.get("session") else None
    try:
        values = session.values if session else {}
        read_end, write_end = os.pipe()
        restic, output, errors, summary = start_backup(
            host, dataset, part, ["--stdin", "--stdin-filename", part["file"]], stdin=read_end
        )
        os.close(read_end)
        try:
            argv = [word.replace("{snapshot}", values.get("snapshot", "")) for word in part["dump"]]
            relayed = part.get("ends_with") is not None
            sink = subprocess.PIPE if relayed else write_end
            dump = host.start(argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.PIPE)
            complaints = Output(dump.stderr)
            relay = Relay(dump.stdout, write_end) if relayed else None
            wait_for_dump(host, dump, restic, complaints)
            if relay and restic.poll() in (None, 0):  # where restic has failed, its own reason is the one to tell
                relay.check(part["ends_with"], program_of(dump.args))
        except BaseException:
            host.end(restic)
            raise
        finally:
            os.close(write_end)
        finish_restic(host, restic, output, errors)
    finally:
        if session:
            session.close()
    return {
        "files": 1,
        "bytes": summary.get("total_bytes_processed", 0),
        "content": {"rows": session.counted} if session else {},
    }


class Relay(threading.Thread):
    """Carries a dump to restic and remembers its end: what a program says at the end of a whole dump tells it from one
    that was cut short although the program ended well."""

    def __init__(self, source, sink):
        super().__init__(daemon=True)
        self.source, self.sink, self.last, self.broken = source, os.dup(sink), b"", False
        self.start()

    def run(self):
        try:
            while True:
                piece = os.read(self.source.fileno(), PIECE_BYTES)
                if not piece:
                    return
                self.last = (self.last + piece)[-LAST_BYTES:]
                view = memoryview(piece)
                while view:
                    view = view[os.write(self.sink, view) :]
        except OSError:
            self.broken = True  # restic has ended; its own reason is told
        finally:
            os.close(self.sink)
            self.source.close()

    def check(self, ends_with, program):
        self.join()
        if not self.broken and not re.search(ends_with, self.last.decode("latin-1"), re.DOTALL):
            raise Trouble("dump", "%s ended well, but the end of its dump is missing" % program)


def wait_for_dump(host, dump, restic, complaints):
    """Return when the dump has ended well, or restic has failed (its caller then says why)."""
    host.wait(dump, restic, until=dump)
    if dump.poll() == 0:
        return
    if dump.poll() is not None:
        # A dump also fails because restic has; then restic's own reason is the one to tell.
        try:
            restic.wait(0.5)
        except subprocess.TimeoutExpired:
            text = tail(complaints.text())
            reason = "%s ended with %d: %s" % (program_of(dump.args), dump.returncode, text)
            raise Trouble(no_space_or("dump", text), reason)
    host.end(dump)
    if restic.poll() == 0:
        raise Trouble("failed", "restic ended before the dump did")


def back_up_tree(host, dataset, part):
    """Back files up. Sources that are missing are found before: restic 0.14 passes over one of several silently."""
    for path in part["paths"]:
        if not os.path.lexists(path):
            raise Trouble("source_missing", "%s does not exist" % path)
    arguments = [word for path in part["excludes"] for word in ("--exclude", path)] + ["--", *part["paths"]]
    restic, output, errors, summary = start_backup(host, dataset, part, arguments, stdin=subprocess.DEVNULL)
    vanished = finish_restic(host, restic, output, errors, may_vanish=True)
    files, size = summary.get("total_files_processed", 0), summary.get("total_bytes_processed", 0)
    return {"files": files, "bytes": size, "content": {"vanished": vanished} if vanished else {}}


class Session:
    """A database session that stays open during a dump, so that the dump and the row counts see the same moment."""

    def __init__(self, host, spec):
        self.host = host
        self.process = host.start(spec["argv"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.errors = Output(self.process.stderr)
        self.values = {"snapshot": self.ask(spec["open"], host.stall_seconds)}
        self.counted = json.loads(self.ask(spec["count"], COUNT_STALLS * host.stall_seconds))

    def ask(self, statement, limit):
        try:
            self.process.stdin.write(statement.encode() + b"\n")
            self.process.stdin.flush()
            answer = self.read_line(time.monotonic() + limit)
        except BrokenPipeError:
            answer = ""
        if not answer:
            self.host.end(self.process)
            raise Trouble("dump", "the database session failed: " + tail(self.errors.text()))
        return answer

    def read_line(self, until):
        """The answer's line; empty where the session has ended. A lock that somebody holds must not hang a backup."""
        answer = b""
        while not answer.endswith(b"\n"):
            if select.select([self.process.stdout], [], [], 0.1)[0]:
                piece = os.read(self.process.stdout.fileno(), 65536)
                if not piece:
                    break
                answer += piece
            elif self.host.control_is_gone():
                self.host.end(self.process)
                raise ControlGone
            elif time.monotonic() > until:
                self.host.end(self.process)
                raise Trouble("stalled", "the database gave no answer; does somebody hold a lock on its tables?")
        return answer.decode().strip()

    def close(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            self.process.wait(END_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.host.end(self.process)
        self.process.stdout.close()
