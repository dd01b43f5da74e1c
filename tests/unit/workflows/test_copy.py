"""Copies at another DR centre: whatever happens, and wherever it is cut off, each snapshot that a copy shows can be
restored from it."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from drp.domain.backups.copying import GRACE
from drp.domain.backups.restore_point import RestorePoint
from drp.domain.protection.problems import problems_of
from drp.domain.schedules.due import Why
from drp.errors import BusyError, DrpError, IntegrityError, UnreachableError, UsageError
from drp.workflows.backup_status import backup_status
from drp.workflows.copy import copied_services, copy, copy_after_backup
from drp.workflows.recover import RecoveryRequest, recover
from drp.workflows.repository import centres_with, copy_lock, points_at
from drp.workflows.schedule import decisions_of, run_lane
from drp.workflows.task_kinds import TASK_KINDS
from tests.fakes.city import NOW, make_city, make_restore_point, service_record, workspace_record
from tests.fakes.repository import FakeRepository, contents, unrestorable
from tests.fakes.world import Crash, Stage, make_stage

SERVICE, HOST = "pengaduan", "pengaduan-1"
PREFIX = f"{SERVICE}/{HOST}/"
HERE, THERE = "drp-bogor", "drp-salinan"


def workspace() -> dict[str, Any]:
    centres = workspace_record()["dr_centres"]
    other = centres["drc"] | {"title": "Second", "endpoint": "https://192.0.2.11:9000", "bucket": THERE}
    third = centres["drc"] | {"title": "Third", "endpoint": "https://192.0.2.12:9000", "bucket": "third"}
    return {"dr_centres": centres | {"kedua": other, "ketiga": third}}


class Copying:
    """A stage whose one service is copied, and its repository."""

    def __init__(self, folder: Path, *copies: dict[str, Any]) -> None:
        record = service_record(SERVICE)
        record["backup"]["copies"] = list(copies) or [{"dr_centre": "kedua"}]
        city = make_city(record, workspace=workspace())
        self.stage: Stage = make_stage(folder, city, restore_points=False)
        self.store, self.world, self.ledger = self.stage.store, self.stage.world, self.stage.ledger
        self.here = self.store.buckets.setdefault(HERE, {})
        self.repository = FakeRepository(self.here, PREFIX, NOW)
        self.points: dict[str, str] = {}

    @property
    def there(self) -> Any:
        return self.store.buckets.setdefault(THERE, {})

    def back_up(self, *blobs: int) -> str:
        """A backup; gives its restore point."""
        self.stage.clock.at += timedelta(minutes=10)
        snapshot = self.repository.back_up(blobs)
        point = make_restore_point(SERVICE, at=self.stage.clock.at)
        name = f"{point.id}-{len(self.points)}"
        parts = tuple(replace(part, snapshot=snapshot) for part in point.snapshots)  # one stands for all
        point = replace(point, id=name, snapshots=parts)
        self.ledger.open_run(name, "backup", "0" * 64, [SERVICE], {})
        self.ledger.append(name, "restore_point.recorded", point.record())
        self.ledger.append(name, "run.closed", {"outcome": "done", "exit_code": 0})
        self.points[name] = snapshot
        return name

    def forget(self, point: str) -> None:
        self.repository.forget(self.points[point])
        run = f"forget-{point}"
        self.ledger.open_run(run, "forget", "0" * 64, [SERVICE], {})
        self.ledger.append(run, "restore_point.forgotten", {"id": point})
        self.ledger.append(run, "run.closed", {"outcome": "done", "exit_code": 0})

    def point(self, name: str) -> RestorePoint:
        return next(point for point in self.ledger.restore_points(SERVICE) if point.id == name)

    def copy(self) -> None:
        """It must go well."""
        for result in copy(self.world, [SERVICE]):
            if result.error is not None:
                raise result.error

    def later(self, by: timedelta) -> None:
        self.stage.clock.at += by
        self.store.at = self.stage.clock.at


@pytest.fixture
def copying(tmp_path: Path) -> Copying:
    return Copying(tmp_path)


def folder(bucket: Any, name: str) -> set[str]:
    return set(contents(bucket, PREFIX, name))


def test_a_copy_has_the_same_objects_and_is_recorded_with_the_other_centres_own_time(copying: Copying) -> None:
    first, second = copying.back_up(1, 2), copying.back_up(2, 3)
    copying.store.at = copying.stage.clock.at - timedelta(seconds=3)
    (result,) = copy(copying.world, [SERVICE])
    assert copying.there == {key: (content, copying.store.at) for key, (content, _) in copying.here.items()}
    assert (result.error, result.objects, result.restore_points) == (None, 8, [first, second])
    recorded = copying.ledger.copies(SERVICE)
    assert {(item.restore_point, item.dr_centre, item.arrived_at) for item in recorded} == {
        (name, "kedua", copying.store.at) for name in (first, second)
    }
    row = copying.ledger.run(result.run)
    assert (row.kind, row.outcome, row.exit_code) == ("copy", "done", 0)
    assert copying.ledger.copy_states()[SERVICE, "kedua"].outcome == "done"


def test_only_what_is_new_travels_and_nothing_is_recorded_twice(copying: Copying) -> None:
    copying.back_up(1)
    copying.copy()
    copying.store.copied.clear()
    copying.copy()
    assert copying.store.copied == []
    second = copying.back_up(1, 2)
    (result,) = copy(copying.world, [SERVICE])
    assert (len(copying.store.copied), result.restore_points) == (3, [second])
    assert len(copying.ledger.copies(SERVICE)) == 2


def test_locks_and_strange_objects_are_not_copied(copying: Copying) -> None:
    copying.back_up(1)
    for key in (f"locks/{'a' * 64}", "data/ab/short", "index/x.tmp", "README"):
        copying.here[PREFIX + key] = (b"{}", NOW)
    copying.copy()
    kinds = {key.removeprefix(PREFIX).split("/")[0] for key in copying.there}
    assert kinds == {"config", "keys", "data", "index", "snapshots"}
    assert len(copying.there) == 5


def test_objects_come_in_an_order_in_which_no_snapshot_comes_before_what_it_needs(copying: Copying) -> None:
    copying.back_up(1)
    copying.copy()
    order = [key.removeprefix(PREFIX).split("/")[0] for key in copying.store.copied]
    assert order == ["config", "keys", "data", "index", "snapshots"]


def test_a_damaged_object_stops_the_copy_before_any_new_snapshot(copying: Copying) -> None:
    good = copying.back_up(1)
    copying.copy()
    copying.back_up(2)
    (pack,) = set(contents(copying.here, PREFIX, "data")) - folder(copying.there, "data")
    copying.store.damaged = {f"{PREFIX}data/{pack[:2]}/{pack}"}
    (result,) = copy(copying.world, [SERVICE])
    assert isinstance(result.error, IntegrityError)
    assert pack in str(result.error)
    assert (copying.ledger.run(result.run).outcome, copying.ledger.run(result.run).exit_code) == ("failed", 13)
    assert pack not in folder(copying.there, "data")
    assert folder(copying.there, "snapshots") == {copying.points[good]}
    assert [item.restore_point for item in copying.ledger.copies(SERVICE)] == [good]
    copying.store.damaged.clear()
    copying.copy()
    assert unrestorable(copying.there, PREFIX) == []


def test_what_went_at_the_source_stays_for_the_grace_time_and_then_goes(copying: Copying) -> None:
    old, kept = copying.back_up(1, 2), copying.back_up(2, 3)
    copying.copy()
    copying.forget(old)
    copying.repository.prune()
    copying.copy()
    assert folder(copying.there, "snapshots") == set(copying.points.values())
    assert unrestorable(copying.there, PREFIX) == []
    copying.later(GRACE - timedelta(minutes=1))
    copying.copy()
    assert len(folder(copying.there, "snapshots")) == 2
    copying.later(timedelta(minutes=2))
    (result,) = copy(copying.world, [SERVICE])
    assert (result.error, result.removed) == (None, 4)  # a snapshot, two indexes, a pack
    assert folder(copying.there, "snapshots") == {copying.points[kept]}
    assert {key for key in copying.there if key.startswith(PREFIX)} == set(copying.here)
    assert unrestorable(copying.there, PREFIX) == []


@pytest.mark.parametrize("requests", range(8, 22))
def test_a_removal_that_is_cut_off_leaves_no_snapshot_without_its_data(copying: Copying, requests: int) -> None:
    old, _kept = copying.back_up(1, 2), copying.back_up(2, 3)
    copying.copy()
    copying.forget(old)
    copying.repository.prune()
    copying.copy()
    copying.later(GRACE)
    cut_off(copying, requests)
    assert unrestorable(copying.there, PREFIX) == []
    copying.copy()
    assert {key for key in copying.there if key.startswith(PREFIX)} == set(copying.here)


def test_a_snapshot_that_drp_did_not_forget_is_never_removed_and_its_loss_is_told(copying: Copying) -> None:
    stolen, _kept = copying.back_up(1), copying.back_up(2)
    copying.copy()
    copying.repository.forget(copying.points[stolen])
    copying.repository.prune()
    for _ in range(3):
        (result,) = copy(copying.world, [SERVICE])
        assert isinstance(result.error, IntegrityError)
        assert stolen in str(result.error)
        assert "--from kedua" in result.error.hint
        copying.later(2 * GRACE)
    assert folder(copying.there, "snapshots") == set(copying.points.values())
    assert unrestorable(copying.there, PREFIX) == []


def test_a_repository_that_is_gone_or_began_anew_touches_no_copy(copying: Copying) -> None:
    copying.back_up(1)
    copying.copy()
    whole = dict(copying.there)
    del copying.here[f"{PREFIX}config"]
    (result,) = copy(copying.world, [SERVICE])
    assert isinstance(result.error, IntegrityError)
    assert "the repository is gone" in str(result.error)
    copying.here.clear()
    copying.repository = FakeRepository(copying.here, PREFIX, NOW)
    copying.repository.key = copying.repository._put("keys", {"user": "another"})
    for key in [key for key in copying.here if key in whole and "/keys/" in key]:
        del copying.here[key]
    copying.here[f"{PREFIX}config"] = (b"another repository", NOW)
    (result,) = copy(copying.world, [SERVICE])
    assert isinstance(result.error, IntegrityError)
    assert "another repository" in str(result.error)
    assert copying.there == whole


def test_a_changed_configuration_of_the_same_repository_is_copied(copying: Copying) -> None:
    copying.back_up(1)
    copying.copy()
    copying.here[f"{PREFIX}config"] = (b"THE REPOSITORY'S NUMBER", NOW)  # as long as before
    copying.copy()
    assert copying.there[f"{PREFIX}config"][0] == b"THE REPOSITORY'S NUMBER"


def test_notes_that_cannot_be_read_remove_nothing(copying: Copying) -> None:
    old, _ = copying.back_up(1), copying.back_up(2)
    copying.copy()
    copying.forget(old)
    copying.copy()
    notes = f".drp/copies/{PREFIX.rstrip('/')}.json"
    assert len(json.loads(copying.there[notes][0])["gone_since"]) == 1
    copying.there[notes] = (b"[1, 2", NOW)
    copying.later(2 * GRACE)
    copying.copy()
    assert len(folder(copying.there, "snapshots")) == 2
    copying.later(2 * GRACE)
    copying.copy()
    assert len(folder(copying.there, "snapshots")) == 1


@pytest.mark.parametrize("side", [HERE, THERE])
def test_an_unreachable_side_is_named(copying: Copying, side: str) -> None:
    copying.back_up(1)
    copying.store.refusing = {side}
    (result,) = copy(copying.world, [SERVICE])
    assert isinstance(result.error, UnreachableError)
    assert side in str(result.error)
    assert copying.ledger.run(result.run).exit_code == 12
    copying.store.refusing.clear()
    copying.copy()


def test_one_centre_that_fails_does_not_keep_the_other(tmp_path: Path) -> None:
    copying = Copying(tmp_path, {"dr_centre": "kedua"}, {"dr_centre": "ketiga"})
    point = copying.back_up(1)
    copying.store.refusing = {THERE}
    failed, done = copy(copying.world, [SERVICE])
    assert isinstance(failed.error, UnreachableError)
    assert (done.error, done.restore_points) == (None, [point])
    assert copying.ledger.run(failed.run).outcome == "failed"
    assert copying.ledger.run(done.run).outcome == "done", "what failed at one says nothing of another"
    states = {centre: state.outcome for (_, centre), state in copying.ledger.copy_states().items()}
    assert states == {"kedua": "failed", "ketiga": "done"}
    before = copying.ledger.copy_states()
    copying.ledger.rebuild_projections()
    assert copying.ledger.copy_states() == before
    (status,) = backup_status(copying.world, [SERVICE])
    assert [problem.key for problem in problems_of(status) if problem.kind == "copy-failed"] == [
        f"{SERVICE}/copy-failed/kedua"
    ]


def test_a_run_of_an_older_drp_that_made_several_copies_counts_for_each(copying: Copying) -> None:
    plan = {"service": SERVICE, "dr_centres": ["kedua", "ketiga"]}
    copying.ledger.open_run("copy-1", "copy", "0" * 64, [SERVICE], {"plan": plan})
    assert {centre: state.is_open for (_, centre), state in copying.ledger.copy_states().items()} == {
        "kedua": True,
        "ketiga": True,
    }
    copying.back_up(1)
    copying.copy()
    assert {centre: state.outcome for (_, centre), state in copying.ledger.copy_states().items()} == {
        "kedua": "done",
        "ketiga": "failed",
    }, "it was cut off, and nobody goes on with both at once"


def test_each_dr_centre_is_copied_to_by_its_own_schedule(tmp_path: Path) -> None:
    copying = Copying(tmp_path, {"dr_centre": "kedua", "schedule": "daily 02:00"}, {"dr_centre": "ketiga"})
    copying.back_up(1)
    copying.store.refusing = {"third"}
    (due,) = [found for found in decisions_of(copying.world, kinds=("copy",)) if found.is_due]
    assert due.task.name == "copy to ketiga"
    (outcome,) = run_lane(copying.world, "copy", {"copy": TASK_KINDS["copy"]})
    assert isinstance(outcome.error, UnreachableError)
    waiting = {found.task.dr_centre: found for found in decisions_of(copying.world, kinds=("copy",))}
    assert (waiting["ketiga"].is_due, waiting["ketiga"].why) == (False, Why.RETRY)
    assert waiting["kedua"].next_at is not None
    copying.store.refusing = set()
    copying.later(timedelta(days=1))
    outcomes = run_lane(copying.world, "copy", {"copy": TASK_KINDS["copy"]})
    assert {found.decision.task.dr_centre: found.error for found in outcomes} == {"kedua": None, "ketiga": None}


def test_copies_with_a_schedule_of_their_own_wait_for_it(tmp_path: Path) -> None:
    copying = Copying(tmp_path, {"dr_centre": "kedua", "schedule": "daily 02:00"}, {"dr_centre": "ketiga"})
    copying.back_up(1)
    (result,) = copy_after_backup(copying.world, [SERVICE])
    assert (result.dr_centre, result.error) == ("ketiga", None)


def test_a_copy_does_not_run_beside_another_or_beside_what_removes(copying: Copying) -> None:
    copying.back_up(1)
    copying.world.locks.acquire(copy_lock(copying.world.city.services[SERVICE]), "drp prune")
    (result,) = copy(copying.world, [SERVICE])
    assert isinstance(result.error, BusyError)
    assert not copying.ledger.runs(kinds=("copy",))


def test_what_cannot_be_copied_is_told(copying: Copying) -> None:
    (result,) = copy(copying.world, [SERVICE])
    assert isinstance(result.error, UsageError)
    assert "back it up first" in result.error.hint
    with pytest.raises(UsageError, match="no service 'x'"):
        copied_services(copying.world, ["x"])


def test_a_recovery_restores_from_a_copy_and_its_plan_says_so(tmp_path: Path) -> None:
    copying = Copying(tmp_path)
    name = copying.back_up(1)
    request = RecoveryRequest("drill", (SERVICE,), "site-loss", "siti", "rehearsal", from_centre="kedua")
    with pytest.raises(UsageError, match="no such restore point at DR centre kedua"):
        recover(copying.world, request)
    copying.copy()
    copying.back_up(2)  # newer, and not there yet
    recovery = recover(copying.world, request)
    point = recovery.point_of(SERVICE)
    assert point is not None
    assert (point.id, point.dr_centre) == (name, "kedua")
    variables = copying.stage.actions.specs[f"{SERVICE}-restore"]["variables"]
    urls = {job["repository"]["url"] for job in variables["drp_jobs"]}
    assert urls == {f"s3:https://192.0.2.11:9000/{THERE}/{SERVICE}/{HOST}"}


def test_restores_find_the_copy_beside_the_original(copying: Copying) -> None:
    name = copying.back_up(1)
    point, service = copying.point(name), copying.world.city.services[SERVICE]
    assert [centre.bucket for centre in centres_with(copying.world, point)] == [HERE]
    assert points_at(copying.world, service, [point], "kedua") == []
    copying.copy()
    assert [centre.bucket for centre in centres_with(copying.world, point)] == [HERE, THERE]
    (copied,) = points_at(copying.world, service, [point], "kedua")
    assert copied.repositories == {HOST: f"s3:https://192.0.2.11:9000/{THERE}/{SERVICE}/{HOST}"}
    assert (copied.dr_centre, copied.snapshots) == ("kedua", point.snapshots)
    assert points_at(copying.world, service, [point], "drc") == [point]
    with pytest.raises(UsageError, match="no DR centre 'x'"):
        points_at(copying.world, service, [point], "x")


def cut_off(copying: Copying, requests: int) -> None:
    """A copy of which drp dies after so many requests, whatever they are; or that goes well, where it needs fewer."""
    left = requests

    def die(_key: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Crash

    copying.store.on_request = die
    try:
        copy(copying.world, [SERVICE])
    except Crash:
        copying.stage.locks.held.clear()  # the kernel does it
    finally:
        copying.store.on_request = lambda _: None


def beside_a_backup(copying: Copying, chance: random.Random) -> str:
    """A copy, and a backup that begins and ends before its n-th request."""
    left, point = chance.randrange(0, 25), ""

    def back_up(_key: str) -> None:
        nonlocal left, point
        left -= 1
        if left == 0 or (left < 0 and not point):
            point = copying.back_up(*chance.sample(range(12), 4))

    copying.store.on_request = back_up
    try:
        copying.copy()
    finally:
        copying.store.on_request = lambda _: None
    return point or copying.back_up(1)


@pytest.mark.parametrize("seed", range(40))
def test_wherever_copies_are_cut_off_each_snapshot_they_show_can_be_restored(tmp_path: Path, seed: int) -> None:
    """Backups, forgets, prunes and copies in any order, many of them cut off in the middle."""
    chance = random.Random(seed)
    copying = Copying(tmp_path)
    alive = [copying.back_up(*chance.sample(range(12), 4))]
    for _ in range(25):
        steps = ("back up", "back up", "forget", "prune", "cut off", "cut off", "copy", "beside", "beside", "wait")
        match chance.choice(steps):
            case "back up":
                alive.append(copying.back_up(*chance.sample(range(12), chance.randrange(1, 6))))
            case "forget" if len(alive) > 1:
                copying.forget(alive.pop(chance.randrange(len(alive))))
            case "prune":
                copying.repository.prune()
            case "cut off":
                cut_off(copying, chance.randrange(0, 30))
            case "copy":
                copying.copy()
            case "beside":
                alive.append(beside_a_backup(copying, chance))
            case "wait":
                copying.later(timedelta(days=chance.choice((1, 4, 8))))
        assert unrestorable(copying.here, PREFIX) == []
        assert unrestorable(copying.there, PREFIX) == []
    copying.copy()
    for _ in range(2):  # the last ones to go were first missed just now
        copying.later(GRACE)
        copying.copy()
    assert {key for key in copying.there if key.startswith(PREFIX)} == set(copying.here)
    assert {item.restore_point for item in copying.ledger.copies(SERVICE)} == set(alive)
    closed = [row.outcome for row in copying.ledger.runs(kinds=("copy",))]
    assert set(closed) <= {"done", "failed"}


def test_a_copy_that_was_cut_off_goes_on_in_its_own_run(copying: Copying) -> None:
    copying.back_up(1, 2)

    def die(key: str) -> None:
        if "/index/" in key:
            raise Crash

    copying.store.on_request = die
    with pytest.raises(Crash):
        copy(copying.world, [SERVICE])
    copying.stage.locks.held.clear()
    copying.store.on_request = lambda _: None
    before = len(copying.store.copied)
    (result,) = copy(copying.world, [SERVICE])
    assert isinstance(result.error, DrpError | None)
    assert [row.run for row in copying.ledger.runs(kinds=("copy",))] == [result.run]
    assert len(copying.store.copied) == before + 2
