"""Which restore points a recovery should take: those that are not known to be damaged, as long as there are any."""

from __future__ import annotations

from collections.abc import Sequence

from drp.domain.backups.restore_point import RestorePoint
from drp.ports import World


def trusted(world: World, service: str, points: Sequence[RestorePoint]) -> list[RestorePoint]:
    """The restore points without those in which a check found damage or whose removal was begun; it is said which were
    passed over. Where none is left, all of them: on the worst day a damaged one may still hold what is needed, and what
    comes back is compared with what was backed up in any case."""
    doubts = {mark.restore_point: mark.reason for mark in world.ledger.marks(service) if mark.mark == "distrusted"}
    good = [point for point in points if point.id not in doubts]
    newest = max((point.sentinel_at for point in good), default=None)
    for point in points:
        if point.id in doubts and (newest is None or point.sentinel_at > newest):
            fate = "is passed over" if good else "is used, for there is no better one"
            world.say(f"{service}: restore point {point.id} {fate}: {doubts[point.id]}")
    return good or list(points)
