"""Marks, parts and measures of one service, each with its evidence.

All durations come from `drp.domain.recovery.timeline`; nothing is measured here again. Only the parts are cut to
milliseconds in a way of their own: every mark is cut as its distance from T0, so that the printed parts add up to the
printed RTA to the millisecond.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from itertools import pairwise

from drp.domain.objectives import Objectives
from drp.domain.recovery.plan import PlannedService
from drp.domain.recovery.run import Recovery
from drp.domain.recovery.timeline import PARTS, Mark, Measurement, uncertainty_between
from drp.domain.values import from_stamp, milliseconds
from drp.reports.lookup import PLAN_EVENT, Lookup, evidence_of, join
from drp.reports.model import EarlierMark, Evidence, Figure, MarkLine, Override, Part

MARK_NAMES = ("Tb", "T0", "T1", "T2", "T3", "T4", "T5")

Marks = Mapping[str, Mark]
Lines = Mapping[str, MarkLine]

_PLANNED = Evidence((PLAN_EVENT,))


def mark_lines(recovery: Recovery, service: str, lookup: Lookup) -> dict[str, MarkLine]:
    """Every mark of design.md by name, measured or not."""
    marks = recovery.marks.get(service, {})
    probe = recovery.probes.get(service)
    candidates = [probe["file"]] if probe else []
    lines = {}
    for name in MARK_NAMES:
        mark = marks.get(name)
        if mark is None:
            lines[name] = MarkLine(name, None, None, None, "", Evidence(), ())
            continue
        events = lookup.marks(service, name)
        lines[name] = MarkLine(
            name=name,
            at=mark.at,
            source=mark.source,
            uncertainty_ms=_off(mark.uncertainty),
            note=mark.evidence,
            evidence=evidence_of(events[-1:], lookup.files_mentioned(mark.evidence, candidates)),
            replaced=tuple(
                EarlierMark(from_stamp(event.body["at"]), event.body["source"], event.sequence) for event in events[:-1]
            ),
        )
    return lines


def disordered(marks: Marks) -> tuple[str, ...]:
    """Marks that lie before the measured mark that they should follow."""
    present = [name for name in MARK_NAMES if name in marks]
    return tuple(later for earlier, later in pairwise(present) if marks[later].at < marks[earlier].at)


def parts_of(marks: Marks, lines: Lines) -> tuple[Part, ...]:
    """The five parts of RTA, in whole milliseconds that add up exactly."""
    total = _offset(marks, "T5")
    parts = []
    for name, start, end in PARTS:
        begin, finish = _offset(marks, start), _offset(marks, end)
        duration = None if begin is None or finish is None else finish - begin
        share = None
        if duration is not None and total and begin is not None and finish is not None:
            # Shares are differences of rounded running totals, so that they too add up.
            share = _permille(finish, total) - _permille(begin, total)
        evidence = join(lines[start].evidence, lines[end].evidence) if duration is not None else Evidence()
        parts.append(Part(name, start, end, duration, share, evidence))
    return tuple(parts)


def parts_sum(parts: tuple[Part, ...]) -> int | None:
    """The sum of the five parts, or None where one was not measured."""
    durations = [part.duration_ms for part in parts]
    return sum(known) if len(known := [item for item in durations if item is not None]) == len(durations) else None


def rta_figure(measured: Measurement, planned: PlannedService, lines: Lines, lookup: Lookup) -> Figure:
    """RTA = T5 - T0 against RTO; where T5 is missing, the lower bound that the end of the run gives."""
    value, at_least = _whole(measured.rta), _whole(measured.rta_at_least)
    evidence = Evidence()
    if value is not None:
        evidence = join(lines["T0"].evidence, lines["T5"].evidence, _PLANNED)
    elif at_least is not None:
        evidence = join(lines["T0"].evidence, evidence_of([lookup.last]), _PLANNED)
    rto = milliseconds(planned.objectives.rto)
    known = value if value is not None else at_least
    return Figure(
        name="rta",
        value_ms=value,
        at_least_ms=at_least,
        uncertainty_ms=_off(measured.rta_uncertainty),
        objective="rto",
        objective_ms=rto,
        declared_ms=milliseconds(planned.declared.rto),
        margin_ms=_margin(rto, value, known),
        verdict=measured.rto_verdict,
        evidence=evidence,
    )


def rpa_figure(measured: Measurement, planned: PlannedService, lines: Lines) -> Figure:
    """RPA = T0 - Tb against RPO."""
    value = _whole(measured.rpa)
    rpo = milliseconds(planned.objectives.rpo)
    return Figure(
        name="rpa",
        value_ms=value,
        at_least_ms=None,
        uncertainty_ms=_off(measured.rpa_uncertainty),
        objective="rpo",
        objective_ms=rpo,
        declared_ms=milliseconds(planned.declared.rpo),
        margin_ms=None if value is None else rpo - value,
        verdict=measured.rpo_verdict,
        evidence=Evidence() if value is None else join(lines["Tb"].evidence, lines["T0"].evidence, _PLANNED),
    )


def mtpd_figure(rta: Figure, planned: PlannedService) -> Figure:
    """How far RTA stays below MTPD, the ceiling; it has no verdict of its own in a drill."""
    mtpd = _whole(planned.objectives.mtpd)
    known = rta.value_ms if rta.value_ms is not None else rta.at_least_ms
    return Figure(
        name="mtpd_headroom",
        value_ms=rta.value_ms,
        at_least_ms=rta.at_least_ms,
        uncertainty_ms=rta.uncertainty_ms,
        objective="mtpd",
        objective_ms=mtpd,
        declared_ms=_whole(planned.declared.mtpd),
        margin_ms=None if mtpd is None else _margin(mtpd, rta.value_ms, known),
        verdict=None,
        evidence=rta.evidence,
    )


def side_figure(name: str, duration: timedelta | None, start: str, end: str, lines: Lines, marks: Marks) -> Figure:
    """A time that is shown beside RTA under its own name, and is judged by nothing."""
    evidence = Evidence() if duration is None else join(lines[start].evidence, lines[end].evidence)
    off = _off(uncertainty_between(marks, start, end))
    return Figure(name, _whole(duration), None, off, None, None, None, None, None, evidence)


def overrides_of(planned: PlannedService) -> tuple[Override, ...]:
    """Objectives that this run replaced. One that is dropped altogether counts as milder."""
    found = []
    for name in ("rto", "rpo", "mtpd"):
        declared, used = _objective(planned.declared, name), _objective(planned.objectives, name)
        if declared != used:
            milder = declared is not None and (used is None or used > declared)
            found.append(Override(name, declared, used, milder, _PLANNED))
    return tuple(found)


def _objective(objectives: Objectives, name: str) -> int | None:
    return _whole({"rto": objectives.rto, "rpo": objectives.rpo, "mtpd": objectives.mtpd}[name])


def _off(uncertainty: timedelta | None) -> int | None:
    """An uncertainty in whole milliseconds, rounded up."""
    return None if uncertainty is None else -milliseconds(-uncertainty)


def _whole(duration: timedelta | None) -> int | None:
    return None if duration is None else milliseconds(duration)


def _margin(limit: int, value: int | None, known: int | None) -> int | None:
    """What is left of a limit. A lower bound says nothing about it unless the bound itself is beyond the limit."""
    if value is not None:
        return limit - value
    return limit - known if known is not None and known > limit else None


def _offset(marks: Marks, name: str) -> int | None:
    if name not in marks or "T0" not in marks:
        return None
    return milliseconds(marks[name].at - marks["T0"].at)


def _permille(part: int, total: int) -> int:
    return (2000 * part + total) // (2 * total)
