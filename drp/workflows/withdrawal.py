"""The end of a failover in which no restore point proved good: what was started last is stopped again, since nobody may
use it; its data is kept for those who find out what happened. `drp.domain.recovery.walk.must_withdraw` decides."""

from __future__ import annotations

from collections.abc import Callable, Collection

from drp.domain.events import Body
from drp.domain.recovery.plan import Step
from drp.domain.recovery.run import Recovery, replay
from drp.domain.recovery.shared_hosts import own_units, services_beside
from drp.domain.recovery.walk import must_withdraw
from drp.domain.service import Service
from drp.ports import World

Record = Callable[[str, Body], None]


def withdrawn_units(world: World, recovery: Recovery, service: Service) -> list[str]:
    """What is stopped: not what other services need beside it, which may be good."""
    given_up = {name for name in recovery.plan.services if recovery.steps[f"{name}/activate"].outcome == "skipped"}
    given_up |= {name for name in recovery.plan.services if must_withdraw(recovery, name)}
    return units_alone(world, service, recovery.plan.services.keys() - given_up)


def finish_withdrawal(world: World, recovery: Recovery, step: Step, record: Record) -> None:
    """Take down that it was stopped, and what could not be."""
    service = world.city.services[step.service]
    point, hosts = recovery.point_of(service.id), ", ".join(recovery.plan.services[service.id].hosts)
    what = "the last restore point" if point is None else f"restore point {point.id}"
    stopped = withdrawn_units(world, _as_it_began(recovery, step), service)
    text = (
        f"{what} proved bad too, and there is no other to try: {', '.join(stopped) or 'nothing'} was stopped on {hosts}"
    )
    left = [unit for unit in own_units(service) if unit not in stopped]
    if left:
        text += f"; {', '.join(left)} runs on, for other services need it: it may still answer for this one"
    text += "; the data is kept there"
    world.say(f"{service.id}: {text}")
    record("reservation", {"service": service.id, "text": text, "accepted_by": None})


def _as_it_began(recovery: Recovery, step: Step) -> Recovery:
    """The run as it was when the step was begun last: what was stopped was decided then."""
    beginnings = ("step.started", "step.repeated")
    begun = max(
        event.sequence for event in recovery.events if event.type in beginnings and event.body["step"] == step.id
    )
    return replay(recovery.run, recovery.genesis, [event for event in recovery.events if event.sequence <= begun])


def units_alone(world: World, service: Service, beside: Collection[str]) -> list[str]:
    """The units of a service at the recovery site, without those that the services `beside`, or services in use, have
    on the same hosts too."""
    near = [
        other
        for other in world.city.services.values()
        if other.id in beside or world.ledger.active_site(other.id) == "recovery"
    ]
    shared = {unit for _, units in services_beside(service, near, "recovery") for unit in units}
    return [unit for unit in own_units(service) if unit not in shared]
