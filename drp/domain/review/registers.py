"""Warnings about documents, lines and equipment: out of date, without a second way, or not to be had in time."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta

from drp.domain.findings import ASSETS, DOCUMENTS, NETWORK, Advice, Finding, Record, listed
from drp.domain.forecasts.lines import neighbours, reachable
from drp.domain.impact.cuts import location_of, offices_of
from drp.domain.inventory import City
from drp.domain.registers import Asset, Document, Link
from drp.domain.review.objectives import shortest_rto_first
from drp.domain.values import show_duration

REVIEW_OVERDUE = Advice("review-overdue", "look at it again, and note the new version and the next review_due")
STILL_DRAFT = Advice("still-draft", "have it approved and set `status: in-force`; until then nobody is bound by it")
SUPERSEDED_PARENT = Advice("superseded-parent", "base it on the rule that holds now, and name that one as its parent")
REDUNDANCY_LOST = Advice("redundancy-lost", "build a second way and name it as backup_link, or have the risk accepted")
BACKUP_LINK_UNTESTED = Advice(
    "backup-link-untested", "cut the line on purpose, see that traffic goes on, and note the day in last_failover_test"
)
BACKUP_LINK_SAME_WAY = Advice("backup-link-same-way", "name a backup link that lies elsewhere: one cut would take both")
BACKUP_LINK_NO_WAY = Advice(
    "backup-link-no-way", "name a link that leads from one end to the other by itself or by others"
)
SPARE_TOO_LATE = Advice("spare-too-late", "keep one in stock, or agree with a supplier on a lead time below the RTO")
END_OF_LIFE = Advice("end-of-life", "plan its replacement: nobody mends it or answers for it any longer")
POWER_UNTESTED = Advice(
    "power-untested", "run it under load for as long as it must last, and note the day in last_test"
)

NOTICE = timedelta(days=90)
YEAR = timedelta(days=365)
"""How long a test is believed."""


def review_registers(city: City, today: date) -> Iterator[Finding]:
    documents = city.documents.documents
    for name, document in documents.items():
        yield from _document(name, document, documents.get(document.parent or ""), today)
    for name, link in city.network.links.items():
        yield from _link(name, link, city.network.links.get(link.backup_link or ""), today)
        yield from _no_way_over_backup(city, name, link)
    stands_on = _StandsOn(city) if city.assets.assets else None
    for name, asset in city.assets.assets.items():
        yield from _asset(name, asset, today)
        if stands_on is not None:
            yield from _spare(name, asset, stands_on)


def _document(name: str, document: Document, parent: Document | None, today: date) -> Iterator[Finding]:
    record, place = Record(DOCUMENTS), ("documents", name)
    overdue = document.review_due is not None and document.review_due < today
    if document.status == "in-force" and overdue:
        message = f"{document.title!r} was to be reviewed by {document.review_due}"
        yield REVIEW_OVERDUE.at(record, (*place, "review_due"), message, document.services)
    if document.status in ("planned", "draft"):
        if document.approved is not None and document.approved <= today:
            message = f"{document.title!r} is called {document.status}, yet approved on {document.approved}"
            yield STILL_DRAFT.at(record, (*place, "status"), message, document.services)
        elif overdue:
            message = f"{document.title!r} is still {document.status}, and was due by {document.review_due}"
            yield STILL_DRAFT.at(record, (*place, "status"), message, document.services)
    if parent is not None and parent.status == "superseded" and document.status != "superseded":
        message = f"{document.title!r} rests on {document.parent!r}, which is superseded"
        yield SUPERSEDED_PARENT.at(record, (*place, "parent"), message, document.services)


def _link(name: str, link: Link, backup: Link | None, today: date) -> Iterator[Finding]:
    record, place = Record(NETWORK), ("links", name)
    if backup is None:
        if link.replaces is not None:
            message = f"link {name!r} replaced {link.replaces!r}, and has no backup link now"
            yield REDUNDANCY_LOST.at(record, (*place, "replaces"), message)
        return
    if link.backup_link == name:
        yield BACKUP_LINK_SAME_WAY.at(record, (*place, "backup_link"), f"link {name!r} is its own backup link")
        return
    if link.route is not None and link.route == backup.route:
        message = f"link {name!r} and its backup link {link.backup_link!r} take the same route: {link.route}"
        yield BACKUP_LINK_SAME_WAY.at(record, (*place, "backup_link"), message)
    last = link.last_failover_test
    if last is None:
        message = f"that {link.backup_link!r} carries the traffic of {name!r} was never tested"
        yield BACKUP_LINK_UNTESTED.at(record, (*place, "backup_link"), message)
    elif today - last > YEAR:
        message = (
            f"that {link.backup_link!r} carries the traffic of {name!r} was last tested on {last}, over a year ago"
        )
        yield BACKUP_LINK_UNTESTED.at(record, (*place, "last_failover_test"), message)


def _no_way_over_backup(city: City, name: str, link: Link) -> Iterator[Finding]:
    """A backup link that is somewhere else altogether carries nothing of this one's traffic."""
    if link.backup_link is None or link.backup_link == name:
        return
    if link.b not in reachable(neighbours(city.network, without=[name]), link.a):
        message = f"without link {name!r} nothing connects {link.a!r} and {link.b!r}, {link.backup_link!r} neither"
        yield BACKUP_LINK_NO_WAY.at(Record(NETWORK), ("links", name, "backup_link"), message)


