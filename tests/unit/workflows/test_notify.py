"""Figures and messages after a backup: each change is told once, and kept in the ledger when it was."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from drp.domain.protection.notices import State
from drp.errors import BusyError, UnreachableError, UsageError
from drp.workflows.notify import LOCK, note_state, send_test
from tests.fakes.city import make_city
from tests.fakes.world import Stage, make_stage

NOTIFICATIONS = {"urls": [{"env": "X"}]}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return make_stage(tmp_path, make_city(workspace={"notifications": NOTIFICATIONS}))


def runs(stage: Stage) -> int:
    return len(stage.ledger.runs(kinds=("notify",)))


def test_a_breach_is_told_once_and_its_end(stage: Stage) -> None:
    note_state(stage.world)
    assert stage.messenger.sent == []
    assert runs(stage) == 0
    stage.clock.at += timedelta(hours=1)
    note_state(stage.world)
    note_state(stage.world)
    ((title, body),) = stage.messenger.sent
    assert title == "drp: 2 services: 2 wrong"
    assert "a disaster now would cost 1 h 6 m of data; the RPO is 15 m" in body
    assert runs(stage) == 1
    assert stage.ledger.notices()["pengaduan/rpo"].told_at is not None
    for row in stage.ledger.runs(kinds=("notify",)):
        assert row.outcome == "done"
        stage.ledger.verify(row.run)


def test_what_nobody_heard_is_told_again(stage: Stage) -> None:
    stage.clock.at += timedelta(hours=1)
    stage.messenger.down = True
    note_state(stage.world)
    note_state(stage.world)
    assert stage.ledger.notices()["pengaduan/rpo"].told_at is None
    assert runs(stage) == 1, "what was noticed is written once"
    assert stage.said[-1] == "notifications: it did not take the message"
    stage.messenger.down = False
    note_state(stage.world)
    assert len(stage.messenger.sent) == 1
    assert stage.ledger.notices()["pengaduan/rpo"].state == State.WRONG
    assert stage.ledger.notices()["pengaduan/rpo"].told_at is not None


def test_another_drp_that_tells_is_left_to_it(stage: Stage) -> None:
    stage.clock.at += timedelta(hours=1)
    stage.locks.acquire(LOCK, "another")
    note_state(stage.world)
    assert stage.messenger.sent == []
    stage.locks.release(LOCK)
    note_state(stage.world)
    assert stage.locks.held == {}
    assert len(stage.messenger.sent) == 1


def test_figures_are_published_also_where_nobody_is_told(tmp_path: Path) -> None:
    stage = make_stage(tmp_path)
    note_state(stage.world)
    assert stage.figures.published == []
    stage.figures.wanted = True
    note_state(stage.world)
    assert {status.service for status in stage.figures.published} == {"identitas", "pengaduan"}
    assert runs(stage) == 0


def test_a_ledger_that_is_busy_harms_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object) -> None:
        raise BusyError("the ledger is being written by others")

    monkeypatch.setattr(stage.ledger, "protection", busy)
    note_state(stage.world)
    assert stage.said == ["notifications: the ledger is being written by others"]


def test_a_test_message_says_that_it_is_one(stage: Stage) -> None:
    assert send_test(stage.world).reached == 1
    ((title, body),) = stage.messenger.sent
    assert "test" in title
    assert "Nothing to do" in body
    stage.messenger.down = True
    with pytest.raises(UnreachableError, match="nobody could be told"):
        send_test(stage.world)


def test_without_addresses_there_is_nobody_to_test(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nobody to tell"):
        send_test(make_stage(tmp_path).world)
