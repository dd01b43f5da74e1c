"""Forgetting restore points of real repositories: what restic says, what drp guards, and what is really gone."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timedelta
from typing import Any

import pytest

from drp.errors import BusyError, DrpError, IntegrityError, UsageError
from drp.workflows.retention import forget, hold, prune, release
from tests.fakes.city import NOW
from tests.fakes.real_restic import HOST, SERVICE, Bench, Died
from tests.integration.repositories.conftest import MakeBench

pytestmark = pytest.mark.integration
LOOSE: dict[str, Any] = {"last": 2, "minimum_points": 1, "minimum_age": "0s"}


def days_ago(count: int) -> datetime:
    return NOW - timedelta(days=count)


def forget_one(bench: Bench, *, preview: bool = False) -> Any:
    (result,) = forget(bench.world, [SERVICE], preview=preview)
    return result


def reasons(result: Any) -> dict[str, str]:
    return {point["id"]: "; ".join(point["reasons"]) for point in result.body["points"]}


def test_restic_decides_and_only_what_is_gone_is_recorded(make_bench: MakeBench) -> None:
    bench = make_bench(retention=LOOSE)
    runs = [bench.back_up(days_ago(age)) for age in (9, 8, 7, 6)]
    preview = forget_one(bench, preview=True)
    assert [point["stays"] for point in preview.body["points"]] == [True, True, False, False]
    assert bench.points() == runs[::-1]
    assert len(bench.snapshots()) == 4
    assert not bench.ledger.runs(kinds=("forget",)), "the schedule must not take a preview for a forget"

    result = forget_one(bench)
    assert result.error is None
    assert sorted(result.body["forgotten"]) == runs[:2]
    assert bench.points() == runs[:1:-1]
    assert len(bench.snapshots()) == 2
    assert bench.marks("distrusted") == set()
    row = bench.ledger.run(result.run)
    assert (row.kind, row.services, row.outcome) == ("forget", (SERVICE,), "done")
    assert set(bench.actions.executors.values()) == {"drc-pengaduan-1"}, "the recovery stand-in looks after it"
    assert bench.locks() == []


def test_without_a_policy_nothing_is_ever_removed_and_that_is_said(make_bench: MakeBench) -> None:
    bench = make_bench()
    run = bench.back_up(days_ago(900))
    result = forget_one(bench)
    assert result.error is None
    assert "nothing is ever removed" in bench.stage.said[-1]
    assert bench.points() == [run]
    assert bench.actions.started == []


def test_the_policy_of_the_tier_counts_where_the_service_has_none(make_bench: MakeBench) -> None:
    tiers = {"penting": {"rto": "5m", "rpo": "15m", "retention": LOOSE}}
    bench = make_bench(workspace={"tiers": tiers, "backups": {"retention": {"last": 100}}})
    runs = [bench.back_up(days_ago(age)) for age in (9, 8, 7)]
    assert forget_one(bench).body["forgotten"] == runs[:1]


@pytest.mark.parametrize(
    ("retention", "reason"),
    [
        ({"last": 1, "minimum_points": 3, "minimum_age": "0s"}, "among the newest 3"),
        ({"last": 1, "minimum_points": 1, "minimum_age": "10d"}, "younger than the minimum age"),
        ({"last": 1, "minimum_points": 1, "minimum_age": "0s", "keep_tags": ["audit"]}, "has the tag audit"),
    ],
)
def test_what_stays_whatever_the_policy_says(make_bench: MakeBench, retention: Any, reason: str) -> None:
    bench = make_bench(retention=retention)
    runs = [bench.back_up(days_ago(age), tags=["audit"] if age == 8 else []) for age in (20, 8, 7)]
    result = forget_one(bench)
    assert result.error is None
    assert reason in reasons(result)[runs[1]]
    assert runs[1] in bench.points()


def test_a_hold_keeps_and_a_release_lets_go(make_bench: MakeBench) -> None:
    bench = make_bench(retention=LOOSE)
    runs = [bench.back_up(days_ago(age)) for age in (9, 8, 7)]
    hold(bench.world, runs[0], "audit 2026-14")
    result = forget_one(bench)
    assert reasons(result)[runs[0]] == "on hold: audit 2026-14"
    assert bench.points() == runs[::-1]
    release(bench.world, runs[0], "audit closed")
    assert forget_one(bench).body["forgotten"] == runs[:1]
    with pytest.raises(UsageError, match="no restore point"):
        hold(bench.world, runs[0], "too late")
    with pytest.raises(UsageError, match="not on hold"):
        release(bench.world, runs[1], "never was")


def test_the_newest_proven_and_what_waits_to_be_copied_stay(make_bench: MakeBench) -> None:
    centres = {
        name: {
            "title": name,
            "endpoint": "https://192.0.2.10:9000",
            "bucket": "drp-bogor",
            "access_key_id": {"env": "K"},
            "secret_access_key": {"env": "S"},
        }
        for name in ("drc", "second")
    }
    bench = make_bench(
        retention=LOOSE | {"last": 1}, copies=[{"dr_centre": "second"}], workspace={"dr_centres": centres}
    )
    runs = [bench.back_up(days_ago(age)) for age in (9, 8, 7, 6, 5)]
    bench.ledger.open_run("test-1", "restore-test", "0" * 64, [SERVICE], {})
    proof = {"service": SERVICE, "dataset": "files", "how": "test-restore"}
    for run in (runs[0], runs[1]):
        bench.ledger.append("test-1", "proof.recorded", proof | {"restore_point": run})
    copied = {"restore_point": runs[2], "service": SERVICE, "dr_centre": "second", "arrived_at": "2026-11-14T00:00:00Z"}
    bench.ledger.append("test-1", "copy.recorded", copied)
    result = forget_one(bench)
    assert result.error is None
    assert sorted(result.body["forgotten"]) == [runs[0], runs[2]]
    assert "a restore has proved" in reasons(result)[runs[1]]
    assert "not copied to second yet" in reasons(result)[runs[3]]


def test_snapshots_of_others_are_never_touched(make_bench: MakeBench) -> None:
    bench = make_bench(retention=LOOSE | {"last": 1})
    runs = [bench.back_up(days_ago(age)) for age in (9, 8)]
    ours = ["drp", f"service:{SERVICE}", "run:r", "dataset:files", "part:files"]
    others = {
        bench.snapshot(days_ago(30)): "not drp's",
        bench.snapshot(days_ago(29), host="another-host", tags=ours): "of another host",
        bench.snapshot(days_ago(28), tags=["drp", "service:identitas", "run:r", "dataset:files", "part:files"]): (
            "of another service"
        ),
        bench.snapshot(days_ago(27), tags=ours): "does not know",
    }
    result = forget_one(bench)
    assert result.error is None
    assert result.body["forgotten"] == runs[:1]
    assert set(others) < bench.snapshots()
    assert result.body["untouched_in_all"] == 4
    for snapshot, reason in others.items():
        assert reason in result.body["untouched"][snapshot]


def test_what_failed_runs_left_goes_after_two_days_and_takes_no_good_ones_place(make_bench: MakeBench) -> None:
    bench = make_bench(retention=LOOSE)
    good = [bench.back_up(days_ago(age)) for age in (12, 11, 10)]
    for age in (9, 8, 1):
        bench.back_up(days_ago(age), outcome="failed")
    running = bench.back_up(NOW - timedelta(hours=50), outcome="open")
    preview = forget_one(bench, preview=True)
    # restic counts the failed and the open run among the last two: the good ones that they displace stay.
    assert [point["stays"] for point in preview.body["points"]] == [True, True, False]
    result = forget_one(bench)
    assert result.body["residue"] == 2
    assert bench.points() == [good[2], good[1]]
    left = json.loads(bench.restic("snapshots", "--json", "--no-lock"))
    tags = {tag for item in left for tag in item["tags"] if tag.startswith("run:")}
    assert f"run:{running}" in tags
    assert len(left) == 4


def test_a_tag_that_no_snapshot_has_removes_nothing(make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trap of 0.14, which takes `--keep-tag typo` for leave to remove everything; 0.18 refuses it itself."""
    bench = make_bench(retention={"last": 1, "keep_tags": ["typo"], "minimum_points": 1, "minimum_age": "0s"})
    runs = [bench.back_up(days_ago(age)) for age in (9, 8)]
    assert forget_one(bench, preview=True).body["points"][0]["stays"]
    monkeypatch.setattr("drp.workflows.retention.policy_arguments", lambda _: ["--keep-tag", "typo"])
    result = forget_one(bench)
    assert isinstance(result.error, DrpError)
    assert "would keep none" in str(result.error) or "refusing to delete last snapshot" in str(result.error)
    assert bench.points() == runs[::-1]
    assert len(bench.snapshots()) == 2
    assert bench.ledger.run(result.run).outcome == "failed"


