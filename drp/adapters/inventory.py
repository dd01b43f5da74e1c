"""Reads a workspace's files into a `City`, or tells every fault in them at once, each with file and line."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from drp.adapters.ansible_hosts import SITES, ansible_hosts, host_record
from drp.adapters.faults import AnyModel, code_of, faults_in, hint_of, message_of, take_away, without_faults
from drp.adapters.yaml_file import LARGEST_FILE_BYTES, YamlFile, printable, quoted, read_yaml
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
from drp.domain.inventory import AnsibleHost, City, Workspace
from drp.domain.registers import Assets, Documents, Network, People
from drp.domain.runbooks.model import Runbook
from drp.domain.service import Service
from drp.errors import Fault, InvalidInventoryError, UsageError

WORKSPACE_FILE = "drp.yaml"
HOSTS_FILE = "inventories/hosts.yaml"
SERVICES_FOLDER = "inventories/services"
RUNBOOKS_FOLDER = "runbooks"
PLAYBOOKS_FOLDER = "playbooks"
REGISTERS: dict[str, tuple[str, type[BaseModel]]] = {
    NETWORK: ("inventories/network.yaml", Network),
    PEOPLE: ("inventories/people.yaml", People),
    DOCUMENTS: ("inventories/documents.yaml", Documents),
    ASSETS: ("inventories/assets.yaml", Assets),
}
"""Registers that a workspace may have; one that it does not have is empty."""

MOST_FAULTS_PER_FILE = 50
MOST_FAULTS_TOLD_APART = 1_000
LARGEST_SERVICE_BYTES = 131_072
MANY_OBJECTS = 50_000

_OF_A_WHOLE_CITY = {WORKSPACE, HOSTS, *REGISTERS}
_EMPTY = {"schema": 1}
_VAULT = frozenset({"!vault", "!vault-encrypted", "!unsafe"})


def find_workspace(start: Path) -> Path:
    """The nearest folder, from `start` upwards, that holds drp.yaml."""
    for folder in (start, *start.parents):
        if os.path.isfile(folder / WORKSPACE_FILE):  # never raises, unlike Path.is_file in a closed folder
            return folder
    raise UsageError(
        f"no {WORKSPACE_FILE} here or in any folder above",
        where=str(start),
        hint="change to your workspace, name it with --workspace, or make one: drp init FOLDER",
    )


def signature_of(workspace: Path) -> dict[str, tuple[int, int, int]]:
    """What tells whether a file of a workspace has changed: each one's time, size and number, by name."""
    folders = [workspace / "inventories", workspace / RUNBOOKS_FOLDER]
    found: dict[str, tuple[int, int, int]] = {}
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                    elif entry.name.endswith((".yaml", ".yml")):
                        found[entry.path] = _look_of(entry.path)
        except OSError:
            continue  # gone, or closed: reading says so
    found[WORKSPACE_FILE] = _look_of(workspace / WORKSPACE_FILE)
    return found


def _look_of(path: str | Path) -> tuple[int, int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_size, status.st_ino)


def load_city(workspace: Path, shipped_runbooks: Path) -> City:
    """Read and check everything. Raises InvalidInventoryError with all faults."""
    return read_city(workspace, shipped_runbooks)[0]


