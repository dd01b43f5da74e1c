"""Reads a workspace's files into a `City`, or tells every fault in them at once, each with file and line."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from drp.adapters.ansible_hosts import SITES, ansible_hosts, host_record
from drp.adapters.yaml_file import YamlFile, read_yaml
from drp.domain.consistency import Parts, faults_of
from drp.domain.findings import (
    ASSETS,
    DOCUMENTS,
    HOSTS,
    NETWORK,
    PEOPLE,
    RUNBOOK,
    WORKSPACE,
    Finding,
    Location,
    Record,
    service_record,
)
from drp.domain.inventory import AnsibleHost, City, Runbook, Workspace
from drp.domain.registers import Assets, Documents, Network, People
from drp.domain.service import Service
from drp.domain.values import PATTERN_HINTS
from drp.errors import Fault, InvalidInventoryError, UsageError

WORKSPACE_FILE = "drp.yaml"
HOSTS_FILE = "inventories/hosts.yaml"
SERVICES_FOLDER = "inventories/services"
RUNBOOKS_FOLDER = "runbooks"
REGISTERS: dict[str, tuple[str, type[BaseModel]]] = {
    NETWORK: ("inventories/network.yaml", Network),
    PEOPLE: ("inventories/people.yaml", People),
    DOCUMENTS: ("inventories/documents.yaml", Documents),
    ASSETS: ("inventories/assets.yaml", Assets),
}
"""Registers that a workspace may have; one that it does not have is empty."""

MOST_FAULTS_PER_FILE = 50

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
    return read_city(workspace, shipped_runbooks)[0]


def read_city(workspace: Path, shipped_runbooks: Path) -> tuple[City, Files]:
    """Read and check everything, and remember which record stands in which file."""
    return _Reader(workspace).read(shipped_runbooks)


@dataclass
class Files:
    """Where each record of a city stands. Nothing of the files is kept: who asks for a line has them read again."""

    workspace: Path
    paths: dict[Record, Path] = field(default_factory=dict)
    host_places: dict[str, Location] = field(default_factory=dict)
    _last: tuple[Path, YamlFile | Fault] | None = None

    def name_of(self, path: Path) -> str:
        return str(path.relative_to(self.workspace)) if path.is_relative_to(self.workspace) else str(path)

    def locate(self, findings: Sequence[Finding]) -> list[Fault]:
        """Findings with the file and the line that each stands in, in the order of the files."""
        known = [finding for finding in findings if finding.record in self.paths]
        known.sort(key=lambda finding: str(self.paths[finding.record]))
        located = [
            Fault(
                self.name_of(self.paths[finding.record]),
                self.line_of(finding.record, finding.location),
                finding.message,
                finding.hint,
                finding.code,
            )
            for finding in known
        ]
        return sorted(located, key=lambda fault: (fault.file, fault.line or 0))

    def line_of(self, record: Record, location: Location) -> int | None:
        path = self.paths[record]
        if self._last is None or self._last[0] != path:
            tags = _VAULT if record.kind == HOSTS else frozenset()
            self._last = (path, read_yaml(path, self.name_of(path), opaque_tags=tags))
        file = self._last[1]
        if isinstance(file, Fault):
            return None
        if record.kind == HOSTS and len(location) == 2:
            location = self.host_places.get(str(location[1]), ())
        return file.line_of(location)


class _Reader:
    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.files = Files(workspace)
        self.faults: list[Fault] = []

    def read(self, shipped_runbooks: Path) -> tuple[City, Files]:
        settings = self._model(Record(WORKSPACE), self.workspace / WORKSPACE_FILE, Workspace)
        hosts = self._hosts()
        services = self._services()
        registers = {kind: self._register(kind) for kind in REGISTERS}
        runbooks = self._runbooks(shipped_runbooks)
        parts = Parts(
            workspace=settings,
            hosts=hosts,
            services=services,
            declared={record.name for record in self.files.paths if record.kind == "service"},
            **registers,
        )
        self.faults += self.files.locate(faults_of(parts))
        if self.faults or settings is None or hosts is None:
            raise InvalidInventoryError(sorted(self.faults, key=lambda fault: (fault.file, fault.line or 0)))
        city = City(workspace=settings, hosts=hosts, services=services, runbooks=runbooks, **registers)
        return city, self.files

    def _services(self) -> dict[str, Service]:
        services: dict[str, Service] = {}
        paths = sorted((self.workspace / SERVICES_FOLDER).glob("*.y*ml"))
        for path in paths:
            record = service_record(path.stem)
            if record in self.files.paths:
                other = self.files.paths[record].name
                self._fault(path, f"service {path.stem!r} is declared twice: in {other} too", "keep one of the files")
                continue
            service = self._model(record, path, Service)
            if service is None:
                continue
            if path.stem != service.id:
                hint = f"rename the file to {service.id}.yaml, or correct the id"
                line = self.files.line_of(record, ("id",))
                self._fault(path, f"service {service.id!r} in a file called {path.name}", hint, line)
            else:
                services[service.id] = service
        if not paths:
            self.faults.append(Fault(SERVICES_FOLDER, None, "no service is declared", "add a file for each service"))
        return services

    def _register(self, kind: str) -> Any:
        name, model = REGISTERS[kind]
        path = self.workspace / name
        if not path.exists():
            return model.model_validate({"schema": 1})
        return self._model(Record(kind), path, model)

    def _runbooks(self, shipped: Path) -> dict[str, Runbook]:
        runbooks: dict[str, Runbook] = {}
        own = self.workspace / RUNBOOKS_FOLDER
        for folder in (shipped, own):
            for path in sorted(folder.glob("*.y*ml")):
                runbook = self._model(Record(RUNBOOK, path.stem), path, Runbook)
                if runbook is not None:
                    runbooks[runbook.id] = runbook
            if own.resolve() == shipped.resolve():
                break
        return runbooks

    def _fault(self, path: Path, message: str, hint: str, line: int | None = None) -> None:
        self.faults.append(Fault(self.files.name_of(path), line, message, hint))

    def _yaml(self, record: Record, path: Path, opaque_tags: frozenset[str] = frozenset()) -> YamlFile | None:
        self.files.paths[record] = path
        file = read_yaml(path, self.files.name_of(path), opaque_tags=opaque_tags)
        if isinstance(file, Fault):
            self.faults.append(file)
            return None
        if not isinstance(file.value, dict):
            self._fault(path, "the file is not a mapping of keys", "write `key: value` lines", 1)
            return None
        return file

    def _model(self, record: Record, path: Path, model: type[AnyModel]) -> AnyModel | None:
        file = self._yaml(record, path)
        if file is None:
            return None
        try:
            return model.model_validate(file.value)
        except ValidationError as error:
            details = error.errors(include_url=False)
            told = [_fault(file, detail) for detail in details if not _follows(detail, details)]
            self.faults += told[:MOST_FAULTS_PER_FILE]
            if len(told) > MOST_FAULTS_PER_FILE:
                more = f"{len(told) - MOST_FAULTS_PER_FILE} more faults in this file"
                self._fault(path, more, "mend those above first")
            return _without_faults(file.value, model, error)

    def _hosts(self) -> dict[str, AnsibleHost] | None:
        path = self.workspace / HOSTS_FILE
        file = self._yaml(Record(HOSTS), path, _VAULT)
        if file is None:
            return None
        hosts: dict[str, AnsibleHost] = {}
        for name, (variables, groups, place) in ansible_hosts(file.value).items():
            self.files.host_places[name] = place
            sites = [site for site in SITES if site in groups]
            if len(sites) == 2:
                hint = "a host stands at one site; remove it from one of the groups"
                self._fault(path, f"host {name!r} is in primary and in recovery", hint, file.line_of(place))
                continue
            try:
                hosts[name] = AnsibleHost.model_validate(host_record(name, variables, sites[0] if sites else None))
            except ValidationError as error:
                for detail in error.errors(include_url=False):
                    self._fault(path, f"host {name!r}: {_message(detail)}", _hint(detail), file.line_of(place))
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
