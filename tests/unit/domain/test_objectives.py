"""What is missing never becomes MET."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from drp.domain.inventory import Tier
from drp.domain.objectives import Objectives, Verdict, judge, objectives_of, worst
from drp.domain.service import Service
from tests.fakes.city import service_record

SECOND = timedelta(seconds=1)
TIERS = {"penting": Tier(rto=300 * SECOND, rpo=900 * SECOND, mtpd=None)}


def test_the_worst_of_nothing_is_not_measured() -> None:
    assert worst() is Verdict.NOT_MEASURED


def test_the_whole_is_as_bad_as_its_worst_part_in_any_order() -> None:
    for verdicts in permutations(Verdict):
        assert worst(*verdicts) is Verdict.NOT_MET
    assert worst(Verdict.MET, Verdict.NOT_MEASURED) is Verdict.NOT_MEASURED
    assert worst(Verdict.MET, Verdict.NOT_TESTED) is Verdict.NOT_TESTED
    assert worst(Verdict.MET, Verdict.MET) is Verdict.MET


@pytest.mark.parametrize(
    ("measured", "open_ended", "verdict"),
    [
        (300 * SECOND, False, Verdict.MET),
        (timedelta(), False, Verdict.MET),
        (300 * SECOND + timedelta(microseconds=1), False, Verdict.NOT_MET),
        (None, False, Verdict.NOT_MEASURED),
        (-SECOND, False, Verdict.NOT_MEASURED),
        (None, True, Verdict.NOT_MET),
        (SECOND, True, Verdict.NOT_MET),
    ],
)
def test_a_time_is_judged_by_its_objective(measured: timedelta | None, open_ended: bool, verdict: Verdict) -> None:
    assert judge(measured, 300 * SECOND, open_ended=open_ended) is verdict


def service(**changes: Any) -> Service:
    return Service.model_validate(service_record(**changes))


def test_a_services_own_objective_wins_over_its_tiers() -> None:
    found = objectives_of(service(rto="1m"), TIERS)
    assert found == Objectives(rto=60 * SECOND, rpo=900 * SECOND, mtpd=None)


def test_an_objective_of_zero_is_an_objective() -> None:
    found = objectives_of(service(rpo="0s"), TIERS)
    assert found is not None
    assert found.rpo == timedelta()


@pytest.mark.parametrize("changes", [{"tier": None}, {"tier": None, "rto": "1m"}, {"tier": "other"}])
def test_without_an_rto_and_an_rpo_there_are_no_objectives(changes: dict[str, Any]) -> None:
    assert objectives_of(service(**changes), TIERS) is None
