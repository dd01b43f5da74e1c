"""Reads an Ansible inventory's hosts as Ansible would, from its YAML alone: no plugin runs, nothing is started."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

SITES = ("primary", "recovery")

Place = tuple[str | int, ...]


DEEPEST_GROUP = 100
MOST_MEMBERSHIPS = 1_000_000
"""How many groups are gone through for all hosts together."""

_WORDS = {
    "address": ("ansible_host",),
    "port": ("ansible_port", "ansible_ssh_port"),
    "user": ("ansible_user", "ansible_ssh_user"),
    "become": ("ansible_become",),
    "python": ("ansible_python_interpreter",),
    "location": ("drp_location",),
    "jump_host": ("drp_jump_host",),
    "restic": ("drp_restic",),
    "fence_command": ("drp_fence_command",),
    "fence_check": ("drp_fence_check",),
    "fence_timeout": ("drp_fence_timeout",),
    "unfence_command": ("drp_unfence_command",),
    "assumed": ("drp_assumed",),
}
_KEYS = frozenset(key for keys in _WORDS.values() for key in keys)


def host_record(name: str, variables: Mapping[str, Any], site: str | None) -> dict[str, Any]:
    """What drp needs of a host, from its variables."""
    record: dict[str, Any] = {"name": name, "site": site, "address": name}
    for word, keys in _WORDS.items():
        for key in keys:
            if key in variables:
                record[word] = variables[key]
    if str(record.get("python", "")).startswith("auto"):
        del record["python"]
    return record


@dataclass
class _Group:
    """A group of an Ansible inventory, put together from all the places that name it."""

    variables: dict[str, Any] = field(default_factory=dict)
    parents: set[str] = field(default_factory=set)


@dataclass
class _Host:
    place: tuple[str | int, ...]
    variables: dict[str, Any] = field(default_factory=dict)
    groups: set[str] = field(default_factory=set)


def ansible_hosts(inventory: Mapping[str, Any]) -> dict[str, tuple[dict[str, Any], set[str], Place]]:
    """Hosts of a YAML inventory with those of their variables that drp knows, their groups (parents included) and
    place in the file. Variables of inner groups win over those of outer ones, a host's own over all, as in Ansible.

    ValueError for groups that are nested so deeply, or in so many ways, that no inventory needs it.
    """
    groups, hosts = _collected(inventory)
    depths = _depths(groups)
    if max(depths.values(), default=0) > DEEPEST_GROUP:
        raise ValueError("groups are nested too deeply in each other")
    shared: dict[frozenset[str], tuple[dict[str, Any], set[str]]] = {}
    memberships = 0
    found: dict[str, tuple[dict[str, Any], set[str], Place]] = {}
    for name, host in hosts.items():
        own = frozenset(host.groups)
        if own not in shared:
            members = _with_parents(own, groups)
            memberships += len(members)
            if memberships > MOST_MEMBERSHIPS:
                raise ValueError("groups are nested in too many ways")
            variables: dict[str, Any] = {}
            for group_name in sorted(members, key=lambda member: (depths[member], member)):
                variables |= groups[group_name].variables
            shared[own] = variables, members
        variables, members = shared[own]
        found[name] = (variables | host.variables, members, host.place)
    return found


def _collected(inventory: Mapping[str, Any]) -> tuple[dict[str, _Group], dict[str, _Host]]:
    """All groups and hosts, each put together from all places that name it."""
    groups: dict[str, _Group] = {}
    hosts: dict[str, _Host] = {}

    def collect(name: str, content: Any, place: Place) -> None:
        group = groups.setdefault(name, _Group())
        if not isinstance(content, dict):
            return
        group.variables |= _known(content.get("vars"))
        for host_name, values in _mapping(content.get("hosts")).items():
            host = hosts.setdefault(host_name, _Host((*place, "hosts", host_name)))
            host.variables |= _known(values)
            host.groups.add(name)
        for child, inner in _mapping(content.get("children")).items():
            collect(child, inner, (*place, "children", child))
            groups[child].parents.add(name)

    for name, content in inventory.items():
        collect(name, content, (name,))
    for name in groups.keys() - {"all"} if "all" in groups else ():
        groups[name].parents.add("all")
    return groups, hosts


def _with_parents(names: Collection[str], groups: Mapping[str, _Group]) -> set[str]:
    found: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += groups[name].parents
    return found


def _depths(groups: Mapping[str, _Group]) -> dict[str, int]:
    """How far each group is from the outermost one, by the longest way; groups that hold each other end somewhere."""
    depths: dict[str, int] = {}
    open_groups: set[str] = set()
    for start in groups:
        pending = [start]
        while pending:
            name = pending[-1]
            waiting = [one for one in groups[name].parents if one not in depths and one not in open_groups]
            if name in depths or not waiting or name in open_groups:
                pending.pop()
                open_groups.discard(name)
                depths.setdefault(
                    name, 1 + max((depths.get(parent, -1) for parent in groups[name].parents), default=-1)
                )
            else:
                open_groups.add(name)
                pending += waiting
    return depths


def _known(variables: Any) -> dict[str, Any]:
    return {key: value for key, value in _mapping(variables).items() if key in _KEYS}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