def read_city(workspace: Path, shipped_runbooks: Path, *, whole: bool = True) -> tuple[City, Files]:
    """Read and check everything, and remember which record stands in which file.

    Unless the `whole` is wanted, a register with faults is passed over and empty: nobody needs it to back up or to
    recover. `Files.passed_over` says which.
    """
    with _without_garbage_collection():
        return _Reader(workspace, whole=whole).read(shipped_runbooks)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """All that is read stays; looking for garbage among it, again and again, takes longer the more there is."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            if gc.get_count()[0] > MANY_OBJECTS:
                gc.freeze()
            gc.enable()


@dataclass
class Files:
    """Where each record of a city stands. Nothing of the files is kept: who asks for a line has them read again.

    `loose_ends` are names in registers that stand for nothing; they are no part of the city. `passed_over` are the
    faults of registers that were left out.
    """

    workspace: Path
    paths: dict[Record, Path] = field(default_factory=dict)
    host_places: dict[str, Location] = field(default_factory=dict)
    loose_ends: list[Finding] = field(default_factory=list)
    passed_over: list[Fault] = field(default_factory=list)
    _last: tuple[Path, YamlFile | Fault] | None = None

    def name_of(self, path: Path) -> str:
        """How messages call a file: by its way from the workspace."""
        return printable(str(path).removeprefix(f"{self.workspace}{os.sep}"))

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
                finding.services,
            )
            for finding in known
        ]
        return sorted(located, key=lambda fault: (fault.file, fault.line or 0))

    def line_of(self, record: Record, location: Location) -> int | None:
        path = self.paths[record]
        if self._last is None or self._last[0] != path:
            self._last = (path, _read(record, path, self.name_of(path)))
        file = self._last[1]
        if isinstance(file, Fault):
            return None
        if record.kind == HOSTS and len(location) == 2:
            location = self.host_places.get(str(location[1]), ())
        return file.line_of(location)


def _read(record: Record, path: Path, name: str) -> YamlFile | Fault:
    largest = LARGEST_FILE_BYTES if record.kind in _OF_A_WHOLE_CITY else LARGEST_SERVICE_BYTES
    return read_yaml(path, name, opaque_tags=_VAULT if record.kind == HOSTS else frozenset(), largest=largest)


class _Reader:
    def __init__(self, workspace: Path, *, whole: bool) -> None:
        self.workspace = workspace
        self.whole = whole
        self.files = Files(workspace)
        self.faults: list[Fault] = []
        self.runbook_files: dict[str, Runbook] = {}

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
            runbooks=self.runbook_files,
            playbooks={name.rpartition(".")[0] for name in self._yaml_files(self.workspace / PLAYBOOKS_FOLDER)},
            **registers,
        )
        findings = faults_of(parts)
        self.faults += self.files.locate([finding for finding in findings if finding.severity == "fault"])
        if self.faults or settings is None or hosts is None:
            raise InvalidInventoryError(_first_of_each_file(self.faults))
        self.files.loose_ends = [finding for finding in findings if finding.severity == "warning"]
        tied = {kind: self._without_loose_ends(kind, register) for kind, register in registers.items()}
        return City(workspace=settings, hosts=hosts, services=services, runbooks=runbooks, **tied), self.files

    def _services(self) -> dict[str, Service]:
        services: dict[str, Service] = {}
        folder = self.workspace / SERVICES_FOLDER
        names = self._yaml_files(folder)
        for name in names:
            path = folder / name
            record = service_record(path.stem)
            if record in self.files.paths:
                message = f"the service is declared twice: in {self.files.paths[record].name} too"
                self._fault(path, message, "keep one of the files")
                continue
            service = self._model(record, path, Service)
            if service is None:
                continue
            if path.stem != service.id:
                hint = f"rename the file to {service.id}.yaml, or correct the id"
                line = self.files.line_of(record, ("id",))
                self._fault(path, f"service {service.id!r} in a file called {printable(name)}", hint, line)
            else:
                services[service.id] = service
        if not names:
            self.faults.append(
                Fault(SERVICES_FOLDER, None, "no service is declared", "add a file for each service", "no-service")
            )
        return services

    def _yaml_files(self, folder: Path) -> list[str]:
        """The names of the YAML files in a folder; none where there is no such folder."""
        try:
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries)
        except FileNotFoundError:
            return []
        except OSError as error:
            self._fault(folder, f"cannot be read: {error.strerror}", "make it a folder that may be read")
            return []
        # Hidden files are the locks and leftovers of editors; no service or runbook can have such a name.
        found = [name for name in names if name.lower().endswith((".yaml", ".yml")) and name[0] != "."]
        for name in found:
            if not name.endswith((".yaml", ".yml")):
                self._fault(folder / name, "the name's ending is not in small letters", "rename it to end in .yaml")
        return found

    def _register(self, kind: str) -> Any:
        name, model = REGISTERS[kind]
        path = self.workspace / name
        try:
            path.lstat()
        except FileNotFoundError:
            return model.model_validate(_EMPTY)
        except OSError:
            pass  # reading it says why it cannot be read
        before = len(self.faults)
        register = self._model(Record(kind), path, model)
        if self.whole or len(self.faults) == before:
            return register
        self.files.passed_over += self.faults[before:]
        del self.faults[before:]
        return None

    def _without_loose_ends(self, kind: str, register: Any) -> Any:
        """A register in which every name stands for something; an empty one in the place of one that was left out."""
        model, record = REGISTERS[kind][1], Record(kind)
        locations = [finding.location for finding in self.files.loose_ends if finding.record == record]
        if register is None or not locations:
            return register or model.model_validate(_EMPTY)
        path = self.files.paths[record]
        file = _read(record, path, self.files.name_of(path))
        if isinstance(file, Fault):  # it was good a moment ago
            raise InvalidInventoryError([file])
        take_away(file.value, locations)
        return model.model_validate(file.value)

    def _runbooks(self, shipped: Path) -> dict[str, Runbook]:
        runbooks: dict[str, Runbook] = {}
        own = self.workspace / RUNBOOKS_FOLDER
        folders = [own] if os.path.realpath(own) == os.path.realpath(shipped) else [shipped, own]
        for folder in folders:
            files: dict[str, str] = {}
            for name in self._yaml_files(folder):
                path = folder / name
                runbook = self._model(Record(RUNBOOK, path.stem), path, Runbook)
                if runbook is None:
                    continue
                if runbook.id in files:
                    message = f"the runbook {runbook.id!r} is declared twice: in {files[runbook.id]} too"
                    self._fault(path, message, "keep one of the files, or give one another id")
                files[runbook.id] = printable(name)
                self.runbook_files[path.stem] = runbook
                runbooks[runbook.id] = runbook
        return runbooks

    def _fault(self, path: Path, message: str, hint: str, line: int | None = None, code: str = "bad-name") -> None:
        self.faults.append(Fault(self.files.name_of(path), line, message, hint, code))

    def _yaml(self, record: Record, path: Path) -> YamlFile | None:
        self.files.paths[record] = path
        file = _read(record, path, self.files.name_of(path))
        if isinstance(file, Fault):
            self.faults.append(replace(file, code="unreadable"))
            return None
        if not isinstance(file.value, dict):
            self._fault(path, "the file is not a mapping of keys", "write `key: value` lines", 1, "unreadable")
            return None
        return file

    def _model(self, record: Record, path: Path, model: type[AnyModel]) -> AnyModel | None:
        file = self._yaml(record, path)
        if file is None:
            return None
        try:
            return model.model_validate(file.value)
        except ValidationError as error:
            self.faults += faults_in(file, error)
            return without_faults(file.value, model, error)

    def _hosts(self) -> dict[str, AnsibleHost] | None:
        path = self.workspace / HOSTS_FILE
        file = self._yaml(Record(HOSTS), path)
        if file is None:
            return None
        hosts: dict[str, AnsibleHost] = {}
        try:
            listed = ansible_hosts(file.value)
        except ValueError as error:
            self._fault(path, str(error), "put the hosts into fewer groups", 1, "unreadable")
            return None
        before = len(self.faults)
        for name, (variables, groups, place) in listed.items():
            if len(self.faults) - before > MOST_FAULTS_TOLD_APART:
                self._fault(
                    path, "there are more faults; they were not looked at", "mend the others first", code="more"
                )
                return None
            self.files.host_places[name] = place
            sites = [site for site in SITES if site in groups]
            if len(sites) == 2:
                hint = "a host stands at one site; remove it from one of the groups"
                message = f"host {quoted(name)} is in primary and in recovery"
                self._fault(path, message, hint, file.line_of(place), "wrong-site")
                continue
            try:
                hosts[name] = AnsibleHost.model_validate(host_record(name, variables, sites[0] if sites else None))
            except ValidationError as error:
                for detail in error.errors(include_url=False):
                    message = f"host {quoted(name)}: {message_of(detail)}"
                    self._fault(path, message, hint_of(detail), file.line_of(place), code_of(detail))
        return hosts


def _first_of_each_file(faults: Sequence[Fault]) -> list[Fault]:
    """The faults in the order of files and lines; of a file with very many the first, and how many more there are."""
    shown: list[Fault] = []
    for name, group in groupby(sorted(faults, key=lambda fault: (fault.file, fault.line or 0)), lambda item: item.file):
        found = list(group)
        shown += found[:MOST_FAULTS_PER_FILE]
        if len(found) > MOST_FAULTS_PER_FILE:
            message = f"{len(found) - MOST_FAULTS_PER_FILE} more faults in this file"
            shown.append(Fault(name, None, message, "mend those above first", "more"))
    return shown
