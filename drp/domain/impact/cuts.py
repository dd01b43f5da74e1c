"""What a loss does to the city's lines: who has no way left, and which ways hang on a backup line."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from drp.domain.forecasts.lines import neighbours, reachable
from drp.domain.impact.things import Thing
from drp.domain.inventory import AnsibleHost, City
from drp.domain.registers import Network


@dataclass(frozen=True, slots=True)
class CutOff:
    """A location that stands, but has no way left to the primary site. `reaches_recovery` says whether it still has
    one to the recovery site, so that its people could work after a failover; None where nobody has said where that is.
    `because` is the lost link or location on its shortest way, the one nearest to it.
    """

    location: str
    because: Thing
    agencies: tuple[str, ...]
    reaches_recovery: bool | None


@dataclass(frozen=True, slots=True)
class CutAgency:
    """An agency that lost the way to the central services at these of its offices. `wholly`: no office has one left."""

    agency: str
    offices: tuple[str, ...]
    wholly: bool


@dataclass(frozen=True, slots=True)
class BackupLine:
    """A lost link whose declared backup still stands. `last_test` is when its failover was last tried; None: never."""

    link: str
    backup: str
    last_test: date | None


@dataclass(frozen=True, slots=True)
class Connections:
    """Which locations the declared lines connect: two with the same number are. Before the loss, and after it."""

    before: Mapping[str, int]
    after: Mapping[str, int]

    def severed(self, here: str | None, there: str | None) -> bool:
        """Whether two places that both stand were connected, and are no more."""
        if here is None or there is None or here not in self.after or there not in self.after:
            return False
        return self.before[here] == self.before[there] and self.after[here] != self.after[there]

    def had_way(self, here: str, there: str) -> bool:
        return self.before[here] == self.before[there]

    def has_way(self, here: str, there: str) -> bool:
        return here in self.after and self.after[here] == self.after.get(there)


@dataclass(frozen=True, slots=True)
class Cut:
    """The parts of the network that are lost. Kept apart, since a link may be called as a location is."""

    locations: frozenset[str] = frozenset()
    links: frozenset[str] = frozenset()

    def leaves(self, network: Network) -> Network:
        """The network that is left."""
        locations = {name: location for name, location in network.locations.items() if name not in self.locations}
        links = {
            name: link
            for name, link in network.links.items()
            if name not in self.links and link.a in locations and link.b in locations
        }
        return network.model_copy(update={"locations": locations, "links": links})


def connections_of(city: City, cut: Cut) -> Connections:
    return Connections(_connected_parts(city.network), _connected_parts(cut.leaves(city.network)))


def _connected_parts(network: Network) -> dict[str, int]:
    """A number for each location: the same for all that lines connect."""
    ways = neighbours(network)
    numbers: dict[str, int] = {}
    for number, start in enumerate(ways):
        if start not in numbers:
            numbers.update(dict.fromkeys(reachable(ways, start), number))
    return numbers


def location_of(city: City, host: AnsibleHost) -> str | None:
    """Where a host stands: what it says itself, else its site's location."""
    if host.location is not None or host.site is None:
        return host.location
    return city.workspace.sites.primary.location if host.site == "primary" else city.workspace.sites.recovery.location


def offices_of(city: City) -> dict[str, tuple[str, ...]]:
    """The locations where each agency sits, whichever of the two files says so."""
    offices: dict[str, list[str]] = {name: [] for name in city.workspace.agencies}
    for name, agency in city.workspace.agencies.items():
        if agency.location is not None:
            offices[name].append(agency.location)
    for name, location in city.network.locations.items():
        for agency_name in location.agencies:
            offices[agency_name].append(name)
    return {name: tuple(dict.fromkeys(found)) for name, found in offices.items()}


def residents_of(city: City) -> dict[str, tuple[str, ...]]:
    """The agencies that sit at each location."""
    residents: dict[str, list[str]] = {name: [] for name in city.network.locations}
    for agency, offices in offices_of(city).items():
        for office in offices:
            residents[office].append(agency)
    return {name: tuple(sorted(found)) for name, found in residents.items()}


def cut_off_by(city: City, cut: Cut, connections: Connections) -> dict[str, CutOff]:
    """The locations that stand, and lost their way to the primary site, the nearest first; nothing where nobody has
    said where that is."""
    primary, recovery = city.workspace.sites.primary.location, city.workspace.sites.recovery.location
    if primary is None:
        return {}
    residents = residents_of(city)
    found = {}
    for name, obstacle in _obstacles(city, cut, primary):
        if obstacle is not None and name in connections.after and not connections.has_way(name, primary):
            reaches = None if recovery is None else connections.has_way(name, recovery)
            found[name] = CutOff(name, obstacle, residents[name], reaches)
    return found


def _obstacles(city: City, cut: Cut, primary: str) -> Iterator[tuple[str, Thing | None]]:
    """Each location with the last lost thing on its shortest way from the primary site, those near to it first."""
    ways = neighbours(city.network)
    met: dict[str, Thing | None] = {primary: None}
    pending = deque([primary])
    while pending:
        place = pending.popleft()
        yield place, met[place]
        for link, other in ways[place]:
            if other in met:
                continue
            if link in cut.links and place not in cut.locations:
                met[other] = Thing("link", link)
            else:
                met[other] = Thing("location", place) if place in cut.locations else met[place]
            pending.append(other)


def agencies_cut_off(city: City, connections: Connections) -> tuple[CutAgency, ...]:
    """The agencies with an office that lost its way to the primary site, or stands no more."""
    primary = city.workspace.sites.primary.location
    if primary is None:
        return ()
    found = []
    for agency, offices in sorted(offices_of(city).items()):
        connected = [office for office in offices if connections.had_way(office, primary)]
        cut = tuple(office for office in connected if not connections.has_way(office, primary))
        if cut:
            found.append(CutAgency(agency, cut, len(cut) == len(connected)))
    return tuple(found)


def backup_lines(city: City, cut: Cut) -> tuple[BackupLine, ...]:
    """The backup lines of lost links that still stand."""
    links = city.network.links
    standing = cut.leaves(city.network).links
    return tuple(
        BackupLine(name, backup, links[name].last_failover_test)
        for name in sorted(cut.links)
        if (backup := links[name].backup_link) is not None and backup in standing
    )


def hanging_on_untested(
    city: City, connections: Connections, backups: Collection[BackupLine], cut: Cut
) -> tuple[str, ...]:
    """The locations that keep their way to the primary site only if backup lines take over that nobody has tried."""
    primary = city.workspace.sites.primary.location
    untested = {line.backup for line in backups if line.last_test is None}
    if primary is None or not untested or primary not in connections.after:
        return ()
    surely = _connected_parts(Cut(cut.locations, cut.links | untested).leaves(city.network))
    return tuple(name for name in surely if connections.has_way(name, primary) and surely[name] != surely[primary])
