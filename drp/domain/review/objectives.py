"""Warnings about objectives: those that contradict each other, and those that a site or a contract cannot carry."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import groupby

from drp.domain.findings import WORKSPACE, Advice, Finding, Location, Record, listed, service_record
from drp.domain.inventory import City, DrCentre, Site, SlaTarget, Tier
from drp.domain.objectives import own_or_tiers
from drp.domain.service import Service
from drp.domain.values import show_duration

RTO_OVER_MTPD = Advice(
    "rto-over-mtpd", "shorten the RTO, or correct the MTPD in the impact analysis: longer than that nobody can wait"
)
RTO_AND_WRT_OVER_MTPD = Advice(
    "rto-and-wrt-over-mtpd", "the backlog must be worked off before the MTPD ends: shorten one of them, or correct it"
)
SLA_TARGETS_DISAGREE = Advice("sla-targets-disagree", "have one decided, and write `approved: true` at that one alone")
NO_SLA_TARGET = Advice(
    "no-sla-target", "declare the target that holds now, with its period and the document it is from"
)
SITE_BELOW_TARGET = Advice(
    "site-below-target",
    "raise the site, run the service at both, or have a target approved that it carries (a level rates a design; it "
    "is no promise)",
)
RTO_OVER_DOWNTIME = Advice(
    "rto-over-downtime",
    "one recovery alone breaks the target: shorten the RTO, or have a target approved that allows it",
)
CONTRACT_TOO_SLOW = Advice(
    "contract-rto", "agree on a shorter one with the provider, or back these services up to another DR centre"
)
CONTRACT_LOSES_TOO_MUCH = Advice(
    "contract-rpo", "agree on a shorter one with the provider, or back these services up to another DR centre"
)
CONTRACT_UNAVAILABLE = Advice(
    "contract-availability", "agree on more with the provider, or have a target approved that this carries"
)
CONTRACT_CLOCK = Advice(
    "contract-clock", "agree that the clock starts at the disruption, or count detection and decision on top"
)
NO_CADENCE = Advice(
    "no-cadence", "say how often its services are exercised, such as `exercise_programme: {TIER: {restore-test: 90d}}`"
)

LEVEL_AVAILABILITY = {1: Decimal("99.671"), 2: Decimal("99.741"), 3: Decimal("99.982"), 4: Decimal("99.995")}
"""What a data centre of each level is commonly said to carry."""

_WORKSPACE = Record(WORKSPACE)


def review_objectives(city: City, today: date) -> Iterator[Finding]:
    objectives = {service.id: _effective(service, city.workspace.tiers) for service in city.services.values()}
    target = target_to_keep(city.workspace.sla_targets, today)
    yield from _over_mtpd(city, objectives)
    yield from _sla_targets(city.workspace.sla_targets, today)
    if target is not None:
        yield from _sites(city, target)
        yield from _downtime(city, target)
    yield from _contracts(city, objectives, target)
    yield from _programme(city)


@dataclass(frozen=True, slots=True)
class Effective:
    """The objectives of a service, its own where it names them, else its tier's; None where neither does."""

    rto: timedelta | None
    rpo: timedelta | None
    mtpd: timedelta | None
    wrt: timedelta | None


@dataclass(frozen=True, slots=True)
class Target:
    """An SLA target with its name."""

    name: str
    availability: Decimal
    yearly_downtime: timedelta

    def __str__(self) -> str:
        return f"the target of {self.availability} % ({self.name})"


def _effective(service: Service, tiers: Mapping[str, Tier]) -> Effective:
    rto, rpo = own_or_tiers(service, tiers, "rto"), own_or_tiers(service, tiers, "rpo")
    return Effective(rto, rpo, own_or_tiers(service, tiers, "mtpd"), own_or_tiers(service, tiers, "wrt"))


def shortest_rto_first(city: City, names: Collection[str]) -> list[tuple[timedelta, str]]:
    """These services with their RTO, those without one left out, the most urgent first."""
    tiers = city.workspace.tiers
    known = ((_effective(city.services[name], tiers).rto, name) for name in names)
    return sorted((rto, name) for rto, name in known if rto is not None)


