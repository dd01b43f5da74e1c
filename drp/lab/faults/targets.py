"""Which services of a workspace a fault can strike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from drp.domain.datasets import FilesDataset
from drp.domain.inventory import City
from drp.domain.recovery.cutover import ways_of
from drp.domain.service import Service
from drp.domain.traffic import DnsZone
from drp.lab.applications.pengaduan import Pengaduan
from drp.lab.faults.base import Target
from drp.lab.plan import LabService


def targets_of(workspace: Path, city: City, names: Sequence[str], files: dict[str, Path]) -> list[Target]:
    """The services among `names` that are backed up and can be recovered, those that others need first. `files` are
    where each is declared."""
    found = [
        _target(workspace, city.services[name], names, city, files)
        for name in names
        if name in files and city.services[name].backup is not None and city.services[name].datasets
    ]
    return sorted((target for target in found if target is not None), key=lambda target: not target.dependants)


def _target(
    workspace: Path, service: Service, names: Sequence[str], city: City, files: dict[str, Path]
) -> Target | None:
    host = service.datasets[0].host
    assert service.backup is not None
    if host not in service.recovers_on or service.backup.password.file is None:
        return None
    trees = [dataset for dataset in service.datasets if isinstance(dataset, FilesDataset)]
    servers = [way.server for way in ways_of(service) if isinstance(way, DnsZone)]
    return Target(
        service=service.id,
        primary=host,
        recovery=service.recovers_on[host],
        dr_centre=service.backup.dr_centre,
        repository=f"{service.id}/{host}",
        password=str(workspace / service.backup.password.file),
        service_file=str(files[service.id]),
        application="pengaduan" if Pengaduan().serves(LabService(service.id, host)) else "",
        dependants=tuple(name for name in names if service.id in city.services[name].depends_on),
        files=(trees[0].id, trees[0].paths[0]) if trees else None,
        name_server=servers[0] if servers else "",
    )
