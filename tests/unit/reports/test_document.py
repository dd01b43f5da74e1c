"""Facts of synthetic runs: every figure right, every figure with its evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from drp.domain.objectives import Verdict
from drp.domain.recovery.run import replay
from drp.reports.document import Document, build
from drp.reports.narrative import figure_text, gap_sentence, override_sentences, parts_sentence

Documents = Callable[[str], Document]


def test_a_met_recovery_has_exact_figures(document: Documents) -> None:
    service = document("met").services[0]
    assert (service.rta.value_ms, service.rta.objective_ms, service.rta.margin_ms) == (170_400, 300_000, 129_600)
    assert (service.rpa.value_ms, service.rpa.objective_ms, service.rpa.margin_ms) == (480_000, 900_000, 420_000)
    assert (service.mtpd.objective_ms, service.mtpd.margin_ms) == (14_400_000, 14_229_600)
    assert service.since_declaration.value_ms == 129_400
    assert service.technical.value_ms == 127_250
    assert [part.duration_ms for part in service.parts] == [1_200, 39_800, 2_000, 125_250, 2_150]
    assert sum(part.share_permille or 0 for part in service.parts) == 1000
    assert service.parts_add_up is True
    assert (service.verdict, service.rta.verdict, service.rpa.verdict) == (Verdict.MET,) * 3


def test_every_measured_figure_names_its_evidence(document: Documents, scenario: str) -> None:
    for service in document(scenario).services:
        for figure in (service.rta, service.rpa, service.since_declaration, service.technical):
            measured = figure.value_ms is not None or figure.at_least_ms is not None
            assert bool(figure.evidence.events) == measured
        for part in service.parts:
            assert bool(part.evidence.events) == (part.duration_ms is not None)
        for mark in service.marks:
            assert (mark.at is None) == (not mark.evidence.events)


def test_parts_and_shares_add_up_whatever_the_marks(document: Documents, scenario: str) -> None:
    for service in document(scenario).services:
        if service.parts_sum_ms is None:
            assert service.parts_add_up is None
            assert "cannot be added up" in parts_sentence(service)
        else:
            assert service.parts_sum_ms == service.rta.value_ms
            assert service.parts_add_up is True
            assert sum(part.share_permille or 0 for part in service.parts) in (0, 1000)


def test_not_recovered_is_a_lower_bound_and_never_a_number(document: Documents) -> None:
    service = document("not_recovered").services[0]
    assert service.rta.value_ms is None
    assert service.rta.at_least_ms == 1_800_000
    assert figure_text(service.rta) == "≥ 30 m, not recovered"
    assert service.verdict is Verdict.NOT_MET
    assert service.mark("T5") is None
    assert [part.duration_ms for part in service.parts][-2:] == [None, None]


def test_nothing_measured_is_shown_as_such(document: Documents) -> None:
    service = document("nothing_measured").services[0]
    assert figure_text(service.rta) == figure_text(service.rpa) == "not measured"
    assert service.rpa.verdict is Verdict.NOT_MEASURED
    assert service.verdict is not Verdict.MET


def test_an_overridden_objective_stays_visible(document: Documents) -> None:
    service = document("overridden").services[0]
    assert [(item.objective, item.declared_ms, item.used_ms, item.milder) for item in service.overrides] == [
        ("rto", 300_000, 7_200_000, True),
        ("rpo", 900_000, 600_000, False),
    ]
    assert "it would be NOT MET" in override_sentences(service)[0]
    assert "it would be MET" in override_sentences(service)[1]


def test_a_drill_says_what_it_did_not_test(document: Documents) -> None:
    report = document("drill")
    codes = {gap.code for gap in report.services[0].gaps}
    assert {"T0_simulated", "T1_simulated", "traffic_not_switched", "real_users_absent"} <= codes
    assert report.control.kind == "exercise"
    assert report.accepted is False, "one exception was accepted by nobody"


def test_every_gap_has_words(document: Documents, scenario: str) -> None:
    for service in document(scenario).services:
        assert all(gap_sentence(gap) for gap in service.gaps)


def test_an_aborted_run_is_never_accepted(document: Documents) -> None:
    report = document("aborted")
    assert (report.verdict, report.accepted) == (Verdict.ABORTED, False)


def test_a_corrected_mark_shows_what_it_replaced(document: Documents, run_builder: type) -> None:
    builder = run_builder()
    builder.mark("T0", 0)
    builder.mark("T0", 5, "human")
    mark = build_like(document, builder.recovery()).services[0].marks[1]
    assert [(item.source, item.event) for item in mark.replaced] == [("automatic", 2)]
    assert mark.evidence.events == (3,)


def test_marks_out_of_order_are_named(document: Documents, run_builder: type) -> None:
    builder = run_builder()
    for name, at in (("T0", 0), ("T1", 10), ("T2", 5)):
        builder.mark(name, at)
    assert build_like(document, builder.recovery()).services[0].disordered == ("T2",)


def test_a_broken_chain_is_located(document: Documents) -> None:
    met = document("met")
    events = list(met.events)
    events[5] = replace(events[5], at="2026-11-20T07:00:59.000000Z")
    report = build_like(document, replay(met.control.report, met.control.plan_hash, events))
    assert report.control.chain_broken_at == 6
    assert not report.control.chain_whole


def test_an_event_of_another_run_breaks_the_chain(document: Documents) -> None:
    met = document("met")
    report = build_like(document, replay("another-run", met.control.plan_hash, met.events))
    assert report.control.chain_broken_at == 1


def build_like(document: Documents, recovery: object) -> Document:
    """Build another run's document with the names of the `met` scenario."""
    model = document("met")
    return build(
        recovery,  # type: ignore[arg-type]
        model.context,
        generated_at=model.control.generated_at,
        tool_version=model.control.tool_version,
    )
