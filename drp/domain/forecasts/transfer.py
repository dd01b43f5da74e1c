"""How long data takes over lines that it shares: the ways between sites and DR centres, and who slows down whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from drp.domain.forecasts.lines import widest_route
from drp.domain.inventory import City


@dataclass(frozen=True)
class Channel:
    """The way of data between a DR centre and a site: each part of it with its bits per second.

    `known` is False where a part of the way, or its capacity, is not declared; `exists` is False where the declared
    lines do not connect the two at all.
    """

    parts: tuple[tuple[str, int], ...]
    known: bool
    exists: bool

    @cached_property
    def capacity(self) -> int | None:
        """Bits per second of the narrowest part; None where nobody can know."""
        return min((rate for _, rate in self.parts), default=None) if self.known and self.exists else None

    @property
    def narrowest(self) -> str:
        """What people would have to widen."""
        return min(self.parts, key=lambda part: part[1])[0] if self.parts else "the way"

    def time_for(self, size: int) -> timedelta | None:
        """How long so many bytes take if nobody else sends any."""
        return None if self.capacity is None else timedelta(seconds=size * 8 / self.capacity)


def channel_between(city: City, dr_centre: str, site: str) -> Channel:
    """The way between a DR centre and `primary` or `recovery`: storage, lines, and the networks at both ends."""
    centre = city.workspace.dr_centres[dr_centre]
    here: str | None = getattr(city.workspace.sites, site).location
    storage = () if centre.throughput is None else ((f"DR centre {dr_centre}", centre.throughput),)
    if here is None or centre.location is None:
        return Channel(storage, known=False, exists=True)
    route = widest_route(city.network, centre.location, here)
    if route is None:
        return Channel(storage, known=True, exists=False)
    links = [(f"link {name}", city.network.links[name].capacity) for name in route.links]
    networks = [
        (f"network at {name}", lan)
        for name in dict.fromkeys((centre.location, here))
        if (lan := city.network.locations[name].lan) is not None
    ]
    parts = (*storage, *((name, rate) for name, rate in links if rate is not None), *networks)
    # What a storage gives to its readers says nothing about how fast it takes what is written.
    known = all(rate is not None for _, rate in links) and (site == "primary" or bool(storage)) and bool(parts)
    return Channel(parts, known=known, exists=True)


@dataclass(frozen=True, slots=True)
class Transfer:
    """Bytes that go over a channel, beginning together with all others."""

    id: str
    size: int
    channel: Channel


@dataclass(frozen=True, slots=True)
class Rush:
    """What goes over the busiest part of a way in the worst minute, and how long that takes."""

    size: int
    part: str
    rate: int

    @property
    def time(self) -> timedelta:
        return timedelta(seconds=self.size * 8 / self.rate)


_ROUNDING = 1e-9


def shared_times(transfers: Iterable[Transfer]) -> dict[str, timedelta]:
    """When each of many transfers that begin at once has ended.

    Each part of a way gives the transfers on it equal shares, and a transfer goes as fast as its slowest part lets
    it. What a transfer leaves unused is not given to others: real lines are a little faster, never slower.
    """
    groups: dict[tuple[tuple[str, int], ...], list[Transfer]] = {}
    for transfer in transfers:
        groups.setdefault(transfer.channel.parts, []).append(transfer)
    waiting = {parts: sorted(group, key=lambda item: -item.size) for parts, group in groups.items()}
    sent = dict.fromkeys(waiting, 0.0)  # bits that every transfer of a group has sent by now
    now, ended = 0.0, dict[str, timedelta]()
    while waiting:
        rates = _rates({parts: len(group) for parts, group in waiting.items()})
        step = min((group[-1].size * 8 - sent[parts]) / rates[parts] for parts, group in waiting.items())
        now += step
        for parts in list(waiting):
            group = waiting[parts]
            sent[parts] += rates[parts] * step
            while group and group[-1].size * 8 <= sent[parts] * (1 + _ROUNDING) + 1:
                ended[group.pop().id] = timedelta(seconds=now)
            if not group:
                del waiting[parts]
    return ended


def _rates(active: Mapping[tuple[tuple[str, int], ...], int]) -> dict[tuple[tuple[str, int], ...], float]:
    users: dict[str, int] = {}
    for parts, count in active.items():
        for name, _ in parts:
            users[name] = users.get(name, 0) + count
    return {parts: min(rate / users[name] for name, rate in parts) for parts in active}
