"""What goes down with a service, host, link, location, site, DR centre, agency or asset, and why.

It is read from what is declared, with every service where it normally runs: at the primary site. Several things are
lost at once. What nobody has declared is said as such: it may go down too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from drp.domain.impact.cuts import (
    BackupLine,
    Connections,
    Cut,
    CutAgency,
    CutOff,
    agencies_cut_off,
    backup_lines,
    connections_of,
    cut_off_by,
    hanging_on_untested,
    location_of,
    offices_of,
    residents_of,
)
from drp.domain.impact.notes import Note, notes_of
from drp.domain.impact.things import Thing, find_things
from drp.domain.inventory import City
from drp.domain.objectives import Objectives, objectives_of
from drp.domain.protection.gaps import gaps_of
from drp.domain.registers import POWER
from drp.domain.service import Service

ProtectionCode = Literal[
    "recovery-host-lost", "backups-lost", "recovery-host-cut-off", "restore-cut-off", "backups-cut-off"
]

LOST_FOR_GOOD: frozenset[ProtectionCode] = frozenset({"recovery-host-lost", "backups-lost"})
"""What does not come back when a line is mended."""

_NO_WAY_BACK = {
    *("hosted-elsewhere", "no-backup", "no-dataset", "no-host", "no-recovery-host", "recovery-host-missing"),
}


@dataclass(frozen=True, slots=True)
class Down:
    """A service that cannot be used. `causes` take it down directly, the one nearest to the loss first; there is none
    where it was lost itself. `obstacle` says in words why drp could not bring it back even without this loss."""

    service: str
    causes: tuple[Thing, ...]
    objectives: Objectives | None
    recovers_on: tuple[str, ...]
    obstacle: str | None


@dataclass(frozen=True, slots=True)
class LostProtection:
    """What a service loses of its protection, and the hosts and DR centres that it loses it with."""

    code: ProtectionCode
    causes: tuple[Thing, ...]


@dataclass(frozen=True, slots=True)
class Unprotected:
    """A service that could be recovered less well than before, or not at all."""

    service: str
    losses: tuple[LostProtection, ...]
    objectives: Objectives | None

    @property
    def for_good(self) -> bool:
        return any(loss.code in LOST_FOR_GOOD for loss in self.losses)


@dataclass(frozen=True, slots=True)
class Impact:
    """Everything that a loss does. `lost` holds all that is gone, each with what took it: None where it was named."""

    named: tuple[Thing, ...]
    lost: Mapping[Thing, Thing | None]
    unreachable: Mapping[Thing, Thing]
    down: Mapping[str, Down]
    cut_off: Mapping[str, CutOff]
    agencies: tuple[CutAgency, ...]
    apart: tuple[Thing, ...]
    unprotected: Mapping[str, Unprotected]
    backup_lines: tuple[BackupLine, ...]
    hanging: tuple[str, ...]
    notes: tuple[Note, ...]

    def chain(self, thing: Thing) -> list[Thing]:
        """Why a thing is lost, down or cut off: from the thing itself to what was named."""
        found = [thing]
        while True:
            following = self.cause_of(found[-1])
            if following is None:
                return found
            found.append(following)

    def cause_of(self, thing: Thing) -> Thing | None:
        """What took a thing, or cut it off; None where it was named, or nothing happened to it."""
        if thing in self.lost:
            return self.lost[thing]
        if thing.kind == "service":
            return self.down[thing.id].causes[0] if thing.id in self.down else None
        if thing.kind == "location":
            return self.cut_off[thing.id].because if thing.id in self.cut_off else None
        return self.unreachable.get(thing)


def impact_of(city: City, names: Sequence[str]) -> Impact:
    """What goes down, is cut off or loses protection where all these are lost at once. UsageError for unknown names."""
    named = find_things(city, names)
    lost = _everything_lost(city, named)
    cut = Cut(
        frozenset(thing.id for thing in lost if thing.kind == "location"),
        frozenset(thing.id for thing in lost if thing.kind == "link"),
    )
    connections = connections_of(city, cut)
    cut_off = cut_off_by(city, cut, connections)
    unreachable = {
        Thing("host", host.name): Thing("location", place)
        for host in city.hosts.values()
        if (place := location_of(city, host)) in cut_off and place is not None and Thing("host", host.name) not in lost
    }
    down = _down(city, _struck(city, lost, unreachable, cut_off))
    backups = backup_lines(city, cut)
    return Impact(
        named=named,
        lost=lost,
        unreachable=unreachable,
        down=down,
        cut_off=cut_off,
        agencies=agencies_cut_off(city, connections),
        apart=tuple(_apart(city, connections)),
        unprotected=_unprotected(city, lost, connections),
        backup_lines=backups,
        hanging=hanging_on_untested(city, connections, backups, cut),
        notes=tuple(notes_of(city, lost, {name: found.causes for name, found in down.items()}, connections)),
    )


def urgency(city: City, service: str) -> tuple[timedelta, int, str]:
    """Sorts services by what must be back first: RTO, then the order of the tiers in drp.yaml, then the name."""
    tiers = list(city.workspace.tiers)
    found = objectives_of(city.services[service], city.workspace.tiers)
    tier = city.services[service].tier
    return found.rto if found else timedelta.max, tiers.index(tier) if tier in tiers else len(tiers), service


def recovery_hosts(service: Service) -> tuple[str, ...]:
    """The hosts that stand in for those it runs on, in the same order."""
    return tuple(dict.fromkeys(service.recovers_on[host] for host in service.runs_on if host in service.recovers_on))


def _everything_lost(city: City, named: Iterable[Thing]) -> dict[Thing, Thing | None]:
    """What was named, and what is lost with it; each with what took it first."""
    followers = _Followers(city)
    lost: dict[Thing, Thing | None] = dict.fromkeys(named)
    pending = deque(lost)
    while pending:
        thing = pending.popleft()
        for follower in followers.of(thing, named=lost[thing] is None):
            if follower not in lost:
                lost[follower] = thing
                pending.append(follower)
    return lost


class _Followers:
    """What is lost with a thing, whatever depends on it."""

    def __init__(self, city: City) -> None:
        self.city = city
        self.at: dict[str, list[Thing]] = {name: [] for name in city.network.locations}
        workspace = city.workspace
        for site, place in (("primary", workspace.sites.primary), ("recovery", workspace.sites.recovery)):
            self._stands(Thing("site", site), place.location)
        for name, centre in workspace.dr_centres.items():
            self._stands(Thing("dr-centre", name), centre.location)
        for host in city.hosts.values():
            self._stands(Thing("host", host.name), location_of(city, host))
        for name, link in city.network.links.items():
            self._stands(Thing("link", name), link.a)
            self._stands(Thing("link", name), link.b)

    def _stands(self, thing: Thing, location: str | None) -> None:
        if location is not None:
            self.at[location].append(thing)

    def of(self, thing: Thing, *, named: bool) -> list[Thing]:
        """A site that is lost only because its location is takes none of its hosts that stand elsewhere with it."""
        match thing.kind:
            case "location":
                return self.at[thing.id]
            case "site" if named:
                return [Thing("host", host.name) for host in self.city.hosts.values() if host.site == thing.id]
            case "asset":
                asset = self.city.assets.assets[thing.id]
                if asset.kind in POWER and not asset.hosts and not asset.links and asset.location is not None:
                    return [other for other in self.at[asset.location] if other.kind == "host"]
                return [*(Thing("host", name) for name in asset.hosts), *(Thing("link", name) for name in asset.links)]
            case "agency":
                return [Thing("location", office) for office in own_offices(self.city, thing.id)]
            case _:
                return []


def own_offices(city: City, agency: str) -> list[str]:
    """The offices that an agency shares with no other, and with neither a site nor a DR centre."""
    residents = residents_of(city)
    sites = city.workspace.sites
    shared = {sites.primary.location, sites.recovery.location}
    shared |= {centre.location for centre in city.workspace.dr_centres.values()}
    return [name for name in offices_of(city)[agency] if residents[name] == (agency,) and name not in shared]


def _struck(
    city: City, lost: Mapping[Thing, Thing | None], unreachable: Mapping[Thing, Thing], cut_off: Mapping[str, CutOff]
) -> dict[str, list[Thing]]:
    """The services that are lost themselves, or with what they run on; with that."""
    offices = offices_of(city)
    struck: dict[str, list[Thing]] = {}
    for service in city.services.values():
        hosts = [Thing("host", name) for name in service.runs_on]
        found = [host for host in hosts if host in lost] + [host for host in hosts if host in unreachable]
        if not hosts and service.hosting == "central" and Thing("site", "primary") in lost:
            found = [Thing("site", "primary")]
        if not hosts and service.hosting == "agency":
            # Nobody has said which machine it is; it is the agency's own, so it stands where the agency sits.
            agency = Thing("agency", service.agency)
            places = offices[service.agency]
            gone = [Thing("location", name) for name in places if Thing("location", name) in lost or name in cut_off]
            found = [agency] if agency in lost else gone[:1] if len(gone) == len(places) else []
        if found or Thing("service", service.id) in lost:
            struck[service.id] = found
    return struck


def _down(city: City, struck: Mapping[str, list[Thing]]) -> dict[str, Down]:
    """The struck services and all that depend on them, the most urgent first."""
    dependants: dict[str, list[str]] = {}
    for service in city.services.values():
        for dependency in service.depends_on:
            dependants.setdefault(dependency, []).append(service.id)
    causes = {name: list(found) for name, found in struck.items()}
    pending = deque(sorted(struck))
    while pending:
        name = pending.popleft()
        for dependant in dependants.get(name, ()):
            if struck.get(dependant) == []:
                continue  # it was lost itself, and needs no other reason
            if dependant not in causes:
                causes[dependant] = []
                pending.append(dependant)
            causes[dependant].append(Thing("service", name))
    ordered = sorted(causes, key=lambda name: urgency(city, name))
    return {name: _describe(city, name, causes[name]) for name in ordered}


def _describe(city: City, name: str, causes: Iterable[Thing]) -> Down:
    service, tiers = city.services[name], city.workspace.tiers
    gaps = gaps_of(service, "recovery", city.hosts, tiers)
    return Down(
        service=name,
        causes=tuple(dict.fromkeys(causes)),
        objectives=objectives_of(service, tiers),
        recovers_on=recovery_hosts(service),
        obstacle=next((gap.text for gap in gaps if gap.code in _NO_WAY_BACK), None),
    )


def _apart(city: City, connections: Connections) -> Iterator[Thing]:
    """The recovery site and the DR centres that stand, but lost their way to the primary site."""
    workspace = city.workspace
    places = [(Thing("site", "recovery"), workspace.sites.recovery.location)]
    places += [(Thing("dr-centre", name), centre.location) for name, centre in workspace.dr_centres.items()]
    for thing, place in places:
        if connections.severed(workspace.sites.primary.location, place):
            yield thing


def _unprotected(city: City, lost: Mapping[Thing, Thing | None], connections: Connections) -> dict[str, Unprotected]:
    """The services that lose something of their protection, the most urgent first."""
    places = {host.name: location_of(city, host) for host in city.hosts.values()}
    found = {}
    for service in city.services.values():
        losses = tuple(_losses(city, service, lost, connections, places))
        if losses:
            found[service.id] = Unprotected(service.id, losses, objectives_of(service, city.workspace.tiers))
    return {name: found[name] for name in sorted(found, key=lambda name: urgency(city, name))}


def _losses(
    city: City,
    service: Service,
    lost: Mapping[Thing, Thing | None],
    connections: Connections,
    places: Mapping[str, str | None],
) -> Iterator[LostProtection]:
    def severed(hosts: Iterable[Thing], there: str | None) -> tuple[Thing, ...]:
        return tuple(host for host in hosts if host not in lost and connections.severed(places.get(host.id), there))

    stand_ins = [Thing("host", name) for name in recovery_hosts(service)]
    primary = city.workspace.sites.primary.location
    kinds: list[tuple[ProtectionCode, tuple[Thing, ...]]] = [
        ("recovery-host-lost", tuple(host for host in stand_ins if host in lost)),
        ("recovery-host-cut-off", severed(stand_ins, primary)),
    ]
    if service.backup is not None:
        centre = Thing("dr-centre", service.backup.dr_centre)
        there = None if centre in lost else city.workspace.dr_centres[centre.id].location
        sources = [Thing("host", name) for name in dict.fromkeys(dataset.host for dataset in service.datasets)]
        kinds += [
            ("backups-lost", (centre,) if centre in lost else ()),
            ("restore-cut-off", severed(stand_ins, there)),
            ("backups-cut-off", severed(sources, there)),
        ]
    for code, causes in kinds:
        if causes:
            yield LostProtection(code, causes)
