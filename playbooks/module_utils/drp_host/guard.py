"""A process of its own that lets a host's services go on after a backup, whatever becomes of the backup.

It is run by itself (`python3 -I -c SOURCE`), so it imports nothing of this package. Standard input brings the order as
one line of JSON, {file, service, run, after, limit_seconds, at_once}, and then stays open. It answers `ready` when the
order is safe in `file`, and from then on runs the commands of `after` as soon as it is told so (`resume`), or the input
ends because nobody is there any more, or the limit is over, or it is asked to end. What came of it is a line of JSON,
{why, failed}. The file goes away when every command has ended well; while it is there, someone still has to resume.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time


def main():
    """Keep the order, wait, resume, tell."""
    line = sys.stdin.buffer.raw.readline()
    order = json.loads(line)
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append("signal"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    order["file"] = os.path.expanduser(order["file"])
    if order.get("left"):
        left = left_in(order)
        if "after" not in left:
            return say(dict(left, failed=[]))
        order.update(left, at_once=True)
    number = keep(order)
    why = "left over" if order.get("at_once") else ""
    if not why:
        say({"ready": True})
        why = wait(time.monotonic() + order["limit_seconds"], asked)
    failed = [text for text in (run(argv, order["limit_seconds"]) for argv in order["after"]) if text]
    if not failed:
        os.unlink(order["file"])
    os.close(number)
    return say({"why": why, "failed": failed, "run": order["run"]})


def keep(order):
    """Write the order where a later job finds it if even this process is lost. The lock on it says that it lives."""
    folder = os.path.dirname(order["file"])
    os.makedirs(folder, mode=0o700, exist_ok=True)
    found = os.lstat(folder)
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        sys.exit("%s belongs to somebody else, or others may write there" % folder)
    temporary = order["file"] + ".new"
    number = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    fcntl.flock(number, fcntl.LOCK_EX)
    os.write(number, json.dumps({name: order[name] for name in ("service", "run", "after")}).encode())
    os.fsync(number)
    os.replace(temporary, order["file"])
    directory = os.open(folder, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)
    return number


def left_in(order):
    """An order that nobody carries out any more, once whoever does so has ended; else why there is none."""
    until = time.monotonic() + order["limit_seconds"] / 2
    while True:
        try:
            number = os.open(order["file"], os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return {"why": "nothing"}
        with os.fdopen(number) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.exists(order["file"]):
                    return json.load(file)
            except BlockingIOError:
                if time.monotonic() > until:
                    return {"why": "busy"}
        time.sleep(0.1)


def wait(until, asked):
    """Why it is time to resume."""
    while not asked:
        left = until - time.monotonic()
        if left <= 0:
            return "limit"
        if select.select([0], [], [], min(left, 0.5))[0]:
            return "asked" if os.read(0, 64).startswith(b"resume") else "alone"
    return asked[0]


def run(argv, limit):
    """Run a command, and give what is wrong with it; nothing where it ended well."""
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    environment["HOME"] = os.environ.get("HOME", "/")
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        return "%s: %s" % (argv[0], error.strerror)
    try:
        said = process.communicate(timeout=limit)[1]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return "%s did not end within %d s" % (argv[0], limit)
    if process.returncode == 0:
        return ""
    text = said.decode("utf-8", "replace").strip()[-300:]
    return "%s ended with %d%s" % (argv[0], process.returncode, ": " + text if text else "")


def say(message):
    """Tell the one who asked, if he is still there."""
    try:
        os.write(1, json.dumps(message).encode() + b"\n")
    except OSError:
        pass


if __name__ == "__main__":
    main()
