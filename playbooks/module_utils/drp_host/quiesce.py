"""Hold a host's services still while their data is read, and let them go on whatever happens (`guard`).

quiesced     runs the commands before; the guard runs those after, also if this program is killed
resume_left  does it first where even the guard was lost, as by a power cut
"""

from __future__ import annotations

import contextlib
import json
import os
import pkgutil
import select
import subprocess
import sys
import time

from .process import program_of
from .trouble import ControlGone, Trouble

READY_LIMIT_SECONDS = 20
LATEST_ANSWER_SECONDS = 60  # beside what the commands themselves may take
LEFT_OVER_LIMIT_SECONDS = 600


def order_file(host):
    return os.path.join(host.state_directory(), "quiesce-%s.json" % host.job["service"])


class Guard:
    """The process that resumes, seen from this one."""

    def __init__(self, host, order):
        self.host, self.order = host, order
        # A session of its own, and nothing of this program's but these two pipes: it must outlive it.
        self.process = subprocess.Popen(
            guard_argv(host),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=host.environment,
            cwd="/",
            start_new_session=True,
        )
        self.tell(json.dumps(order).encode() + b"\n")

    def tell(self, content):
        try:
            self.process.stdin.write(content)
            self.process.stdin.flush()
        except BrokenPipeError:
            pass

    def answer(self, limit):
        """Its next line; nothing where it is gone or does not answer."""
        until, line = time.monotonic() + limit, b""
        while not line.endswith(b"\n"):
            if not select.select([self.process.stdout], [], [], max(0, until - time.monotonic()))[0]:
                return {}
            piece = os.read(self.process.stdout.fileno(), 65536)
            if not piece:
                return {}
            line += piece
        return json.loads(line.splitlines()[-1])

    def resume(self):
        """Have it resume, or do it here where it is gone: {why, failed}."""
        self.tell(b"resume\n")
        limit = self.order["limit_seconds"] * max(1, len(self.order["after"])) + LATEST_ANSWER_SECONDS
        told = self.answer(limit)
        self.close()
        if "why" in told:
            return told
        return dict(Guard(self.host, dict(self.order, at_once=True)).end_at_once(limit), why="guard lost")

    def end_at_once(self, limit):
        told = self.answer(limit)
        self.close()
        return told if "why" in told else {"why": "", "failed": ["the commands could not be run"]}

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(READY_LIMIT_SECONDS)


def guard_argv(host):
    source = pkgutil.get_data(__package__, "guard.py").decode()
    return host.there([host.remote["python"] if host.remote else sys.executable, "-I", "-c", source])


@contextlib.contextmanager
def quiesced(host):
    """Services are held still within; `told` says afterwards how long, and what their going on brought."""
    told = {}
    orders = host.job.get("quiesce") or []
    if not orders:
        yield told
        return
    file = order_file(host)
    order = {
        "file": file,
        "service": host.job["service"],
        "run": host.job["run"],
        "after": [argv for one in reversed(orders) for argv in one["after"]],
        "limit_seconds": min(one["limit_seconds"] for one in orders),
    }
    guard = Guard(host, order)
    if not guard.answer(READY_LIMIT_SECONDS).get("ready"):
        guard.close()
        raise Trouble("quiesce", "what must resume the services afterwards does not start, so they were left alone")
    started = time.monotonic()
    try:
        host.emit({"event": "quiesce.started"})
        run_before(host, orders, started + order["limit_seconds"])
        yield told
    finally:
        resumed = guard.resume()
        told.update(quiet_ms=int((time.monotonic() - started) * 1000), **resumed)
        event = "quiesce.resume_failed" if resumed["failed"] else "quiesce.resumed"
        host.emit(dict(told, event=event))
    if resumed["why"] != "asked":
        text = "services went on before the backup had ended (%s), so its data is not of one moment" % resumed["why"]
        raise Trouble("quiesce", text)


def run_before(host, orders, until):
    for argv in (argv for one in orders for argv in one["before"]):
        try:
            host.run({"argv": argv}, limit=max(0.1, until - time.monotonic()))
        except ControlGone:
            raise
        except Trouble as trouble:
            raise Trouble("quiesce", "%s: %s" % (program_of(argv), trouble.text))


def resume_left(host):
    """Let services go on that an earlier backup left standing; wait for a guard that is just doing so."""
    path = order_file(host)
    is_there = host.job.get("quiesce") if host.remote else os.path.lexists(path)
    if not is_there:
        return
    guard = Guard(host, {"file": path, "left": True, "limit_seconds": LEFT_OVER_LIMIT_SECONDS})
    told = guard.end_at_once(LEFT_OVER_LIMIT_SECONDS)
    if told["why"] == "busy" or not told["why"]:
        raise Trouble("quiesce", "an earlier backup still holds the services still, or it cannot be told")
    if told["why"] != "nothing":
        event = "quiesce.resume_failed" if told["failed"] else "quiesce.resumed"
        host.emit({"event": event, "why": "left over", "failed": told["failed"], "earlier_run": told["run"]})
