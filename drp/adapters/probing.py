"""Runs a journey at exact intervals and keeps every sample in a file; the baseline is kept beside it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from drp.domain.recovery.probing import Sample

SAMPLES_FILE = "samples.jsonl"
BASELINE_FILE = "baseline.json"


class Waiting(Protocol):
    """`threading.Event().wait` or the like: True ends the probing."""

    def __call__(self, timeout: float) -> bool: ...


def keep_probing(
    attempt: Callable[[], dict[str, Any]], interval_seconds: float, file_of: Callable[[datetime], Path], stop: Waiting
) -> Iterator[Sample]:
    """Attempt at every tick of a fixed grid, so that slow attempts shift nothing; ticks that an attempt outlasts are
    left out. Each sample is in its file (`file_of` its start) before it is yielded."""
    started = time.monotonic()
    while True:
        record = attempt()
        sample = Sample.from_record(record)
        with file_of(sample.started_at).open("a", encoding="utf-8") as samples:
            samples.write(json.dumps(record, ensure_ascii=False) + "\n")
        yield sample
        passed = time.monotonic() - started
        if stop(timeout=interval_seconds - passed % interval_seconds):
            return


def read_samples(file: Path) -> list[Sample]:
    """All whole samples of a file. A line that was cut off, as by a power cut, is passed over: nobody looked then."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return []
    return samples_of(content)


def samples_of(content: bytes) -> list[Sample]:
    """All whole samples of a part of a file."""
    samples = []
    for line in content.split(b"\n")[:-1]:
        try:
            samples.append(Sample.from_record(json.loads(line)))
        except (ValueError, TypeError, KeyError):
            continue
    return samples


def load_baseline(file: Path) -> dict[str, str]:
    """What old content looked like before a disruption; empty if it was never seen."""
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def save_baseline(file: Path, baseline: dict[str, str]) -> None:
    temporary = file.with_suffix(".new")
    temporary.write_text(json.dumps(baseline), encoding="utf-8")
    os.replace(temporary, file)
