"""The programs that a job needs on a host, and their versions."""

from __future__ import annotations

import subprocess
import sys

from .process import OPEN_LIMIT_SECONDS
from .trouble import Trouble
from .versions import OLDEST_RESTIC, version_in


def check_tools(host):
    """The versions of all programs that the job needs; Trouble where one is missing."""
    if host.job.get("carried_restic"):
        from .carried import choose_restic  # most hosts have their own

        choose_restic(host)
    for name in host.job.get("requires", []):
        if host.find_program(name) is None and not (name == "restic" and host.restic_program):
            kind = "no_restic" if name == "restic" else "no_program"
            raise Trouble(kind, "%s is not installed" % name.replace("|", " or "))
    versions = {"python": sys.version.split()[0]}
    if "restic" in host.job.get("requires", []):
        versions["restic"] = first_line(host, ["restic", "version"])
        check_restic_version(versions["restic"])
    for dataset in host.job.get("datasets", []):
        for what, argv in dataset.get("versions", {}).items():
            versions[what] = first_line(host, argv)
    return versions


def first_line(host, argv):
    """What a program says of its version. One that says nothing is found out when it is used."""
    process = host.start(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        output = process.communicate(timeout=OPEN_LIMIT_SECONDS)[0]
    except subprocess.TimeoutExpired:
        host.end(process)
        raise Trouble("stalled", "%s gave no answer" % " ".join(argv))
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return lines[0][:80] if lines and not process.returncode else "unknown"


def restic_version(host):
    """Its version as (major, minor)."""
    return version_in(first_line(host, ["restic", "version"])) or (0, 0)


def check_restic_version(said):
    """A program that only has restic's name, or a restic that drp does not know how to read, must not be trusted."""
    found = version_in(said)
    if found is None:
        raise Trouble("wrong_restic", "asked for its version, it said: %s" % said)
    if found < OLDEST_RESTIC:
        raise Trouble("wrong_restic", "%s; drp needs %d.%d or newer" % ((said,) + OLDEST_RESTIC))
