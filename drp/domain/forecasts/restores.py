"""How long restores take that begin together and share their lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from drp.domain.forecasts.estimates import Estimate, History, estimate_restore
from drp.domain.forecasts.transfer import Channel, Transfer, shared_times
from drp.domain.service import Service


@dataclass(frozen=True, slots=True)
class Restores:
    """Estimates of many restores, by service: each `alone`, and its time with all of them on the line (`shared`, for
    those whose line and size are known).

    `all_known` is False where something shares the line about which nothing is known: then all may be later than they
    seem.
    """

    alone: Mapping[str, Estimate]
    shared: Mapping[str, timedelta]
    all_known: bool

    def together(self, service: str) -> Estimate:
        """The estimate of one beside all the others."""
        alone, shared = self.alone[service], self.shared.get(service)
        if alone.duration is None or shared is None or shared <= alone.duration:
            return alone
        others = len(self.shared) - 1
        return replace(alone, duration=shared, text=f"{alone.text}; the line shared with {others} more")


def estimate_restores(services: Sequence[Service], channels: Mapping[str, Channel], history: History) -> Restores:
    """All restores at once; `channels` are the ways of their data, by service."""
    alone: dict[str, Estimate] = {}
    transfers: list[Transfer] = []
    for service in services:
        channel = channels[service.id]
        alone[service.id] = estimate_restore(service, channel, history)
        size = _bytes_on_the_line(history.size_of(service), alone[service.id], channel)
        if size is not None and channel.capacity is not None:
            transfers.append(Transfer(service.id, size, channel))
    all_known = len(transfers) == len(services) or len(services) == 1
    return Restores(alone, shared_times(transfers), all_known)


def _bytes_on_the_line(size: int | None, restore: Estimate, channel: Channel) -> int | None:
    """What a restore sends over its line; of one whose size nobody knows, as much as the line carries in its time."""
    if size is not None or restore.duration is None or channel.capacity is None:
        return size
    return int(restore.duration.total_seconds() * channel.capacity / 8)
