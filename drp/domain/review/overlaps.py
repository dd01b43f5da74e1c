"""Warnings where two datasets back up the same data: it is carried and kept twice, and a restore of both ends with
whichever came last."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from drp.domain.datasets import FilesDataset, MariadbDataset, PostgresqlClusterDataset, PostgresqlDataset
from drp.domain.datasets.base import DatasetType
from drp.domain.findings import Advice, Finding, Location, service_record
from drp.domain.inventory import City

SAME_DATA = Advice(
    "same-data",
    "keep one of the two: who restores the whole server brings the database back too, as it was then; or leave the"
    " whole server and declare its databases one by one",
)
FILES_OVER_DATA = Advice(
    "files-over-data",
    "add the folder to `excludes` of the files: copied while it is written to it cannot be relied upon, and the other"
    " dataset holds it already",
)


@dataclass(frozen=True, slots=True)
class _Declared:
    """A dataset where it is declared."""

    service: str
    position: int
    dataset: DatasetType

    @property
    def name(self) -> str:
        return f"{self.service}/{self.dataset.id}"

    def is_copy_of(self, other: _Declared) -> bool:
        return other.name == self.dataset.copy_of or self.name == other.dataset.copy_of

    def warning(self, advice: Advice, other: _Declared, message: str, *keys: str | int) -> Finding:
        location: Location = ("datasets", self.position, *keys)
        services = sorted({self.service, other.service})
        return advice.at(service_record(self.service), location, message, services)


@dataclass(slots=True)
class _OnHost:
    """What is backed up on one host: whole servers and single databases by where they answer; folders of data, and
    trees of files, by their paths."""

    servers: dict[str, list[_Declared]] = field(default_factory=lambda: defaultdict(list))
    databases: dict[str, list[_Declared]] = field(default_factory=lambda: defaultdict(list))
    folders: dict[str, list[_Declared]] = field(default_factory=lambda: defaultdict(list))
    trees: dict[str, list[tuple[_Declared, int]]] = field(default_factory=lambda: defaultdict(list))


def review_overlaps(city: City) -> Iterator[Finding]:
    hosts: dict[str, _OnHost] = defaultdict(_OnHost)
    for service in city.services.values():
        for position, dataset in enumerate(service.datasets):
            _note(hosts[dataset.host], _Declared(service.id, position, dataset))
    for host, found in hosts.items():
        yield from _servers(host, found)
        yield from _files(host, found)


def _note(found: _OnHost, declared: _Declared) -> None:
    dataset = declared.dataset
    match dataset:
        case PostgresqlClusterDataset():
            found.servers[f"PostgreSQL on port {dataset.port}"].append(declared)
        case PostgresqlDataset():
            found.databases[f"PostgreSQL on port {dataset.port}"].append(declared)
        case MariadbDataset():
            where = f"MariaDB{f' at {dataset.socket}' if dataset.socket else ''}"
            (found.servers if dataset.database is None else found.databases)[where].append(declared)
        case FilesDataset():
            for index, path in enumerate(dataset.paths):
                found.trees[path].append((declared, index))
    for folder in dataset.folders:
        found.folders[folder].append(declared)


def _servers(host: str, found: _OnHost) -> Iterator[Finding]:
    for where, databases in found.databases.items():
        for declared in databases:
            for whole in found.servers.get(where, ()):
                if not declared.is_copy_of(whole):
                    message = f"dataset {whole.name} backs up all of {where} on {host}, so this database too"
                    yield declared.warning(SAME_DATA, whole, message)


def _files(host: str, found: _OnHost) -> Iterator[Finding]:
    """A tree of files with another dataset's data in it, or within it."""
    for folder, owners in found.folders.items():
        for above in (folder, *_above(folder)):
            for files, index in found.trees.get(above, ()):
                for owner in owners:
                    if not _is_left_out(files.dataset, folder) and not files.is_copy_of(owner):
                        message = f"{above} on {host} holds {folder}, which dataset {owner.name} backs up too"
                        yield files.warning(FILES_OVER_DATA, owner, message, "paths", index)
    for path, trees in found.trees.items():
        for above in _above(path):
            for files, index in trees:
                for owner in found.folders.get(above, ()):
                    if not files.is_copy_of(owner):
                        message = f"{path} on {host} lies in {above}, which dataset {owner.name} backs up too"
                        yield files.warning(FILES_OVER_DATA, owner, message, "paths", index)


def _is_left_out(files: DatasetType, folder: str) -> bool:
    """By an exclude that names it or a folder above it; as restic reads them, a `*` stands for no slash."""
    assert isinstance(files, FilesDataset)
    names = [path.split("/") for path in (folder, *_above(folder))]
    patterns = [exclude.split("/") for exclude in files.excludes]
    return any(
        len(name) == len(pattern) and all(fnmatchcase(*pair) for pair in zip(name, pattern, strict=True))
        for name in names
        for pattern in patterns
    )


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) or "/" for count in range(len(parts) - 1, 0, -1)]
