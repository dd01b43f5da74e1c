"""Ask the DR centres themselves whether they still hold what the ledger says: it is not the ledger that has to be
there on the worst day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.protection.facts import Answer
from drp.domain.protection.status import ProtectionStatus
from drp.domain.service import Service
from drp.errors import UnreachableError
from drp.ports import World
from drp.workflows.repository import prefix_of

MOST_POINTS = 1_000


class Asking:
    """Asks for one thing after the other. A DR centre that did not answer once is not asked again."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.away: dict[str, str] = {}

    def ask(self, status: ProtectionStatus) -> dict[str, Answer]:
        """What each DR centre of a service says of the newest restore point that it is said to hold, by its name. One
        that is said to hold nothing is asked nothing."""
        service = self.world.city.services[status.service]
        points = {point.id: point for point in self.world.ledger.restore_points(service.id, MOST_POINTS)}
        held = {centre.dr_centre: centre.held.restore_point for centre in status.centres if centre.held is not None}
        return {
            centre: self._ask(service, points[point], centre)
            for centre, point in held.items()
            if point in points and centre in self.world.city.workspace.dr_centres
        }

    def _ask(self, service: Service, point: RestorePoint, name: str) -> Answer:
        centre = self.world.city.workspace.dr_centres[name]
        if name in self.away:
            return Answer(name, point.id, unreachable=self.away[name])
        gone = []
        try:
            for key, what in _snapshots_of(service, point):
                if self.world.store.stored_at(centre, key) is None:
                    gone.append(what)
        except UnreachableError as error:
            self.away[name] = error.message
            return Answer(name, point.id, unreachable=error.message)
        return Answer(name, point.id, gone=tuple(gone))


def ask(world: World, statuses: Sequence[ProtectionStatus]) -> dict[str, dict[str, Answer]]:
    """The answers for several services, by their names."""
    asking = Asking(world)
    return {status.service: asking.ask(status) for status in statuses}


def _snapshots_of(service: Service, point: RestorePoint) -> Iterator[tuple[str, str]]:
    """Where each snapshot of a restore point lies at any DR centre that holds it, and what it is for people."""
    for part in point.snapshots:
        host = service.stand_in(point.datasets[part.dataset]["host"], point.site)
        if host not in point.repositories:  # the inventory has changed since; nearly always there is but one
            host = next(iter(point.repositories))
        yield f"{prefix_of(service, host)}/snapshots/{part.snapshot}", f"{part.dataset}/{part.part}"
