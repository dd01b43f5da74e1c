"""A small city: `pengaduan` (complaints) needs `identitas` (sign-in); each has a host at both sites."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from drp.domain.backups.restore_point import RestorePoint, Snapshot
from drp.domain.consistency import Parts
from drp.domain.inventory import AnsibleHost, City, Workspace
from drp.domain.registers import Assets, Documents, Network, People
from drp.domain.runbooks.model import Runbook
from drp.domain.service import Service

_REGISTERS: dict[str, Any] = {"network": Network, "people": People, "documents": Documents, "assets": Assets}

NOW = datetime(2026, 11, 20, 7, 0, 0, 250_000, tzinfo=UTC)


def workspace_record() -> dict[str, Any]:
    """The content of drp.yaml."""
    return {
        "schema": 1,
        "organisation": {"name": "Pemerintah Kota Bogor"},
        "agencies": {"humas": "Bagian Hubungan Masyarakat"},
        "sites": {"primary": "Balai Kota", "recovery": "DRC"},
        "dr_centres": {
            "drc": {
                "title": "DR centre",
                "endpoint": "https://192.0.2.10:9000",
                "bucket": "drp-bogor",
                "access_key_id": {"env": "DRP_TEST_KEY"},
                "secret_access_key": {"env": "DRP_TEST_SECRET"},
            }
        },
        "tiers": {"penting": {"rto": "5m", "rpo": "15m", "mtpd": "4h"}},
        "ssh": {"private_key": "key", "known_hosts": "known_hosts"},
    }


def service_record(name: str = "pengaduan", **changes: Any) -> dict[str, Any]:
    """The content of a service's file."""
    record: dict[str, Any] = {
        "schema": 1,
        "id": name,
        "title": {"en": name, "id": name},
        "agency": "humas",
        "tier": "penting",
        "depends_on": [],
        "runs_on": [f"{name}-1"],
        "recovers_on": {f"{name}-1": f"drc-{name}-1"},
        "datasets": [
            {"id": "database", "type": "postgresql", "host": f"{name}-1", "database": name},
            {"id": "files", "type": "files", "host": f"{name}-1", "paths": [f"/srv/{name}"]},
        ],
        "backup": {"dr_centre": "drc", "password": {"env": "DRP_TEST_PASSWORD"}},
        "checks": [{"id": "path", "type": "http", "interval": "500ms", "steps": [{"request": "GET /"}]}],
    }
    return record | changes


def runbook_record() -> dict[str, Any]:
    text = {"en": "Loss", "id": "Hilang"}
    return {"schema": 1, "id": "site-loss", "title": text, "purpose": text, "kind": "full", "hold": "2s"} | {
        "give_up_after": "5m"
    }


def hosts_of(*services: Service) -> dict[str, AnsibleHost]:
    hosts: dict[str, AnsibleHost] = {}
    for number, service in enumerate(services, 1):
        for primary, recovery in service.recovers_on.items():
            hosts[primary] = AnsibleHost(name=primary, site="primary", address=f"192.0.2.{number}")
            hosts[recovery] = AnsibleHost(name=recovery, site="recovery", address=f"198.51.100.{number}")
    return hosts


def make_city(
    *records: dict[str, Any], workspace: dict[str, Any] | None = None, **registers: dict[str, dict[str, Any]]
) -> City:
    """A city of these services; of the two of this module's docstring if none is given.

    Args:
        workspace: what drp.yaml says differently.
        registers: the content of network.yaml, people.yaml, documents.yaml, assets.yaml, by the file's name.
    """
    if not records:
        records = (
            service_record("identitas"),
            service_record("pengaduan", depends_on=["identitas"], address="192.0.2.80"),
        )
    services = [Service.model_validate(record) for record in records]
    return City(
        workspace=Workspace.model_validate(workspace_record() | (workspace or {})),
        hosts=hosts_of(*services),
        services={service.id: service for service in services},
        runbooks={"site-loss": Runbook.model_validate(runbook_record())},
        **{name: _REGISTERS[name].model_validate({"schema": 1} | content) for name, content in registers.items()},
    )


def parts_of(city: City, declared: Collection[str] | None = None) -> Parts:
    """The files of a city, all of which could be read."""
    return Parts(
        workspace=city.workspace,
        hosts=city.hosts,
        services=city.services,
        declared=city.services if declared is None else declared,
        network=city.network,
        people=city.people,
        documents=city.documents,
        assets=city.assets,
        runbooks=city.runbooks,
        playbooks={"gedung"},
    )


def make_restore_point(service: str = "pengaduan", *, at: datetime = NOW - timedelta(minutes=5)) -> RestorePoint:
    """What a whole backup of a service of `service_record` leaves."""
    run = f"backup-{service}-{at:%H%M%S}"
    host = f"{service}-1"
    return RestorePoint(
        id=run,
        service=service,
        site="primary",
        sentinel=f"{run}-token",
        sentinel_at=at,
        arrived_at=at + timedelta(seconds=20),
        dr_centre="drc",
        repositories={host: f"s3:https://192.0.2.10:9000/drp-bogor/{service}/{host}"},
        snapshots=(
            Snapshot("database", "roles", "1" * 64, 1, 100, 10),
            Snapshot("database", "database", "2" * 64, 1, 5000, 500),
            Snapshot("files", "files", "3" * 64, 7, 7000, 700),
        ),
        tools={f"{host} restic": "restic 0.14.0"},
        content={"database": {"rows": {"public.complaints": 12}}, "files": {}},
        datasets={
            dataset.id: dataset.model_dump(mode="json")
            for dataset in Service.model_validate(service_record(service)).datasets
        },
        clocks={host: {"offset_ms": 0, "uncertainty_ms": 20}},
    )
