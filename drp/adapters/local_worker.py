"""Worker: runs one job of `drp_host` here, for a host that can take no restic. The data comes from that host by ssh,
each command by itself; restic, the repository's password and its keys stay on the control node.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from drp.adapters.host_program import LOADER
from drp.adapters.ssh_options import proxy_through, ssh_argv
from drp.adapters.ssh_worker import Connection, trouble, work
from drp.adapters.worker import Worker

TRY_LIMIT_SECONDS = 60


class Local(Connection):
    """The program in a process beside this one; it goes to the host itself."""

    def ssh(self) -> list[str]:
        host, files = self.spec["host"], (self.spec["private_key"], self.spec["known_hosts"])
        return [*ssh_argv(host, *files, proxy=proxy_through(self.jumps, host, *files)), "--", host["address"]]

    def argv(self) -> list[str]:
        host = self.spec["host"]
        self.spec["job"]["remote"] = {
            "ssh": self.ssh(),
            "become": host["become"],
            "python": host["python"],
            "is_root": host["become"] or host["user"] == "root",
        }
        length = Path(self.spec["program"]).stat().st_size
        return [sys.executable, "-I", "-c", LOADER.format(length=length)]


def run(worker: Worker) -> int:
    """See whether the host can be reached as any other, so that what keeps it from that is told as exactly."""
    way = Connection(worker)
    with open(worker.folder / "stderr", "ab") as errors:
        try:
            done = subprocess.run(
                way.argv_of(["true"]), stdin=subprocess.DEVNULL, stderr=errors, timeout=TRY_LIMIT_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            trouble(worker, "ssh", "the host gave no answer")
            return 1
    if done.returncode:
        trouble(worker, *way.reason(done.returncode))
        return 1
    return Local(worker).carry_out()


if __name__ == "__main__":
    work(run)
