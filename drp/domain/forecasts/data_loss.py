"""How much data a disaster would cost at the worst moment: what the schedules of the backups leave, and what the lines
to the DR centres make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from drp.domain.forecasts.estimates import Estimate, History, estimate_arrival
from drp.domain.forecasts.transfer import Channel, Rush
from drp.domain.inventory import City
from drp.domain.protection.gaps import backup_of
from drp.domain.service import Service

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ExpectedLoss:
    """The data that a disaster would cost at the worst moment: the longest gap of the schedule, and the time until the
    next backup has arrived. `alone` is that time if no other backup used the line. Where backups fall behind, it grows
    without end."""

    gap: timedelta | None
    arrival: Estimate
    alone: timedelta | None
    falls_behind: bool

    @property
    def rpa(self) -> timedelta | None:
        """None where a part is unknown."""
        if self.gap is None or self.arrival.duration is None:
            return None
        return self.gap + self.arrival.duration


def expected_losses(
    city: City, order: Sequence[str], history: History, channels: Mapping[tuple[str, str], Channel]
) -> dict[str, ExpectedLoss]:
    """What the schedules leave at risk. Every backup of the city uses the lines, also that of a service which this plan
    does not recover."""
    rushes = _rushes(city, channels)
    overloaded = {part for part, needed in daily_times(city, channels).items() if needed > DAY}
    found: dict[str, ExpectedLoss] = {}
    for name in order:
        service, centre = city.services[name], backup_of(city.services[name]).dr_centre
        channel, schedule, own = channels[centre, "primary"], backup_of(service).when, _changes_per_backup(service)
        rush = rushes.get((centre, schedule.cron)) if schedule else None
        arrival = estimate_arrival(service, channel, history, own, rush)
        gap = schedule.longest_gap if schedule else None
        late = arrival.duration is not None and gap is not None and arrival.duration > gap
        found[name] = ExpectedLoss(
            gap=gap,
            arrival=arrival,
            alone=None if own is None else channel.time_for(own),
            falls_behind=late or any(part in overloaded for part, _ in channel.parts),
        )
    return found


def _rushes(city: City, channels: Mapping[tuple[str, str], Channel]) -> dict[tuple[str, str], Rush | None]:
    """By DR centre and schedule: the most that goes over any part of the way in a minute at which it runs. Schedules of
    other days count as if they ran on the same one. None where somebody's changes are unknown."""
    sizes: dict[tuple[str, str], int | None] = {}
    minutes: dict[str, frozenset[int]] = {}
    for service in city.services.values():
        schedule = service.backup.when if service.backup else None
        if service.backup is None or schedule is None:
            continue
        key, own = (service.backup.dr_centre, schedule.cron), _changes_per_backup(service)
        before = sizes.get(key, 0)
        sizes[key] = None if own is None or before is None else before + own
        minutes[schedule.cron] = frozenset(schedule.minutes_of_day)
    load: dict[tuple[str, int], int | None] = {}
    for (centre, cron), size in sizes.items():
        for part, _ in channels[centre, "primary"].parts:
            for minute in minutes[cron]:
                before = load.get((part, minute), 0)
                load[part, minute] = None if size is None or before is None else before + size
    found: dict[tuple[str, str], Rush | None] = {}
    for centre, cron in sizes:
        parts = channels[centre, "primary"].parts
        loads = [(load[part, minute], part, rate) for part, rate in parts for minute in minutes[cron]]
        known = [Rush(size, part, rate) for size, part, rate in loads if size is not None]
        found[centre, cron] = max(known, key=lambda rush: rush.time, default=None) if len(known) == len(loads) else None
    return found


def daily_times(city: City, channels: Mapping[tuple[str, str], Channel]) -> dict[str, timedelta]:
    """How long each part of the ways to the DR centres needs for what all backups send in a day."""
    times: dict[str, timedelta] = {}
    sizes: dict[str, int] = {}
    for service in city.services.values():
        if service.backup is not None:
            changes = sum(dataset.daily_change or 0 for dataset in service.datasets)
            sizes[service.backup.dr_centre] = sizes.get(service.backup.dr_centre, 0) + changes
    for centre, size in sizes.items():
        for part, rate in channels[centre, "primary"].parts:
            times[part] = times.get(part, timedelta()) + timedelta(seconds=size * 8 / rate)
    return times


def _changes_per_backup(service: Service) -> int | None:
    """The bytes that one backup sends after the longest gap of its schedule; None where they are not declared."""
    schedule = backup_of(service).when
    daily = [dataset.daily_change for dataset in service.datasets]
    if schedule is None or None in daily:
        return None
    return int(sum(change for change in daily if change is not None) * (schedule.longest_gap / DAY))
