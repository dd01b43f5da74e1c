"""The figures that follow from the marks."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drp.domain.objectives import Objectives, Verdict
from drp.domain.recovery.clocks import ClockReading, moved, of_hosts
from drp.domain.recovery.timeline import PARTS, Mark, MarkName, Measurement, Reservation, measure
from tests.fakes.city import NOW, make_restore_point

NAMES: tuple[MarkName, ...] = ("Tb", "T0", "T1", "T2", "T3", "T4", "T5")
OBJECTIVES = Objectives(rto=timedelta(minutes=5), rpo=timedelta(minutes=15), mtpd=None)
GOOD = {"Tb": -480.0, "T0": 0.0, "T1": 1.2, "T2": 41.0, "T3": 43.0, "T4": 90.0, "T5": 92.5}


def marks(offsets: dict[str, float]) -> dict[str, Mark]:
    return {
        name: Mark(name, NOW + timedelta(seconds=offsets[name]), "automatic", "test")
        for name in NAMES
        if name in offsets
    }


def measured(
    offsets: dict[str, float],
    *,
    data: Verdict = Verdict.MET,
    ended: float = 200,
    exceptions: tuple[Reservation, ...] = (),
    aborted: bool = False,
) -> Measurement:
    ended_at = NOW + timedelta(seconds=ended)
    return measure(
        marks(offsets), OBJECTIVES, data_verdict=data, ended_at=ended_at, exceptions=exceptions, was_aborted=aborted
    )


def test_a_good_recovery_is_met() -> None:
    found = measured(GOOD)
    assert found.rta == timedelta(seconds=92.5)
    assert found.rta_at_least is None
    assert found.rpa == timedelta(seconds=480)
    assert found.since_declaration == timedelta(seconds=51.5)
    assert found.technical == timedelta(seconds=49)
    assert found.verdict is Verdict.MET
    assert found.accepted


@given(st.lists(st.integers(-(10**12), 10**12), min_size=7, max_size=7))
def test_the_parts_always_sum_to_the_recovery_time(offsets: list[int]) -> None:
    at: dict[str, Mark] = {
        name: Mark(name, NOW + timedelta(microseconds=us), "human", "") for name, us in zip(NAMES, offsets, strict=True)
    }
    found = measure(at, OBJECTIVES, data_verdict=Verdict.MET, ended_at=NOW)
    assert found.rta is not None
    assert sum((part for part in found.parts.values() if part is not None), timedelta()) == found.rta
    assert None not in found.parts.values()


def test_the_parts_touch_each_other_from_the_disruption_to_use() -> None:
    assert PARTS[0][1] == "T0"
    assert PARTS[-1][2] == "T5"
    assert all(before[2] == after[1] for before, after in pairwise(PARTS))


@pytest.mark.parametrize("missing", NAMES)
def test_a_missing_mark_makes_its_figures_unknown_and_never_zero(missing: str) -> None:
    found = measured({name: at for name, at in GOOD.items() if name != missing})
    figures = {
        "rta": (found.rta, {"T0", "T5"}),
        "rpa": (found.rpa, {"Tb", "T0"}),
        "since": (found.since_declaration, {"T2", "T5"}),
        "technical": (found.technical, {"T2", "T4"}),
        **{name: (found.parts[name], {start, end}) for name, start, end in PARTS},
    }
    for name, (value, needed) in figures.items():
        assert (value is None) == (missing in needed), name
    needed_for_verdict = {"Tb", "T0", "T5"}
    assert (found.verdict is Verdict.MET) == (missing not in needed_for_verdict)


@pytest.mark.parametrize(("ended", "verdict"), [(200, Verdict.ABORTED), (301, Verdict.NOT_MET)])
def test_what_was_given_up_before_it_was_late_was_aborted(ended: float, verdict: Verdict) -> None:
    found = measured({"T0": 0.0}, data=Verdict.NOT_MEASURED, ended=ended, aborted=True)
    assert (found.rto_verdict, found.verdict) == (verdict, verdict)
    assert found.rta_at_least == timedelta(seconds=ended)
    assert measured(GOOD, aborted=True).verdict is Verdict.MET, "it was back before"
    assert measured({"T0": 0.0}, data=Verdict.NOT_MET, aborted=True).verdict is Verdict.NOT_MET


def test_what_was_not_recovered_took_at_least_until_the_end_and_is_not_met() -> None:
    found = measured({name: at for name, at in GOOD.items() if name != "T5"}, ended=200)
    assert found.rta is None
    assert found.rta_at_least == timedelta(seconds=200)
    assert found.rto_verdict is Verdict.NOT_MET
    assert found.verdict is Verdict.NOT_MET
    assert not found.accepted


def test_without_any_mark_nothing_is_measured_and_nothing_met() -> None:
    found = measured({})
    assert (found.rta, found.rta_at_least, found.rpa) == (None, None, None)
    assert found.verdict is Verdict.NOT_MET


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"T5": 300.0}, Verdict.MET),
        ({"T5": 300.001}, Verdict.NOT_MET),
        ({"Tb": -900.0}, Verdict.MET),
        ({"Tb": -901.0}, Verdict.NOT_MET),
        ({"T5": -1.0}, Verdict.NOT_MEASURED),
        ({"Tb": 1.0}, Verdict.NOT_MEASURED),
    ],
)
def test_the_worst_of_time_and_data_decides(change: dict[str, float], verdict: Verdict) -> None:
    assert measured(GOOD | change).verdict is verdict


@pytest.mark.parametrize("data", [Verdict.NOT_MET, Verdict.NOT_MEASURED])
def test_data_that_is_not_the_restore_points_spoils_the_verdict(data: Verdict) -> None:
    assert measured(GOOD, data=data).verdict is data


def test_a_reservation_makes_met_an_exception_that_somebody_must_accept() -> None:
    nobody = measured(GOOD, exceptions=(Reservation("no watch", "budi"), Reservation("no line")))
    assert nobody.verdict is Verdict.MET_WITH_EXCEPTION
    assert not nobody.accepted
    taken = measured(GOOD, exceptions=(Reservation("no watch", "budi"), Reservation("no line", "siti")))
    assert taken.verdict is Verdict.MET_WITH_EXCEPTION
    assert taken.accepted


def test_a_reservation_does_not_make_a_failure_better() -> None:
    found = measured(GOOD | {"T5": 400.0}, exceptions=(Reservation("accepted all the same", "budi"),))
    assert found.verdict is Verdict.NOT_MET
    assert not found.accepted


def test_a_mark_reads_back_what_the_ledger_holds() -> None:
    for uncertainty, clock in ((timedelta(minutes=1), None), (None, STARTED)):
        mark = Mark("T0", NOW, "human", "declared by siti", uncertainty, clock)
        assert Mark.from_record(mark.record()) == mark


STARTED = ClockReading("3f2a", 1_000_000)


def exact(name: MarkName, off: float | None, clock: ClockReading | None = STARTED, source: str = "automatic") -> Mark:
    uncertainty = None if off is None else timedelta(seconds=off)
    return Mark(name, NOW + timedelta(seconds=GOOD[name]), source, "test", uncertainty, clock)  # type: ignore[arg-type]


def off_by(*found: Mark) -> tuple[float | None, float | None]:
    """What RTA and RPA can be off by."""
    measured = measure({mark.name: mark for mark in found}, OBJECTIVES, data_verdict=Verdict.MET, ended_at=NOW)
    both = (measured.rta_uncertainty, measured.rpa_uncertainty)
    rta, rpa = (None if value is None else value.total_seconds() for value in both)
    return rta, rpa


def test_what_a_figure_can_be_off_by_is_the_sum_of_its_marks() -> None:
    assert off_by(exact("Tb", 0.02, None), exact("T0", 0.5), exact("T5", 0.75)) == (1.25, 0.52)


@pytest.mark.parametrize("unknown", ["Tb", "T0", "T5"])
def test_an_unknown_part_makes_the_whole_unknown_and_never_less(unknown: str) -> None:
    found = [
        exact(name, None if name == unknown else 0.5, None if name == "Tb" else STARTED) for name in ("Tb", "T0", "T5")
    ]
    assert off_by(*found) == (None if unknown != "Tb" else 1.0, None if unknown != "T5" else 1.0)


def test_a_clock_that_was_set_meanwhile_makes_the_recovery_time_as_uncertain() -> None:
    set_back = replace(STARTED, ahead_us=STARTED.ahead_us - 30_000_000)
    assert off_by(exact("T0", 0.5), exact("T5", 0.5, set_back))[0] == 31


@pytest.mark.parametrize("clock", [None, replace(STARTED, boot="other")])
def test_a_control_node_that_was_started_anew_cannot_vouch_for_its_clock(clock: ClockReading | None) -> None:
    assert moved(STARTED, clock) is None
    assert off_by(exact("T0", 0.5), exact("T5", 0.5, clock))[0] is None


def test_a_time_that_a_person_stated_is_as_good_as_that_person_says() -> None:
    assert off_by(exact("T0", 60, None, "human"), exact("T5", 0.5))[0] == 60.5


def test_the_clocks_that_date_the_data_are_named_and_an_unknown_one_is_told_as_that() -> None:
    point = make_restore_point()
    (known,) = of_hosts("pengaduan", point)
    assert (known["clock"], known["offset_ms"], known["uncertainty_ms"]) == ("pengaduan-1", 0, 20)
    (unknown,) = of_hosts("pengaduan", replace(point, clocks={}))
    assert (unknown["clock"], unknown["offset_ms"], unknown["uncertainty_ms"]) == ("pengaduan-1", None, None)