def fake_restic(bench: Bench, script: str) -> None:
    """A restic before the real one, which is `$REAL`."""
    program = bench.actions.programs / "restic"
    program.unlink()
    program.write_text(f'#!/bin/sh\nREAL={bench.restic_program}\n{script}\nexec $REAL "$@"\n')
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("script", "error", "says"),
    [
        ('case " $* " in *" --dry-run "*) echo Oops; exit 0;; esac', DrpError, "cannot read"),
        ('case " $* " in *" --dry-run "*) exit 0;; esac', DrpError, "cannot read"),
        ('case " $* " in *" --dry-run "*) echo "[]"; exit 0;; esac', DrpError, "cannot read"),
        ('case " $* " in *" --dry-run "*) echo "a new code" >&2; exit 99;; esac', DrpError, "a new code"),
        ('case " $* " in *" snapshots "*) echo "[]"; exit 0;; esac', IntegrityError, "lists no snapshot"),
        ('case " $* " in *" snapshots "*) echo "null"; exit 0;; esac', DrpError, "cannot read"),
    ],
)
def test_an_answer_that_is_none_is_refused(
    make_bench: MakeBench, script: str, error: type[DrpError], says: str
) -> None:
    bench = make_bench(retention=LOOSE | {"last": 1})
    runs = [bench.back_up(days_ago(age)) for age in (9, 8)]
    fake_restic(bench, script)
    result = forget_one(bench)
    assert type(result.error) is error
    assert says in str(result.error)
    assert bench.points() == runs[::-1]
    assert len(bench.snapshots()) == 2
    assert bench.marks("distrusted") == set()


