"""What a reader of an impact must know beside it: what the inventory does not say, and how it was read there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from drp.domain.impact.cuts import Connections, location_of, offices_of
from drp.domain.impact.things import Thing
from drp.domain.inventory import City
from drp.domain.registers import POWER


@dataclass(frozen=True, slots=True)
class Note:
    """`code` is its stable name for programs; `things` are the ids that it is about."""

    code: str
    text: str
    things: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Loss:
    """What is gone, and the services that go down with it."""

    city: City
    lost: Mapping[Thing, Thing | None]
    down: Mapping[str, Collection[Thing]]
    connections: Connections

    def named(self, kind: str) -> list[str]:
        return [thing.id for thing, cause in self.lost.items() if cause is None and thing.kind == kind]

    def touches(self, *kinds: str) -> bool:
        return any(thing.kind in kinds for thing in self.lost)


def notes_of(
    city: City,
    lost: Mapping[Thing, Thing | None],
    down: Mapping[str, Collection[Thing]],
    connections: Connections,
) -> Iterator[Note]:
    """Everything that is not known, then how the loss was read. `down` are the services with what takes them down."""
    loss = _Loss(city, lost, down, connections)
    for look in _LOOKS:
        yield from look(loss)


def _services_nowhere(loss: _Loss) -> Iterator[Note]:
    hosts = loss.city.hosts
    at_primary = any(thing.kind == "host" and hosts[thing.id].site != "recovery" for thing in loss.lost)
    found = [
        service.id
        for service in loss.city.services.values()
        if service.hosting == "central" and not service.runs_on and service.id not in loss.down
    ]
    if found and (at_primary or loss.touches("location")):
        text = "no host is declared for these services: whether they run on what is lost is not known"
        yield Note("service-without-host", text, tuple(found))


def _services_without_dependencies(loss: _Loss) -> Iterator[Note]:
    found = [
        service.id
        for service in loss.city.services.values()
        if not service.states_dependencies and service.id not in loss.down
    ]
    if found and loss.down:
        text = "nobody has said what these services depend on: they may go down too"
        yield Note("dependencies-not-stated", text, tuple(found))


def _hosts_nowhere(loss: _Loss) -> Iterator[Note]:
    found = [
        host.name
        for host in loss.city.hosts.values()
        if location_of(loss.city, host) is None and Thing("host", host.name) not in loss.lost
    ]
    if found and loss.touches("location"):
        yield Note(
            "host-without-location", "nobody has said where these hosts stand: they may be lost too", tuple(found)
        )


def _network_unknown(loss: _Loss) -> Iterator[Note]:
    if not loss.touches("location", "link"):
        return
    workspace = loss.city.workspace
    primary = workspace.sites.primary.location
    if primary is None:
        text = "nobody has said at which location the primary site is: who is cut off from it is not known"
        yield Note("primary-site-without-location", text)
    else:
        found = [name for name in loss.connections.after if not loss.connections.had_way(name, primary)]
        if found:
            text = "no line to the primary site is declared for these locations: whether they are cut off is not known"
            yield Note("location-without-line", text, tuple(found))
    centres = [name for name, centre in workspace.dr_centres.items() if centre.location is None]
    if centres:
        text = "nobody has said at which location these DR centres are: whether backups still arrive is not known"
        yield Note("dr-centre-without-location", text, tuple(centres))
    if workspace.sites.recovery.location is None:
        text = "nobody has said at which location the recovery site is: whether it is cut off is not known"
        yield Note("recovery-site-without-location", text)


def _lonely_assets(loss: _Loss) -> Iterator[Note]:
    assets = loss.city.assets.assets
    for name in loss.named("asset"):
        if not assets[name].hosts and not assets[name].links:
            place = assets[name].location
            if place and assets[name].kind in POWER:
                text = f"it is taken to carry all hosts at location:{place}"
            else:
                text = "what stands on it is not known" + (f". It is at location:{place}" if place else "")
            yield Note("asset-without-parts", f"no host or link is declared for asset {name}: {text}")


def _some_hosts(loss: _Loss) -> Iterator[Note]:
    found = []
    for name, causes in loss.down.items():
        hosts = {cause.id for cause in causes if cause.kind == "host"}
        if hosts and not hosts >= set(loss.city.services[name].runs_on):
            found.append(name)
    if found:
        text = "these lose only some of their hosts; a service counts as down when it loses one"
        yield Note("some-hosts-lost", text, tuple(found))


def _shared_offices(loss: _Loss) -> Iterator[Note]:
    for agency in loss.named("agency"):
        shared = [office for office in offices_of(loss.city)[agency] if Thing("location", office) not in loss.lost]
        if shared:
            text = f"agency {agency} shares these locations with others: they count as standing; name them to lose them"
            yield Note("office-shared", text, tuple(shared))


def _hosts_elsewhere(loss: _Loss) -> Iterator[Note]:
    sites = loss.city.workspace.sites
    for site in loss.named("site"):
        place = sites.primary.location if site == "primary" else sites.recovery.location
        found = [
            host.name
            for host in loss.city.hosts.values()
            if host.site == site and host.location is not None and host.location != place
        ]
        if found:
            text = f"these hosts of the {site} site stand elsewhere, and count as lost with it"
            yield Note("host-elsewhere", text, tuple(found))


_LOOKS: tuple[Callable[[_Loss], Iterator[Note]], ...] = (
    _services_nowhere,
    _services_without_dependencies,
    _hosts_nowhere,
    _network_unknown,
    _lonely_assets,
    _some_hosts,
    _shared_offices,
    _hosts_elsewhere,
)
