"""Whether there is room for what a backup writes here before it is sent: looked at before anything is begun."""

from __future__ import annotations

import os

from .trouble import Trouble

PACK_BYTES = 16 << 20
CONNECTIONS = 5
"""restic's own: it fills a pack for each connection, and one more, as temporary files."""
UNKNOWN_BYTES = 2 * PACK_BYTES
CACHE_BYTES = 16 << 20
TEMPORARY = "/tmp"  # noqa: S108 - where restic, which gets no TMPDIR, makes them


def check_space(host):
    """Trouble where a file system has too little room. What lies on another host than this one is not looked at."""
    expected = host.job.get("expected_bytes")
    packs = UNKNOWN_BYTES if expected is None else min(expected, PACK_BYTES * (CONNECTIONS + 1))
    wanted = [("restic's temporary packs", TEMPORARY, packs)]
    wanted.append(("restic's cache", host.restic_environment["RESTIC_CACHE_DIR"], CACHE_BYTES))
    if not host.remote:
        for dataset in host.job["datasets"]:
            for part in dataset["parts"]:
                files = part.get("stages", [])
                if files:
                    size = sum(os.path.getsize(path) for path in files if os.path.isfile(path))
                    what = "a copy for dataset %s" % dataset["id"]
                    wanted.append((what, os.path.dirname(files[0]), size))
    disks = {}
    for what, path, size in wanted:
        device, free = free_at(path)
        disks.setdefault(device, []).append((what, path, size, free))
    for found in disks.values():
        needed, free = sum(size for _, _, size, _ in found), found[0][3]
        if free < needed:
            places = ", ".join("%s for %s" % (path, what) for what, path, _, _ in found)
            raise Trouble("little_space", "%s: %s needed, %s free" % (places, shown(needed), shown(free)))


def free_at(path):
    """The file system that a path lies on, or will lie on, and how many bytes are free there."""
    while not os.path.isdir(path):
        path = os.path.dirname(path) or "/"
    disk = os.statvfs(path)
    return os.stat(path).st_dev, disk.f_bavail * disk.f_frsize


def shown(size):
    return "%.1f MB" % (size / 1e6)
