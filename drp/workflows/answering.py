"""Which hosts answer."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from drp.ports import World

AT_ONCE = 32


def answering(world: World, hosts: Iterable[str]) -> set[str]:
    """Those of the hosts (by their names in the inventory) that answer. All are asked at once and each only once: one
    that is lost is given seconds, and after a site loss all of a site are lost, while every clock runs."""
    names = sorted(set(hosts))
    if not names:
        return set()
    with ThreadPoolExecutor(min(AT_ONCE, len(names)), thread_name_prefix="answering") as pool:
        found = pool.map(world.reachability.answers, (world.city.hosts[name] for name in names))
        return {name for name, answers in zip(names, found, strict=True) if answers}
