"""How `drp watch` tries a service: all its checks, with samples in files by day, and the look of old content kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from drp.adapters.probes.base import Target
from drp.adapters.probing import TimedCheck, load_baseline, save_baseline, timed
from drp.adapters.watch_records import FileWatchRecords
from drp.domain.service import Service


def watched_checks(
    workspace: Path, service: Service, address: str, secrets: Mapping[str, str], now: Callable[[], datetime]
) -> list[TimedCheck]:
    """A service's checks, ready to be tried; each sample goes into the file of its day. `secrets` are by check."""
    records = FileWatchRecords(workspace)
    baseline_file = records.baseline(service.id)
    baseline_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = Target(address, workspace, baseline=load_baseline(baseline_file), learn=True)
    checks = [
        timed(
            service.id,
            check,
            replace(target, secret=secrets.get(check.id, "")),
            lambda at: records.file(service.id, at),
            now,
        )
        for check in service.checks
    ]
    if service.checks[0].compares_old_content:
        checks[0] = _with_memory(checks[0], target.baseline, baseline_file)
    return checks


def _with_memory(check: TimedCheck, baseline: dict[str, str], file: Path) -> TimedCheck:
    """Keep what old content looks like as soon as it looks otherwise."""
    one_at_a_time = threading.Lock()
    kept = dict(baseline)

    def attempt() -> dict[str, Any]:
        record = check.attempt()
        with one_at_a_time:
            # It may also have been forgotten by another drp (`drp lab up`) while this one had seen the new content.
            if baseline != kept or (baseline and not file.exists()):
                kept.clear()
                kept.update(baseline)
                save_baseline(file, kept)
        return record

    return replace(check, attempt=attempt)
