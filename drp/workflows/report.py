"""Write the report of a recovery from the ledger."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from drp.domain.recovery.plan import RECOVERY_KINDS
from drp.domain.recovery.run import Recovery, replay
from drp.errors import DrpError, UsageError
from drp.ports import World

Produce = Callable[[Recovery], Mapping[str, str]]
"""Makes documents of a recovery: file name to content."""


def write(world: World, run: str, produce: Produce) -> list[Path]:
    """Write all documents of a run into var/reports/RUN; a reader never sees a half-written one.

    A chain that was tampered with does not stop the report: the report says so itself, on its first page.
    """
    row = world.ledger.run(run)
    if row.kind not in RECOVERY_KINDS:
        raise UsageError(
            f"run {run} is a {row.kind}; reports are of failovers, drills, switchovers and failbacks",
            hint="drp run show shows it",
        )
    documents = produce(replay(run, row.genesis, world.ledger.events(run)))
    folder = world.workspace / "var" / "reports" / run
    paths = []
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in documents.items():
            path = folder / name
            temporary = folder / f".{name}.new"
            temporary.write_text(content, encoding="utf-8")
            os.replace(temporary, path)
            paths.append(path)
    except OSError as error:
        hint = "free space or correct the permissions, then: drp report build"
        raise DrpError(f"the report cannot be written: {error.strerror}", where=str(folder), hint=hint) from error
    return paths
