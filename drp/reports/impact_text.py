"""What a loss does, as text for a terminal: what is lost, what is cut off, what loses protection, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from drp.domain.impact.cuts import offices_of
from drp.domain.impact.impact import Down, Impact, ProtectionCode
from drp.domain.impact.things import Thing, title_of
from drp.domain.inventory import City
from drp.reports.graph_model import called, listed, plain, sites_at, stakes
from drp.reports.text_table import capital, counted, joined, table, wrapped

_MOST_IN_CHAIN = 6

_MOST_CAUSES_NAMED = 3

_LOSSES: Final[dict[ProtectionCode, str]] = {
    "recovery-host-lost": "The host that they would recover on is lost",
    "backups-lost": "Their backups are lost",
    "recovery-host-cut-off": "The host that they would recover on is out of reach of the city's network",
    "restore-cut-off": "The host that they would recover on cannot fetch their backups",
    "backups-cut-off": "New backups no longer arrive at the DR centre",
}


def impact(city: City, found: Impact) -> str:
    """Everything, in the order in which a reader asks for it."""
    lines = [*wrapped(summary(city, found), indent=0), *_lost(city, found), *_down(city, found), *_cut_off(city, found)]
    lines += [*_agencies(city, found), *_backup_lines(city, found), *_protection(city, found), *_notes(found)]
    return joined(lines)


def summary(city: City, found: Impact) -> str:
    """One sentence with the numbers that matter."""
    everything = counted(len(city.services), "service")
    parts = [f"takes down {len(found.down) or 'none'} of {everything}{_by_tier(city, found.down)}"]
    if found.cut_off:
        parts.append(f"cuts off {len(found.cut_off)} of {counted(len(city.network.locations), 'location')}")
    wholly = sum(cut.wholly for cut in found.agencies)
    if wholly:
        parts.append(f"leaves {counted(wholly, 'agency', 'agencies')} without any way to the central services")
    if found.unprotected:
        parts.append(f"weakens the protection of {counted(len(found.unprotected), 'service')}")
    said = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"Losing {listed(city, found.named)} {said}."


def _by_tier(city: City, names: Collection[str]) -> str:
    tiers = Counter(city.services[name].tier or "no tier" for name in names)
    shown = ", ".join(f"{tiers[tier]} {tier}" for tier in (*city.workspace.tiers, "no tier") if tiers[tier])
    return f" ({shown})" if shown else ""


def _lost(city: City, found: Impact) -> Iterator[str]:
    yield from ("", f"LOST: {counted(len(found.lost), 'thing')}")
    rows = [[str(thing), plain(title_of(city, thing), 62), _taken(thing, cause)] for thing, cause in found.lost.items()]
    yield from table(rows)


def _taken(thing: Thing, cause: Thing | None) -> str:
    if cause is None:
        return ""
    if cause.kind == "location":
        return f"{'ends' if thing.kind == 'link' else 'stands'} at {cause}"
    return f"lost with {cause}"


def _down(city: City, found: Impact) -> Iterator[str]:
    if not found.down:
        yield from ("", "GOES DOWN: nothing, as far as is declared")
        return
    yield from ("", f"GOES DOWN: {counted(len(found.down), 'service')}, the most urgent first")
    rows = [["service", "tier", "RTO", "why", "recovers on"]]
    for name, down in found.down.items():
        rows.append([name, *stakes(city, name), _chain(found, name), _way_back(found, down)])
    yield from table(rows)


def _way_back(found: Impact, down: Down) -> str:
    """Where it could come back, or why it could not."""
    if down.obstacle is not None:
        return f"nowhere: {down.obstacle}"
    weaker = found.unprotected.get(down.service)
    if weaker is not None and weaker.for_good:
        return "nowhere: that is lost too"
    cut = weaker is not None and any(loss.code != "backups-cut-off" for loss in weaker.losses)
    return ", ".join(down.recovers_on) + (" (cut off)" if cut else "")


def _chain(found: Impact, name: str) -> str:
    """`← sim-egov ← host balaikota-app-1`, up to what is told elsewhere; the middle of a long chain is left out."""
    words = []
    for thing in found.chain(Thing("service", name))[1:]:
        cut = thing.kind == "location" and thing.id in found.cut_off
        words.append(f"{thing} (cut off)" if cut else str(thing).removeprefix("service "))
        if cut or thing in found.lost:
            break
    if len(words) > _MOST_IN_CHAIN:
        words = [*words[:3], f"… {len(words) - 5} more …", *words[-2:]]
    return " ".join(f"← {word}" for word in words) or "lost itself"


def _cut_off(city: City, found: Impact) -> Iterator[str]:
    if not found.cut_off:
        return
    several = len(found.named) > 1
    by = "" if several else f", by {found.named[0]}"
    heading = f"CUT OFF from the primary site: {counted(len(found.cut_off), 'location')}"
    yield from ("", f"{heading}{by}. Nobody there can reach a central service.")
    reached = {True: "reaches the recovery site", False: "cut off from it too", None: "not known"}
    rows = [["location", "title", "shortest way was over" if several else "", "after a failover", "agencies there"]]
    for name, cut in found.cut_off.items():
        title = plain(city.network.locations[name].title, 40)
        way = str(cut.because) if several else ""
        rows.append([name, title, way, reached[cut.reaches_recovery], ", ".join(cut.agencies)])
    yield from table(rows)
    if found.apart:
        yield from ("", f"Cut off with them: {' and '.join(called(city, thing) for thing in found.apart)}")


def _agencies(city: City, found: Impact) -> Iterator[str]:
    wholly = [cut.agency for cut in found.agencies if cut.wholly]
    partly = [cut for cut in found.agencies if not cut.wholly]
    if wholly:
        yield from ("", f"Agencies that no longer have any office with a way to the central services: {len(wholly)}")
        yield from wrapped(", ".join(wholly))
    if partly:
        offices = offices_of(city)
        lost = (f"{cut.agency} ({len(cut.offices)} of {len(offices[cut.agency])})" for cut in partly)
        yield from ("", f"Agencies that lose some of their offices: {len(partly)}")
        yield from wrapped(", ".join(lost))


def _backup_lines(city: City, found: Impact) -> Iterator[str]:
    if found.backup_lines:
        yield from ("", "Backup lines that still stand:")
        rows = []
        for line in found.backup_lines:
            tested = f"failover last tested {line.last_test}" if line.last_test else "failover never tested"
            rows.append([line.backup, f"for {line.link}", tested])
        yield from table(rows)
    if found.hanging:
        sites = sites_at(city)
        words = [" ".join([name, *(f"({site})" for site in sites.get(name, ()))]) for name in found.hanging]
        heading = "Their way now hangs on a backup line whose failover was never tested"
        yield from ("", f"{heading}: {counted(len(found.hanging), 'location')}")
        yield from wrapped(", ".join(words))


def _protection(city: City, found: Impact) -> Iterator[str]:
    """By what is lost, each with its services by tier: they are many, and lose it together."""
    if not found.unprotected:
        return
    gone = sum(weaker.for_good for weaker in found.unprotected.values())
    worst = f", {gone} of them for good" if gone else ", until the lines are back"
    yield from ("", f"LOSES PROTECTION: {counted(len(found.unprotected), 'service')}{worst}")
    for code, words in _LOSSES.items():
        losses = {
            name: loss for name, weaker in found.unprotected.items() for loss in weaker.losses if loss.code == code
        }
        if losses:
            causes = list(dict.fromkeys(str(cause) for loss in losses.values() for cause in loss.causes))
            named = f" ({', '.join(causes)})" if len(causes) <= _MOST_CAUSES_NAMED else ""
            yield f"  {words}{named}: {counted(len(losses), 'service')}"
            yield from (f"  {line}" for line in table(_by_stakes(city, losses)))


def _by_stakes(city: City, names: Iterable[str]) -> list[list[str]]:
    """A row for each tier and RTO, with its services."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name in names:
        groups.setdefault(stakes(city, name), []).append(name)
    return [[tier, f"RTO {rto}", ", ".join(members)] for (tier, rto), members in groups.items()]


def _notes(found: Impact) -> Iterator[str]:
    if found.notes:
        yield from ("", "NOTE")
    for note in found.notes:
        things = f" ({len(note.things)}): {', '.join(note.things)}" if note.things else ""
        yield from wrapped(capital(note.text) + things)
