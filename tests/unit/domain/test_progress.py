"""How far a recovery is, reckoned by hand: `b` needs `a`; a restore of `a` was measured with 60 s, of `b` with 120 s;
activation takes 300 s, verification 120 s, and a minute passes until users are back, who must then work for 2 s."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from drp.domain.forecasts.estimates import Basis, Estimate, History, MeasuredStage
from drp.domain.forecasts.forecast import forecast
from drp.domain.inventory import City
from drp.domain.progress.estimates import estimates_of
from drp.domain.progress.probe_look import Spells
from drp.domain.progress.run import Progress, ServiceProgress, Standing, progress_of
from drp.domain.progress.steps import in_order, place_steps_in_time
from drp.domain.progress.telling import Teller, probe_told, summary_of, waits_told
from drp.domain.recovery.plan import RecoveryKind
from drp.domain.recovery.probing import Sample
from drp.domain.registers import People
from drp.domain.runbooks.model import Runbook
from drp.domain.values import to_stamp
from tests.fakes.city import make_restore_point, runbook_record
from tests.fakes.planned import ESTIMATES, LINES, city_with, sized_record
from tests.fakes.synthetic_run import RUN, Written, plan_for

SIZE = sum(snapshot.bytes for snapshot in make_restore_point("a").snapshots)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def two_services(**more: Any) -> City:
    return city_with(LINES, sized_record("a"), sized_record("b", depends_on=["a"]), estimates=ESTIMATES, **more)


def history(**restores: int) -> History:
    measured = {
        (name, "restore"): [MeasuredStage(f"drill-{name}", seconds(length), SIZE)] for name, length in restores.items()
    }
    return History(stages=dict(measured.items()))  # type: ignore[arg-type]  # the names of stages are literals


def asking(**changes: Any) -> Runbook:
    """A scenario in which somebody approves before `b` is activated."""
    text = {"en": "Go live?", "id": "Lanjut?"}
    step = {"id": "go", "kind": "approval", "title": text, "question": text, "who": ["approves"]}
    step |= {"before": "b/activate"} | changes
    return Runbook.model_validate(runbook_record() | {"steps": [step]})


class Bench:
    """A drill of both services, or what else is asked for, and how far it is."""

    def __init__(self, city: City | None = None, kind: RecoveryKind = "drill", runbook: Runbook | None = None) -> None:
        self.city = city or two_services()
        self.plan = plan_for(self.city, kind, runbook)
        self.run = Written(self.plan)
        self.estimates = estimates_of(self.city, self.plan, history(a=60, b=120))
        self.samples: dict[str, list[Sample]] = {}
        self.lost: list[str] = []

    def begun(self) -> Bench:
        """Both services went at 0, and their restores began then."""
        for name in self.plan.services:
            self.run.mark(0, name, "T0")
            self.run.begin(0, f"{name}/restore")
        return self

    def look(self, service: str, *attempts: tuple[float, bool]) -> None:
        """Attempts of the probe of a service at these seconds."""
        found = self.samples.setdefault(service, [])
        for at, succeeded in attempts:
            found.append(Sample(self.run.at(at), self.run.at(at + 0.02), succeeded, "connection refused", "path"))

    def at(self, number: float) -> Progress:
        probes = {}
        for name in self.plan.services:
            probes[name] = Spells(self.city.services[name].check_gaps)
            probes[name].take(self.samples.get(name, []))
        recovery = self.run.recovery()
        return progress_of(self.city, recovery, self.estimates, probes, self.run.at(number), lost=self.lost)

    def of(self, service: str, number: float) -> ServiceProgress:
        return next(item for item in self.at(number).services if item.service == service)


# -- estimates ---------------------------------------------------------------------------------------------------------


def test_each_estimate_says_where_it_comes_from_and_usable_includes_the_hold_time() -> None:
    found = Bench().estimates
    assert (found["a/restore"].duration, found["a/restore"].basis) == (seconds(60), Basis.MEASURED)
    assert "drill-a" in found["a/restore"].text
    assert (found["b/activate"].duration, found["b/activate"].basis) == (seconds(300), Basis.DECLARED)
    assert found["b/usable"].duration == seconds(62)
    assert found["a/cleanup"].basis is Basis.UNKNOWN
    assert found["a/cleanup"].duration is None


def test_what_was_never_measured_is_reckoned_from_what_is_restored_and_the_line_as_drp_plan_does() -> None:
    city = two_services()
    plan = plan_for(city)
    found = estimates_of(city, plan, History())
    # 12 100 bytes over 100 Mbit/s are 0.97 ms, and twice as long where two share the line.
    assert found["a/restore"].basis is Basis.COMPUTED
    assert found["a/restore"].duration == pytest.approx(seconds(2 * SIZE * 8 / 1e8), abs=seconds(1e-5))
    assert "shared with 1 more" in found["a/restore"].text
    points = {name: [make_restore_point(name)] for name in plan.services}
    planned = forecast(city, city.runbooks["site-loss"], "drill", list(plan.services), History({}, points))
    assert planned.steps["a/restore"].end == found["a/restore"].duration
    assert planned.steps["b/verify"].estimate == found["b/verify"]


def test_a_service_whose_file_is_gone_has_no_estimates() -> None:
    bench = Bench()
    city = bench.city.model_copy(update={"services": {"a": bench.city.services["a"]}})
    found = estimates_of(city, bench.plan, history(a=60))
    assert {found[f"b/{stage}"].basis for stage in ("restore", "activate", "usable")} == {Basis.UNKNOWN}
    assert found["a/restore"].duration == seconds(60)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"kind": "wait", "duration": "3m"}, Estimate(seconds(180), Basis.DECLARED, "so long the runbook waits")),
        ({"expected": "10m"}, Estimate(seconds(600), Basis.DECLARED, "declared in the runbook")),
        ({}, None),
    ],
)
def test_steps_of_the_runbook_take_what_it_says(changes: dict[str, Any], expected: Estimate | None) -> None:
    if "kind" in changes:
        text = {"en": "Wait", "id": "Tunggu"}
        step = {"id": "go", "title": text, "before": "b/activate"} | changes
        runbook = Runbook.model_validate(runbook_record() | {"steps": [step]})
    else:
        runbook = asking(**changes)
    found = Bench(runbook=runbook).estimates["go"]
    assert found.basis is Basis.UNKNOWN if expected is None else found == expected


# -- the graph, carried forward ----------------------------------------------------------------------------------------


def test_expected_ends_follow_the_graph_from_what_runs_now() -> None:
    bench = Bench().begun()
    found = bench.at(30)
    a, b = bench.of("a", 30), bench.of("b", 30)
    assert a.step is not None
    assert (a.step.step.id, a.step.elapsed, a.step.over) == ("a/restore", seconds(30), seconds(0))
    assert a.clock is not None
    assert b.clock is not None
    # a: 60 + 300 + 120 + 60. b is restored at 120, and activated when a is verified at 480: 480 + 300 + 120 + 60.
    assert (a.clock.expected, a.clock.certain) == (seconds(540), True)
    assert (b.clock.expected, b.clock.certain) == (seconds(960), True)
    # Two seconds of hold time later the drill cleans up, of which nobody knows how long it takes.
    assert (found.ends_at, found.certain) == (bench.run.at(962), False)
    chain = ["a/restore", "a/activate", "a/verify", "b/activate", "b/verify", "b/usable"]
    assert [item.step.id for item in found.path] == chain
    assert found.since_first == seconds(30)


def test_what_takes_longer_than_it_should_says_so_and_makes_all_after_it_a_lower_bound() -> None:
    a = Bench().begun().of("a", 90)
    assert a.step is not None
    assert a.clock is not None
    assert (a.standing, a.step.over) == (Standing.SLOW, seconds(30))
    assert (a.clock.expected, a.clock.certain) == (seconds(90 + 300 + 120 + 60), False)


def test_an_unknown_estimate_is_no_time_at_all_and_is_said_to_be_unknown() -> None:
    bench = Bench().begun()
    bench.estimates = {name: found for name, found in bench.estimates.items() if name != "a/activate"}
    a = bench.of("a", 30)
    assert a.clock is not None
    assert (a.clock.expected, a.clock.certain) == (seconds(60 + 120 + 60), False)


def test_a_step_that_ended_early_brings_the_end_forward() -> None:
    bench = Bench().begun()
    bench.run.end(20, "a/restore")
    bench.run.begin(20, "a/activate")
    clock = bench.of("a", 30).clock
    assert clock is not None
    assert clock.expected == seconds(20 + 300 + 120 + 60)


def test_the_clock_runs_from_t0_beside_the_rto_and_stops_at_t5() -> None:
    bench = Bench(two_services()).begun()
    clock = bench.of("a", 14_461).clock
    assert clock is not None
    assert (clock.passed, clock.over) == (seconds(14_461), seconds(61))
    assert bench.of("a", 14_461).standing is Standing.LATE
    bench.run.did(60, 100, "a/restore", "a/activate", "a/verify", "a/usable")
    bench.run.mark(95, "a", "T5")
    done = bench.of("a", 500)
    assert done.clock is not None
    assert (done.clock.passed, done.clock.has_stopped, done.standing) == (seconds(95), True, Standing.USABLE)


def test_without_t0_there_is_no_clock() -> None:
    bench = Bench()
    bench.run.begin(0, "a/restore")
    assert bench.of("a", 30).clock is None


def test_a_closed_run_stands_still() -> None:
    bench = Bench().begun()
    bench.run.add(40, "run.closed", {"outcome": "aborted", "exit_code": 130, "verdict": "ABORTED"})
    found = bench.at(4000)
    assert (found.is_closed, found.at) == (True, bench.run.at(40))


@pytest.mark.parametrize("kind", ["drill", "failover", "switchover", "failback"])
def test_every_step_of_every_kind_of_run_has_its_place(kind: RecoveryKind) -> None:
    records = [
        sized_record("a", recovery={"start": ["nginx"]}),
        sized_record("b", depends_on=["a"], recovery={"start": ["nginx"]}),
    ]
    bench = Bench(city_with(LINES, *records, estimates=ESTIMATES), kind)
    placed = place_steps_in_time(bench.run.recovery(), bench.estimates, {}, bench.run.at(0))
    assert set(placed) == {step.id for step in bench.plan.steps}
    never = {name.split("/")[1] for name, item in placed.items() if item.ends_at is None}
    # A way back is taken only where a move fails; only then a switchover has something to remove.
    assert (
        never
        == {
            "drill": set(),
            "failover": set(),
            "switchover": {"reopen", "return", "cleanup"},
            "failback": {"reopen", "return", "close-again"},
        }[kind]
    )
    order = [step.id for step in in_order(bench.plan)]
    assert all(order.index(need) < order.index(step.id) for step in bench.plan.steps for need in step.needs)
    for item in placed.values():
        ends = [placed[need].ends_at for need in item.step.needs if placed[need].is_left]
        assert item.ends_at is None or all(end <= item.ends_at for end in ends if end is not None)


def test_a_move_that_has_failed_goes_back_and_does_nothing_else() -> None:
    bench = Bench(city_with(LINES, sized_record("a", recovery={"start": ["nginx"]}), estimates=ESTIMATES), "switchover")
    bench.run.did(0, 5, "a/stop")
    bench.run.begin(5, "a/backup")
    bench.run.end(9, "a/backup", "failed", "the DR centre does not answer")
    placed = place_steps_in_time(bench.run.recovery(), bench.estimates, {}, bench.run.at(10))
    assert {name for name, item in placed.items() if item.is_left} >= {"a/reopen", "a/return"}
    assert placed["a/cutover"].ends_at is None
    assert bench.of("a", 10).standing is Standing.FAILED


# -- what it waits for -------------------------------------------------------------------------------------------------


def test_a_service_waits_for_those_that_it_needs() -> None:
    bench = Bench().begun()
    bench.run.end(10, "b/restore")
    b = bench.of("b", 30)
    assert (b.standing, b.waits_for, b.waits_for_steps) == (Standing.WAITING, ("a",), ())
    assert waits_told(b, bench.at(30)) == "waits for a"


def test_a_service_that_waits_for_a_person_says_for_whom_since_when_and_how_to_answer() -> None:
    people: dict[str, Any] = {
        "schema": 1,
        "people": {"wati": {"name": "Wati Sekda", "contact": "+62 251 1"}},
        "roles": {"approves": ["wati"]},
    }
    bench = Bench(runbook=asking()).begun()
    bench.city = bench.city.model_copy(update={"people": People.model_validate(people)})
    bench.run.begin(5, "go")
    assert [(asks.step.id, asks.blocks) for asks in bench.at(30).asked] == [("go", ())]
    bench.run.end(20, "b/restore")
    bench.run.did(10, 25, "a/restore", "a/activate", "a/verify")
    found = bench.at(30)
    (asks,) = found.asked
    assert asks.who == "Wati Sekda (+62 251 1)"
    assert (asks.since, asks.blocks) == (bench.run.at(5), ("b",))
    assert asks.command == f'drp run approve {RUN} go --by "NAME"'
    assert bench.of("b", 30).standing is Standing.ASKS
    assert found.services[0].service == "b"
    assert waits_told(found.services[0], found) == "waits for Wati Sekda (+62 251 1) (go)"
    bench.run.add(31, "step.answered", {"step": "go", "by": "Wati Sekda", "answer": "yes", "comment": ""})
    assert bench.at(32).asked == ()


def test_a_step_that_was_cut_off_and_must_not_be_begun_again_waits_for_a_person() -> None:
    step: dict[str, object] = {"id": "mount", "kind": "playbook", "title": {"en": "Mount", "id": "Pasang"}}
    step |= {"playbook": "gedung", "timeout": "5m", "rerun": False, "before": "b/activate"}
    bench = Bench(runbook=Runbook.model_validate(runbook_record() | {"steps": [step]})).begun()
    bench.run.begin(5, "mount")
    assert bench.at(30).asked == ()
    bench.lost = ["mount"]
    assert [asks.step.id for asks in bench.at(30).asked] == ["mount"]


def test_what_fails_comes_first_and_takes_down_those_that_need_it() -> None:
    bench = Bench().begun()
    bench.run.end(10, "a/restore", "failed", "host drc-a-1: no space left")
    found = bench.at(30)
    assert {item.service: item.standing for item in found.services} == {"a": Standing.FAILED, "b": Standing.FAILED}
    assert bench.of("a", 30).failed == (("a/restore", "failed: host drc-a-1: no space left"),)
    assert bench.of("b", 30).failed == (("b/activate", "cannot begin: a/verify did not succeed"),)
    clock = bench.of("b", 30).clock
    assert clock is not None
    assert clock.expected is None


def test_a_step_that_could_begin_and_has_not_is_told() -> None:
    bench = Bench().begun()
    bench.run.end(10, "a/restore")
    a = bench.of("a", 30)
    assert (a.standing, a.is_next) == (Standing.WAITING, True)
    # The restore of b runs: it may be that no more may run at once, so that nobody can say when it is a's turn.
    assert waits_told(a, bench.at(30)) == "waits for its turn behind 1"
    assert a.clock is not None
    assert (a.clock.expected, a.clock.certain) == (seconds(30 + 300 + 120 + 60), False)
    bench.run.end(31, "b/restore")
    assert waits_told(bench.of("a", 32), bench.at(32)) == "could begin; nobody begins it"


def test_a_host_that_was_lost_in_a_step_is_named_until_the_step_is_begun_again() -> None:
    bench = Bench().begun()
    task = {"step": "a/restore", "host": "drc-a-1", "task": "Restore", "outcome": "unreachable", "duration_ms": 1}
    bench.run.add(9, "task.ended", task | {"started_at": to_stamp(bench.run.at(8)), "changed": False})
    assert bench.of("a", 20).lost_hosts == ("drc-a-1",)
    bench.run.add(25, "step.repeated", {"step": "a/restore", "reason": "it answers again"})
    assert bench.of("a", 30).lost_hosts == ()


# -- the probe ---------------------------------------------------------------------------------------------------------


def in_use(bench: Bench) -> Bench:
    """Verified at 100, and waiting for users since then."""
    bench.begun()
    bench.run.did(0, 100, "a/restore", "a/activate", "a/verify")
    bench.run.begin(100, "a/usable")
    return bench


def test_a_failing_check_says_since_when_and_how() -> None:
    bench = in_use(Bench())
    bench.look("a", (98, True), (99, False), (100, False), (101, False))
    a = bench.of("a", 101.5)
    assert a.probe is not None
    (failing,) = a.probe.failing
    assert (failing.check, failing.since, failing.detail) == ("path", bench.run.at(99), "connection refused")
    assert probe_told(a.probe, a.hold_left, bench.at(101.5)) == "probe: path fails for 2 s: connection refused"
    # 62 s from the beginning of `usable`, less the hold time.
    assert a.clock is not None
    assert a.clock.expected == seconds(160)


def test_what_works_counts_only_from_the_verification_on_and_tells_how_long_it_must_hold() -> None:
    bench = in_use(Bench())
    bench.look("a", (99, True), (100, True), (100.5, True), (101, True))
    a = bench.of("a", 101.2)
    assert a.probe is not None
    assert (a.probe.good_since, a.probe.held, a.hold_left) == (bench.run.at(100), seconds(1), seconds(1))
    assert a.clock is not None
    assert (a.clock.expected, a.clock.certain) == (seconds(100), True)
    bench.look("a", (101.5, False), (102, True))
    relapsed = bench.of("a", 102.1)
    assert relapsed.hold_left == seconds(2)


def test_before_the_verification_success_does_not_count() -> None:
    bench = Bench().begun()
    bench.look("a", (1, True), (2, True))
    a = bench.of("a", 2.5)
    assert a.probe is not None
    assert (a.probe.good_since, a.hold_left) == (None, None)
    assert "does not count" in probe_told(a.probe, a.hold_left, bench.at(2.5))


def test_a_probe_that_is_silent_says_nothing_good() -> None:
    bench = in_use(Bench())
    bench.look("a", (100, True), (101, True))
    gap = bench.city.services["a"].check_gaps["path"].total_seconds()
    a = bench.of("a", 101 + gap + 0.1)
    assert a.probe is not None
    assert (a.probe.silent_since, a.probe.good_since, a.hold_left) == (bench.run.at(101), None, None)
    # And what comes after a silence does not go on with what was before it.
    bench.look("a", (103 + gap, True))
    again = bench.of("a", 103.1 + gap)
    assert again.probe is not None
    assert again.probe.good_since == bench.run.at(103 + gap)


def test_a_check_that_was_not_tried_yet_keeps_all_from_being_good() -> None:
    record = sized_record("a")
    record["checks"].append({"id": "port", "type": "tcp", "port": 25})
    bench = in_use(Bench(city_with(LINES, record, estimates=ESTIMATES)))
    bench.look("a", (100, True), (101, True))
    a = bench.of("a", 101.5)
    assert a.probe is not None
    assert (a.probe.untried, a.probe.good_since) == (("port",), None)


def test_taking_samples_in_as_they_come_gives_the_same_as_all_at_once() -> None:
    bench = in_use(Bench())
    bench.look("a", *((number / 2, number % 7 != 0) for number in range(400)))
    gaps = bench.city.services["a"].check_gaps
    whole, piecewise = Spells(gaps), Spells(gaps)
    whole.take(bench.samples["a"])
    for sample in bench.samples["a"]:
        piecewise.take([sample])
    assert whole.of_check == piecewise.of_check


# -- lines -------------------------------------------------------------------------------------------------------------


def test_half_and_all_of_the_rto_and_a_slow_step_are_told_once_each() -> None:
    bench = Bench().begun()
    teller = Teller()
    assert teller.lines(bench.at(10)) == []
    assert [line for line in teller.lines(bench.at(89)) if "longer" in line] == []  # hardly worth a line
    slow = teller.lines(bench.at(90))
    assert slow[0] == "a/restore takes longer than it should: 1 m 30 s instead of 1 m measured (drill-a)"
    assert teller.lines(bench.at(91)) == []
    half = [line for line in teller.lines(bench.at(7201)) if "RTO" in line]
    assert half == [
        f"{name}: half of its RTO of 4 h is used; back in at least {left}"
        for name, left in (("a", "8 m"), ("b", "15 m"))
    ]
    all_used = [line for line in teller.lines(bench.at(14_460)) if "all of its RTO" in line]
    assert all_used == [
        f"{name}: all of its RTO of 4 h is used; back in at least {left} after its RTO"
        for name, left in (("a", "8 m, 9 m"), ("b", "15 m, 16 m"))
    ]
    assert [line for line in teller.lines(bench.at(14_461)) if "RTO of" in line] == []


def test_every_half_minute_one_line_sums_up() -> None:
    bench = Bench().begun()
    teller = Teller()
    told = {number: teller.lines(bench.at(number)) for number in range(60)}
    assert {number for number, lines in told.items() if lines} == {30}
    summary = "0 of 2 usable, 2 at work; ends in at least 15 m 32 s; decides the end: a/restore"
    assert told[30] == [f"drill: 30 s since the first step; {summary}"]
    assert summary_of(bench.at(30)) == told[30][0]


def test_many_lines_of_a_kind_are_folded() -> None:
    names = [f"s{number}" for number in range(9)]
    bench = Bench(city_with(LINES, *map(sized_record, names), estimates=ESTIMATES)).begun()
    lines = [line for line in Teller().lines(bench.at(7201)) if "half of its RTO" in line or "more like" in line]
    assert len([line for line in lines if "half" in line]) == 3
    assert "… and 6 more like this" in lines


def test_a_run_that_has_ended_is_not_summed_up() -> None:
    bench = Bench().begun()
    teller = Teller()
    teller.lines(bench.at(1))
    closed = replace(bench.at(100), is_closed=True)
    assert not any("since the first step" in line for line in teller.lines(closed))
