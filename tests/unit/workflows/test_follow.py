"""Following a recovery by ledger and samples alone, at every moment of its way, from beside whoever carries it out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from drp.domain.events import Event
from drp.domain.forecasts.estimates import Basis
from drp.domain.progress.run import Progress, Standing
from drp.workflows.follow import Following
from drp.workflows.recover import RecoveryRequest, recover, resume
from tests.fakes.world import Crash, Stage, make_stage

DRILL = RecoveryRequest(kind="drill", services=("pengaduan",), runbook="site-loss", by="siti", reason="rehearsal")


class Watcher:
    """Looks at a run each time that whoever carries it out waits."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.seen = stage, list[Progress]()
        self.following: Following | None = None
        self.names: list[str] = []

    @contextmanager
    def follow(self, run: str) -> Iterator[None]:
        self.names.append(run)
        clock, wait = self.stage.clock, self.stage.clock.sleep
        following = self.following = Following(self.stage.world, run)

        def sleep(seconds: float) -> None:
            wait(seconds)
            self.seen.append(following.look())

        clock.sleep = sleep  # type: ignore[method-assign]
        try:
            yield
        finally:
            clock.sleep = wait  # type: ignore[method-assign]
            self.seen.append(following.look())


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return make_stage(tmp_path)


def standings(watcher: Watcher, service: str) -> list[Standing]:
    """How a service stood, each change once."""
    found: list[Standing] = []
    for progress in watcher.seen:
        standing = next(item.standing for item in progress.services if item.service == service)
        if found[-1:] != [standing]:
            found.append(standing)
    return found


def test_a_drill_is_seen_from_its_first_step_to_its_end(stage: Stage) -> None:
    watcher = Watcher(stage)
    recovery = recover(replace(stage.world, follow=watcher.follow), DRILL)
    assert watcher.names == [recovery.run]
    assert standings(watcher, "pengaduan")[-1] is Standing.USABLE
    assert Standing.FAILED not in standings(watcher, "pengaduan")
    held = [item.hold_left for progress in watcher.seen for item in progress.services if item.hold_left is not None]
    assert held, "the probe was never seen to hold"
    assert watcher.seen[-1].path == ()
    ends = [progress.ends_at for progress in watcher.seen]
    assert all(end >= progress.at for end, progress in zip(ends, watcher.seen, strict=True))


def test_the_second_run_is_seen_beside_what_the_first_one_measured(stage: Stage) -> None:
    recover(stage.world, DRILL)
    watcher = Watcher(stage)
    recover(replace(stage.world, follow=watcher.follow), DRILL)
    assert watcher.following is not None
    found = watcher.following.estimates
    assert {name: found[name].basis for name in found} == dict.fromkeys(found, Basis.MEASURED)
    assert all(step.certain for progress in watcher.seen[:1] for step in progress.path)


def test_only_what_is_new_is_read(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = Watcher(stage)
    recovery = recover(replace(stage.world, follow=watcher.follow), DRILL)
    following = watcher.following
    assert following is not None
    read: list[int] = []
    events = stage.ledger.events

    def counted(run: str, after: int = 0) -> list[Event]:
        found = events(run, after)
        read.append(len(found))
        return found

    monkeypatch.setattr(stage.ledger, "events", counted)
    following.look()
    following.look()
    # The run's closing, which came after the last look; then nothing.
    assert read == [1, 0]
    assert following.look().is_closed
    assert recovery.closed is not None


def test_a_run_that_was_cut_off_and_resumed_is_followed_again(stage: Stage) -> None:
    stage.ledger.crash_at = 12
    with pytest.raises(Crash):
        recover(stage.world, DRILL)
    stage.ledger.crash_at = 0
    stage.locks.held.clear()
    run = stage.ledger.runs(kinds=("drill",))[0].run
    seen_between = Following(stage.world, run).look()
    assert not seen_between.is_closed
    watcher = Watcher(stage)
    resume(replace(stage.world, follow=watcher.follow), run)
    assert watcher.names == [run]
    assert standings(watcher, "pengaduan")[-1] is Standing.USABLE


def test_a_failure_is_seen_with_its_reason(stage: Stage) -> None:
    stage.script.failing.add("identitas-restore")
    watcher = Watcher(stage)
    recover(replace(stage.world, follow=watcher.follow), DRILL)
    last = {item.service: item for item in watcher.seen[-1].services}
    assert {item.standing for item in last.values()} == {Standing.FAILED}
    assert "it broke" in last["identitas"].failed[0][1]
    assert "identitas/verify" in last["pengaduan"].failed[0][1]