def _asset(name: str, asset: Asset, today: date) -> Iterator[Finding]:
    record, place = Record(ASSETS), ("assets", name)
    if asset.end_of_life is not None and asset.end_of_life - today <= NOTICE:
        past = "is past its end of life" if asset.end_of_life < today else "comes to its end of life soon"
        yield END_OF_LIFE.at(record, (*place, "end_of_life"), f"{asset.title!r} {past}, {asset.end_of_life}")
    if asset.kind in ("ups", "generator"):
        if asset.last_test is None:
            yield POWER_UNTESTED.at(record, (*place, "kind"), f"{asset.title!r} was never tested")
        elif today - asset.last_test > YEAR:
            message = f"{asset.title!r} was last tested on {asset.last_test}, over a year ago"
            yield POWER_UNTESTED.at(record, (*place, "last_test"), message)


class _StandsOn:
    """Which services stand on a host, or at a location, at either site; the most urgent first."""

    def __init__(self, city: City) -> None:
        self.links = city.network.links
        places = {host.name: location_of(city, host) for host in city.hosts.values()}
        offices = offices_of(city)
        on_hosts: dict[str, set[str]] = defaultdict(set)
        at_locations: dict[str, set[str]] = defaultdict(set)
        for service in city.services.values():
            hosts = {*service.runs_on, *service.recovers_on.values()}
            here = {place for host in hosts if (place := places.get(host)) is not None}
            if not hosts and service.hosting == "agency":
                here = set(offices[service.agency])
            for host in hosts:
                on_hosts[host].add(service.id)
            for place in here:
                at_locations[place].add(service.id)
        self.on_hosts = {host: shortest_rto_first(city, names) for host, names in on_hosts.items()}
        self.at_locations = {place: shortest_rto_first(city, names) for place, names in at_locations.items()}

    def hurt_by(self, asset: Asset, wait: timedelta) -> list[tuple[timedelta, str]]:
        """The services that must be back sooner than after `wait`, of those on an asset's hosts and at the ends of
        its links; on its location where it names neither hosts nor links."""
        places = {end for link in asset.links for end in (self.links[link].a, self.links[link].b)}
        if not asset.hosts and not asset.links and asset.location is not None:
            places = {asset.location}
        groups = [self.on_hosts.get(host, []) for host in asset.hosts]
        groups += [self.at_locations.get(place, []) for place in places]
        urgent = [group[: bisect_left(group, (wait, ""))] for group in groups]
        return urgent[0] if len(urgent) == 1 else sorted({item for group in urgent for item in group})


def _spare(name: str, asset: Asset, stands_on: _StandsOn) -> Iterator[Finding]:
    spare = asset.spare
    if spare is None or spare.stock:
        return
    hurt = stands_on.hurt_by(asset, spare.lead_time)
    if hurt:
        services = [service for _, service in hurt]
        message = (
            f"no spare of {asset.title!r} is in stock and a new one takes {show_duration(spare.lead_time)}; services "
            f"on it must be back sooner, the first within {show_duration(hurt[0][0])}: {listed(services, 5)}"
        )
        yield SPARE_TOO_LATE.at(Record(ASSETS), ("assets", name, "spare", "lead_time"), message, services)
