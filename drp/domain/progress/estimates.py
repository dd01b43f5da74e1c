"""How long each step of a run should take, by the same reckoning as `drp plan`; for the runbook's steps, what it says.
What nothing tells is unknown."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from drp.domain.forecasts.estimates import (
    UNKNOWN,
    Basis,
    Estimate,
    History,
    estimate_arrival,
    estimate_stage,
)
from drp.domain.forecasts.restores import estimate_restores
from drp.domain.forecasts.transfer import Channel, channel_between
from drp.domain.inventory import City
from drp.domain.recovery.plan import Plan, Step
from drp.domain.runbooks.steps import AnyStep, WaitStep
from drp.domain.service import Service
from drp.domain.values import show_duration

_NO_CHANNEL = Channel((), known=False, exists=True)


def estimates_of(city: City, plan: Plan, history: History) -> dict[str, Estimate]:
    """The estimate of every step of a plan, by its id. That of `usable` includes the hold time."""
    services = [city.services[name] for name in plan.services if name in city.services]
    # What is restored is the plan's restore point, whatever was backed up since.
    points = {name: [item.restore_point] for name, item in plan.services.items() if item.restore_point is not None}
    history = History(history.stages, {**history.restore_points, **points})
    ways = _Ways(city, plan)
    restores = estimate_restores(services, {item.id: ways.of(item) for item in services}, history)
    found: dict[str, Estimate] = {}
    for step in plan.steps:
        if step.extra is not None:
            found[step.id] = estimate_extra(step.extra)
        elif step.service not in city.services:
            found[step.id] = UNKNOWN
        elif step.stage == "restore":
            found[step.id] = restores.together(step.service)
        else:
            found[step.id] = _estimate_stage(city, plan, step, history)
    return found


def estimate_extra(extra: AnyStep) -> Estimate:
    """A step of the runbook."""
    if isinstance(extra, WaitStep):
        return Estimate(extra.duration, Basis.DECLARED, "so long the runbook waits")
    if extra.expected is not None:
        return Estimate(extra.expected, Basis.DECLARED, "declared in the runbook")
    return UNKNOWN


def _estimate_stage(city: City, plan: Plan, step: Step, history: History) -> Estimate:
    service = city.services[step.service]
    found = estimate_stage(city, service, step.stage, history)
    if step.stage == "backup" and plan.kind == "switchover" and found.duration is None:
        return estimate_arrival(service, _NO_CHANNEL, history, None, None)
    if step.stage == "usable" and found.duration is not None:
        text = f"{found.text}; then it must hold for {show_duration(plan.hold)}"
        return replace(found, duration=found.duration + plan.hold, text=text)
    return found


def least_of(step: Step, plan: Plan) -> timedelta:
    """What a step takes at least, also where nothing is known of it."""
    return plan.hold if step.stage == "usable" else timedelta()


class _Ways:
    """The ways of the data from the DR centres to the site where the services come back."""

    def __init__(self, city: City, plan: Plan) -> None:
        self.city, self.plan = city, plan
        self.known: dict[str, Channel] = {}

    def of(self, service: Service) -> Channel:
        point = self.plan.services[service.id].restore_point
        own = service.backup.dr_centre if service.backup is not None else ""
        centre = own if point is None else point.dr_centre
        if centre not in self.city.workspace.dr_centres:
            return _NO_CHANNEL
        if centre not in self.known:
            self.known[centre] = channel_between(self.city, centre, self.plan.site)
        return self.known[centre]
