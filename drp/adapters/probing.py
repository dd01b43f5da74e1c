"""Tries checks at exact intervals and keeps every sample in a file; what old content looks like is kept beside it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from drp.adapters.probes import probe_of
from drp.adapters.probes.base import Target, try_once
from drp.domain.checks import CheckType
from drp.domain.recovery.probing import Sample
from drp.domain.values import to_stamp

SAMPLES_FILE = "samples.jsonl"
BASELINE_FILE = "baseline.json"
MOST_AT_ONCE = 32
"""How many attempts of one check may be under way. Beyond that, ticks are left out."""
PATIENCE_SECONDS = 2
"""How much longer than its timeout an attempt may take to come to its end. After that it is left to itself."""
STOP_POLL_SECONDS = 0.2
SPREAD_SECONDS = 1.0
"""Over how long the first attempts of all checks are spread, so that they do not wait for each other at every tick."""

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TimedCheck:
    """A service's check: its rhythm, in seconds, how it is tried once (`drp.adapters.probes.base.try_once`), and the
    file of samples for an attempt that began at a time."""

    service: str
    id: str
    interval: float
    timeout: float
    attempt: Callable[[], Record]
    file_of: Callable[[datetime], Path]


def timed(
    service: str,
    check: CheckType,
    target: Target,
    file_of: Callable[[datetime], Path],
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> TimedCheck:
    """A check against a target, ready to be tried."""
    probe, timeout = probe_of(check, target), check.timeout.total_seconds()
    interval = check.interval.total_seconds()
    return TimedCheck(service, check.id, interval, timeout, lambda: try_once(check.id, probe, timeout, now), file_of)


class _Attempt:
    """One attempt in a thread of its own."""

    def __init__(self, check: TimedCheck, wake: threading.Event) -> None:
        self.check, self.wake = check, wake
        self.started_at, self.started = datetime.now(UTC), time.monotonic()
        self.result: Record | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        self.result = self.check.attempt()
        self.wake.set()

    def record(self, now: float) -> Record | None:
        """What became of it; None while it is under way."""
        passed = now - self.started
        if self.result is not None or passed <= self.check.timeout + PATIENCE_SECONDS:
            return self.result
        return {
            "check": self.check.id,
            "started_at": to_stamp(self.started_at),
            "ended_at": to_stamp(self.started_at + timedelta(seconds=passed)),
            "succeeded": False,
            "detail": "it did not come to an end",
        }


class _Line:
    """The attempts of one check: begun on the grid, told in the order of their beginnings.

    An attempt that is under way holds back those after it: who reads the samples then knows all that came before each.
    """

    def __init__(self, check: TimedCheck, begun: float, wake: threading.Event) -> None:
        self.check, self.begun, self.wake = check, begun, wake
        self.next_at = begun
        self.waiting: deque[_Attempt] = deque()
        self.lost: list[_Attempt] = []

    def start_due(self, now: float) -> None:
        if now < self.next_at:
            return
        # Ticks that this process slept through are left out: what nobody saw was not seen.
        self.next_at = self.begun + ((now - self.begun) // self.check.interval + 1) * self.check.interval
        self.lost = [attempt for attempt in self.lost if attempt.thread.is_alive()]
        if len(self.lost) + sum(attempt.result is None for attempt in self.waiting) < MOST_AT_ONCE:
            self.waiting.append(_Attempt(self.check, self.wake))

    def take_ended(self) -> Iterator[Record]:
        while self.waiting and (record := self.waiting[0].record(time.monotonic())) is not None:
            attempt = self.waiting.popleft()
            if attempt.result is None:
                self.lost.append(attempt)
            yield record


def keep_probing(checks: Sequence[TimedCheck], stop: threading.Event) -> Iterator[tuple[str, Sample]]:
    """Try each check at every tick of a grid of its own until `stop` is set, whatever the attempts before take: one
    that hangs delays none. Each sample is in its file before it is yielded, with the name of its service."""
    wake = threading.Event()
    begun = time.monotonic()
    lines = [
        _Line(check, begun + min(check.interval, SPREAD_SECONDS) * number / len(checks), wake)
        for number, check in enumerate(checks)
    ]
    while True:
        wake.clear()
        is_stopping = stop.is_set()
        if not is_stopping:
            for line in lines:
                line.start_due(time.monotonic())
        for line in lines:
            for record in line.take_ended():
                yield line.check.service, _kept(record, line.check.file_of)
        if is_stopping and not any(line.waiting for line in lines):
            return
        until = min(line.next_at for line in lines) - time.monotonic()
        wake.wait(STOP_POLL_SECONDS if is_stopping else max(0.0, min(until, STOP_POLL_SECONDS)))


def _kept(record: Record, file_of: Callable[[datetime], Path]) -> Sample:
    sample = Sample.from_record(record)
    with file_of(sample.started_at).open("a", encoding="utf-8") as samples:
        samples.write(json.dumps(record, ensure_ascii=False) + "\n")
    return sample


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
