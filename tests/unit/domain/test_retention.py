"""Whatever restic says and whatever is held, what must stay stays, and what belongs to others is never named."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drp.domain.backups.record import Proof
from drp.domain.backups.restore_point import RestorePoint, Snapshot
from drp.domain.backups.retention import (
    Decision,
    Guards,
    Listed,
    PartAnswer,
    RepositoryView,
    RunFate,
    decide,
    newest_proven,
    policy_arguments,
    policy_of,
)
from drp.domain.backups.settings import BackupDefaults, Retention
from drp.domain.inventory import Tier
from drp.domain.service import Service
from drp.errors import IntegrityError
from tests.fakes.city import NOW, make_restore_point, service_record

HOST = "pengaduan-1"
NOTHING = Guards(held={}, proven=(), copied={})


def policy(**changes: Any) -> Retention:
    return Retention.model_validate({"last": 1, "minimum_points": 1, "minimum_age": "0s"} | changes)


def point(days: int, site: str = "primary") -> RestorePoint:
    found = make_restore_point(at=NOW - timedelta(days=days))
    snapshots = (
        Snapshot("files", "files", f"{days:064x}", 1, 1, 1),
        Snapshot("database", "database", f"{days + 500:064x}", 1, 1, 1),
    )
    return replace(found, id=f"backup-{days}", site=site, snapshots=snapshots)


def view_of(points: list[RestorePoint], kept: set[str], others: tuple[Listed, ...] = ()) -> RepositoryView:
    listed = [
        Listed(
            item.snapshot,
            HOST,
            frozenset({"drp", "service:pengaduan", f"run:{each.id}", f"dataset:{item.dataset}", f"part:{item.part}"}),
            each.sentinel_at,
        )
        for each in points
        for item in each.snapshots
    ]
    answers = []
    for dataset in ("database", "files"):
        ids = [item.snapshot for each in points for item in each.snapshots if item.dataset == dataset]
        answers.append(
            PartAnswer(dataset, dataset, tuple(i for i in ids if i in kept), tuple(i for i in ids if i not in kept))
        )
    url = points[0].repositories[HOST] if points else "s3:x"
    return RepositoryView(HOST, url, (*listed, *others), tuple(answers))


def goes(decision: Decision) -> set[str]:
    return {each.id for each in decision.points if not each.stays}


def test_a_restore_point_stays_as_a_whole_if_any_of_it_would() -> None:
    points = [point(days) for days in (1, 2, 3)]
    view = view_of(points, {points[0].snapshots[0].snapshot, points[1].snapshots[1].snapshot})
    decision = decide(policy(), points, [view], {}, NOTHING, NOW)
    assert goes(decision) == {"backup-3"}
    assert set(decision.forget[HOST]) == {item.snapshot for item in points[2].snapshots}


@settings(max_examples=200, deadline=None)
@given(
    ages=st.lists(st.integers(0, 400), min_size=1, max_size=12, unique=True),
    sites=st.lists(st.sampled_from(["primary", "recovery"]), min_size=12, max_size=12),
    minimum=st.integers(1, 6),
    minimum_age=st.integers(0, 100),
    data=st.data(),
)
def test_what_is_guarded_never_goes(
    ages: list[int], sites: list[str], minimum: int, minimum_age: int, data: st.DataObject
) -> None:
    points = [point(days, site) for days, site in zip(sorted(ages), sites, strict=False)]
    ids = [each.id for each in points]
    kept = set(data.draw(st.lists(st.sampled_from([item.snapshot for each in points for item in each.snapshots]))))
    kept |= {item.snapshot for item in points[0].snapshots}  # restic's own policies keep at least the newest
    held = data.draw(st.lists(st.sampled_from(ids)))
    proven = data.draw(st.lists(st.sampled_from(ids)))
    other = Listed("f" * 64, "another-host", frozenset({"drp", "service:pengaduan", "run:x"}), NOW)
    fates = {"x": RunFate(is_open=False, is_done=False, closed_at=NOW - timedelta(days=300))}
    guards = Guards(held=dict.fromkeys(held, "audit"), proven=proven, copied={})
    rules = policy(minimum_points=minimum, minimum_age=f"{minimum_age}d")
    decision = decide(rules, points, [view_of(points, kept, (other,))], fates, guards, NOW)
    gone = goes(decision)
    assert not gone & {*held, *proven}
    for site in ("primary", "recovery"):
        mine = [each.id for each in points if each.site == site]
        assert not gone & set(mine[:minimum])
    for each in points:
        if each.id in gone:
            assert NOW - each.sentinel_at >= timedelta(days=minimum_age)
            assert not kept & {item.snapshot for item in each.snapshots}
        staying = {item.snapshot for item in each.snapshots} & set(decision.forget[HOST])
        assert bool(staying) is (each.id in gone), "all of it, or nothing"
    assert other.id not in decision.forget[HOST]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda view: replace(view, snapshots=(), parts=()), "lists no snapshot"),
        (
            lambda view: replace(view, parts=(replace(view.parts[0], keep=(), remove=view.parts[0].keep),)),
            "would keep none",
        ),
        (lambda view: replace(view, parts=(replace(view.parts[0], remove=("e" * 64,)),)), "not there"),
        (lambda view: replace(view, parts=(replace(view.parts[0], remove=view.parts[0].keep),)), "twice"),
    ],
)
def test_an_answer_that_cannot_be_believed_is_refused(change: Any, says: str) -> None:
    points = [point(days) for days in (1, 2)]
    view = view_of(points, {item.snapshot for each in points for item in each.snapshots})
    with pytest.raises(IntegrityError, match=says):
        decide(policy(), points, [change(view)], {}, NOTHING, NOW)


def test_a_restore_point_at_another_dr_centre_is_left_alone() -> None:
    points = [point(1), replace(point(90), repositories={HOST: "s3:elsewhere"})]
    view = view_of(points[:1], {item.snapshot for item in points[0].snapshots})
    decision = decide(policy(), points, [view], {}, NOTHING, NOW)
    assert goes(decision) == set()
    assert "not looked after any more" in decision.points[1].reasons[0]


@pytest.mark.parametrize(
    ("fate", "goes_too"),
    [
        (None, False),
        (RunFate(is_open=True, is_done=False, closed_at=None), False),
        (RunFate(is_open=False, is_done=True, closed_at=NOW - timedelta(days=90)), False),
        (RunFate(is_open=False, is_done=False, closed_at=NOW - timedelta(hours=47)), False),
        (RunFate(is_open=False, is_done=False, closed_at=NOW - timedelta(hours=49)), True),
        (RunFate(is_open=False, is_done=True, closed_at=NOW, is_forgotten=True), True),
    ],
)
def test_only_what_is_known_to_have_come_to_nothing_is_residue(fate: RunFate | None, goes_too: bool) -> None:
    points = [point(1)]
    left = Listed("d" * 64, HOST, frozenset({"drp", "service:pengaduan", "run:backup-x"}), NOW)
    view = view_of(points, {item.snapshot for item in points[0].snapshots}, (left,))
    decision = decide(policy(), points, [view], {} if fate is None else {"backup-x": fate}, NOTHING, NOW)
    assert (left.id in decision.forget[HOST]) is goes_too
    assert (left.id in decision.untouched) is not goes_too


def test_of_each_dataset_the_newest_proven_counts() -> None:
    points = [point(days) for days in (1, 2, 3)]

    def proof(dataset: str, restore_point: str) -> Proof:
        return Proof("pengaduan", dataset, "drill", restore_point, NOW, "drill-1")

    proofs = [proof("files", "backup-3"), proof("files", "backup-2"), proof("database", "backup-3")]
    assert newest_proven(points, [*proofs, proof("files", "gone")]) == {"backup-2", "backup-3"}


def test_the_policy_in_restics_words_never_names_a_tag() -> None:
    rules = policy(keep_within="36h", daily=7, yearly=2, keep_tags=["audit"])
    arguments = policy_arguments(rules)
    assert arguments == ["--keep-within", "1d12h", "--keep-last", "1", "--keep-daily", "7", "--keep-yearly", "2"]


def test_the_nearest_policy_counts() -> None:
    own, tiers, all_ = policy(last=5), policy(last=6), policy(last=7)
    tier = Tier.model_validate({"rto": "1h", "rpo": "1h"})
    service = Service.model_validate(service_record())
    assert service.backup is not None
    with_own = service.model_copy(update={"backup": service.backup.model_copy(update={"retention": own})})
    defaults = BackupDefaults(retention=all_)
    assert policy_of(with_own, {"penting": tier}, defaults)[0] == own
    assert policy_of(service, {"penting": tier.model_copy(update={"retention": tiers})}, defaults)[0] == tiers
    assert policy_of(service, {"penting": tier}, defaults)[0] == all_
    assert policy_of(service, {"penting": tier}, BackupDefaults()) == (
        None,
        "no retention is declared, so nothing is ever removed",
    )


@pytest.mark.parametrize(
    ("declared", "days", "held", "stays"),
    [
        (None, 900, False, True),
        ("90d", 89, False, True),
        ("90d", 91, False, False),
        ("90d", 91, True, True),
        ("1d", 5, False, True),
    ],
    ids=["for ever unless declared", "younger", "older", "on hold", "the minimum age counts too"],
)
def test_what_a_failback_has_kept_stays_for_its_own_age_whatever_the_policy_says(
    declared: str | None, days: int, held: bool, stays: bool
) -> None:
    points = [point(1), point(2)]
    kept = replace(point(days), id="keep-1")
    # restic would remove it, and everything but one.
    view = view_of([points[0], points[1], kept], {item.snapshot for item in points[0].snapshots})
    guards = replace(NOTHING, held={"keep-1": "audit"} if held else {})
    own = policy(minimum_age="7d", **({"stranded": declared} if declared else {}))
    fates = {"keep-1": RunFate(is_open=False, is_done=False, closed_at=NOW - timedelta(days=days))}
    decision = decide(own, points, [view], fates, guards, NOW, stranded=[kept])
    (found,) = [item for item in decision.points if item.id == "keep-1"]
    assert found.stays is stays, found.reasons
    assert any("kept by a failback" in reason for reason in found.reasons) or held
    going = set(decision.forget[HOST])
    assert going.isdisjoint(item.snapshot for item in kept.snapshots) is stays
    assert decision.residue == 0


@settings(max_examples=100, deadline=None)
@given(
    age=st.integers(min_value=0, max_value=400),
    declared=st.integers(min_value=1, max_value=400),
    others=st.lists(st.integers(min_value=0, max_value=400), max_size=6, unique=True),
    restic_keeps=st.booleans(),
)
def test_no_policy_removes_what_is_younger_than_its_declared_age(
    age: int, declared: int, others: list[int], restic_keeps: bool
) -> None:
    points = [point(days) for days in others if days != age]
    kept = replace(point(age), id="keep-1")
    everything = [*points, kept]
    newest = {item.snapshot for each in everything[: 1 if restic_keeps else None] for item in each.snapshots}
    view = view_of(everything, newest)
    decision = decide(policy(stranded=f"{declared}d"), points, [view], {}, NOTHING, NOW, stranded=[kept])
    going = set(decision.forget[HOST])
    if age < declared:
        assert going.isdisjoint(item.snapshot for item in kept.snapshots)
    else:
        assert going >= {item.snapshot for item in kept.snapshots}
