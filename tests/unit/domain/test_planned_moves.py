"""A planned move stops what needs a service before it, sends users over together, and can be taken back until then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drp.adapters.inventory import load_city
from drp.domain.recovery.plan import Plan, RecoveryKind
from drp.domain.recovery.run import Recovery, apply
from drp.domain.recovery.shared_hosts import services_beside, stopped_before_backup
from drp.domain.service import Service
from tests.fakes.city import make_city, make_restore_point, service_record
from tests.unit.domain.test_plan import needs, plan_of
from tests.unit.domain.test_run import Journal, carry_out

BEFORE_USERS_GO = ("look", "keep", "stop", "backup", "restore", "activate", "verify")
MOVES: tuple[RecoveryKind, ...] = ("switchover", "failback")


@pytest.mark.parametrize("kind", MOVES)
def test_what_needs_a_service_stops_before_it(kind: RecoveryKind) -> None:
    steps = needs(plan_of(kind))
    assert "pengaduan/stop" in steps["identitas/stop"]
    assert "identitas/verify" in steps["pengaduan/activate"]
    assert steps["pengaduan/restore"] == ("pengaduan/backup",)


def test_users_go_over_when_all_services_run_there() -> None:
    steps = needs(plan_of("switchover"))
    for name in ("identitas", "pengaduan"):
        assert set(steps[f"{name}/cutover"]) == {"identitas/stopped", "pengaduan/stopped"}
        assert set(steps[f"{name}/stopped"]) == {"identitas/verify", "pengaduan/verify"}


def test_a_failback_stops_nothing_before_all_that_stranded_is_kept() -> None:
    steps = needs(plan_of("failback"))
    for name in ("identitas", "pengaduan"):
        assert {"identitas/keep", "pengaduan/keep"} <= set(steps[f"{name}/stop"])


def test_only_a_failback_looks_at_the_old_primary_first_and_clears_up_last() -> None:
    there, home = needs(plan_of("switchover")), needs(plan_of("failback"))
    assert set(home) - set(there) == {
        f"{name}/{stage}" for name in ("identitas", "pengaduan") for stage in ("unfence", "look", "keep", "close-again")
    } - set(there)
    assert {name.partition("/")[2] for name in set(there) - set(home)} == {"fence"}
    assert "pengaduan/keep" in home["pengaduan/stop"]
    assert (home["pengaduan/cleanup"], there["pengaduan/cleanup"]) == (("pengaduan/protect",), ("pengaduan/reopen",))


def test_a_move_knows_where_it_comes_from_and_goes() -> None:
    there, home = plan_of("switchover"), plan_of("failback")
    assert (there.site, home.site) == ("recovery", "primary")
    planned = there.services["pengaduan"]
    assert (planned.leaves, planned.hosts) == (("pengaduan-1",), ("drc-pengaduan-1",))
    assert (home.services["pengaduan"].leaves, home.services["pengaduan"].hosts) == (planned.hosts, planned.leaves)


@pytest.mark.parametrize("kind", MOVES)
def test_a_plan_survives_the_ledger(kind: RecoveryKind) -> None:
    plan = plan_of(kind)
    assert Plan.from_record(plan.record()) == plan
    assert plan.services["pengaduan"].restore_point is None


def outcomes(recovery: Recovery, stage: str) -> dict[str, str]:
    return {name: recovery.steps[f"{name}/{stage}"].outcome for name in recovery.plan.services}


@pytest.mark.parametrize("kind", MOVES)
def test_a_move_without_trouble_goes_back_nowhere(kind: RecoveryKind) -> None:
    journal = Journal(plan_of(kind))
    carry_out(journal, frozenset(), frozenset())
    state = journal.replayed()
    spare = {"reopen", "return"} | ({"cleanup"} if kind == "switchover" else {"close-again"})
    assert {step.outcome for name, step in state.steps.items() if name.split("/")[1] in spare} == {"skipped"}
    assert {step.outcome for name, step in state.steps.items() if name.split("/")[1] not in spare} == {"ok"}


@settings(max_examples=100, deadline=None)
@given(
    kind=st.sampled_from(MOVES),
    service=st.sampled_from(["identitas", "pengaduan"]),
    stage=st.sampled_from(BEFORE_USERS_GO),
)
def test_whatever_fails_before_users_go_all_that_was_stopped_starts_again(
    kind: RecoveryKind, service: str, stage: str
) -> None:
    plan = plan_of(kind)
    failing = f"{service}/{stage}"
    if failing not in {step.id for step in plan.steps}:
        return
    journal = Journal(plan)
    carry_out(journal, frozenset({failing}), frozenset())
    state = journal.replayed()
    assert set(outcomes(state, "cutover").values()) == {"skipped"}
    assert set(outcomes(state, "return").values()) == {"skipped"}, "nobody was sent anywhere"
    for name in plan.services:
        was_stopped = state.steps[f"{name}/stop"].started_at is not None
        assert state.steps[f"{name}/reopen"].outcome == ("ok" if was_stopped else "skipped")
        has_begun = kind == "switchover" and was_stopped and name in state.absences
        assert state.steps[f"{name}/cleanup"].outcome == ("ok" if has_begun else "skipped"), (
            "after a failback that failed, users live on what would be removed"
        )


@pytest.mark.parametrize("stage", ["usable", "protect"])
def test_once_users_have_gone_nothing_goes_back_and_nothing_is_removed(stage: str) -> None:
    journal = Journal(plan_of("failback"))
    carry_out(journal, frozenset({f"pengaduan/{stage}"}), frozenset())
    state = journal.replayed()
    assert set(outcomes(state, "reopen").values()) == {"skipped"}
    assert outcomes(state, "cleanup")["pengaduan"] == "skipped"


def test_where_the_switch_itself_fails_users_are_led_back() -> None:
    journal = Journal(plan_of("switchover"))
    carry_out(journal, frozenset({"pengaduan/cutover", "identitas/cutover"}), frozenset())
    state = journal.replayed()
    assert set(outcomes(state, "reopen").values()) == {"ok"}
    assert set(outcomes(state, "return").values()) == {"ok"}
    assert set(outcomes(state, "fence").values()) == {"skipped"}
    assert set(outcomes(state, "cleanup").values()) == {"skipped"}, "somebody may have written there"


def test_who_goes_back_does_not_wait_for_what_others_do_after_the_switch() -> None:
    journal = Journal(plan_of("switchover"))
    carry_out(journal, frozenset({"pengaduan/cutover"}), frozenset())
    states = [journal.replayed(count) for count in range(1, len(journal.events) + 1)]
    early = [state for state in states if state.steps["identitas/usable"].outcome == "pending"]
    assert any("pengaduan/reopen" in {step.id for step in state.ready()} for state in early)


def move_of_two(kind: RecoveryKind) -> Plan:
    """A move of a service with an address of its own and another one that needs it."""
    records = (
        service_record("a", address="192.0.2.80"),
        service_record("b", address="192.0.2.81", depends_on=["a"]),
    )
    return plan_of(kind, ("b",), make_city(*records))


@pytest.mark.parametrize("kind", MOVES)
def test_what_others_need_at_an_address_that_moves_goes_over_before_they_start(kind: RecoveryKind) -> None:
    """They ask for it there: with all of them stopped and none sent over yet, they would never prove well."""
    steps = needs(move_of_two(kind))
    assert "a/cutover" in steps["b/activate"]
    assert (steps["a/stopped"], steps["a/cutover"]) == (("a/verify",), ("a/stopped",))
    assert set(steps["b/cutover"]) == {"a/stopped", "b/stopped"}
    journal = Journal(move_of_two(kind))
    carry_out(journal, frozenset(), frozenset())
    assert set(outcomes(journal.replayed(), "protect").values()) == {"ok"}


@pytest.mark.parametrize("kind", MOVES)
@pytest.mark.parametrize("stage", ["activate", "verify", "cutover"])
def test_where_one_fails_that_needs_another_it_goes_back_and_that_stays(kind: RecoveryKind, stage: str) -> None:
    journal = Journal(move_of_two(kind))
    carry_out(journal, frozenset({f"b/{stage}"}), frozenset())
    state = journal.replayed()
    assert outcomes(state, "cutover")["a"] == "ok"
    assert outcomes(state, "protect")["a"] == "ok"
    assert outcomes(state, "reopen") == {"a": "skipped", "b": "ok"}
    assert outcomes(state, "return") == {"a": "skipped", "b": "ok" if stage == "cutover" else "skipped"}
    assert outcomes(state, "cleanup")["a"] == "skipped", "users are where it would be removed, or not all have left"
    is_unused = kind == "switchover" and stage != "cutover"
    assert outcomes(state, "cleanup")["b"] == ("ok" if is_unused else "skipped")


@pytest.mark.parametrize("stage", ["unfence", "look", "keep", "verify"])
def test_a_failback_that_fails_closes_the_old_primary_again(stage: str) -> None:
    journal = Journal(plan_of("failback"))
    carry_out(journal, frozenset({f"pengaduan/{stage}"}), frozenset())
    state = journal.replayed()
    assert outcomes(state, "close-again")["pengaduan"] == "ok"


def test_nothing_is_removed_at_the_recovery_site_while_one_of_a_failback_is_still_there() -> None:
    journal = Journal(plan_of("failback"))
    carry_out(journal, frozenset({"pengaduan/cutover"}), frozenset())
    state = journal.replayed()
    assert outcomes(state, "protect")["identitas"] == "ok"
    assert set(outcomes(state, "cleanup").values()) == {"skipped"}


def test_a_person_who_gives_up_has_it_go_back() -> None:
    journal = Journal(plan_of("switchover"))
    carry_out(journal, frozenset(), frozenset(), most=8)
    state = journal.replayed()
    assert state.steps["pengaduan/stop"].outcome == "ok"
    journal.add("run.abandoned", {"by": "siti", "reason": "no time"})
    carry_out(journal, frozenset(), frozenset())
    state = journal.replayed()
    assert outcomes(state, "reopen")["pengaduan"] == "ok"
    assert set(outcomes(state, "cutover").values()) == {"skipped"}


def test_the_data_is_judged_by_the_restore_point_that_the_move_made() -> None:
    journal = Journal(plan_of("switchover"))
    recovery = journal.replayed()
    assert recovery.point_of("pengaduan") is None
    assert recovery.data_verdict("pengaduan") == "NOT_MEASURED"
    point = make_restore_point()
    apply(recovery, journal.add("restore_point.chosen", point.record()))
    assert recovery.point_of("pengaduan") == point
    assert journal.replayed().point_of("pengaduan") == point


def beside(**second: Any) -> list[tuple[str, list[str]]]:
    start: dict[str, Any] = {"recovery": {"start": ["postgresql", "nginx", "pengaduan"]}}
    city = make_city(service_record(**start), service_record("jdih", **second))
    services = list(city.services.values())
    return services_beside(services[0], services, "primary")


def test_a_server_that_another_service_uses_is_told() -> None:
    here = {"runs_on": ["pengaduan-1"], "recovers_on": {"pengaduan-1": "drc-pengaduan-1"}}
    files = [{"id": "files", "type": "files", "host": "pengaduan-1", "paths": ["/srv/jdih"]}]
    assert beside(**here, datasets=files, recovery={"start": ["nginx", "jdih"]}) == [("jdih", ["nginx"])]
    assert beside(**here, datasets=files, recovery={"start": ["jdih"]}) == []
    assert beside(recovery={"start": ["nginx"]}) == [], "on another host"


def test_a_database_server_is_not_stopped_with_a_service() -> None:
    here = {"runs_on": ["pengaduan-1"], "recovers_on": {"pengaduan-1": "drc-pengaduan-1"}}
    database = [{"id": "database", "type": "postgresql", "host": "pengaduan-1", "database": "jdih"}]
    assert beside(**here, datasets=database, recovery={"start": ["postgresql", "jdih"]}) == []


def test_services_that_are_only_registered_are_no_trouble() -> None:
    record = {"schema": 1, "id": "arsip", "title": {"en": "Arsip", "id": "Arsip"}, "agency": "humas"}
    pengaduan = Service.model_validate(service_record(recovery={"start": ["nginx"]}))
    assert services_beside(pengaduan, [pengaduan, Service.model_validate(record)], "recovery") == []


def test_what_a_backup_must_ask_is_not_stopped_before_it() -> None:
    """The server of a directory takes the sentinel; what stops and starts it tells its name."""
    directory = {"id": "directory", "type": "openldap", "host": "pengaduan-1", "suffix": "dc=kota,dc=example"}
    start = {"start": ["slapd", "apache2"]}
    record = service_record("pengaduan", datasets=[directory], recovery=start)
    assert stopped_before_backup(Service.model_validate(record)) == ["apache2"]
    named = {verb: ["systemctl", verb, "slapd-kota.service"] for verb in ("stop", "start")}
    units = {"start": ["slapd-kota", "slapd"]}
    record = service_record("pengaduan", datasets=[directory | named], recovery=units)
    assert stopped_before_backup(Service.model_validate(record)) == ["slapd"]
    configuration = directory | {"suffix": "cn=config"}
    record = service_record("pengaduan", datasets=[configuration], recovery=start)
    assert stopped_before_backup(Service.model_validate(record)) == ["slapd", "apache2"], "it is read from its files"


def test_the_directory_of_the_shipped_city_runs_on_while_it_is_backed_up() -> None:
    root = Path(__file__).parents[3]
    service = load_city(root, root / "runbooks").services["sim-egov"]
    assert stopped_before_backup(service) == ["apache2"]
