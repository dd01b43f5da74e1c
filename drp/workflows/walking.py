"""Takes the next older restore point where the data of one proves bad; `drp.domain.recovery.walk` decides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.events import Body
from drp.domain.recovery.plan import Step
from drp.domain.recovery.run import Recovery
from drp.domain.recovery.walk import Turning, has_next, younger_beside
from drp.domain.values import to_stamp
from drp.ports import ActionState, World
from drp.workflows.stages import changed_since

Record = Callable[[str, Body], None]


def turn_down(
    world: World, recovery: Recovery, turning: Turning, folder: Callable[[Step], Path], record: Record
) -> bool:
    """Turn restore points down; False while something still works on what they brought."""
    trials = [folder(step) for step in recovery.plan.steps if step.id in turning.again and step.stage == "trial"]
    for trial in trials:
        world.actions.stop(trial)  # each time: one that has only just started does not hear it yet
    if turning.at_work or any(world.actions.state(trial) is ActionState.RUNNING for trial in trials):
        return False
    body = {"points": turning.points, "step": turning.step, "reason": turning.reason, "again": list(turning.again)}
    record("restore_points.turned_down", body)
    for service, point in turning.points.items():
        following = recovery.point_of(service)
        text = "" if following is None else f"; next: {following.id}, of {to_stamp(following.sentinel_at)}"
        world.say(f"{service}: restore point {point} is turned down{text}")
    return True


def pass_over(world: World, recovery: Recovery, service: str, record: Record) -> None:
    """Turn down, untried, what a person has marked as bad since the plan was made, as long as there is another one."""
    doubts = {mark.restore_point: mark for mark in world.ledger.marks(service) if mark.mark == "distrusted"}
    while (point := recovery.point_of(service)) is not None and point.id in doubts and has_next(recovery, service):
        mark = doubts[point.id]
        reason = f"{mark.by} marked it as bad: {mark.reason}"
        body = {"points": {service: point.id}, "step": f"{service}/restore", "reason": reason, "again": []}
        record("restore_points.turned_down", body)
        world.say(f"{service}: restore point {point.id} is passed over: {reason}")


def tell_of_taken(world: World, recovery: Recovery, record: Record) -> None:
    """Write down what people must know of services that were taken back to an older restore point."""
    for name, tried in recovery.turned_down.items():
        known = {item.text for item in recovery.reservations.get(name, ())}
        point = recovery.point_of(name)
        if not tried or point is None:
            continue
        for text in (*changed_since(world.city.services[name], point), *_younger(world, recovery, name, point)):
            if text not in known:
                record("reservation", {"service": name, "text": text, "accepted_by": None})


def _younger(world: World, recovery: Recovery, name: str, point: RestorePoint) -> list[str]:
    """The services that work together with one that was taken back, and have younger data.

    They are not taken back with it. A restore point is one moment of one service; services are backed up each at its
    own time, so that an older point of theirs would fit no better, and would lose good data. What does not fit is for
    people to find, and for them to know of.
    """
    edges = {service.id: service.depends_on for service in world.city.services.values()}
    linked = [*edges[name], *(other for other, needs in edges.items() if name in needs)]
    found = []
    for other in younger_beside(recovery, name, linked):
        theirs = recovery.point_of(other)
        if theirs is not None:
            found.append(
                f"its data is of {to_stamp(point.sentinel_at)}, that of {other}, with which it works, of"
                f" {to_stamp(theirs.sentinel_at)}: what was entered in between may not fit together"
            )
    return found
