"""A recovery that was never carried out: its events happened at times that a test chooses."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from drp.domain.events import Body, Event, event_hash
from drp.domain.graph import with_dependencies
from drp.domain.inventory import City
from drp.domain.objectives import objectives_of
from drp.domain.recovery.compiling import compile_recovery
from drp.domain.recovery.plan import Plan, RecoveryKind
from drp.domain.recovery.run import Recovery, replay
from drp.domain.recovery.timeline import Mark, MarkName
from drp.domain.runbooks.model import Runbook
from drp.domain.values import to_stamp
from tests.fakes.city import NOW, make_restore_point

RUN = "drill-20261120-070000-0001"


def plan_for(city: City, kind: RecoveryKind = "drill", runbook: Runbook | None = None) -> Plan:
    """The plan of all services of a city."""
    order = with_dependencies(city.services, {name: service.depends_on for name, service in city.services.items()})
    objectives = {name: objectives_of(city.services[name], city.workspace.tiers) for name in order}
    known = {name: found for name, found in objectives.items() if found is not None}
    scenario = runbook or city.runbooks["site-loss"]
    points = {name: make_restore_point(name) for name in order}
    return compile_recovery(
        city, kind, order, scenario, restore_points=points, declared=known, objectives=known, hold=scenario.hold
    )


class Written:
    """The events of a run, each at a number of seconds after `NOW`."""

    def __init__(self, plan: Plan, run: str = RUN, start: datetime = NOW) -> None:
        self.plan, self.run, self.start, self.events = plan, run, start, list[Event]()
        opened: dict[str, Any] = {"kind": plan.kind, "plan": plan.record(), "by": "siti", "unfenced": False}
        self.add(0, "run.opened", opened)

    def add(self, seconds: float, type_: str, body: Body) -> None:
        previous = self.events[-1].hash if self.events else self.plan.hash
        sequence, at = len(self.events) + 1, to_stamp(self.at(seconds))
        digest = event_hash(previous, self.run, sequence, at, type_, body)
        self.events.append(Event(self.run, sequence, at, type_, body, previous, digest))

    def at(self, seconds: float) -> datetime:
        return self.start + timedelta(seconds=seconds)

    def mark(self, seconds: float, service: str, name: MarkName) -> None:
        self.add(seconds, "mark", {"service": service, **Mark(name, self.at(seconds), "automatic", "test").record()})

    def begin(self, seconds: float, step: str) -> None:
        self.add(seconds, "step.started", {"step": step, "action": step.replace("/", "-")})

    def end(self, seconds: float, step: str, outcome: str = "ok", error: str = "") -> None:
        body = {"step": step, "outcome": outcome, "error": error, "duration_ms": 1, "evidence": []}
        self.add(seconds, "step.ended", body)

    def did(self, begun: float, ended: float, *steps: str) -> None:
        """Steps that began and ended well."""
        for step in steps:
            self.begin(begun, step)
            self.end(ended, step)

    def recovery(self) -> Recovery:
        return replay(self.run, self.plan.hash, self.events)
