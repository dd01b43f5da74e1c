"""What kept a drill's copies from production, what they tried; and the drills that a failover has ended."""

from __future__ import annotations

from drp.domain.events import Event
from drp.domain.recovery.isolation import refused_text
from drp.domain.recovery.run import Recovery
from drp.reports.lookup import evidence_of
from drp.reports.model import EndedDrillLine, IsolationLine


def isolation_lines(recovery: Recovery) -> tuple[IsolationLine, ...]:
    """A line for each recovery host of a drill; none where nothing was isolated."""
    begun: dict[str, list[Event]] = {}
    for event in recovery.events:
        if event.type == "isolation.begun":
            begun.setdefault(event.body["host"], []).append(event)
    ended = {
        event.body["host"]: event
        for event in recovery.events
        if event.type == "isolation.ended" and event.body["run"] == recovery.run
    }
    return tuple(_line(host, events, ended.get(host)) for host, events in begun.items())


def _line(host: str, begun: list[Event], ended: Event | None) -> IsolationLine:
    newest = begun[-1].body
    body = {} if ended is None else ended.body
    return IsolationLine(
        host=host,
        in_force=newest["in_force"],
        tool=newest["tool"],
        proof=newest["proof"] or newest["reason"],
        was_gone=any(event.body["was_gone"] for event in begun) or bool(body.get("was_gone")),
        has_ended=ended is not None,
        refused=tuple(refused_text(item, body["whose"]) for item in body.get("refused", ())),
        led=tuple(f"{count} to {address}" for address, count in sorted(body.get("led", {}).items())),
        evidence=evidence_of([*begun, *([] if ended is None else [ended])]),
    )


def ended_drills(recovery: Recovery) -> tuple[EndedDrillLine, ...]:
    """The drills that this failover has ended to have their hosts, and how long that took."""
    return tuple(
        EndedDrillLine(event.body["run"], event.body["duration_ms"], tuple(event.body["hosts"]), evidence_of([event]))
        for event in recovery.events
        if event.type == "drill.ended"
    )
