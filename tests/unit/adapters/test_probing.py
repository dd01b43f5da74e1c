"""The rhythm of probes: attempts begin on a grid whatever they take, and are told in the order of their beginnings."""

from __future__ import annotations

import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from drp.adapters import probing
from drp.adapters.probing import Record, TimedCheck, keep_probing, read_samples
from drp.domain.recovery.probing import Sample
from drp.domain.values import to_stamp


def attempt(seconds: Callable[[int], float], check: str = "path", *, good: bool = True) -> Callable[[], Record]:
    """An attempt that takes as long as `seconds` says of its number."""
    numbers = iter(range(1_000_000))

    def act() -> dict[str, Any]:
        started, number = datetime.now(UTC), next(numbers)
        time.sleep(seconds(number))
        ended = datetime.now(UTC)
        return {
            "check": check,
            "started_at": to_stamp(started),
            "ended_at": to_stamp(ended),
            "succeeded": good,
            "detail": "é",
        }

    return act


def timed_check(
    folder: Path, interval: float, timeout: float, act: Callable[[], Record], check: str = "path", service: str = "web"
) -> TimedCheck:
    return TimedCheck(service, check, interval, timeout, act, lambda _: folder / f"{service}.jsonl")


def probed(*checks: TimedCheck, count: int) -> list[Sample]:
    """The first samples of some checks."""
    stop, found = threading.Event(), []
    for _, sample in keep_probing(checks, stop):
        found.append(sample)
        if len(found) >= count:
            stop.set()
    return found


def test_every_attempt_is_on_disk_before_it_is_told(tmp_path: Path) -> None:
    file, stop, count = tmp_path / "web.jsonl", threading.Event(), 0
    check = timed_check(tmp_path, 0.1, 1, attempt(lambda _: 0))
    for count, (_, sample) in enumerate(keep_probing([check], stop), 1):
        assert read_samples(file)[count - 1] == sample
        if count == 3:
            stop.set()
    assert count >= 3


def test_one_that_hangs_delays_none_and_all_are_told_in_order(tmp_path: Path) -> None:
    slow = timed_check(tmp_path, 0.1, 1, attempt(lambda number: 0.75 if number == 2 else 0.01))
    found = probed(slow, count=12)
    starts = [sample.started_at for sample in found]
    assert starts == sorted(starts)
    steps = [(later - sooner).total_seconds() for sooner, later in pairwise(starts)]
    assert max(steps) < 0.3, steps  # it took 0.75 s; no tick in it was missed
    assert statistics.median(steps) == pytest.approx(0.1, abs=0.02)


def test_each_check_keeps_its_own_rhythm(tmp_path: Path) -> None:
    found = probed(
        timed_check(tmp_path, 0.1, 1, attempt(lambda _: 0, "often"), "often"),
        timed_check(tmp_path, 0.5, 1, attempt(lambda _: 0.3, "seldom"), "seldom"),
        count=24,
    )
    counts = {name: sum(sample.check == name for sample in found) for name in ("often", "seldom")}
    assert 3 <= counts["seldom"] <= 6
    assert counts["often"] >= 17


def test_each_service_has_samples_of_its_own_and_they_do_not_begin_together(tmp_path: Path) -> None:
    names = ("a", "b", "c", "d")
    checks = [timed_check(tmp_path, 0.4, 1, attempt(lambda _: 0), service=name) for name in names]
    found = probed(*checks, count=16)
    kept = {name: read_samples(tmp_path / f"{name}.jsonl") for name in names}
    assert sum(map(len, kept.values())) == len(found)
    assert all(3 <= len(samples) <= 5 for samples in kept.values())
    firsts = [kept[name][0].started_at for name in names]
    steps = [(later - sooner).total_seconds() for sooner, later in pairwise(firsts)]
    assert min(steps) > 0.05, steps  # a quarter of the interval apart


def test_one_that_never_ends_counts_as_failed_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "PATIENCE_SECONDS", 0.1)
    check = timed_check(tmp_path, 0.1, 0.2, attempt(lambda number: 5 if number == 1 else 0))
    found = probed(check, count=8)
    assert [sample.succeeded for sample in found[:4]] == [True, False, True, True]
    assert found[1].detail == "it did not come to an end"
    assert timedelta(seconds=0.3) <= found[1].ended_at - found[1].started_at < timedelta(seconds=1)


def test_not_more_hang_at_once_than_is_bearable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "MOST_AT_ONCE", 3)
    at_once, most, lock = 0, 0, threading.Lock()
    inner = attempt(lambda _: 0.35)

    def counted() -> dict[str, Any]:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        record = inner()
        with lock:
            at_once -= 1
        return record

    probed(timed_check(tmp_path, 0.1, 1, counted), count=8)
    assert most == 3


def test_what_is_under_way_when_it_is_stopped_is_still_told(tmp_path: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.25, stop.set).start()
    check = timed_check(tmp_path, 0.2, 1, attempt(lambda _: 0.4))
    assert len(list(keep_probing([check], stop))) == 2


LOAD = "import time\nwhile True: sum(range(10_000))"


def test_the_grid_holds_under_load(tmp_path: Path) -> None:
    """Twice as many busy processes as cores; the attempts themselves take between nothing and three intervals."""
    busy = [subprocess.Popen([sys.executable, "-c", LOAD]) for _ in range(4)]
    try:
        takes, begun = (0, 0.6, 0.05, 0.3), datetime.now(UTC)
        found = probed(timed_check(tmp_path, 0.2, 2, attempt(lambda number: takes[number % 4])), count=40)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    starts = [(sample.started_at - begun).total_seconds() for sample in found]
    late = [start % 0.2 for start in starts]
    # Other work of the machine delays single attempts. But nothing adds up: had each attempt waited for the one before,
    # the last ones would be seconds late, at any place between two ticks.
    assert statistics.median(late) < 0.1, late
    assert abs(statistics.median(late[-15:]) - statistics.median(late[:15])) < 0.1, late
    assert starts[-1] / 0.2 <= len(found) + 5, starts
