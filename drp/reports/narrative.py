"""Facts in plain words: what happened, whether objectives were met, and what the run left open."""

from __future__ import annotations

from drp.domain.objectives import Verdict
from drp.reports.model import ClockLine, Document, Figure, Gap, Override, ServiceReport
from drp.reports.wording import NOT_MEASURED, LocalTime, exact, spell, spell_measured, utc_text

GAPS = {
    "T0_simulated": "The loss was simulated: T0 is the scenario's time. Production was not switched off.",
    "T0_human": "T0 was stated by a person. No outside probe measured when the service was lost.",
    "T1_simulated": "Detection was simulated: how fast a real loss would be noticed was not tested.",
    "T1_human": "T1 was stated by a person: how fast a real loss would be noticed was not measured.",
    "traffic_not_switched": "Users' traffic was not sent to the recovery site.",
    "real_users_absent": "Real users did not work with the recovered service; a probe used it in their place.",
    "no_cutover": "The plan has no step that sends users to the recovery site: the service has no address of its own.",
    "steps_not_run": "Steps of the plan that were not run: {subject}.",
    "absence_not_recorded": "It was not recorded whether the recovery hosts were free of the data before.",
    "absence_found_something": "Data was already on the recovery hosts before the restore: see the data proof.",
    "stranded_discarded": "What lay at the old primary was overwritten without having been kept: {subject}.",
    "checks_not_made": "Not compared with the restore point: {subject}.",
    "alone": "The service was recovered alone. After the loss of a whole site, many compete for hosts and line.",
    "owner_not_asked": "The service owner's acceptance is not part of this run's record.",
    "load": "Performance under normal load at the recovery site was not measured.",
    "failback": "The way back to the primary site (T6, T7) and the backlog (T8) were not measured.",
}

_OBJECTIVES = {"rto": "RTO", "rpo": "RPO", "mtpd": "MTPD"}


def gap_sentence(gap: Gap) -> str:
    """What was not tested, as a sentence."""
    return GAPS[gap.code].format(subject=gap.subject)


def figure_text(figure: Figure) -> str:
    """A measured time for people: `4 m 12.4 s`, `≥ 30 m, not recovered` or `not measured`."""
    if figure.value_ms is not None:
        return spell_measured(figure.value_ms)
    if figure.at_least_ms is not None:
        return f"≥ {spell(figure.at_least_ms)}, not recovered"
    return NOT_MEASURED


def uncertainty_text(figure: Figure) -> str:
    """How far a measured time can be off: `± 1.2 s`; empty where there is no time."""
    if figure.value_ms is None:
        return ""
    return f"± {NOT_MEASURED}" if figure.uncertainty_ms is None else f"± {spell_measured(figure.uncertainty_ms)}"


def clock_text(line: ClockLine) -> str:
    """How a clock stood to the control node's."""
    if line.offset_ms is None or line.uncertainty_ms is None:
        return NOT_MEASURED
    side = "ahead" if line.offset_ms > 0 else "behind"
    difference = f"{spell(abs(line.offset_ms))} {side}" if line.offset_ms else "the same"
    return f"{difference}, ± {spell_measured(line.uncertainty_ms)}"


def exact_text(figure: Figure) -> str:
    """The same time to the millisecond; empty where nothing was measured."""
    if figure.value_ms is not None:
        return exact(figure.value_ms)
    return f"≥ {exact(figure.at_least_ms)}" if figure.at_least_ms is not None else ""


def margin_text(figure: Figure) -> str:
    """How far a time stayed below its objective, or went beyond it."""
    if figure.objective_ms is None:
        return "no objective is set"
    if figure.margin_ms is None:
        return "unknown"
    over = figure.verdict is Verdict.NOT_MET or figure.margin_ms < 0
    if not over:
        return f"{spell(figure.margin_ms)} to spare"
    if figure.margin_ms == 0:
        return "exceeded by less than 1 ms"
    at_least = "at least " if figure.value_ms is None else ""
    return f"exceeded by {at_least}{spell(-figure.margin_ms)}"


def objective_text(figure: Figure) -> str:
    """The objective, as `RTO 5 m`."""
    if figure.objective is None or figure.objective_ms is None:
        return "not set"
    return spell(figure.objective_ms)


def override_sentences(service: ServiceReport) -> list[str]:
    """Objectives that were replaced for this run, with the declared value."""
    sentences = []
    for item in service.overrides:
        declared = "none" if item.declared_ms is None else spell(item.declared_ms)
        used = "none" if item.used_ms is None else spell(item.used_ms)
        kind = "milder" if item.milder else "stricter"
        sentences.append(
            f"{_OBJECTIVES[item.objective]} was changed for this run: it was judged by {used}; "
            f"the inventory declares {declared}. The one used is {kind}.{_by_the_declared(service, item)}"
        )
    return sentences


def _by_the_declared(service: ServiceReport, item: Override) -> str:
    figure = {"rto": service.rta, "rpo": service.rpa}.get(item.objective)
    if figure is None or figure.value_ms is None or item.declared_ms is None:
        return ""
    # The figure is cut to milliseconds, so one that is just beyond looks equal: only a smaller one is surely met.
    kept = figure.value_ms < item.declared_ms
    return f" Judged by the declared one, it would be {'MET' if kept else 'NOT MET'}."


def summary(document: Document, service: ServiceReport, local: LocalTime) -> list[str]:
    """What happened to a service, in a few sentences."""
    return [
        *_what_happened(document, service, local),
        *_time_against_objective(service),
        *_data_loss(service, local),
        *_walked_back(service),
        _data_proof(service),
    ]