def _in_force(targets: Mapping[str, SlaTarget], today: date) -> dict[str, SlaTarget]:
    return {name: target for name, target in targets.items() if target.period.first <= today <= target.period.last}


def target_to_keep(targets: Mapping[str, SlaTarget], today: date) -> Target | None:
    """The approved target of today, else the strictest of today. Where none holds today, the same of those that ended
    last: nobody has promised anything else since. None where none has begun yet."""
    known = _in_force(targets, today)
    if not known:
        begun = {name: target for name, target in targets.items() if target.period.first <= today}
        newest = max((target.period.last for target in begun.values()), default=today)
        known = {name: target for name, target in begun.items() if target.period.last == newest}
    approved = {name: target for name, target in known.items() if target.approved}
    if not known:
        return None
    name, target = max((approved or known).items(), key=lambda item: item[1].availability)
    return Target(name, target.availability, target.yearly_downtime)


def _of_tiers(city: City, *keys: str) -> dict[str, list[str]]:
    """The services of each tier that have none of these objectives of their own."""
    found: dict[str, list[str]] = {tier: [] for tier in city.workspace.tiers}
    for service in city.services.values():
        if service.tier is not None and all(getattr(service, key) is None for key in keys):
            found[service.tier].append(service.id)
    return found


def _over_mtpd(city: City, objectives: Mapping[str, Effective]) -> Iterator[Finding]:
    keys = ("rto", "mtpd", "wrt")
    for service in city.services.values():
        own = [key for key in keys if getattr(service, key) is not None]
        if own:
            yield from _too_long(objectives[service.id], service_record(service.id), (own[0],), "", [service.id])
    inheriting = _of_tiers(city, *keys)
    for name, tier in city.workspace.tiers.items():
        of_tier = Effective(tier.rto, tier.rpo, tier.mtpd, tier.wrt)
        yield from _too_long(of_tier, _WORKSPACE, ("tiers", name, "rto"), f"tier {name!r}: ", inheriting[name])


def _too_long(
    objectives: Effective, record: Record, location: Location, whose: str, services: list[str]
) -> Iterator[Finding]:
    rto, wrt, mtpd = objectives.rto, objectives.wrt, objectives.mtpd
    if rto is None or mtpd is None:
        return
    if rto > mtpd:
        message = f"{whose}the RTO of {show_duration(rto)} is longer than the MTPD of {show_duration(mtpd)}"
        yield RTO_OVER_MTPD.at(record, location, message, services)
    elif wrt is not None and rto + wrt > mtpd:
        message = (
            f"{whose}the RTO of {show_duration(rto)} and the WRT of {show_duration(wrt)} are together longer than "
            f"the MTPD of {show_duration(mtpd)}"
        )
        yield RTO_AND_WRT_OVER_MTPD.at(record, location, message, services)


def _sla_targets(targets: Mapping[str, SlaTarget], today: date) -> Iterator[Finding]:
    location = ("sla_targets",)
    why = _disagreement(targets)
    if why is not None:
        shown = [
            f"{target.availability} % in {name}"
            + (f" ({target.source})" if target.source else "")
            + (", approved" if target.approved else "")
            for name, target in sorted(targets.items(), key=lambda item: (item[1].availability, item[0]))
        ]
        yield SLA_TARGETS_DISAGREE.at(_WORKSPACE, location, f"targets disagree, and {why}: {'; '.join(shown)}")
    if targets and not _in_force(targets, today):
        last = max(target.period.last for target in targets.values())
        yield NO_SLA_TARGET.at(
            _WORKSPACE, location, f"no target is in force on {today}; the last period ends on {last}"
        )


def _disagreement(targets: Mapping[str, SlaTarget]) -> str | None:
    """What is wrong on the first day on which different availabilities hold and not exactly one of them is approved;
    None where there is no such day."""
    changes = []
    for target in targets.values():
        first, last = target.period.first.toordinal(), target.period.last.toordinal()
        changes += [(first, 1, target), (last + 1, -1, target)]
    changes.sort(key=lambda change: change[0])
    current: Counter[Decimal] = Counter()
    approved: Counter[Decimal] = Counter()
    for _, of_one_day in groupby(changes, key=lambda change: change[0]):
        for _, step, target in of_one_day:
            current[target.availability] += step
            approved[target.availability] += step * target.approved
        current, approved = +current, +approved
        if len(current) > 1 and len(approved) != 1:
            return "more than one is approved for the same days" if approved else "none is approved for some days"
    return None


