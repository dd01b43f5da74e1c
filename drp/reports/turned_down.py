"""The restore points that a run has turned down on its way to a good one."""

from __future__ import annotations

from drp.domain.recovery.run import Recovery
from drp.domain.values import milliseconds
from drp.reports.model import Evidence, TriedLine


def turned_down(recovery: Recovery, service: str) -> tuple[TriedLine, ...]:
    """In the order in which they were tried; empty where the first one was good."""
    planned = recovery.plan.services[service]
    points = {point.id: point for point in (planned.restore_point, *planned.older) if point is not None}
    return tuple(
        TriedLine(
            restore_point=item.restore_point,
            sentinel_at=points[item.restore_point].sentinel_at,
            step=item.step,
            reason=item.reason,
            started_at=item.started_at,
            ended_at=item.ended_at,
            duration_ms=None if item.started_at is None else milliseconds(item.ended_at - item.started_at),
            evidence=Evidence((item.event,)),
        )
        for item in recovery.turned_down.get(service, ())
    )


def present_since(recovery: Recovery, service: str) -> int:
    """The event from which on findings are about the restore point that is taken now."""
    tried = recovery.turned_down.get(service)
    return tried[-1].event if tried else 0
