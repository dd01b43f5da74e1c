"""Reads a workspace's files into a `City`, or tells every fault in them at once, each with file and line."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from drp.adapters.yaml_file import YamlFile, read_yaml
from drp.domain.consistency import check_city
from drp.domain.inventory import AnsibleHost, City, Runbook, Service, Workspace
from drp.domain.values import PATTERN_HINTS
from drp.errors import Fault, InvalidInventoryError, UsageError

WORKSPACE_FILE = "drp.yaml"
HOSTS_FILE = "inventories/hosts.yaml"
SERVICES_FOLDER = "inventories/services"
RUNBOOKS_FOLDER = "runbooks"

SITES = ("primary", "recovery")
_VAULT = frozenset({"!vault", "!vault-encrypted", "!unsafe"})

AnyModel = TypeVar("AnyModel", bound=BaseModel)


def find_workspace(start: Path) -> Path:
    """The nearest folder, from `start` upwards, that holds drp.yaml."""
    for folder in (start, *start.parents):
        if (folder / WORKSPACE_FILE).is_file():
            return folder
    raise UsageError(
        f"no {WORKSPACE_FILE} here or in any folder above",
        where=str(start),
        hint="change to your workspace, name it with --workspace, or make one: drp init FOLDER",
    )


def load_city(workspace: Path, shipped_runbooks: Path) -> City:
    """Read and check everything. Raises InvalidInventoryError with all faults."""
    return _Reader(workspace).read(shipped_runbooks)


class _Reader:
    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.faults: list[Fault] = []

    def read(self, shipped_runbooks: Path) -> City:
        settings = self._model(self.workspace / WORKSPACE_FILE, Workspace)
        hosts = self._hosts()
        services: dict[str, tuple[YamlFile, Service]] = {}
        paths = sorted((self.workspace / SERVICES_FOLDER).glob("*.y*ml"))
        for path in paths:
            read = self._model(path, Service)
            if read is not None:
                self._add(services, read, path)
        if not paths:
            self.faults.append(Fault(SERVICES_FOLDER, None, "no service is declared", "add a file for each service"))
        runbooks = self._runbooks(shipped_runbooks)
        if settings is not None and hosts is not None:
            self._check(settings, hosts, services, {path.stem for path in paths})
        if self.faults or settings is None or hosts is None:
            raise InvalidInventoryError(sorted(self.faults, key=lambda fault: (fault.file, fault.line or 0)))
        return City(
            workspace=settings[1],
            hosts=hosts,
            services={name: service for name, (_, service) in services.items()},
            runbooks=runbooks,
        )

    def _check(
        self,
        settings: tuple[YamlFile, Workspace],
        hosts: Mapping[str, AnsibleHost],
        services: Mapping[str, tuple[YamlFile, Service]],
        declared: set[str],
    ) -> None:
        models = {name: service for name, (_, service) in services.items()}
        for found in check_city(settings[1], hosts, models, declared):
            file = settings[0] if found.service is None else services[found.service][0]
            self.faults.append(Fault(file.name, file.line_of(found.location), found.message, found.hint))

    def _add(self, services: dict[str, tuple[YamlFile, Service]], read: tuple[YamlFile, Service], path: Path) -> None:
        file, service = read
        if path.stem != service.id:
            hint = f"rename the file to {service.id}.yaml, or correct the id"
            self.faults.append(
                Fault(file.name, file.line_of(("id",)), f"service {service.id!r} in a file called {path.name}", hint)
            )
        elif service.id in services:
            self.faults.append(
                Fault(file.name, file.line_of(("id",)), f"service {service.id!r} is declared twice", "keep one file")
            )
        else:
            services[service.id] = read

    def _runbooks(self, shipped: Path) -> dict[str, Runbook]:
        runbooks: dict[str, Runbook] = {}
        own = self.workspace / RUNBOOKS_FOLDER
        for folder in (shipped, own):
            for path in sorted(folder.glob("*.y*ml")):
                read = self._model(path, Runbook)
                if read is not None:
                    runbooks[read[1].id] = read[1]
            if own.resolve() == shipped.resolve():
                break
        return runbooks

    def _yaml(self, path: Path, opaque_tags: frozenset[str] = frozenset()) -> YamlFile | None:
        try:
            name = str(path.relative_to(self.workspace))
        except ValueError:
            name = str(path)
        file = read_yaml(path, name, opaque_tags=opaque_tags)
        if isinstance(file, Fault):
            self.faults.append(file)
            return None
        if not isinstance(file.value, dict):
            self.faults.append(Fault(name, 1, "the file is not a mapping of keys", "write `key: value` lines"))
            return None
        return file

    def _model(self, path: Path, model: type[AnyModel]) -> tuple[YamlFile, AnyModel] | None:
        file = self._yaml(path)
        if file is None:
            return None
        try:
            return file, model.model_validate(file.value)
        except ValidationError as error:
            details = error.errors(include_url=False)
            self.faults += [_fault(file, detail) for detail in details if not _follows(detail, details)]
            rest = _without_faults(file.value, model, error)
            return None if rest is None else (file, rest)

    def _hosts(self) -> dict[str, AnsibleHost] | None:
        file = self._yaml(self.workspace / HOSTS_FILE, _VAULT)
        if file is None:
            return None
        hosts: dict[str, AnsibleHost] = {}
        for name, (variables, groups, location) in _ansible_hosts(file.value).items():
            sites = [site for site in SITES if site in groups]
            line = file.line_of(location)
            if len(sites) == 2:
                hint = "a host stands at one site; remove it from one of the groups"
                self.faults.append(Fault(file.name, line, f"host {name!r} is in primary and in recovery", hint))
                continue
            try:
                hosts[name] = AnsibleHost.model_validate(_host_record(name, variables, sites[0] if sites else None))
            except ValidationError as error:
                for detail in error.errors(include_url=False):
                    self.faults.append(Fault(file.name, line, f"host {name!r}: {_message(detail)}", _hint(detail)))
        return hosts


def _without_faults(value: Any, model: type[AnyModel], error: ValidationError) -> AnyModel | None:
    """What is left of a file without its faulty values, so that references to and from it can be checked in the same
    run. None where what is missing was required. Never used for anything but more messages: the faults stay."""
    rest = copy.deepcopy(value)
    for _ in range(3):
        for detail in error.errors(include_url=False, include_context=False, include_input=False):
            _remove(rest, detail["loc"])
        try:
            return model.model_validate(rest)
        except ValidationError as again:
            error = again
    return None


def _remove(whole: Any, location: tuple[str | int, ...]) -> None:
    """Take the value at a location out of its mapping; in a list, the whole element goes."""
    holder: Any = None
    key: Any = None
    value: Any = whole
    for word in location:
        is_key = isinstance(value, dict) and word in value
        is_position = isinstance(value, list) and isinstance(word, int) and word < len(value)
        if is_key or is_position:
            holder, key, value = value, word, value[word]
    if isinstance(holder, list) and isinstance(key, int):
        holder[key] = None
        holder[:] = [item for item in holder if item is not None]
    elif isinstance(holder, dict):
        holder.pop(key, None)


def _host_record(name: str, variables: Mapping[str, Any], site: str | None) -> dict[str, Any]:
    record: dict[str, Any] = {"name": name, "site": site, "address": variables.get("ansible_host", name)}
    for word, keys in (
        ("port", ("ansible_port", "ansible_ssh_port")),
        ("user", ("ansible_user", "ansible_ssh_user")),
        ("become", ("ansible_become",)),
        ("python", ("ansible_python_interpreter",)),
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


def _ansible_hosts(inventory: Mapping[str, Any]) -> dict[str, tuple[dict[str, Any], set[str], tuple[str | int, ...]]]:
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


def _follows(detail: Any, details: Sequence[Any]) -> bool:
    """Whether a list is only called too short because its faulty items were not counted."""
    location = detail["loc"]
    return detail["type"] == "too_short" and any(
        other["loc"][: len(location)] == location and other is not detail for other in details
    )


def _fault(file: YamlFile, detail: Any) -> Fault:
    location = tuple(detail["loc"])
    keys = ".".join(str(word) for word in location)
    message = f"{keys}: {_message(detail)}" if keys else _message(detail)
    return Fault(file.name, file.line_of(location), message, _hint(detail))


def _message(detail: Any) -> str:
    kind, given = detail["type"], detail.get("input")
    if kind == "extra_forbidden":
        return "unknown key"
    if kind == "missing":
        return "required, but missing"
    text = str(detail["msg"]).removeprefix("Value error, ")
    if kind == "string_pattern_mismatch":
        text = f"{_short(given)} is not an allowed name"
    elif kind != "value_error" and isinstance(given, str | int | float | bool | None):
        text = f"{text} (found {_short(given)})"
    return text


def _hint(detail: Any) -> str:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return "check the spelling and the indentation, or remove it"
    if kind == "missing":
        return f"add the key {detail['loc'][-1]!r} here"
    if kind == "string_pattern_mismatch":
        pattern = detail["ctx"]["pattern"]
        return PATTERN_HINTS.get(pattern, f"the allowed form is {pattern}")
    return "correct the value"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…'"
