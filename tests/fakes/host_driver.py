"""Runs playbooks/library/drp_host.py as drp does over SSH, but with programs from the folder given as argument."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

HOST_PROGRAM = Path(__file__).parents[2] / "playbooks" / "library" / "drp_host.py"


def load() -> Any:
    """The program as a module; Ansible and drp load it by path as well."""
    specification = importlib.util.spec_from_file_location("drp_host_under_test", HOST_PROGRAM)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def main() -> None:
    module = load()
    prepare = module.Host._prepare_restic

    def with_programs(host: Any, *arguments: Any) -> None:
        host.environment["PATH"] = os.pathsep.join((sys.argv[1], host.environment["PATH"]))
        # A program is looked for on the path of the process that starts it.
        os.environ["PATH"] = host.environment["PATH"]
        prepare(host, *arguments)

    module.Host._prepare_restic = with_programs
    module.main_ssh()


if __name__ == "__main__":
    main()
