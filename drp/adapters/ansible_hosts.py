"""Reads an Ansible inventory's hosts as Ansible would, from its YAML alone: no plugin runs, nothing is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SITES = ("primary", "recovery")

Place = tuple[str | int, ...]


def host_record(name: str, variables: Mapping[str, Any], site: str | None) -> dict[str, Any]:
    """What drp needs of a host, from its variables."""
    record: dict[str, Any] = {"name": name, "site": site, "address": variables.get("ansible_host", name)}
    for word, keys in (
        ("port", ("ansible_port", "ansible_ssh_port")),
        ("user", ("ansible_user", "ansible_ssh_user")),
        ("become", ("ansible_become",)),
        ("python", ("ansible_python_interpreter",)),
        ("location", ("drp_location",)),
        ("assumed", ("drp_assumed",)),
    ):
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


def ansible_hosts(inventory: Mapping[str, Any]) -> dict[str, tuple[dict[str, Any], set[str], tuple[str | int, ...]]]:
    """Hosts of a YAML inventory with their variables, groups (parents included) and place in the file. Variables of
    inner groups win over those of outer ones, a host's own over all, as in Ansible."""
    groups: dict[str, _Group] = {}
    hosts: dict[str, _Host] = {}

    def collect(name: str, content: Any, place: tuple[str | int, ...]) -> None:
        group = groups.setdefault(name, _Group())
        if not isinstance(content, dict):
            return
        group.variables |= _mapping(content.get("vars"))
        for host_name, values in _mapping(content.get("hosts")).items():
            host = hosts.setdefault(host_name, _Host((*place, "hosts", host_name)))
            host.variables |= _mapping(values)
            host.groups.add(name)
        for child, inner in _mapping(content.get("children")).items():
            collect(child, inner, (*place, "children", child))
            groups[child].parents.add(name)

    for name, content in inventory.items():
        collect(name, content, (name,))
        groups[name].parents |= {"all"} & groups.keys() - {name}
    depths = _depths(groups)
    found: dict[str, tuple[dict[str, Any], set[str], tuple[str | int, ...]]] = {}
    for name, host in hosts.items():
        members = _with_parents(host.groups, groups)
        variables: dict[str, Any] = {}
        for group_name in sorted(members, key=lambda member: (depths[member], member)):
            variables |= groups[group_name].variables
        found[name] = (variables | host.variables, members, host.place)
    return found


def _with_parents(names: set[str], groups: Mapping[str, _Group]) -> set[str]:
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
    depths = dict.fromkeys(groups, 0)
    for _ in groups:
        deeper = {
            name: 1 + max((depths[parent] for parent in group.parents), default=-1) for name, group in groups.items()
        }
        if deeper == depths:
            break
        depths = deeper
    return depths


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
