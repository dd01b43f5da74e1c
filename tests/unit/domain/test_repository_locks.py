"""A lock is dead only where that is proved."""

from __future__ import annotations

from datetime import timedelta

import pytest

from drp.domain.backups.repository_locks import RepositoryLock, judge_locks
from tests.fakes.city import NOW


def lock(age: timedelta = timedelta(minutes=1)) -> RepositoryLock:
    return RepositoryLock("a" * 64, "balaikota-app-1", 812, "root", NOW - age, is_exclusive=True)


@pytest.mark.parametrize(
    ("alive", "living_runs", "age", "is_dead"),
    [
        (True, [], 1, False),
        (True, [], 600, False),  # its clock may be wrong; its process is there
        (True, ["backup-1"], 600, False),
        (False, [], 1, True),
        (False, ["backup-1"], 1, False),
        (False, ["backup-1"], 600, False),
        (None, [], 1, False),
        (None, [], 29, False),
        (None, [], 31, True),
        (None, ["backup-1"], 600, False),
    ],
)
def test_only_what_is_proved_dead_is_dead(alive: bool | None, living_runs: list[str], age: int, is_dead: bool) -> None:
    processes = {} if alive is None else {"balaikota-app-1": {"a" * 64: alive}}
    (verdict,) = judge_locks([lock(timedelta(minutes=age))], processes, living_runs, NOW)
    assert verdict.is_dead is is_dead
    assert verdict.why


def test_a_host_of_another_name_proves_nothing() -> None:
    (verdict,) = judge_locks([lock()], {"drc-app-1": {"a" * 64: False}}, [], NOW)
    assert not verdict.is_dead
    assert "could not be asked" in verdict.why