def test_a_forget_that_says_0_and_leaves_the_snapshots_is_a_failure(make_bench: MakeBench) -> None:
    bench = make_bench(retention=LOOSE | {"last": 1})
    runs = [bench.back_up(days_ago(age)) for age in (9, 8)]
    fake_restic(bench, 'case " $* " in *" --dry-run "*) ;; *" forget "*) exit 0;; esac')
    result = forget_one(bench)
    assert "still there" in str(result.error)
    assert bench.ledger.run(result.run).exit_code == 1
    assert bench.points() == runs[::-1], "it is whole, so it is still a restore point"
    assert bench.marks("distrusted") == set()


def test_a_forget_that_fails_half_way_leaves_nothing_that_counts_as_whole(make_bench: MakeBench) -> None:
    bench = make_bench(retention=LOOSE | {"last": 1})
    runs = [bench.back_up(days_ago(age)) for age in (9, 8)]
    done = bench.folder / "done"
    fake_restic(
        bench,
        f'case " $* " in *" --dry-run "*) ;; *" forget "*) $REAL "$@"; echo >{done}; exit 99;; esac\n',
    )
    result = forget_one(bench)
    assert result.error is not None
    assert done.exists()
    assert bench.points() == runs[::-1]
    assert bench.marks("distrusted") == {runs[0]}, "nobody may rely on it until the next forget has looked"
    fake_restic(bench, "")
    again = forget_one(bench)
    assert again.error is None
    assert bench.points() == runs[1:]
    assert bench.marks("distrusted") == set()


