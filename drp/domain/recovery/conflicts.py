"""Runs that cannot be carried out beside each other, because they change the same services or hosts."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from drp.domain.recovery.plan import Plan, RecoveryKind


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A recovery that has not ended: somebody follows it, it waits for a person, or it was cut off."""

    run: str
    kind: RecoveryKind
    services: frozenset[str]
    hosts: frozenset[str]

    @classmethod
    def of(cls, run: str, plan: Plan) -> OpenRun:
        return cls(run, plan.kind, frozenset(plan.services), frozenset(plan.hosts))


@dataclass(frozen=True, slots=True)
class Conflicts:
    """What stands in the way of a new run: it waits for what `excludes` it, and a failover ends the drills `to_end`."""

    excludes: tuple[OpenRun, ...]
    to_end: tuple[OpenRun, ...]


def conflicts(
    kind: RecoveryKind, services: Collection[str], hosts: Collection[str], open_runs: Iterable[OpenRun]
) -> Conflicts:
    """What of the open runs stands in the way of a new one.

    Two runs of one service exclude each other, and so do two that share a host. A failover waits for nothing but a run
    of its own services: it ends a drill, and beside another recovery it does to a host what one of both would do.
    """
    excludes, to_end = [], []
    for other in open_runs:
        shares_service = not other.services.isdisjoint(services)
        if not shares_service and other.hosts.isdisjoint(hosts):
            continue
        if kind == "failover" and other.kind == "drill":
            to_end.append(other)
        elif shares_service or kind != "failover":
            excludes.append(other)
    return Conflicts(tuple(excludes), tuple(to_end))
