"""A recovery that is not good says why: service, step, host, and a word for programs, all from its own ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from drp.domain.events import Body
from drp.domain.recovery.causes import causes_of, slow_restores
from drp.domain.recovery.run import Recovery, replay
from drp.workflows.recover import recover
from tests.fakes.actions import Ending
from tests.fakes.city import make_city, service_record
from tests.fakes.world import Stage, make_stage, task
from tests.unit.workflows.test_recovery import DRILL, FAILOVER

DNS = {
    "type": "dns",
    "server": "192.0.2.53",
    "zone": "kota.example",
    "key": {"name": "drp", "secret": {"file": "key"}},
    "records": [{"name": "www.kota.example", "type": "A", "primary": ["192.0.2.1"], "recovery": ["192.0.2.2"]}],
}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return make_stage(tmp_path)


def kinds(recovery: Recovery) -> list[tuple[str, str, str, str]]:
    return [(cause.service, cause.step, cause.host, cause.kind) for cause in causes_of(recovery)]


def test_a_good_drill_has_no_cause(stage: Stage) -> None:
    assert causes_of(recover(stage.world, DRILL)) == []


def test_a_failed_step_is_named_with_its_host_and_kind_and_so_is_who_needed_it(stage: Stage) -> None:
    stage.script.failing.add("identitas-activate")
    recovery = recover(stage.world, DRILL)
    assert kinds(recovery) == [
        ("identitas", "identitas/activate", "drc-identitas-1", "command"),
        ("pengaduan", "pengaduan/activate", "", "dependency"),
    ]
    assert "it needs identitas, which was not recovered (identitas/verify)" in causes_of(recovery)[1].text
    assert recovery.steps["pengaduan/activate"].error.endswith("did not succeed: identitas/verify")
    # A ledger that an older drp wrote says the same, without the words for programs.
    events = [replace(event, body={**event.body}) for event in recovery.events]
    for event in events:
        event.body.pop("trouble", None)
    old = replay(recovery.run, recovery.genesis, events)
    assert [(cause.step, cause.kind) for cause in causes_of(old)] == [
        ("identitas/activate", ""),
        ("pengaduan/activate", "dependency"),
    ]


@pytest.mark.parametrize(("wrong", "kind"), [("sentinel", "sentinel"), ("rows", "data"), ("files", "data")])
def test_data_that_is_not_what_was_backed_up(stage: Stage, wrong: str, kind: str) -> None:
    stage.script.wrong.add(wrong)
    found = kinds(recover(stage.world, DRILL))
    assert ("pengaduan", "pengaduan/restore", "drc-pengaduan-1", kind) in found


def test_an_objective_that_was_missed_names_the_longest_step(stage: Stage) -> None:
    recovery = recover(stage.world, replace(DRILL, rto=timedelta(milliseconds=1), rpo=timedelta(milliseconds=1)))
    found = [cause for cause in causes_of(recovery) if cause.service == "pengaduan"]
    assert [cause.kind for cause in found] == ["rto", "rpo"]
    assert "longer than its RTO of 1 ms; the longest step was pengaduan/" in found[0].text


def with_pace(stage: Stage, **figures: int) -> None:
    """The restore of the files tells how it spent its time."""
    script = stage.script

    def restored(service: str, host: str) -> list[Body]:
        messages = as_it_is(service, host)
        messages[1]["result"]["parts"][0] |= figures
        return messages

    as_it_is: Callable[[str, str], list[Body]] = script._restored
    script._restored = restored  # type: ignore[method-assign]


def test_a_slow_line_is_a_finding_and_the_cause_where_the_objective_was_missed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drp.domain.recovery.pace.ENOUGH_BYTES", 1)  # the stage's data are small
    with_pace(stage, duration_ms=90_000, computing_ms=1_000, loading_ms=0)
    good = recover(stage.world, DRILL)
    assert causes_of(good) == []
    findings = slow_restores(good)
    assert {(item.step, item.kind) for item in findings} == {
        ("identitas/restore", "slow_line"),
        ("pengaduan/restore", "slow_line"),
    }
    missed = recover(stage.world, replace(DRILL, rto=timedelta(milliseconds=1)))
    assert [cause.kind for cause in causes_of(missed) if cause.service == "pengaduan"] == ["slow_line", "rto"]


def told_by(world_stage: Stage, ending: Callable[[Body], Ending]) -> None:
    """What the rehearsal of the traffic switch answers."""
    before: Callable[[str, Body], Ending] = world_stage.actions.script

    def with_rehearsal(name: str, spec: Body) -> Ending:
        return ending(spec) if name.endswith("-rehearse") else before(name, spec)

    world_stage.actions.script = with_rehearsal


@pytest.fixture
def by_dns(tmp_path: Path) -> Stage:
    record = service_record("pengaduan", traffic=[DNS], depends_on=[])
    record.pop("address", None)
    return make_stage(tmp_path, make_city(record))


def test_a_drill_rehearses_a_switch_by_dns_without_making_it(by_dns: Stage) -> None:
    seen: list[Any] = []

    def taken(spec: Body) -> Ending:
        seen.append(spec["variables"])
        (way,) = spec["variables"]["drp_traffic"]
        kept = {name: way[name] for name in ("way", "type", "label", "host", "verb", "site")}
        told = {**kept, "before": "primary", "after": "primary", "changed": False, "details": {}}
        return Ending(0, [task("drc-pengaduan-1", "Update the zone", by_dns.clock.now(), result={"traffic": told})])

    told_by(by_dns, taken)
    recovery = recover(by_dns.world, DRILL)
    assert [(item["drp_site"], item["drp_traffic"][0]["verb"]) for item in seen] == [("", "rehearse")]
    assert recovery.measurement("pengaduan").verdict == "MET", causes_of(recovery)
    (event,) = [event for event in recovery.events if event.type == "traffic.rehearsed"]
    assert (event.body["service"], event.body["verb"], event.body["changed"]) == ("pengaduan", "rehearse", False)


def test_a_switch_that_would_be_refused_is_the_cause_and_nobody_could_work(by_dns: Stage) -> None:
    def refused(_spec: Body) -> Ending:
        failed = task("drc-pengaduan-1", "Update the zone", by_dns.clock.now(), "failed")
        return Ending(2, [{**failed, "error": "REFUSED", "kind": "traffic_refused"}])

    told_by(by_dns, refused)
    recovery = recover(by_dns.world, DRILL)
    assert [(cause.step, cause.kind) for cause in causes_of(recovery)] == [("pengaduan/rehearse", "traffic_refused")]
    assert recovery.steps["pengaduan/verify"].outcome == "ok"
    assert recovery.steps["pengaduan/usable"].outcome == "skipped"
    assert recovery.verdict() == "NOT_MET"


def test_a_failover_makes_the_switch_instead(by_dns: Stage) -> None:
    by_dns.see_outage("pengaduan")
    recovery = recover(by_dns.world, FAILOVER)
    assert "pengaduan/rehearse" not in recovery.steps
    assert "pengaduan/cutover" in recovery.steps
