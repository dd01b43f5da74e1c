"""Checks of copies: what is damaged or missing at one is named, and nothing is called good that was not looked at."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from drp.domain.events import Body
from drp.errors import DrpError, IntegrityError, UnreachableError
from drp.workflows.check import check
from drp.workflows.upkeep import UpkeepResult
from tests.fakes.actions import Ending
from tests.fakes.city import make_restore_point
from tests.fakes.repository import FakeRepository
from tests.unit.workflows.test_copy import HERE, HOST, PREFIX, SERVICE, THERE, Copying

GOOD = {"good": True, "hit": [], "checks": []}


class Checking(Copying):
    """Two restore points, both copied; the source's own check finds nothing, or that the DR centre is away."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.stage.actions.script = self.answer
        self.first = self.back_up(1, 2)
        self.second = self.back_up(2, 3)
        self.copy()
        self.store.read_keys.clear()

    def back_up(self, *blobs: int) -> str:
        self.repository.now = self.stage.clock.at + timedelta(minutes=10)
        return super().back_up(*blobs)

    def back_up_at_the_recovery_site(self, *blobs: int) -> str:
        """A backup into the repository of the host that stands in; gives its snapshot's name."""
        self.stage.clock.at += timedelta(minutes=10)
        self.repository.now = self.stage.clock.at
        snapshot = self.repository.back_up(blobs)
        point = make_restore_point(SERVICE, at=self.stage.clock.at)
        url = point.repositories[HOST].replace(HOST, RECOVERY_HOST)
        parts = tuple(replace(part, snapshot=snapshot) for part in point.snapshots)
        point = replace(point, id=f"{point.id}-r", site="recovery", repositories={RECOVERY_HOST: url}, snapshots=parts)
        self.ledger.open_run(point.id, "backup", "0" * 64, [SERVICE], {})
        self.ledger.append(point.id, "restore_point.recorded", point.record())
        self.ledger.append(point.id, "run.closed", {"outcome": "done", "exit_code": 0})
        return snapshot

    def answer(self, _name: str, spec: Body) -> Ending:
        if HERE in self.store.refusing:
            trouble = {"event": "trouble", "kind": "unreachable", "text": "it does not answer", "dataset": ""}
            return Ending(1, [trouble])
        checks = [
            {"part": part, "parts": of, "good": True, "doubted": False, "packs": [], "text": ""}
            for part, of in spec["job"]["parts"]
        ]
        return Ending(0, [{"event": "result", "result": GOOD | {"checks": checks}}])

    def check(self, *, everything: bool = True) -> UpkeepResult:
        self.stage.clock.at += timedelta(days=1)
        (result,) = check(self.world, [SERVICE], everything=everything)
        return result

    def verdicts(self, run: str) -> list[tuple[str, bool]]:
        return [(row.dr_centre, row.is_good) for row in self.ledger.checks(SERVICE) if row.run == run]

    def names(self) -> set[str]:
        """All objects of the copy but `config`."""
        return {key for key in self.there if key.startswith(PREFIX) and key != f"{PREFIX}config"}

    def pack(self, bucket: Any) -> str:
        keys: list[str] = sorted(bucket)
        return next(key for key in keys if key.startswith(f"{PREFIX}data/"))

    def flip(self, key: str) -> tuple[bytes, Any]:
        content, at = self.there[key]
        self.there[key] = (bytes([content[0] ^ 1]) + content[1:], at)
        return content, at


@pytest.fixture
def checking(tmp_path: Path) -> Checking:
    return Checking(tmp_path)


def copy_of(result: UpkeepResult) -> Body:
    (found,) = [item for item in result.body["repositories"] if item["dr_centre"] == "kedua"]
    return dict(found)


def test_a_good_copy_is_read_whole_and_recorded_as_its_own(checking: Checking) -> None:
    result = checking.check()
    assert result.error is None
    assert checking.verdicts(result.run) == [("drc", True), ("kedua", True)]
    found = copy_of(result)
    assert (found["host"], found["good"], found["compared"], found["parts"]) == (HOST, True, "source", [[1, 1]])
    assert sorted(checking.store.read_keys) == sorted(checking.names())


def test_turns_of_a_copy_read_all_of_it(checking: Checking) -> None:
    for _ in range(30):
        assert checking.check(everything=False).error is None
    assert set(checking.store.read_keys) == checking.names()
    assert len(checking.store.read_keys) < 3 * len(checking.names())


def test_a_newer_backup_that_is_not_copied_yet_is_no_damage(checking: Checking) -> None:
    checking.back_up(7)
    assert checking.check().error is None


def test_a_flipped_byte_is_found_and_named_and_stays_bad_until_it_is_read_again(checking: Checking) -> None:
    key = checking.pack(checking.there)
    whole = checking.flip(key)
    result = checking.check()
    assert isinstance(result.error, IntegrityError)
    assert key.removeprefix(PREFIX) in str(result.error)
    assert "at kedua" in str(result.error)
    assert checking.verdicts(result.run) == [("drc", True), ("kedua", False)]
    assert checking.ledger.run(result.run).exit_code == 13
    assert checking.ledger.marks(SERVICE) == [], "the source's restore points are whole"
    checking.there[key] = whole
    assert checking.check().error is None


