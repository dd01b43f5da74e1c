"""How well a service is protected: what is missing never becomes good, and every breach has its words."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drp.domain.objectives import Verdict
from drp.domain.protection.facts import BadCheck, History, PartRead, Preflight
from drp.domain.protection.problems import problems_of, roughly
from drp.domain.protection.status import ProtectionStatus
from tests.fakes.city import NOW
from tests.fakes.protection import BLANK, DAY, HOUR, MINUTE, decision, good, held, judged, state, with_copy


def kinds(status: ProtectionStatus) -> list[str]:
    return [problem.kind for problem in problems_of(status)]


def test_all_as_it_should_be_is_met_and_nothing_is_said() -> None:
    status = judged(good())
    assert status.verdict is Verdict.MET
    assert not status.is_breached
    assert problems_of(status) == []
    assert status.main.age == 5 * MINUTE
    assert status.checks[0].covered_since == NOW - 20 * DAY


def test_what_was_never_backed_up_is_a_breach() -> None:
    status = judged(BLANK)
    assert status.main.verdict is Verdict.NOT_MET
    assert status.is_breached
    assert (status.gap, status.size, status.growth_per_week) == (None, None, None)
    assert kinds(status)[0] == "rpo"
    assert status.check_verdict is Verdict.NOT_MEASURED
    assert status.proof_verdict is Verdict.NOT_MEASURED


@pytest.mark.parametrize(("age", "verdict"), [(15, Verdict.MET), (16, Verdict.NOT_MET), (-1, Verdict.NOT_MET)])
def test_the_age_of_the_data_is_judged_by_the_rpo(age: int, verdict: Verdict) -> None:
    status = judged(good(newest=held(age * MINUTE)))
    assert status.main.verdict is verdict
    assert (kinds(status) == []) == (verdict is Verdict.MET)


def test_a_breach_says_since_when() -> None:
    (problem,) = problems_of(judged(good(newest=held(60 * MINUTE))))
    assert problem.since == NOW - 45 * MINUTE
    assert "cost 1 h of data; the RPO is 15 m" in problem.text
    assert problem.key == "pengaduan/rpo"


def test_after_a_failover_it_is_red_until_the_first_has_arrived() -> None:
    status = judged(good(site="recovery", active_since=NOW - HOUR, newest=None))
    assert status.main.verdict is Verdict.NOT_MET
    assert status.main.age is None
    (problem, *_) = problems_of(status)
    assert problem.since == NOW - HOUR
    assert "recovery site" in problem.text


def test_what_a_clock_that_was_far_ahead_has_dated_proves_nothing() -> None:
    ahead = NOW + 365 * DAY
    proofs = tuple(replace(proof, proved_at=ahead) for proof in good().proofs)
    assert judged(good(proofs=proofs)).proof_verdict is Verdict.NOT_MET
    assert judged(good(proofs=good().proofs + proofs)).proof_verdict is Verdict.MET
    reads = tuple(replace(read, oldest=ahead, newest=ahead) for read in good().reads)
    assert judged(good(reads=reads)).check_verdict is Verdict.NOT_MET


def test_the_gap_that_is_open_counts() -> None:
    gap = judged(good(history=History(NOW - 60 * DAY, NOW - 3 * HOUR, HOUR, 2 * HOUR))).gap
    assert gap is not None
    assert (gap.between, gap.loss, gap.since) == (3 * HOUR, 3 * HOUR, NOW - 30 * DAY)


def test_nothing_is_claimed_of_the_time_before_the_first_restore_point() -> None:
    gap = judged(good(history=History(NOW - 2 * DAY, NOW - HOUR, None, None))).gap
    assert gap is not None
    assert gap.since == NOW - 2 * DAY


def test_growth_is_reckoned_by_the_week() -> None:
    assert judged(good(earlier=(NOW - 5 * MINUTE - 14 * DAY, 400))).growth_per_week == 300
    assert judged(good()).growth_per_week is None


def test_a_copy_has_an_age_and_a_verdict_of_its_own() -> None:
    status = judged(good(copies={"drc-2": held(HOUR, "drc-2")}), backup=with_copy())
    assert [centre.verdict for centre in status.centres] == [Verdict.MET, Verdict.NOT_MET]
    assert kinds(status) == ["copy", "unchecked"], "its repository is to be read back too"
    assert status.is_breached


def test_a_copy_that_never_arrived_is_a_breach() -> None:
    assert judged(good(), backup=with_copy()).centres[1].verdict is Verdict.NOT_MET


def test_a_copy_with_a_schedule_of_its_own_is_held_to_that() -> None:
    daily = with_copy(schedule="daily 02:00")
    assert judged(good(copies={"drc-2": held(24 * HOUR)}), backup=daily).centres[1].verdict is Verdict.MET
    assert judged(good(copies={"drc-2": held(25 * HOUR)}), backup=daily).centres[1].verdict is Verdict.NOT_MET


def test_a_bad_check_is_a_breach_whatever_came_after() -> None:
    bad = BadCheck("pengaduan-1", "drc", 2, 3, NOW - 5 * DAY, "check-1")
    status = judged(good(bad_checks=(bad,)))
    assert status.check_verdict is Verdict.NOT_MET
    (problem,) = problems_of(status)
    assert (problem.kind, problem.since) == ("check", NOW - 5 * DAY)
    assert "part 2 of 3" in problem.text


def test_a_bad_check_of_a_repository_that_is_written_no_more_stays_in_sight() -> None:
    bad = BadCheck("old-host", "drc", 0, 0, NOW - 5 * DAY, "check-1")
    assert kinds(judged(good(bad_checks=(bad,)))) == ["check"]


def test_everything_must_have_been_read_within_its_time() -> None:
    late = (PartRead("pengaduan-1", "drc", 3, 3, NOW - 31 * DAY, NOW - DAY),)
    assert judged(good(reads=late)).check_verdict is Verdict.NOT_MET
    partly = (PartRead("pengaduan-1", "drc", 3, 2, NOW - 2 * DAY, NOW - DAY),)
    old, young = good(reads=partly), History(NOW - 5 * DAY, NOW, None, None)
    assert judged(old).check_verdict is Verdict.NOT_MET
    assert judged(replace(old, history=young)).check_verdict is Verdict.NOT_TESTED


def test_reading_the_structure_covers_no_data() -> None:
    only = (PartRead("pengaduan-1", "drc", 0, 1, NOW - DAY, NOW - DAY),)
    assert judged(good(reads=only)).check_verdict is Verdict.NOT_MET


def test_each_dataset_needs_a_proof_that_is_young_enough() -> None:
    proofs = good().proofs
    assert kinds(judged(good(proofs=proofs[:1]))) == ["unproved"]
    late = replace(proofs[1], proved_at=NOW - 91 * DAY)
    status = judged(good(proofs=(proofs[0], late)))
    assert status.proof_verdict is Verdict.NOT_MET
    assert [proof.verdict for proof in status.proofs] == [Verdict.MET, Verdict.NOT_MET]


def test_there_is_time_for_the_first_proof() -> None:
    facts = good(proofs=(), history=History(NOW - 2 * DAY, NOW, None, None))
    status = judged(facts)
    assert status.proof_verdict is Verdict.NOT_TESTED
    assert status.verdict is Verdict.NOT_TESTED
    assert not status.is_breached


def test_the_newest_of_several_proofs_counts() -> None:
    old = tuple(replace(proof, how="restore", proved_at=NOW - 200 * DAY) for proof in good().proofs)
    assert judged(good(proofs=good().proofs + old)).proof_verdict is Verdict.MET


def test_failing_attempts_tell_when_the_next_is_made() -> None:
    failing = good(state=state(failures=3, outcome="failed", closed_at=NOW - MINUTE))
    status = judged(failing, scheduled=decision(next_at=NOW + 7 * MINUTE))
    assert status.attempts.next_try == NOW + 7 * MINUTE
    (problem,) = problems_of(status)
    assert (problem.kind, problem.since, problem.text) == ("failed", NOW - MINUTE, "the last 3 backups failed")
    (problem,) = problems_of(judged(failing))
    assert problem.text == "the last 3 backups failed; no schedule tries again"


def test_a_run_that_is_open_counts_as_neither() -> None:
    status = judged(good(state=state(is_open=True, outcome=None)))
    assert status.attempts.running_since == NOW - 6 * MINUTE
    assert kinds(status) == []


def test_missed_schedules_failed_tests_and_preflights_are_told() -> None:
    test = state(last_run="restore-test-1", failures=1)
    preflight = (Preflight("backup", NOW, (("error", "the disk is full"), ("warning", "an old restic"))),)
    status = judged(good(restore_test=test, preflights=preflight), scheduled=decision(missed=NOW - HOUR))
    assert kinds(status) == ["missed", "restore-test", "preflight"]
    assert not status.is_breached, "these are told; the data is as young as it must be"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.2, "1 m"), (61, "2 m"), (3600, "1 h"), (15120, "4 h 12 m"), (86400, "1 d"), (86401, "1 d 1 h")],
)
def test_durations_in_tables_are_rounded_up(seconds: float, text: str) -> None:
    assert roughly(timedelta(seconds=seconds)) == text


minutes = st.integers(min_value=0, max_value=200_000).map(lambda count: count * MINUTE)
maybe = st.none() | minutes


@given(age=maybe, checked=maybe, proved=maybe, first=minutes, is_bad=st.booleans())
def test_nothing_that_is_missing_or_late_ever_becomes_good(
    age: timedelta | None, checked: timedelta | None, proved: timedelta | None, first: timedelta, *, is_bad: bool
) -> None:
    reads = () if checked is None else (PartRead("pengaduan-1", "drc", 2, 2, NOW - checked, NOW),)
    proofs = () if proved is None else tuple(replace(proof, proved_at=NOW - proved) for proof in good().proofs)
    bad = (BadCheck("pengaduan-1", "drc", 1, 2, NOW, "r"),) if is_bad else ()
    status = judged(
        good(
            newest=None if age is None else held(age),
            history=History(NOW - first, NOW, None, None),
            reads=reads,
            proofs=proofs,
            bad_checks=bad,
        )
    )
    fine = (
        age is not None
        and age <= 15 * MINUTE
        and checked is not None
        and checked <= 30 * DAY
        and proved is not None
        and proved <= 90 * DAY
        and not is_bad
    )
    assert (status.verdict is Verdict.MET) == fine
    assert (problems_of(status) == []) == (status.verdict in (Verdict.MET, Verdict.NOT_TESTED))
    keys = [problem.key for problem in problems_of(status)]
    assert len(keys) == len(set(keys))
