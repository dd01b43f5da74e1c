"""What a recovery would take, reckoned by hand: 45 GB over 100 Mbit/s are an hour, people half an hour, and nine
minutes pass from the end of a restore until users are back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from drp.domain.forecasts.estimates import Basis, History, MeasuredStage
from drp.domain.forecasts.forecast import Forecast, Outlook, forecast
from drp.domain.graph import with_dependencies
from drp.domain.inventory import City
from drp.domain.recovery.plan import RecoveryKind
from drp.domain.runbooks.model import Runbook
from tests.fakes.city import make_restore_point
from tests.fakes.planned import ESTIMATES, LINES, city_with, link, runbook, sized_record

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def of(
    city: City, scenario: Runbook | None = None, history: History | None = None, kind: RecoveryKind = "failover"
) -> Forecast:
    order = with_dependencies(city.services, {name: service.depends_on for name, service in city.services.items()})
    return forecast(city, scenario or runbook(), kind, order, history or History())


def city(*records: dict[str, Any], **more: Any) -> City:
    return city_with(more.pop("links", LINES), *records, estimates=more.pop("estimates", ESTIMATES), **more)


def test_one_service_is_back_after_people_restore_and_stages() -> None:
    found = of(city(sized_record("a")))
    assert found.services["a"].rta == 30 * MINUTE + HOUR + 9 * MINUTE
    assert found.services["a"].rto_outlook is Outlook.FEASIBLE
    assert [step.step.id for step in found.critical_path()] == [
        "a/restore",
        "a/activate",
        "a/verify",
        "a/cutover",
        "a/usable",
    ]
    assert found.makespan == found.lower_bound == HOUR + 9 * MINUTE


def test_the_trial_of_the_first_restore_point_is_counted_where_the_runbook_walks_back() -> None:
    """Before users come, one look of the probe at the recovery host: interval and timeout of the slowest check."""
    walks_back = Runbook.model_validate(
        runbook().model_dump(mode="json", by_alias=True, exclude_none=True)
        | {"restore_points": "walk-back", "walk_back": {"attempts": 4, "patience": "5m"}}
    )
    services = (sized_record("a"), sized_record("b", depends_on=["a"]))
    plain, found = of(city(*services)), of(city(*services), walks_back)
    trial = found.steps["b/trial"].estimate
    assert trial.duration is not None
    assert trial.duration > timedelta()
    assert trial.basis is Basis.COMPUTED
    # b is activated only when a has passed its own, and users find it.
    assert found.steps["b/activate"].waits_for == "a/cutover"
    assert found.steps["a/cutover"].waits_for == "a/trial"
    assert found.services["a"].rta == plain.services["a"].rta + trial.duration
    assert found.services["b"].rta == plain.services["b"].rta + 2 * trial.duration
    assert (plain.attempts, found.attempts) == (1, 4)
    assert not [name for name in found.steps if name.endswith("/withdraw")], "only after a failure"
    measured = History({("a", "trial"): [MeasuredStage("drill-1", 3 * MINUTE, 0)]})
    assert of(city(*services), walks_back, measured).steps["a/trial"].estimate.duration == 3 * MINUTE


def test_restores_share_the_line_and_a_dependant_waits_for_what_it_needs() -> None:
    found = of(city(sized_record("a"), sized_record("b", depends_on=["a"])))
    # Both restores end after two hours; b is activated when users find a, eight minutes later.
    assert found.steps["b/restore"].end == 2 * HOUR
    assert found.steps["b/activate"].start == 2 * HOUR + 8 * MINUTE
    assert found.services["b"].rta == 30 * MINUTE + 2 * HOUR + 8 * MINUTE + 9 * MINUTE
    assert (found.services["a"].wave, found.services["b"].wave) == (1, 2)
    assert found.steps["b/activate"].waits_for == "a/cutover"
    assert found.line_times["link downlink"] == 2 * HOUR


def test_a_drill_switches_no_traffic() -> None:
    found = of(city(sized_record("a")), kind="drill")
    assert "a/cutover" not in found.steps
    assert found.makespan == HOUR + 8 * MINUTE


def test_without_a_word_about_people_the_time_is_a_lower_bound() -> None:
    silent = runbook().model_copy(update={"people": None})
    found = of(city(sized_record("a")), silent).services["a"]
    assert (found.rta, found.certain, found.rto_outlook) == (HOUR + 9 * MINUTE, False, Outlook.UNKNOWN)


def test_detection_is_reckoned_from_the_probe_where_nobody_declares_it() -> None:
    people = of(city(sized_record("a")), runbook(detect=None)).people
    assert people.detect.basis is Basis.COMPUTED
    assert people.detect.duration == 2 * timedelta(seconds=2.5)


@pytest.mark.parametrize(
    ("changes", "estimates", "step"),
    [
        ({"size": None}, ESTIMATES, "a/restore"),
        ({}, {name: value for name, value in ESTIMATES.items() if name != "verify"}, "a/verify"),
    ],
)
def test_what_nothing_tells_is_unknown_and_makes_everything_after_it_a_lower_bound(
    changes: dict[str, Any], estimates: dict[str, str], step: str
) -> None:
    found = of(city(sized_record("a", **changes), estimates=estimates))
    assert found.steps[step].estimate.basis is Basis.UNKNOWN
    assert not found.steps["a/usable"].certain
    assert found.services["a"].rto_outlook is Outlook.UNKNOWN


def test_a_lower_bound_that_is_too_late_already_is_not_feasible() -> None:
    found = of(city(sized_record("a", rto="1h"), estimates={}))
    assert not found.services["a"].certain
    assert found.services["a"].rto_outlook is Outlook.NOT_FEASIBLE


def test_the_usable_stage_is_reckoned_from_the_probe_where_nobody_declares_it() -> None:
    estimates = {name: value for name, value in ESTIMATES.items() if name != "usable"}
    step = of(city(sized_record("a"), estimates=estimates)).steps["a/usable"]
    assert (step.estimate.basis, step.estimate.duration) == (Basis.COMPUTED, timedelta(seconds=2.5))


def test_a_declared_restore_counts_where_the_line_alone_would_be_faster() -> None:
    record = sized_record("a", recovery={"estimates": {"restore": "90m"}})
    step = of(city(record)).steps["a/restore"]
    assert (step.estimate.basis, step.estimate.duration) == (Basis.DECLARED, 90 * MINUTE)
    record["recovery"] = {"estimates": {"restore": "10m"}}
    step = of(city(record)).steps["a/restore"]
    assert (step.estimate.basis, step.estimate.duration) == (Basis.COMPUTED, HOUR)


def measured(stage: Any, *durations: timedelta, size: int = 45 * 10**9) -> History:
    runs = [MeasuredStage(f"drill-{number}", duration, size) for number, duration in enumerate(durations)]
    return History({("a", stage): runs})


@pytest.mark.parametrize(
    ("history", "expected", "basis"),
    [
        (measured("restore", 70 * MINUTE), 70 * MINUTE, Basis.MEASURED),
        (measured("restore", 65 * MINUTE, 80 * MINUTE, 70 * MINUTE), 80 * MINUTE, Basis.MEASURED),
        # What was measured when the data was half as large counts twice.
        (measured("restore", 40 * MINUTE, size=45 * 10**9 // 2), 80 * MINUTE, Basis.MEASURED),
        # What was measured when it was larger is not made smaller.
        (measured("restore", 70 * MINUTE, size=90 * 10**9), 70 * MINUTE, Basis.MEASURED),
        # No measurement is faster than the line of today.
        (measured("restore", 20 * MINUTE), HOUR, Basis.COMPUTED),
    ],
)
def test_a_measured_restore_comes_first_but_never_beats_the_line(
    history: History, expected: timedelta, basis: Basis
) -> None:
    estimate = of(city(sized_record("a")), history=history).steps["a/restore"].estimate
    assert (estimate.duration, estimate.basis) == (expected, basis)


def test_a_measured_stage_comes_before_a_declared_one() -> None:
    estimate = of(city(sized_record("a")), history=measured("activate", 30 * MINUTE)).steps["a/activate"].estimate
    assert (estimate.duration, estimate.basis) == (30 * MINUTE, Basis.MEASURED)


def test_the_size_is_that_of_the_newest_backup_where_there_is_one() -> None:
    point = make_restore_point("a")
    snapshot = replace(point.snapshots[0], bytes=9 * 10**9)
    history = History({}, {"a": [replace(point, snapshots=(snapshot,))]})
    assert of(city(sized_record("a")), history=history).steps["a/restore"].end == HOUR / 5


# -- data loss -----------------------------------------------------------------------------------------------------


def test_the_worst_loss_is_the_gap_of_the_schedule_and_the_way_of_the_backup() -> None:
    loss = of(city(sized_record("a"))).services["a"].loss
    # 2.4 GB a day are 100 MB an hour: 8 s over 100 Mbit/s.
    assert (loss.gap, loss.arrival.duration, loss.rpa) == (HOUR, timedelta(seconds=8), HOUR + timedelta(seconds=8))


def test_backups_that_start_together_share_the_uplink() -> None:
    records = [sized_record("a"), sized_record("b")]
    assert of(city(*records)).services["a"].loss.arrival.duration == timedelta(seconds=16)
    records[1]["backup"] = records[1]["backup"] | {"schedule": "30 * * * *"}
    assert of(city(*records)).services["a"].loss.arrival.duration == timedelta(seconds=8)


def test_schedules_that_meet_share_the_uplink_whatever_they_are_called() -> None:
    records = [sized_record("a"), sized_record("b"), sized_record("c")]
    records[1]["backup"] = records[1]["backup"] | {"schedule": "0 */1 * * *"}
    records[2]["backup"] = records[2]["backup"] | {"schedule": "every 2h"}  # twice as much, every second time
    for name in "abc":
        assert of(city(*records)).services[name].loss.arrival.duration == timedelta(seconds=8 + 8 + 16), name


def test_every_backup_uses_the_uplink_also_of_what_is_not_planned() -> None:
    whole = city(sized_record("a"), sized_record("b"))
    alone = forecast(whole, runbook(), "failover", ["a"], History())
    assert alone.services["a"].loss == of(whole).services["a"].loss


def points(*seconds: int) -> History:
    made = []
    for late in seconds:
        point = make_restore_point("a")
        made.append(replace(point, arrived_at=point.sentinel_at + timedelta(seconds=late)))
    return History({}, {"a": made})


@pytest.mark.parametrize(
    ("history", "expected", "basis"),
    [
        (points(60, 600, 30), timedelta(seconds=600), Basis.MEASURED),
        (points(1), timedelta(seconds=8), Basis.COMPUTED),  # faster than the line of today: the line is narrower now
    ],
)
def test_a_measured_arrival_comes_first(history: History, expected: timedelta, basis: Basis) -> None:
    arrival = of(city(sized_record("a")), history=history).services["a"].loss.arrival
    assert (arrival.duration, arrival.basis) == (expected, basis)


@pytest.mark.parametrize(
    ("backup", "rpo", "outlook"),
    [
        ({}, "2h", Outlook.FEASIBLE),
        ({}, "1h", Outlook.NOT_FEASIBLE),  # the gap is kept, but not with the way added
        ({"schedule": None}, "2h", Outlook.UNKNOWN),
        ({"schedule": "daily 02:00"}, "2h", Outlook.NOT_FEASIBLE),
    ],
)
def test_the_rpo_outlook(backup: dict[str, Any], rpo: str, outlook: Outlook) -> None:
    record = sized_record("a", rpo=rpo)
    record["backup"] = {key: value for key, value in (record["backup"] | backup).items() if value is not None}
    assert of(city(record)).services["a"].rpo_outlook is outlook


# -- what cannot be recovered --------------------------------------------------------------------------------------


def codes(found: Forecast, service: str) -> Sequence[str]:
    return [gap.code for gap in found.cannot[service]]


def test_a_service_without_backup_cannot_be_recovered_and_what_needs_it_neither() -> None:
    lost = sized_record("a")
    del lost["backup"]
    found = of(city(lost, sized_record("b", depends_on=["a"]), sized_record("c", depends_on=["b"])))
    assert codes(found, "a") == ["no-backup"]
    for name in ("b", "c"):
        assert found.services[name].lost_dependencies == ("a",)
        assert found.services[name].rto_outlook is Outlook.NOT_FEASIBLE


def test_a_recovery_host_that_is_gone_is_named() -> None:
    whole = city(sized_record("a"))
    hosts = {name: host for name, host in whole.hosts.items() if name != "drc-a-1"}
    found = of(whole.model_copy(update={"hosts": hosts}))
    assert [gap.text for gap in found.cannot["a"]] == ["recovery host drc-a-1 is not in the Ansible inventory"]


def test_without_a_line_from_the_dr_centre_nothing_can_be_restored() -> None:
    assert codes(of(city(sized_record("a"), links={"uplink": link("a", "d")})), "a") == ["no-line"]


def test_what_others_run_on_a_host_of_the_primary_site_is_lost_with_it() -> None:
    guest = sized_record("a", hosting="agency")
    del guest["backup"]
    found = of(city(guest, sized_record("b", depends_on=["a"])))
    assert (found.elsewhere, list(found.cannot)) == ((), ["a"])
    assert found.services["b"].rto_outlook is Outlook.NOT_FEASIBLE


def test_a_restore_of_unknown_size_takes_its_share_of_the_line() -> None:
    guessed = sized_record("a", None, recovery={"estimates": {"restore": "1h"}})
    found = of(city(guessed, sized_record("b")))
    assert found.steps["b/restore"].end == 2 * HOUR  # as if it were the 45 GB that the line carries in an hour
    unknown = of(city(sized_record("a", None), sized_record("b")))
    assert not unknown.services["b"].certain  # nobody knows how long the two share it
    assert unknown.services["b"].rto_outlook is Outlook.UNKNOWN


def test_what_others_run_is_not_in_the_plan_and_is_said() -> None:
    national = sized_record("a", hosting="national", runs_on=[], recovers_on={}, datasets=[])
    del national["backup"]
    found = of(city(national, sized_record("b", depends_on=["a"])))
    assert (found.elsewhere, found.services["b"].elsewhere) == (("a",), ("a",))
    assert found.services["b"].rto_outlook is Outlook.FEASIBLE