@pytest.mark.parametrize("folder", ["config", "keys/", "data/", "index/", "snapshots/"])
def test_an_object_that_is_gone_is_missed_whatever_it_is(checking: Checking, folder: str) -> None:
    key = next(key for key in sorted(checking.there) if key.startswith(PREFIX + folder))
    del checking.there[key]
    result = checking.check(everything=False)
    assert isinstance(result.error, IntegrityError)
    assert f"missing: {key.removeprefix(PREFIX)}" in str(result.error)
    assert ("kedua", False) in checking.verdicts(result.run)
    assert ("kedua", True) not in checking.verdicts(result.run)


def test_another_configuration_is_damage(checking: Checking) -> None:
    checking.flip(f"{PREFIX}config")
    assert "damaged: config" in str(checking.check().error)


def test_a_source_that_is_cut_short_does_not_make_its_copy_bad(checking: Checking) -> None:
    key = checking.pack(checking.here)
    content, at = checking.here[key]
    checking.here[key] = (content[:-1], at)
    result = checking.check(everything=False)
    assert result.error is None
    assert any("check the source" in line for line in checking.stage.said)


def test_a_copy_that_is_cut_short_is_damaged_whoever_s_turn_it_is(checking: Checking) -> None:
    key = checking.pack(checking.there)
    content, at = checking.there[key]
    checking.there[key] = (content[:-1], at)
    assert f"damaged: {key.removeprefix(PREFIX)}" in str(checking.check(everything=False).error)


def test_a_copy_is_checked_while_its_source_is_away(checking: Checking) -> None:
    checking.store.refusing.add(HERE)
    result = checking.check()
    assert isinstance(result.error, DrpError)
    assert not isinstance(result.error, IntegrityError), "nothing is known of the source"
    assert checking.verdicts(result.run) == [("kedua", True)]
    assert copy_of(result)["compared"] == "ledger"
    assert any("compared with the ledger alone" in line for line in checking.stage.said)
    checking.flip(checking.pack(checking.there))
    damaged = checking.check()
    assert isinstance(damaged.error, IntegrityError), "damage counts for more than what could not be looked at"
    assert checking.verdicts(damaged.run) == [("kedua", False)]


RECOVERY_HOST = f"drc-{HOST}"


def test_after_a_failover_each_repository_of_a_copy_is_asked_for_its_own_snapshots(checking: Checking) -> None:
    """The recovery site has a repository of its own. While the source is away, the ledger says what must lie where."""
    prefix = f"{SERVICE}/{RECOVERY_HOST}/"
    checking.repository = FakeRepository(checking.here, prefix, checking.stage.clock.at)
    there = checking.back_up_at_the_recovery_site(4, 5)
    checking.copy()
    assert {key for key in checking.there if key.startswith(prefix + "snapshots/")} == {prefix + "snapshots/" + there}
    checking.store.refusing.add(HERE)
    result = checking.check()
    assert not isinstance(result.error, IntegrityError), result.error
    found = [item for item in result.body["repositories"] if item["dr_centre"] == "kedua"]
    assert [(item["host"], item["good"], item["compared"]) for item in found] == [
        (RECOVERY_HOST, True, "ledger"),
        (HOST, True, "ledger"),
    ]
    whole = checking.there.pop(prefix + "snapshots/" + there)
    assert f"missing: snapshots/{there}" in str(checking.check().error), "each is still missed where it belongs"
    checking.there[prefix + "snapshots/" + there] = whole
    assert checking.verdicts(checking.check().run) == [("kedua", True)] * 2


def test_what_is_missing_stays_so_while_the_source_is_away(checking: Checking) -> None:
    key = checking.pack(checking.there)
    whole = checking.there.pop(key)
    checking.check()
    checking.store.refusing.add(HERE)
    for _ in range(3):
        assert checking.verdicts(checking.check().run) == [("kedua", False)]
    checking.there[key] = whole
    assert checking.verdicts(checking.check().run) == [("kedua", True)]


def test_a_copy_that_is_away_has_no_verdict(checking: Checking) -> None:
    checking.store.refusing.add(THERE)
    result = checking.check()
    assert isinstance(result.error, UnreachableError)
    assert checking.verdicts(result.run) == [("drc", True)]


def test_a_damaged_copy_does_not_keep_the_source_from_being_trusted_again(checking: Checking) -> None:
    checking.flip(checking.pack(checking.there))
    checking.check()
    body = {"id": checking.first, "service": SERVICE, "reason": "check-1 found damage in the repository of x"}
    checking.ledger.open_run("check-1", "check", "0" * 64, [SERVICE], {})
    checking.ledger.append("check-1", "restore_point.distrusted", body)
    checking.ledger.append("check-1", "run.closed", {"outcome": "failed", "exit_code": 13})
    assert [mark.mark for mark in checking.ledger.marks(SERVICE)] == ["distrusted"]
    checking.check()
    assert checking.ledger.marks(SERVICE) == []
