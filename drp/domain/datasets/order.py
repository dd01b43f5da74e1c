"""The order in which the datasets of a service are restored on a host."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def restore_order(declared: Sequence[str], held: Iterable[str]) -> tuple[str, ...]:
    """The datasets that a restore point holds, in the order in which the service's file declares them: whoever writes
    it decides what comes first. The ledger keeps no order. What is no longer declared comes last, by its name.

    Each host restores its own one after the other, side by side with other hosts, so the order changes no total.
    """
    place = {name: number for number, name in enumerate(declared)}
    return tuple(sorted(held, key=lambda name: (place.get(name, len(place)), name)))
