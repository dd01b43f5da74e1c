"""A drill and the primaries: which of them a step could touch by what it is told, and which addresses it is kept from.

What a playbook does beyond what it is told is caught by the network: `drp.adapters.drill_guard`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from drp.domain.events import Body
from drp.domain.inventory import AnsibleHost, City, jumps_to
from drp.domain.recovery.cutover import ways_of
from drp.domain.traffic import DnsZone, FloatingAddress

Resolve = Callable[[str], Collection[str]]
"""All addresses of a name, or the address itself; none where it is unknown."""

_WORD = re.compile(r"[A-Za-z0-9_.:%-]+")


@dataclass(frozen=True, slots=True)
class Touch:
    """A way for a step to a primary host: which one, at which address or name, and how."""

    host: str
    address: str
    how: str

    def __str__(self) -> str:
        return f"{self.host} ({self.address}): {self.how}"


def forbidden_addresses(city: City, resolve: Resolve) -> list[str]:
    """The addresses that a drill must send nothing to: those of all primary hosts, and those where services are in use
    at the primary site. An address that a recovery host has too is not among them: `touches` tells of it."""
    found: set[str] = set()
    for host in city.hosts.values():
        if host.site == "primary":
            found.update(addresses_of(host.address, resolve))
    for service in city.services.values():
        for way in ways_of(service):
            if isinstance(way, FloatingAddress):
                found.add(str(way.address))
            elif isinstance(way, DnsZone):
                for record in way.records:
                    if record.type != "CNAME":
                        found.update(record.values_at("primary"))
    for host in city.hosts.values():
        if host.site == "recovery":
            found.difference_update(addresses_of(host.address, resolve))
    return sorted(found)


def touches(variables: Body, limit: Iterable[str], hosts: Mapping[str, AnsibleHost], resolve: Resolve) -> list[Touch]:
    """Every way by which a step that is told these variables, and limited to these hosts, could touch a primary host:
    a host of the limit that is one, is reached through one or shares an address with one, and names and addresses of
    primaries in the variables. None of them may be left before a drill starts."""
    primaries = {name: host for name, host in hosts.items() if host.site == "primary"}
    by_address: dict[str, str] = {}
    for name, host in primaries.items():
        for address in (name, host.address, *addresses_of(host.address, resolve)):
            by_address.setdefault(address.lower(), name)
    found = list(_by_limit(limit, hosts, by_address, resolve))
    for place, text in _texts(variables, ()):
        for address in _named(text, by_address):
            found.append(Touch(by_address[address], address, f"named in {'.'.join(place)}"))
    return list(dict.fromkeys(found))


def _named(text: str, known: Collection[str]) -> Iterator[str]:
    """Addresses and names of hosts in a text. A name without a dot is one where it stands alone, or behind @ or //: in
    a path it is a folder."""
    for found in _WORD.finditer(text):
        word = found[0].strip(".:").lower()
        for part in (word, word.rpartition(":")[0]):
            is_plain = "." not in part and ":" not in part
            stands_alone = found[0] == text or text[: found.start()].endswith(("@", "//"))
            if part in known and (not is_plain or stands_alone):
                yield part
                break


def _by_limit(
    limit: Iterable[str], hosts: Mapping[str, AnsibleHost], by_address: Mapping[str, str], resolve: Resolve
) -> Iterator[Touch]:
    for name in limit:
        if name not in hosts:
            # Patterns such as `all` or `app-*` stand for whatever the inventory has.
            yield Touch("any host", name, "the limit names no host of the inventory")
            continue
        host = hosts[name]
        if host.site == "primary":
            yield Touch(name, host.address, "the step runs on it")
            continue
        for address in dict.fromkeys((host.address, *addresses_of(host.address, resolve))):
            if address in by_address:
                yield Touch(by_address[address], address, f"recovery host {name} has the same address")
        for jump in jumps_to(host, hosts):
            if jump.site == "primary":
                yield Touch(jump.name, jump.address, f"recovery host {name} is reached through it")


def _texts(value: Any, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield (*place, str(key)), str(key)
            yield from _texts(item, (*place, str(key)))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _texts(item, (*place, str(number)))
    elif isinstance(value, str):
        yield place, value


def addresses_of(name: str, resolve: Resolve) -> list[str]:
    """All addresses of a host's name, or the address itself, in order."""
    try:
        return [str(ip_address(name))]
    except ValueError:
        return sorted(resolve(name))
