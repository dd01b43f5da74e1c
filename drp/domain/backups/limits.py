"""Which of the backups that wait may start now, in which order they wait, and how much of a line each of them gets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from drp.domain.backups.settings import Bandwidth, Limits, Window

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_BITS_PER_KIB = 8 * 1024


@dataclass(frozen=True, slots=True)
class Work:
    """The backup of a service: the hosts that it works on, and the sites that these stand at. It counts as one on each
    of them, and as one overall."""

    service: str
    hosts: tuple[str, ...]
    sites: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Upload:
    """What one restic at a site may send, in KiB/s; None where nothing limits it."""

    site: str | None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Urgency:
    """How pressing the backup of a service is. `newest_data` is that of its newest restore point."""

    service: str
    rpo: timedelta | None
    newest_data: datetime | None


def may_start(waiting: Sequence[Work], running: Sequence[Work], limits: Limits) -> list[Work]:
    """Those of `waiting`, which stand in the order of their priority, that may start beside what runs.

    One that has to wait for a host is passed over by others, but not on the hosts that it needs: else those with one
    host each would keep a service that needs two of them waiting for ever.
    """
    count = len(running)
    on_host = Counter(host for work in running for host in work.hosts)
    at_site = Counter(site for work in running for site in work.sites)
    found: list[Work] = []
    for work in waiting:
        if count >= limits.at_once:
            break
        is_free = all(on_host[host] < limits.per_host for host in work.hosts)
        if is_free and all(at_site[site] < limits.per_site for site in work.sites):
            found.append(work)
            count += 1
            at_site.update(work.sites)
        on_host.update(work.hosts)
    return found


def by_urgency(services: Iterable[Urgency]) -> list[str]:
    """The shortest RPO first; of equal ones that which is broken first, so one without any data before all others."""
    longest, oldest = timedelta.max, datetime.min.replace(tzinfo=UTC)

    def key(found: Urgency) -> tuple[timedelta, datetime]:
        return found.rpo or longest, found.newest_data or oldest

    return [found.service for found in sorted(services, key=key)]


def upload_limit(
    bandwidth: Iterable[Bandwidth],
    at: datetime,
    site: str | None,
    running: Sequence[Upload],
    waiting: Sequence[Upload],
    at_once: int,
) -> int | None:
    """What a restic that is about to start at a site may send, in KiB/s; None where nothing limits it.

    What a window allows, less what runs has got of it, is shared with those that will run beside it. restic cannot be
    told another limit while it runs: one that began before a window goes on as it was started, and counts as if it
    had an equal share.

    Args:
        at: the present time in the organisation's time zone.
        running: what runs already.
        waiting: what has not started yet, this one not counted.
        at_once: how many may run at once.
    """
    found: list[int] = []
    for rule in bandwidth:
        if not holds(rule, at) or rule.site not in (None, site):
            continue
        beside = [upload for upload in running if rule.site in (None, upload.site)]
        coming = sum(rule.site in (None, upload.site) for upload in waiting)
        places = max(len(beside) + 1, min(at_once, len(beside) + 1 + coming))
        whole = rule.rate // _BITS_PER_KIB
        taken = sum(whole // places if upload.limit is None else upload.limit for upload in beside)
        found.append(max(1, (whole - taken) // (places - len(beside))))
    return min(found, default=None)


def holds(window: Window, at: datetime) -> bool:
    """Whether a local time lies in a window. One over midnight belongs to the day on which it starts; one that starts
    when it ends lasts a whole day."""
    start, end, clock = time.fromisoformat(window.start), time.fromisoformat(window.end), at.time()
    today, yesterday = _DAYS[at.weekday()], _DAYS[at.weekday() - 1]
    if start < end:
        return today in window.days and start <= clock < end
    return (today in window.days and clock >= start) or (yesterday in window.days and clock < end)


def sites_of(hosts: Collection[str], site_of: Mapping[str, str | None]) -> tuple[str, ...]:
    """The sites that hosts stand at, each once, in their order."""
    return tuple(dict.fromkeys(site for host in hosts if (site := site_of.get(host)) is not None))
