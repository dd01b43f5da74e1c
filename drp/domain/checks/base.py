"""What every kind of check says of itself: how often it is tried, how long it may take, and what it needs."""

from __future__ import annotations

from abc import abstractmethod
from datetime import timedelta
from typing import Any

from pydantic import field_validator

from drp.domain.model import Model
from drp.domain.secret import SecretReference
from drp.domain.values import Identifier, PositiveDuration, show_duration

SHORTEST_INTERVAL = timedelta(milliseconds=100)


class CheckType(Model):
    """One kind of check. A new one is a module of this package, named in its union, and one of `drp.adapters.probes`.

    It is tried from outside both sites. Attempts begin on a fixed grid of `interval`, whatever the ones before take;
    each ends within `timeout`, whatever comes back.
    """

    id: Identifier
    interval: PositiveDuration = timedelta(seconds=1)
    timeout: PositiveDuration = timedelta(seconds=2)

    @field_validator("interval")
    @classmethod
    def _bearable(cls, interval: timedelta) -> timedelta:
        if interval < SHORTEST_INTERVAL:
            raise ValueError(f"shorter than {show_duration(SHORTEST_INTERVAL)} is a load, and not a check")
        return interval

    @property
    def largest_gap(self) -> timedelta:
        """The longest silence between two attempts in which still somebody looked: three of the slowest, and a little
        for a busy machine. What lies beyond a longer one is unknown."""
        return 3 * (self.interval + self.timeout) + timedelta(seconds=2)

    @property
    def compares_old_content(self) -> bool:
        """Whether it compares what it reads with what `drp watch` read before a disruption."""
        return False

    @property
    def secret(self) -> SecretReference | None:
        """What it must know and nobody else may."""
        return None

    @property
    @abstractmethod
    def asks(self) -> str:
        """What it asks, for people, in a few words."""

    def asks_of_host(self) -> list[dict[str, Any]]:
        """What a recovery host can ask itself before users come: see playbooks/roles/services."""
        return []


def local_port(port: int) -> dict[str, Any]:
    """The question whether the host itself takes connections on a port."""
    return {"kind": "tcp", "port": port}
