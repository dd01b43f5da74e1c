"""Warnings about sites and DR centres: accepted at all, apart from each other, on paper that still holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta

from drp.domain.findings import HOSTS, NETWORK, WORKSPACE, Advice, Finding, Location, Record, listed
from drp.domain.forecasts.lines import neighbours, reachable, widest_route
from drp.domain.impact.cuts import location_of, residents_of
from drp.domain.inventory import City, Site

SITE_NOT_ACCEPTED = Advice(
    "site-not-accepted", "have the site accepted, or say in every plan that nobody has yet recovered there"
)
SAME_LOCATION = Advice("same-location", "move one of them: what destroys the one would take the other with it")
NO_WAY_ROUND = Advice(
    "no-way-round", "give the offices a way to the recovery site that does not lead through the primary one"
)
SINGLE_LINE = Advice(
    "single-line", "lay a second line by another way: without this one no backup arrives and nothing can be restored"
)
EXPIRED = Advice("expired", "renew it, and note the new day; until then nothing holds the other side to its word")
EXPIRES_SOON = Advice("expires-soon", "start to renew it now, and note the new day when it is signed")

NOTICE = timedelta(days=90)
"""How long before a certificate or a contract ends it is time to act."""

_WORKSPACE = Record(WORKSPACE)


def review_sites(city: City, today: date) -> Iterator[Finding]:
    sites = city.workspace.sites
    if sites.recovery.status not in (None, "accepted"):
        message = f"the recovery site is {sites.recovery.status}, not accepted"
        yield SITE_NOT_ACCEPTED.at(_WORKSPACE, ("sites", "recovery", "status"), message)
    yield from _same_location(city)
    yield from _hosts_at_one_place(city)
    yield from _no_way_round(city)
    yield from _single_lines(city)
    for name in ("primary", "recovery"):
        site: Site = getattr(sites, name)
        if site.certificate is not None:
            place = ("sites", name, "certificate", "expires")
            yield from _expiry(f"the certificate of the {name} site", site.certificate.expires, place, today)
    for name, centre in city.workspace.dr_centres.items():
        if centre.contract is not None:
            what = f"the contract with {centre.contract.provider}"
            yield from _expiry(what, centre.contract.expires, ("dr_centres", name, "contract", "expires"), today)


def _expiry(what: str, expires: date | None, place: Location, today: date) -> Iterator[Finding]:
    if expires is None:
        return
    if expires < today:
        yield EXPIRED.at(_WORKSPACE, place, f"{what} expired on {expires}")
    elif expires - today <= NOTICE:
        yield EXPIRES_SOON.at(_WORKSPACE, place, f"{what} expires on {expires}, in {(expires - today).days} days")


def _same_location(city: City) -> Iterator[Finding]:
    sites = city.workspace.sites
    primary = sites.primary.location
    if primary is None:
        return
    if sites.recovery.location == primary:
        message = f"the recovery site is at {primary!r}, as the primary site is"
        yield SAME_LOCATION.at(_WORKSPACE, ("sites", "recovery", "location"), message)
    for name, centre in city.workspace.dr_centres.items():
        if centre.location == primary:
            message = f"DR centre {name!r} is at {primary!r}, as the primary site is"
            yield SAME_LOCATION.at(_WORKSPACE, ("dr_centres", name, "location"), message)


def _no_way_round(city: City) -> Iterator[Finding]:
    """Offices that reach the recovery site only through the primary one: after its loss a failover serves nobody
    there."""
    primary, recovery = city.workspace.sites.primary.location, city.workspace.sites.recovery.location
    if primary is None or recovery is None or primary == recovery:
        return
    before = reachable(neighbours(city.network), recovery)
    after = reachable(neighbours(city.network, without=[primary]), recovery)
    offices = [name for name, agencies in residents_of(city).items() if agencies and name != primary]
    lost = [name for name in offices if name in before and name not in after]
    if lost:
        message = (
            f"{len(lost)} of {len(offices)} offices reach the recovery site only through {primary!r}: {listed(lost)}"
        )
        yield NO_WAY_ROUND.at(_WORKSPACE, ("sites", "recovery", "location"), message)


def _single_lines(city: City) -> Iterator[Finding]:
    """Lines without which a DR centre has no way to one of the sites."""
    told: set[str] = set()
    for name, centre in city.workspace.dr_centres.items():
        for site in ("primary", "recovery"):
            here: str | None = getattr(city.workspace.sites, site).location
            route = widest_route(city.network, centre.location, here) if centre.location and here else None
            for link in route.links if route else ():
                left = reachable(neighbours(city.network, without=[link]), str(here))
                if centre.location not in left and link not in told:
                    told.add(link)
                    message = f"link {link!r} is the only way between DR centre {name!r} and the {site} site"
                    yield SINGLE_LINE.at(Record(NETWORK), ("links", link), message)


def _hosts_at_one_place(city: City) -> Iterator[Finding]:
    """Recovery hosts that stand where the primary site does, or where a host does that they stand in for. Hosts that
    stand where their sites say are left out: that the sites are at one place is told once."""
    primary = city.workspace.sites.primary.location
    places = {host.name: location_of(city, host) for host in city.hosts.values()}
    beside: dict[str, str] = {}
    services: dict[str, list[str]] = defaultdict(list)
    for service in city.services.values():
        for name, stand_in in service.recovers_on.items():
            place = places.get(stand_in)
            if place is None or place not in (places.get(name), primary):
                continue
            if city.hosts[stand_in].location is not None or place != primary:
                beside.setdefault(stand_in, "the primary site" if place == primary else f"host {name!r}")
                services[stand_in].append(service.id)
    for name, other in beside.items():
        message = f"recovery host {name!r} is at {places[name]!r}, as {other} is"
        yield SAME_LOCATION.at(Record(HOSTS), ("host", name), message, list(dict.fromkeys(services[name])))
