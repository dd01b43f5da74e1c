"""The rules of copies, apart from any store."""

from __future__ import annotations

from datetime import timedelta

import pytest

from drp.domain.backups.copying import GRACE, StoredObject, arrival_of, kind_of, plan_copy, removable
from tests.fakes.city import NOW, make_restore_point

A, B, C = "a" * 64, "b" * 64, "c" * 64
PACK, INDEX, SNAPSHOT = f"data/aa/{A}", f"index/{B}", f"snapshots/{C}"
LONG_AGO = NOW - GRACE


def stored(*keys: str, size: int = 5) -> dict[str, StoredObject]:
    return {key: StoredObject(f"s/h/{key}", size, NOW) for key in keys}


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("config", "config"),
        (f"keys/{A}", "keys"),
        (PACK, "data"),
        (INDEX, "index"),
        (SNAPSHOT, "snapshots"),
        (f"locks/{A}", None),
        (f"data/{A}", None),
        (f"data/aa/{A}x", None),
        ("config/x", None),
        ("configuration", None),
        (f"snapshots/{A.upper()}", None),
        ("", None),
    ],
)
def test_only_what_restic_knows_is_an_object_of_a_repository(key: str, kind: str | None) -> None:
    assert kind_of(key) == kind


def test_objects_of_another_size_travel_again() -> None:
    plan = plan_copy(stored(PACK, INDEX), stored(PACK) | stored(INDEX, size=4), {}, NOW, renew_config=False)
    assert [item.key for stage in plan.stages for item in stage] == [f"s/h/{INDEX}"]
    assert (plan.objects, plan.bytes, plan.missed) == (1, 5, {})


def test_what_came_back_is_missed_no_more_and_a_clock_that_was_ahead_does_not_prolong_the_grace_time() -> None:
    before = {PACK: LONG_AGO, INDEX: NOW + timedelta(days=400)}
    plan = plan_copy(stored(PACK), stored(PACK, INDEX), before, NOW, renew_config=False)
    assert plan.missed == {INDEX: NOW}


def test_data_stays_as_long_as_a_snapshot_that_may_need_it() -> None:
    missed = {SNAPSHOT: LONG_AGO, INDEX: LONG_AGO, PACK: LONG_AGO}
    assert removable(missed, set(), NOW) == [[SNAPSHOT], [INDEX], [PACK], []]
    assert removable(missed, {C}, NOW) == [[], [], [], []]
    # A snapshot that went later did without the data already; one that went before may need it.
    later = missed | {SNAPSHOT: LONG_AGO + timedelta(seconds=1)}
    assert removable(later, set(), NOW) == [[], [INDEX], [PACK], []]


def test_the_grace_time_is_whole() -> None:
    missed = {SNAPSHOT: LONG_AGO + timedelta(microseconds=1)}
    assert removable(missed, set(), NOW) == [[], [], [], []]


def test_a_restore_point_has_arrived_when_its_last_snapshot_has() -> None:
    point = make_restore_point()
    names = [part.snapshot for part in point.snapshots]
    stamps = {name: NOW + timedelta(seconds=number) for number, name in enumerate(names)}
    assert arrival_of(point, stamps) == NOW + timedelta(seconds=2)
    assert arrival_of(point, {name: stamps[name] for name in names[1:]}) is None
    assert arrival_of(point, {}) is None
