"""Runs playbooks/module_utils/drp_host as drp does over SSH, but with programs from the folder given as argument."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

HOST_PROGRAM = Path(__file__).parents[2] / "playbooks" / "module_utils" / "drp_host"


def load(module: str) -> Any:
    """A module of the program."""
    if str(HOST_PROGRAM.parent) not in sys.path:
        sys.path.append(str(HOST_PROGRAM.parent))
    return importlib.import_module(f"{HOST_PROGRAM.name}.{module}")


def main() -> None:
    host_class = load("process").Host
    prepare = host_class._prepare_restic

    def with_programs(host: Any, *arguments: Any) -> None:
        host.environment["PATH"] = os.pathsep.join((sys.argv[1], host.environment["PATH"]))
        # A program is looked for on the path of the process that starts it.
        os.environ["PATH"] = host.environment["PATH"]
        prepare(host, *arguments)

    host_class._prepare_restic = with_programs
    load("main").main_ssh()


if __name__ == "__main__":
    main()
