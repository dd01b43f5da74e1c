"""One job that changes a service's data on a host at a time: an older one that outlived its connection is ended."""

from __future__ import annotations

import fcntl
import os
import signal
import time

from .trouble import Trouble

FOLDER = "/run/drp-jobs"
ASK_SECONDS, LIMIT_SECONDS = 10, 30


def be_alone(service, folder=FOLDER):
    """Take the service's lock on this host until this process ends. Whoever holds it is asked to end, then made to."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    lock = os.path.realpath(os.path.join(folder, service))
    number = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    begun = time.monotonic()
    while True:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            passed = time.monotonic() - begun
            if passed > LIMIT_SECONDS:
                raise Trouble("not_alone", "an older job of %s on this host does not end" % service)
            end(os.pread(number, 20, 0), lock, signal.SIGTERM if passed < ASK_SECONDS else signal.SIGKILL)
            time.sleep(0.2)
    os.ftruncate(number, 0)
    os.pwrite(number, b"%d" % os.getpid(), 0)
    return number


def end(holder, lock, number):
    """The holder's number may be an older one's, and be another process by now: it must have the lock open."""
    try:
        files = "/proc/%d/fd" % int(holder)
        if any(os.readlink(os.path.join(files, name)) == lock for name in os.listdir(files)):
            os.kill(int(holder), number)
    except (ValueError, OSError):
        pass  # it has not written its number yet, or has just ended
