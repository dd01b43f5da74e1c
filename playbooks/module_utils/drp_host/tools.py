"""The programs that a job needs on a host, and their versions."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

from .process import OPEN_LIMIT_SECONDS
from .trouble import Trouble

OLDEST_RESTIC = (0, 14)


def check_tools(host):
    """The versions of all programs that the job needs; Trouble where one is missing."""
    for name in host.job.get("requires", []):
        if shutil.which(name, path=host.environment["PATH"]) is None:
            raise Trouble("no_restic" if name == "restic" else "no_program", "%s is not installed" % name)
    versions = {"python": sys.version.split()[0]}
    for name in host.job.get("requires", []):
        if name in ("restic", "pg_dump", "pg_restore"):
            argument = "version" if name == "restic" else "--version"
            done = version_of(host, [name, argument])
            versions[name] = done.stdout.decode("utf-8", "replace").splitlines()[0][:80] if done.stdout else "unknown"
    if "restic" in versions:
        check_restic_version(versions["restic"])
    return versions


def version_of(host, argv):
    try:
        return subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=host.environment,
            timeout=OPEN_LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Trouble("stalled", "%s gave no answer" % " ".join(argv))


def check_restic_version(said):
    """A program that only has restic's name, or a restic that drp does not know how to read, must not be trusted."""
    found = re.match(r"restic (\d+)\.(\d+)", said)
    if found is None:
        raise Trouble("wrong_restic", "asked for its version, it said: %s" % said)
    if (int(found.group(1)), int(found.group(2))) < OLDEST_RESTIC:
        raise Trouble("wrong_restic", "%s; drp needs %d.%d or newer" % ((said,) + OLDEST_RESTIC))
