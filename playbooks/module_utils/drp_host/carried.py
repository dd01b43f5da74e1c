"""A restic that drp carries along, for hosts that have none or too old a one.

It lies in a folder of the user's own, named by its SHA-256, and is verified each time before it is used. Over SSH this
program asks for it (`restic.wanted`), and it arrives on standard input; a playbook copies it before it restores.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import stat
import subprocess
import time

from .process import OPEN_LIMIT_SECONDS
from .trouble import ControlGone, Trouble, own_folder
from .versions import OLDEST_RESTIC, version_in

PIECE = 1 << 20


def find_restic(host):
    """Whether the host wants the restic that drp carries, and where it is to lie."""
    path = place_of(host)
    is_wanted = wants_carried(host) and not is_whole(path, host.job["carried_restic"]["sha256"])
    if is_wanted:
        make_folders(host, path)
    return {"wanted": is_wanted, "path": path}


def choose_restic(host):
    """Have the job use the restic that drp carries where that is to be, or where there is no other that will do."""
    if not host.job.get("carried_restic") or not wants_carried(host):
        return
    carried = host.job["carried_restic"]
    path = place_of(host)
    if not is_whole(path, carried["sha256"]):
        if not host.watch_stdin:
            raise Trouble("carried_restic", "%s is not there, or not what it is to be" % path)
        receive(host, path, carried)
    host.restic_program = path


def wants_carried(host):
    return host.job["carried_restic"]["prefer"] == "carried" or own_version(host) < OLDEST_RESTIC


def own_version(host):
    """The version of the host's own restic; (0, 0) where there is none that answers."""
    program = host.find_program("restic")
    if program is None:
        return (0, 0)
    try:
        done = subprocess.run(
            [program, "version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=host.environment,
            timeout=OPEN_LIMIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    return version_in(done.stdout.decode("utf-8", "replace")) or (0, 0)


def place_of(host):
    folder = host.state_directory()
    return os.path.join(folder, "restic", host.job["carried_restic"]["sha256"], "restic")


def make_folders(host, path):
    for folder in (host.state_directory(), os.path.dirname(os.path.dirname(path)), os.path.dirname(path)):
        own_folder(folder)


def is_whole(path, sha256):
    """Whether the file is the user's own, nobody else can write it, and it holds what it must."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    with os.fdopen(number, "rb") as file:
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            return False
        if not found.st_mode & 0o100:
            return False
        own_folder(os.path.dirname(path))
        digest = hashlib.sha256()
        for piece in iter(lambda: file.read(PIECE), b""):
            digest.update(piece)
    return digest.hexdigest() == sha256


def receive(host, path, carried):
    """Ask for the program and put it in its place when it is whole; before that nothing has its name."""
    make_folders(host, path)
    temporary = "%s.%d" % (path, os.getpid())
    number = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(number, "wb") as file:
            host.emit({"event": "restic.wanted"})
            digest = hashlib.sha256()
            for piece in pieces(carried["size"], host.stall_seconds):
                file.write(piece)
                digest.update(piece)
            file.flush()
            os.fsync(number)
        if digest.hexdigest() != carried["sha256"]:
            raise Trouble("carried_restic", "what arrived has another SHA-256 than drp.yaml says")
        os.chmod(temporary, 0o700)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    host.emit({"event": "restic.carried", "sha256": carried["sha256"]})


def pieces(size, stall_seconds):
    """As many bytes as the file has, from standard input, as they come."""
    until = time.monotonic() + stall_seconds
    while size:
        if not select.select([0], [], [], max(0, until - time.monotonic()))[0]:
            raise Trouble("stalled", "the restic that drp carries did not arrive")
        piece = os.read(0, min(size, PIECE))
        if not piece:
            raise ControlGone
        yield piece
        size -= len(piece)
        until = time.monotonic() + stall_seconds
