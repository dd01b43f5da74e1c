"""What workflows rely on in `Lock` holds for the fake as for the real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from drp.adapters.lock import FileLocks
from drp.errors import BusyError
from drp.ports import Lock
from tests.fakes.world import FakeLocks


@pytest.fixture(params=["fake", "real"])
def locks(request: pytest.FixtureRequest, tmp_path: Path) -> Lock:
    return FakeLocks() if request.param == "fake" else FileLocks(tmp_path / "locks")


def test_a_held_lock_is_busy_and_names_its_holder(locks: Lock) -> None:
    locks.acquire("recovery", "drp drill")
    with pytest.raises(BusyError, match="drp drill is at work here") as caught:
        locks.acquire("recovery", "drp failover")
    assert caught.value.where == "recovery"
    locks.release("recovery")


def test_a_released_lock_can_be_held_again(locks: Lock) -> None:
    for _ in range(2):
        locks.acquire("recovery", "drp drill")
        locks.release("recovery")


def test_locks_of_other_names_do_not_disturb_each_other(locks: Lock) -> None:
    locks.acquire("backup-a", "one")
    locks.acquire("backup-b", "two")
    locks.release("backup-a")
    with pytest.raises(BusyError, match="two"):
        locks.acquire("backup-b", "three")
    locks.release("backup-b")


def test_releasing_what_is_not_held_does_nothing(locks: Lock) -> None:
    locks.release("recovery")
    locks.acquire("recovery", "drp drill")
    locks.release("recovery")
