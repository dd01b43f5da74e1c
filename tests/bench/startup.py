"""`./dev bench startup`: what it costs to ask drp something. CPU seconds of the whole process, median of the runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.common import Figure, finish, median

RUNS = 11
REPOSITORY = Path(__file__).resolve().parents[2]
DRP = str(Path(sys.executable).with_name("drp"))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        shutil.copy(REPOSITORY / "drp.yaml", workspace)
        for name in ("inventories", "runbooks"):
            shutil.copytree(REPOSITORY / name, workspace / name)
        finish(
            "startup",
            [
                Figure("drp --help", cpu_seconds([DRP, "--help"]), "s", 0.2),
                Figure("drp status", cpu_seconds([DRP, "-w", folder, "status"]), "s", 0.6),
                Figure("drp validate", cpu_seconds([DRP, "-w", folder, "validate"]), "s"),
                Figure("python -c pass", cpu_seconds([sys.executable, "-c", "pass"]), "s"),
            ],
        )


def cpu_seconds(command: list[str], runs: int = RUNS) -> float:
    """User and system seconds of a command, after one run that is not counted."""
    measured = []
    for _ in range(runs + 1):
        before = os.times()
        subprocess.run(command, capture_output=True, check=False)
        after = os.times()
        measured.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return median(measured[1:])


if __name__ == "__main__":
    main()
