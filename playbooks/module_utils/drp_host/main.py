"""Carries a job out, and the way in over SSH."""

from __future__ import annotations

import errno
import importlib
import json
import signal
import sys
import threading

from .process import Host, go_on_ending
from .trouble import ControlGone, Trouble, now

VERBS = {
    "backup": "backup",
    "new_repository": "new_repository",
    "restore": "restore",
    "remove": "restore",
    "absence": "content",
    "survey": "scratch",
    "bring_back": "scratch",
    "test_restore": "scratch",
    "remove_scratch": "scratch",
    "list_snapshot": "browse",
    "send": "browse",
    "snapshots": "maintenance",
    "forget_plan": "maintenance",
    "forget": "maintenance",
    "prune": "maintenance",
    "check": "maintenance",
    "locks": "maintenance",
    "spot_check": "spot_check",
    "preflight": "preflight",
    "find_restic": "carried",
}
"""The module of each verb. Only the one that is needed is read: a host's Python compiles it each time."""


THROUGH_CONTROL_NODE = ("backup", "snapshots", "forget_plan", "forget", "prune", "check", "locks")
"""What can be done here for a host that takes no restic: nothing that would look into this machine's own folders."""


def refuse_own_folders(job):
    trees = [part["name"] for dataset in job.get("datasets", []) for part in dataset["parts"] if part["kind"] == "tree"]
    sentinels = [dataset.get("sentinel") or {} for dataset in job.get("datasets", [])]
    marked = [sentinel for sentinel in sentinels if sentinel.get("kind") == "file"]
    if job["verb"] not in THROUGH_CONTROL_NODE or trees or marked:
        raise Trouble("control_node", "%s cannot be done from the control node" % job["verb"])


def carry_out(job, secrets, ca_pem, emit, watch_stdin):
    """Do a job and give its result; Trouble where it fails, whatever the reason."""
    try:
        if job.get("remote"):
            refuse_own_folders(job)
        host = Host(job, secrets, ca_pem, emit, watch_stdin)
        module = importlib.import_module("." + VERBS[job["verb"]], __package__)
        return getattr(module, job["verb"])(host)
    except OSError as error:
        kind = "no_space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "command"
        raise Trouble(kind, "%s: %s" % (error.filename or "the host", error.strerror or error))
    except (ValueError, KeyError, TypeError) as error:
        # A program answered something that is not what it says when it works, as restic's JSON.
        raise Trouble("strange_answer", "%s: %s" % (type(error).__name__, str(error)[:200]))


def main_ssh():
    """Read the job from standard input, write events and the result as lines of JSON."""
    lock = threading.Lock()

    def emit(message, data=b""):
        """Write a message; the bytes of a file follow it as they are, as many as it says."""
        with lock:
            try:
                sys.stdout.buffer.write(json.dumps(message).encode() + b"\n" + data)
                sys.stdout.buffer.flush()
            except OSError:
                pass  # drp has gone; `control_is_gone` ends the work

    def interrupted(_number, _frame):
        go_on_ending()
        raise ControlGone

    signal.signal(signal.SIGHUP, interrupted)
    signal.signal(signal.SIGTERM, interrupted)
    emit({"event": "ready"})
    request = json.loads(sys.stdin.readline())
    emit({"event": "hello", "host_time": now()})
    try:
        result = carry_out(request["job"], request["secrets"], request["ca_pem"], emit, watch_stdin=True)
    except Trouble as trouble:
        emit({"event": "trouble", "kind": trouble.kind, "text": trouble.text, "dataset": trouble.dataset})
        sys.exit(1)
    emit({"event": "result", "result": result})
