"""Coverage from a real ledger: what is counted, of how many, and what is not counted."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from drp.domain.dossiers.exercises import Standing
from drp.domain.inventory import City
from drp.workflows.coverage import Coverage, ServiceCoverage, coverage
from drp.workflows.recover import RecoveryRequest, recover
from drp.workflows.runs import abort
from tests.fakes.city import make_city, service_record
from tests.fakes.world import Stage, make_stage


def city_with_programme(**changes: object) -> City:
    return make_city(
        service_record("identitas"),
        service_record("pengaduan", depends_on=["identitas"], address="192.0.2.80"),
        service_record("arsip", hosting="agency", datasets=[], backup=None, runs_on=[], recovers_on={}, checks=[]),
        workspace={
            "agencies": {"humas": "Humas", "arsip": "Arsip"},
            "exercise_programme": {"penting": {"tabletop": "365d", "full": "90d"}},
        }
        | changes,
    )


def of(found: Coverage, name: str) -> ServiceCoverage:
    return next(service for service in found.services if service.service == name)


def drill(stage: Stage, *services: str) -> str:
    request = RecoveryRequest(kind="drill", services=services, runbook="site-loss", by="siti", reason="quarterly")
    return recover(stage.world, request).run


def shares(found: Coverage) -> dict[str, str]:
    return {name: share.shown for name, share in found.totals.items()}


def test_a_city_that_was_never_exercised(tmp_path: Path) -> None:
    found = coverage(make_stage(tmp_path, city_with_programme()).world)
    assert [(service.service, service.standing) for service in found.services] == [
        ("arsip", Standing.NOT_BACKED_UP),
        ("identitas", Standing.NEVER_PROVED),
        ("pengaduan", Standing.NEVER_PROVED),
    ]
    assert "it is hosted by its agency itself" in of(found, "arsip").reasons
    assert of(found, "pengaduan").reasons == ("never exercised",)
    assert shares(found) == {
        "backup declared": "2 of 3",
        "restore point at the DR centre": "3 of 3",
        "protected (data within its RPO)": "2 of 3",
        "ever exercised": "0 of 3",
        "recovery proved": "0 of 3",
        "exercised in time, of those with a programme": "0 of 3",
        "agencies with a service protected and proved": "0 of 2",
    }
    assert {service.service for service in found.wanting} == {"arsip", "identitas", "pengaduan"}


def test_a_drill_proves_the_services_that_it_recovered(tmp_path: Path) -> None:
    stage = make_stage(tmp_path, city_with_programme())
    run = drill(stage, "pengaduan")
    found = coverage(stage.world)
    proof = of(found, "pengaduan").last_proof
    assert proof is not None
    assert (proof.run, proof.kind, proof.level) == (run, "drill", "full")
    assert of(found, "pengaduan").standing is Standing.EXERCISE_LATE  # the table-top was never held
    assert of(found, "pengaduan").reasons == ("tabletop: never",)
    assert [(cadence.level, cadence.state) for cadence in of(found, "pengaduan").cadences] == [
        ("tabletop", "never"),
        ("full", "current"),
    ]
    totals = shares(found)
    assert totals["recovery proved"] == "2 of 3"  # what it depends on was recovered with it
    assert totals["agencies with a service protected and proved"] == "1 of 2"
    assert totals["exercised in time, of those with a programme"] == "0 of 3"


def test_a_service_is_covered_when_all_is_held_in_time(tmp_path: Path) -> None:
    stage = make_stage(tmp_path, city_with_programme(exercise_programme={"penting": {"full": "90d"}}))
    drill(stage, "pengaduan")
    found = coverage(stage.world)
    assert of(found, "pengaduan").standing is Standing.COVERED
    assert of(found, "pengaduan").reasons == ()
    assert shares(found)["exercised in time, of those with a programme"] == "2 of 3"
    assert [service.service for service in found.wanting] == ["arsip"]
    stage.clock.at += timedelta(days=91)
    later = coverage(stage.world)
    assert of(later, "pengaduan").standing is Standing.TOO_OLD
    assert "newest data is 91 d" in of(later, "pengaduan").reasons[0]
    assert [cadence.state for cadence in of(later, "pengaduan").cadences] == ["overdue"]


def test_a_drill_that_met_nothing_was_held_and_proves_nothing(tmp_path: Path) -> None:
    stage = make_stage(tmp_path, city_with_programme())
    stage.script.wrong.add("rows")
    drill(stage, "identitas")
    found = of(coverage(stage.world), "identitas")
    assert found.last_proof is None
    assert found.last_exercise is not None
    assert found.last_exercise.verdict == "NOT_MET"
    assert found.reasons == (f"drill {found.last_exercise.at:%Y-%m-%d}: NOT_MET",)
    assert [cadence.state for cadence in found.cadences] == ["never", "current"]


def test_aborted_unfinished_and_changed_recoveries_are_not_counted(tmp_path: Path) -> None:
    stage = make_stage(tmp_path, city_with_programme())
    changed = drill(stage, "identitas")
    with closing(sqlite3.connect(tmp_path / "var" / "ledger.sqlite3", isolation_level=None)) as database:
        database.execute("DROP TRIGGER events_never_change")
        database.execute(
            "UPDATE events SET at = '2026-01-01T00:00:00.000000Z' WHERE run = ? AND sequence = 2", (changed,)
        )
    plan = stage.ledger.events(changed)[0].body["plan"]
    for name in ("drill-aborted", "drill-open"):
        stage.ledger.open_run(name, "drill", "0" * 64, ["identitas"], {"plan": plan})
    abort(stage.world, "drill-aborted", "wrong service")
    found = coverage(stage.world)
    assert {item.run: item.reason for item in found.not_counted} == {
        changed: "its record was changed",
        "drill-aborted": "it was aborted",
        "drill-open": "it has not ended",
    }
    assert found.tampered
    assert shares(found)["ever exercised"] == "0 of 3"


def test_nothing_registered_is_not_everything(tmp_path: Path) -> None:
    empty = make_city().model_copy(update={"services": {}})
    found = coverage(make_stage(tmp_path, empty).world)
    assert shares(found)["backup declared"] == "none to count"
    assert shares(found)["agencies with a service protected and proved"] == "0 of 1"
    assert found.totals["backup declared"].record() == {"count": 0, "of": 0}


def test_an_agency_without_services_counts_in_the_whole(tmp_path: Path) -> None:
    found = coverage(make_stage(tmp_path, city_with_programme()).world)
    assert [(agency.agency, agency.services, agency.protected) for agency in found.agencies] == [
        ("humas", 3, 2),
        ("arsip", 0, 0),
    ]


def test_a_service_without_a_programme_has_no_cadence_and_is_not_called_timely(tmp_path: Path) -> None:
    found = coverage(make_stage(tmp_path).world)
    assert of(found, "pengaduan").cadences == ()
    assert shares(found)["exercised in time, of those with a programme"] == "none to count"
