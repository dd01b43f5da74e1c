"""Runs playbooks/module_utils/drp_host as drp does over SSH, but with programs from the folder given as argument."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

HOST_PROGRAM = Path(__file__).parents[2] / "playbooks" / "module_utils" / "drp_host"


def load(module: str) -> Any:
    """A module of the program."""
    return load_from(HOST_PROGRAM.name, module)


def load_from(package: str, module: str) -> Any:
    """A module of one of the packages that Ansible takes to hosts."""
    if str(HOST_PROGRAM.parent) not in sys.path:
        sys.path.append(str(HOST_PROGRAM.parent))
    return importlib.import_module(f"{package}.{module}")


class Told:
    """What a disk tells of a file, but for its times."""

    def __init__(self, found: os.stat_result, mtime_ns: int, ctime_ns: int) -> None:
        self.st_mode, self.st_size, self.st_mtime_ns, self.st_ctime_ns = (
            found.st_mode,
            found.st_size,
            mtime_ns,
            ctime_ns,
        )


def tell_lies(lies: dict[str, list[int]]) -> None:
    """A disk that fails changes a content and no time: nothing else can, so a test has to pretend it."""
    lstat = load("spot_check").os.lstat

    def told(path: Any, **options: Any) -> Any:
        return Told(lstat(path), *lies[path]) if path in lies else lstat(path, **options)

    os.lstat = told


def main() -> None:
    if os.environ.get("DRP_TEST_LIES", "{}") != "{}":
        tell_lies(json.loads(os.environ["DRP_TEST_LIES"]))
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
