"""Compares the hosts that drp reads from the Ansible inventory's YAML with what Ansible itself makes of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from drp.domain.inventory import AnsibleHost, City

ENCRYPTED = "encrypted"
"""Stands for a value that Ansible would decrypt."""


@dataclass(frozen=True, slots=True)
class ListedHost:
    """A host as `ansible-inventory --list` gives it: the values of `AnsibleHost`, and all the sites whose group it is
    in. A value is text whatever it was, because Ansible leaves it as it was written."""

    name: str
    sites: tuple[str, ...]
    address: str
    port: str
    user: str
    become: str
    python: str


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One thing that the files, drp and Ansible do not say alike; `code` is its stable name for programs."""

    host: str
    code: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class HostUse:
    """Who uses a host: services that run there, services that recover there, and their agencies."""

    runs: tuple[str, ...]
    recovers: tuple[str, ...]
    agencies: tuple[str, ...]

    @property
    def unused(self) -> bool:
        return not self.runs and not self.recovers


_ELSEWHERE = (
    "drp reads hosts.yaml alone; look into group_vars and host_vars beside it, and write the value in hosts.yaml"
)


def uses_of(city: City) -> dict[str, HostUse]:
    """For each host that the inventory or a service names, who uses it."""
    runs: dict[str, list[str]] = {name: [] for name in city.hosts}
    recovers: dict[str, list[str]] = {name: [] for name in city.hosts}
    for service in city.services.values():
        for name in service.runs_on:
            runs.setdefault(name, []).append(service.id)
        for name in dict.fromkeys(service.recovers_on.values()):
            recovers.setdefault(name, []).append(service.id)
    return {
        name: HostUse(
            runs=tuple(runs.get(name, ())),
            recovers=tuple(recovers.get(name, ())),
            agencies=tuple(
                sorted({city.services[user].agency for user in (*runs.get(name, ()), *recovers.get(name, ()))})
            ),
        )
        for name in sorted({*runs, *recovers})
    }


def disagreements_of(
    hosts: Mapping[str, AnsibleHost], listed: Mapping[str, ListedHost], named: Collection[str]
) -> list[Disagreement]:
    """Everything that is not alike, by host. `named` are the hosts that services name."""
    found: list[Disagreement] = []
    for name in sorted({*hosts, *listed, *named}):
        found += _of_host(name, hosts.get(name), listed.get(name))
    return found


def _of_host(name: str, host: AnsibleHost | None, listed: ListedHost | None) -> Iterator[Disagreement]:
    if host is None and listed is None:
        text = "a service names it, and no inventory holds it"
        yield Disagreement(name, "missing", text, "add it to inventories/hosts.yaml, or correct the service's file")
    elif host is None:
        text = "only Ansible knows it; drp does not"
        yield Disagreement(name, "only-ansible", text, "write it into inventories/hosts.yaml in full")
    elif listed is None:
        text = "only drp knows it; Ansible would pass it over"
        yield Disagreement(
            name, "only-drp", text, "check its place below `hosts:` of a group in inventories/hosts.yaml"
        )
    else:
        yield from _differences(host, listed)


def _differences(host: AnsibleHost, listed: ListedHost) -> Iterator[Disagreement]:
    sites = () if host.site is None else (host.site,)
    if sites != listed.sites:
        text = f"drp has it at {_sites(sites)}, Ansible at {_sites(listed.sites)}"
        yield Disagreement(host.name, "site", text, "put it into one of the groups primary and recovery in hosts.yaml")
    pairs = (
        ("address", "ansible_host", host.address, listed.address),
        ("port", "ansible_port", str(host.port), listed.port),
        ("user", "ansible_user", host.user, listed.user),
        ("become", "ansible_become", str(host.become), listed.become),
        ("python", "ansible_python_interpreter", host.python, listed.python),
    )
    for code, variable, ours, theirs in pairs:
        if "{{" in theirs:
            text = f"{variable} is a template, {theirs!r}, which drp does not work out"
            yield Disagreement(host.name, code, text, "write the value itself")
        elif theirs == ENCRYPTED:
            yield Disagreement(host.name, code, f"{variable} is encrypted; drp does not decrypt it", "write it openly")
        elif ours != theirs:
            text = f"{variable} is {ours} for drp, {theirs} for Ansible"
            yield Disagreement(host.name, code, text, _ELSEWHERE)


def _sites(sites: Collection[str]) -> str:
    return " and ".join(sites) or "neither site"