def test_a_restore_point_that_lost_its_snapshot_is_told_and_does_not_count(make_bench: MakeBench) -> None:
    bench = make_bench(retention={"last": 1, "minimum_points": 2, "minimum_age": "0s"})
    runs = [bench.back_up(days_ago(age)) for age in (9, 8, 7)]
    lost = next(point for point in bench.ledger.restore_points(SERVICE) if point.id == runs[2])
    bench.restic("forget", lost.snapshots[0].snapshot)
    result = forget_one(bench)
    assert result.error is None
    assert "1 of its 1 snapshots are missing" in reasons(result)[runs[2]]
    assert bench.marks("distrusted") == {runs[2]}
    assert set(bench.points()) == set(runs), "two whole ones must stay"


@pytest.mark.parametrize("lost", ["forget_plan-pengaduan-1-1", f"forget-{HOST}"])
def test_a_forget_that_was_cut_off_goes_on(make_bench: MakeBench, lost: str) -> None:
    bench = make_bench(retention=LOOSE)
    runs = [bench.back_up(days_ago(age)) for age in (9, 8, 7, 6)]

    bench.actions.power_fails_after = lost
    with pytest.raises(Died):
        forget_one(bench)
    bench.stage.locks.held.clear()
    newest = bench.back_up(days_ago(1))
    result = forget_one(bench)
    assert result.error is None
    assert "going on with" in " ".join(bench.stage.said)
    assert len(bench.ledger.runs(kinds=("forget",))) == 1
    assert newest in bench.points()
    assert not set(runs[:2]) & set(bench.points())
    assert bench.marks("distrusted") == set()


def test_nothing_is_forgotten_while_a_backup_or_a_recovery_is_at_work(make_bench: MakeBench) -> None:
    bench = make_bench(retention=LOOSE | {"last": 1})
    runs = [bench.back_up(days_ago(age)) for age in (9, 8)]
    bench.ledger.open_run("drill-1", "drill", "0" * 64, [SERVICE], {})
    result = forget_one(bench)
    assert isinstance(result.error, BusyError)
    assert "drill-1 has not ended" in str(result.error)
    assert bench.points() == runs[::-1]
    assert prune(bench.world, [SERVICE])[0].error is not None
    bench.ledger.append("drill-1", "run.closed", {"outcome": "done", "exit_code": 0})
    assert forget_one(bench).error is None


def test_prune_frees_what_was_forgotten_and_looks_whether_all_is_whole(make_bench: MakeBench) -> None:
    bench = make_bench(retention=LOOSE | {"last": 1})
    bench.write("large", "x" * 10 + "".join(str(number) for number in range(300_000)))
    bench.back_up(days_ago(9))
    (bench.source / "large").unlink()
    runs = [bench.back_up(days_ago(8))]

    def stored() -> int:
        return sum(path.stat().st_size for path in (bench.repository / "data").rglob("*") if path.is_file())

    before = stored()
    assert forget_one(bench).error is None
    assert stored() == before, "forgetting frees nothing"
    (result,) = prune(bench.world, [SERVICE])
    assert result.error is None
    assert stored() < before / 2
    assert result.body["repositories"][0]["good"]
    assert any("total prune" in line for line in result.body["repositories"][0]["said"])
    assert bench.points() == runs
    (check,) = bench.ledger.checks(SERVICE)
    assert (check.part, check.parts, check.is_good) == (0, 0, True)
    assert bench.locks() == []


def test_a_service_that_fails_does_not_stop_the_others(make_bench: MakeBench) -> None:
    bench = make_bench(retention=LOOSE)
    bench.back_up(days_ago(9))
    shutil.rmtree(bench.repository)
    results = forget(bench.world, [SERVICE, SERVICE])
    assert [result.error is None for result in results] == [False, False]
    assert all(isinstance(result.error, IntegrityError) for result in results)