def verdict_reason(service: ServiceReport) -> list[str]:
    """Which parts the verdict rests on, worst first to read."""
    reasons = []
    for figure, label in ((service.rta, "RTA"), (service.rpa, "RPA")):
        if figure.verdict is not None and figure.verdict is not Verdict.MET:
            reasons.append(f"{label} is {figure.verdict.replace('_', ' ')}")
    if service.data_verdict is not Verdict.MET:
        reasons.append(f"the data proof is {service.data_verdict.replace('_', ' ')}")
    if service.verdict is Verdict.MET_WITH_EXCEPTION:
        waiting = sum(item.accepted_by is None for item in service.reservations)
        count = len(service.reservations)
        accepted = "all accepted" if not waiting else f"{waiting} of them accepted by nobody"
        reasons.append(f"exceptions: {count}, {accepted}")
    return reasons


def parts_sentence(service: ServiceReport) -> str:
    """Whether the five parts add up to RTA."""
    if service.parts_add_up is None:
        missing = [line.name for line in service.marks if line.at is None and line.name != "Tb"]
        return f"The parts cannot be added up to RTA: {', '.join(missing)} not measured."
    numbers = " + ".join(exact(part.duration_ms or 0).removesuffix(" s") for part in service.parts)
    total = exact(service.parts_sum_ms or 0)
    if service.parts_add_up:
        return f"The five parts add up to RTA exactly: {numbers} = {total}."
    return f"The five parts DO NOT add up to RTA: {numbers} = {total}, but RTA is {exact(service.rta.value_ms or 0)}."


def _what_happened(document: Document, service: ServiceReport, local: LocalTime) -> list[str]:
    title = document.context.service(service.service).title
    lost, usable = service.mark("T0"), service.mark("T5")
    if lost is None:
        sentences = [f"When {title} was lost was not measured (T0)."]
    else:
        simulated = any(line.name == "T0" and line.source == "simulated" for line in service.marks)
        verb = "was taken as lost (simulated)" if simulated else "could not be used from"
        sentences = [f"{title} {verb} {'at ' if simulated else ''}{local.full(lost)} ({utc_text(lost)})."]
    if usable is not None:
        is_home = document.control.kind == "failback"
        at = "primary site" if is_home else f"recovery site: {document.context.recovery_site}"

        after = f"After {spell_measured(service.rta.value_ms)}, at" if service.rta.value_ms is not None else "At"
        sentences.append(f"{after} {local.clock(usable)}, it was usable at the {at}.")
    elif service.rta.at_least_ms is not None:
        sentences.append(
            f"It was not recovered: when the run's record ends it had been unusable for "
            f"{spell(service.rta.at_least_ms)} or longer."
        )
    else:
        sentences.append("It was not recovered.")
    return sentences


def _time_against_objective(service: ServiceReport) -> list[str]:
    rta = service.rta
    objective = objective_text(rta)
    if rta.verdict is Verdict.MET:
        return [f"That is within its RTO of {objective}: {margin_text(rta)}.", *_too_close(rta)]
    if rta.value_ms is not None:
        return [f"That is longer than its RTO of {objective}: {margin_text(rta)}.", *_too_close(rta)]
    if rta.verdict is Verdict.NOT_MET:
        return [f"Its RTO of {objective} is not met."]
    return [f"Whether its RTO of {objective} was met is not known: a mark is missing."]


def _data_loss(service: ServiceReport, local: LocalTime) -> list[str]:
    rpa, newest = service.rpa, service.mark("Tb")
    if rpa.value_ms is None or newest is None:
        return [f"How much data is lost was not measured; its RPO is {objective_text(rpa)}."]
    if rpa.value_ms < 0:
        return ["The newest record in the recovered data is NEWER than the loss (Tb after T0): the times contradict."]
    if rpa.value_ms == 0 and any(step.stage == "stop" for step in service.steps):
        return ["Nothing is lost: the last backup was made after the service had been stopped."]
    relation = "within" if rpa.verdict is Verdict.MET else "more than"
    return [
        (
            f"The newest record in the recovered data is of {local.full(newest)}: up to "
            f"{spell_measured(rpa.value_ms)} of data is lost, {relation} its RPO of {objective_text(rpa)}."
        ),
        *_too_close(rpa),
    ]


def _walked_back(service: ServiceReport) -> list[str]:
    count = len(service.turned_down)
    if not count:
        return []
    spent = spell(sum(item.duration_ms or 0 for item in service.turned_down))
    newer = "1 newer restore point was" if count == 1 else f"{count} newer restore points were"
    return [f"{newer} turned down before it, which took {spent} of the time."]


def _too_close(figure: Figure) -> list[str]:
    """A margin that the measurement cannot tell from none."""
    if figure.value_ms is None or figure.margin_ms is None:
        return []
    if figure.uncertainty_ms is None:
        return ["How far that time can be off was not measured."]
    if abs(figure.margin_ms) >= figure.uncertainty_ms:
        return []
    return [f"The margin is smaller than what the measurement can be off by ({uncertainty_text(figure)})."]


def _data_proof(service: ServiceReport) -> str:
    total = len(service.checks)
    good = sum(check.ok for check in service.checks)
    if service.data_verdict is Verdict.MET:
        return f"The recovered data agrees with the restore point in all {total} checks."
    if good < total:
        return f"The recovered data DOES NOT agree with the restore point: {total - good} of {total} checks failed."
    return "That the recovered data is complete was not proved: a check is missing."
