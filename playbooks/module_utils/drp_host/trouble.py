"""What can go wrong on a host, as words that drp maps to a message, a hint and an exit code."""

from __future__ import annotations

import os
import re
import stat
from datetime import datetime, timezone

FULL_BELOW_BYTES = 65536

# What restic prints, and what it means. The texts are those of 0.14 to 0.18; an unknown one is "failed".
RESTIC_MEANINGS = (
    ("no_space", r"no space left on device|disk quota exceeded|XMinioStorageFull|QuotaExceeded"),
    ("password", r"wrong password or no key found"),
    (
        "credentials",
        (
            r"AccessDenied|Access Denied|InvalidAccessKeyId|SignatureDoesNotMatch|access key Id you provided"
            r"|request signature we calculated|403 Forbidden"
        ),
    ),
    ("locked", r"repository is already locked"),
    ("certificate", r"x509: |certificate signed by unknown authority|tls: "),
    (
        "unreachable",
        (
            r"connection refused|no such host|i/o timeout|no route to host|connection reset|network is unreachable"
            r"|server misbehaving|context (deadline exceeded|canceled)|: EOF|503 |Service Unavailable"
        ),
    ),
    ("centre_error", r"500 Internal|Internal ?Error"),
    (
        "no_repository",
        (
            r"Is there a repository at the following location|repository does not exist"
            r"|The specified key does not exist|The specified bucket does not exist"
        ),
    ),
    ("no_snapshot", r"no matching ID found|no snapshot found"),
    ("locked", r"unable to create lock in backend"),
    (
        "damaged",
        (
            r"ciphertext verification failed|invalid data returned|is damaged|ReadFull.*unexpected EOF"
            r"|file is too short|InvalidRange|range (is )?not satisfiable|range cannot be satisfied"
        ),
    ),
)


class Trouble(Exception):
    """The job cannot go on. `kind` is a word that drp maps to a message, a hint and an exit code."""

    def __init__(self, kind, text, dataset=""):
        super().__init__(text)
        self.kind, self.text, self.dataset = kind, text, dataset


class ControlGone(Trouble):
    """drp went away while the work ran."""

    def __init__(self):
        super().__init__("control_gone", "the connection to the control node ended; the work was stopped cleanly")


def now():
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def meaning_of(output):
    """The word for what restic complained about."""
    for kind, pattern in RESTIC_MEANINGS:
        if re.search(pattern, output, re.IGNORECASE):
            return kind
    return "failed"


def no_space_or(kind, output):
    """`kind`, unless a program complained that there is no space, or there is none: then that is what a person must
    know. A database that a full disk has stopped says nothing of the disk itself."""
    return "no_space" if meaning_of(output) == "no_space" or a_disk_is_full() else kind


def a_disk_is_full():
    disks = [os.statvfs(folder) for folder in ("/", "/var", "/tmp")]  # noqa: S108 - it is only looked at
    return any(disk.f_bavail * disk.f_frsize < FULL_BELOW_BYTES for disk in disks)


def own_folder(folder):
    """Make a folder of the user's own, where nobody else may write."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise Trouble("not_own", "%s belongs to somebody else, or others may write there" % folder)


def tail(text, lines=6):
    return "\n".join(text.strip().splitlines()[-lines:])[-1500:]
