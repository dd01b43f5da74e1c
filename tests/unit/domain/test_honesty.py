"""Decisions that once were too kind."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import TypeAdapter, ValidationError

from drp.domain.consistency import faults_of
from drp.domain.recovery.probing import Sample, last_outage
from drp.domain.recovery.verification import newest_transaction
from drp.domain.values import AbsolutePath, from_stamp, to_stamp
from tests.fakes.city import NOW, make_city, make_restore_point, parts_of, service_record
from tests.unit.domain.test_plan import plan_of


def sample(seconds: float, succeeded: bool) -> Sample:
    at = NOW + timedelta(seconds=seconds)
    return Sample(at, at + timedelta(milliseconds=20), succeeded, "")


def test_a_silence_ends_an_outage_that_nobody_saw_go_on() -> None:
    samples = [sample(0, True), sample(1, False), sample(2, False), sample(36_000, False), sample(36_001, False)]
    found = last_outage(samples, {"path": timedelta(seconds=10)})
    assert found is not None
    assert found.disrupted_at == NOW + timedelta(seconds=36_000)


@pytest.mark.parametrize("paths", [["/srv/pengaduan"], ["/srv/pengaduan/uploads"]])
def test_datasets_of_two_services_must_not_overlap_on_a_host(paths: list[str]) -> None:
    first, second = service_record("pengaduan"), service_record("arsip")
    for record in (first, second):
        record["recovers_on"] = dict.fromkeys(record["runs_on"], "drc-1")
    first["datasets"] = [{"id": "files", "type": "files", "host": first["runs_on"][0], "paths": ["/srv/pengaduan"]}]
    second["datasets"] = [{"id": "files", "type": "files", "host": second["runs_on"][0], "paths": paths}]
    city = make_city(first, second)
    found = faults_of(parts_of(city))
    assert [(item.record.name, item.location) for item in found] == [("arsip", ("datasets", 0))]
    assert "drc-1 belongs to dataset pengaduan/files too" in found[0].message


def test_a_host_clock_that_runs_ahead_does_not_make_the_data_newer() -> None:
    point = replace(
        make_restore_point(),
        datasets={"files": {"id": "files", "type": "files", "host": "pengaduan-1", "paths": ["/srv/x"]}},
        clocks={"pengaduan-1": {"offset_ms": 600_000, "uncertainty_ms": 40}},
    )
    sentinel = {"token": point.sentinel, "written_at": to_stamp(NOW)}
    result = {"parts": [], "datasets": {"files": {"sentinel": sentinel}}}
    assert newest_transaction(point, result) == NOW - timedelta(minutes=10)
    assert point.clock_uncertainty == timedelta(milliseconds=40)


def test_a_plan_is_bound_to_the_services_declaration() -> None:
    planned = plan_of()
    assert all(len(service.declaration) == 64 for service in planned.services.values())


@pytest.mark.parametrize("path", ["/", "/etc", "/usr", "/var", "/var/lib", "/home", "/srv", "/tmp/x"])
def test_what_belongs_to_the_whole_system_is_no_dataset(path: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(AbsolutePath).validate_python(path)


@pytest.mark.parametrize("stamp", ["0001-01-01T00:00:00+07:00", "9999-12-31T23:59:59-07:00"])
def test_a_time_of_another_age_is_refused(stamp: str) -> None:
    with pytest.raises(ValueError, match="not of this age"):
        from_stamp(stamp)
