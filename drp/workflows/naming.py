"""Names of runs, and of what lies in a run's folder."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path

from drp.ports import World


def new_run(kind: str, now: datetime) -> str:
    """A name that sorts by time and that no other run has, as `failover-20261122-054750-3fa29c`; a hundred may begin
    within a second."""
    return f"{kind}-{now.astimezone(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def run_folder(world: World, run: str) -> Path:
    return world.workspace / "var" / "runs" / run


def action_folder(world: World, run: str, action: str) -> Path:
    return run_folder(world, run) / action
