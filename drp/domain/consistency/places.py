"""Each dataset has a place of its own: two with the same one would overwrite each other in a restore."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from drp.domain.findings import Finding, service_fault
from drp.domain.service import Service


@dataclass(slots=True)
class _Taken:
    """The places of one kind of dataset on one host, and every folder above them, with the dataset that has each."""

    places: dict[str, str] = field(default_factory=dict)
    above: dict[str, str] = field(default_factory=dict)

    def is_free(self, places: Mapping[str, list[str]]) -> bool:
        """Whether nobody has any of these places, something in it, or a folder above it."""
        return (
            self.places.keys().isdisjoint(places)
            and self.above.keys().isdisjoint(places)
            and all(self.places.keys().isdisjoint(above) for above in places.values())
        )

    def other_than(self, own: str, place: str, above: list[str]) -> str | None:
        """Another dataset that has this place, something in it, or a folder above it."""
        holders = [self.places.get(place), self.above.get(place), *map(self.places.get, above)]
        return next((holder for holder in holders if holder is not None and holder != own), None)

    def take(self, own: str, places: Mapping[str, list[str]]) -> None:
        for place, above in places.items():
            self.places.setdefault(place, own)
            for folder in above:
                self.above.setdefault(folder, own)


def _above(place: str) -> list[str]:
    parts = place.split("/")
    return ["/".join(parts[:count]) for count in range(2, len(parts))] if place.startswith("/") else []


def overlapping_places(services: Mapping[str, Service]) -> Iterator[Finding]:
    """Two datasets with the same place on a host, at either site, would overwrite each other in a restore."""
    taken: dict[tuple[str, str], _Taken] = {}
    for service in services.values():
        for position, dataset in enumerate(service.datasets):
            own = f"{service.id}/{dataset.id}"
            places = {place: _above(place) for place in dataset.places}
            for host in dict.fromkeys((dataset.host, service.recovers_on.get(dataset.host, dataset.host))):
                known = taken.get((host, dataset.type))
                if known is None:
                    known = taken[host, dataset.type] = _Taken()
                for place, above in places.items() if not known.is_free(places) else ():
                    other = known.other_than(own, place, above)
                    if other is not None:
                        yield service_fault(
                            service.id,
                            ("datasets", position),
                            "same-place",
                            f"{place} on {host} belongs to dataset {other} too",
                            "a restore of one would destroy the other; give each its own place, or its own host",
                        )
                known.take(own, places)
