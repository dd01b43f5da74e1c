"""The report for people: one HTML file with everything inside it, for the screen and for paper.

No script, no outside file; the page's own content security policy forbids both. Every text is escaped: titles, task
names and errors come from places that an attacker may reach.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from drp.domain.events import Event
from drp.domain.recovery.causes import causes_of, slow_restores
from drp.domain.recovery.run import replay
from drp.reports.model import Document, Figure, ServiceReport
from drp.reports.narrative import (
    clock_text,
    exact_text,
    figure_text,
    gap_sentence,
    margin_text,
    objective_text,
    override_sentences,
    parts_sentence,
    summary,
    uncertainty_text,
    verdict_reason,
)
from drp.reports.picture import draw
from drp.reports.render_json import content_hash
from drp.reports.wording import (
    DEFINITIONS,
    LIMITS,
    MARK_MEANINGS,
    PART_MEANINGS,
    SOURCE_MEANINGS,
    STAGE_MEANINGS,
    VERDICT_MEANINGS,
    VERDICT_SIGNS,
    LocalTime,
    byte_size,
    exact,
    percent,
    spell,
    utc_text,
    visible,
)

if TYPE_CHECKING:
    from jinja2 import Environment

LONGEST_EVENT_TEXT = 400
"""Characters of an event's body that the page shows; the JSON report has all of it."""


def render(document: Document) -> str:
    """The whole report as one HTML page.

    Raises:
        UsageError: the context's time zone does not exist.
    """
    local = LocalTime(document.context.time_zone)
    environment = _environment()
    environment.filters.update(
        spell=spell,
        exact=exact,
        percent=percent,
        byte_size=byte_size,
        utc=utc_text,
        local=local.full,
        clock=local.clock,
        minute=local.minute,
        event_text=event_text,
        verdict_words=lambda verdict: str(verdict).replace("_", " "),
    )
    return environment.get_template("recovery.html").render(_names(document, local))


def event_text(event: Event) -> str:
    """An event's body in one line, cut where it is long. The plan, which `run.opened` holds, is shown elsewhere."""
    body = {key: value for key, value in event.body.items() if key != "plan"}
    text = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(", ", ": "))
    return text if len(text) <= LONGEST_EVENT_TEXT else text[:LONGEST_EVENT_TEXT] + " … (cut; see the JSON report)"


def rule_widths(figure: Figure) -> tuple[int, int]:
    """Widths, in per cent of one scale, of the bar of a measured time and of its objective."""
    measured = figure.value_ms if figure.value_ms is not None else figure.at_least_ms
    objective = figure.objective_ms or 0
    longest = max(measured or 0, objective, 1)
    return max(100 * max(measured or 0, 0) // longest, 1), max(100 * objective // longest, 1)


def _environment() -> Environment:
    # Here, not at the top: `drp --help` must not wait for a template engine.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("drp.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _names(document: Document, local: LocalTime) -> dict[str, Any]:
    from markupsafe import Markup

    def picture(service: ServiceReport, number: int) -> Markup:
        svg = draw(
            service,
            document.context.service(service.service).title,
            local,
            identifier=f"picture-{number}",
            last_event_at=document.control.last_event_at,
        )
        # draw() escapes every text that it did not make itself.
        return Markup(svg)

    recovery = replay(document.control.report, document.control.plan_hash, document.events)
    causes = causes_of(recovery)
    return {
        "document": document,
        "local_day": local.day,
        "short_zone": local.short_zone,
        "utc_day": lambda at: utc_text(at).split(" ")[0],
        "utc_clock": lambda at: utc_text(at).partition(" ")[2],
        "control": document.control,
        "context": document.context,
        "zone": local.zone(document.control.opened_at),
        "content_sha256": content_hash(document),
        "file_numbers": {(item.path, item.sha256): number for number, item in enumerate(document.evidence, start=1)},
        "picture": picture,
        "summary": lambda service: summary(document, service, local),
        "verdict_reason": verdict_reason,
        "figure_text": figure_text,
        "exact_text": exact_text,
        "uncertainty_text": uncertainty_text,
        "clock_text": clock_text,
        "margin_text": margin_text,
        "objective_text": objective_text,
        "override_sentences": override_sentences,
        "causes": lambda service: [cause.text for cause in causes if cause.service == service.service],
        "findings": lambda service: [
            item.text for item in slow_restores(recovery) if item.service == service.service and item not in causes
        ],
        "parts_sentence": parts_sentence,
        "gap_sentence": gap_sentence,
        "rule_widths": rule_widths,
        "mark_meanings": MARK_MEANINGS,
        "part_meanings": PART_MEANINGS,
        "source_meanings": SOURCE_MEANINGS,
        "stage_meanings": STAGE_MEANINGS,
        "verdict_meanings": VERDICT_MEANINGS,
        "verdict_signs": VERDICT_SIGNS,
        "definitions": DEFINITIONS,
        "limits": LIMITS,
    }