def _sites(city: City, target: Target) -> Iterator[Finding]:
    for name in ("primary", "recovery"):
        site: Site = getattr(city.workspace.sites, name)
        if site.availability is not None:
            carried, said, key = site.availability, "the site carries", "availability"
        elif site.level is not None:
            carried, said, key = LEVEL_AVAILABILITY[site.level], f"level {site.level} is said to carry", "level"
        else:
            continue
        if carried < target.availability:
            message = f"{said} {carried} %, less than {target}"
            yield SITE_BELOW_TARGET.at(_WORKSPACE, ("sites", name, key), message)


def _downtime(city: City, target: Target) -> Iterator[Finding]:
    allowed = target.yearly_downtime
    allows = f"is longer than the {show_duration(allowed)} a year that {target} allows"
    for service in city.services.values():
        if service.rto is not None and service.rto > allowed:
            message = f"the RTO of {show_duration(service.rto)} {allows}"
            yield RTO_OVER_DOWNTIME.at(service_record(service.id), ("rto",), message, [service.id])
    inheriting = _of_tiers(city, "rto")
    for name, tier in city.workspace.tiers.items():
        if tier.rto > allowed:
            message = f"tier {name!r}: the RTO of {show_duration(tier.rto)} {allows}"
            yield RTO_OVER_DOWNTIME.at(_WORKSPACE, ("tiers", name, "rto"), message, inheriting[name])


def _contracts(city: City, objectives: Mapping[str, Effective], target: Target | None) -> Iterator[Finding]:
    stored = defaultdict(list)
    for service in city.services.values():
        if service.backup is not None:
            stored[service.backup.dr_centre].append(service.id)
    for name, centre in city.workspace.dr_centres.items():
        yield from _contract(name, centre, {service: objectives[service] for service in stored[name]}, target)


def _contract(
    name: str, centre: DrCentre, services: Mapping[str, Effective], target: Target | None
) -> Iterator[Finding]:
    contract, place = centre.contract, ("dr_centres", name, "contract")
    if contract is None:
        return
    for advice, key in ((CONTRACT_TOO_SLOW, "rto"), (CONTRACT_LOSES_TOO_MUCH, "rpo")):
        promised: timedelta | None = getattr(contract, key)
        wanted = [(getattr(own, key), service) for service, own in services.items() if getattr(own, key) is not None]
        unmet = sorted(item for item in wanted if promised is not None and item[0] < promised)
        if promised is not None and unmet:
            names = [service for _, service in unmet]
            message = (
                f"{contract.provider} promises an {key.upper()} of {show_duration(promised)}; as little as "
                f"{show_duration(unmet[0][0])} is needed, by {listed(names)}"
            )
            yield advice.at(_WORKSPACE, (*place, key), message, names)
    if contract.rto is not None and contract.clock_starts not in (None, "disruption"):
        message = (
            f"the promised RTO of {show_duration(contract.rto)} counts from the {contract.clock_starts}; that of a "
            "service counts from the disruption"
        )
        yield CONTRACT_CLOCK.at(_WORKSPACE, (*place, "clock_starts"), message, sorted(services))
    if target is not None and contract.availability is not None and contract.availability < target.availability:
        message = f"{contract.provider} promises {contract.availability} %, less than {target}"
        yield CONTRACT_UNAVAILABLE.at(_WORKSPACE, (*place, "availability"), message, sorted(services))


def _programme(city: City) -> Iterator[Finding]:
    programme = city.workspace.exercise_programme
    if not programme:
        return
    members = _of_tiers(city)
    for tier in city.workspace.tiers:
        if not programme.get(tier):
            message = f"no exercise is asked for tier {tier!r}"
            yield NO_CADENCE.at(_WORKSPACE, ("exercise_programme",), message, members[tier])
