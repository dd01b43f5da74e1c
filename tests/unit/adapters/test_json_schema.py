"""The schemas that editors use accept what drp reads and refuse what it refuses."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from drp.adapters.json_schema import KINDS, schema_of, write_schemas
from drp.adapters.template import TEMPLATES
from drp.adapters.yaml_file import YamlFile, read_yaml
from drp.domain.values import parse_duration, write_duration
from drp.errors import DrpError
from tests.fakes.city import runbook_record
from tests.fakes.whole_city import GONE, GOOD

REPOSITORY = Path(__file__).parents[3]
SCHEMAS = {kind: schema_of(model) for kind, (_, model) in KINDS.items()}

STEPS: dict[str, dict[str, Any]] = {
    "manual": {"instructions": {"en": "Call", "id": "Telepon"}, "expected": "5m", "before": "restore"},
    "approval": {"question": {"en": "On?", "id": "Lanjut?"}, "who": ["approves"], "after": ["verify"]},
    "wait": {"duration": "5m"},
    "playbook": {"playbook": "mount", "timeout": "5m"},
    "command": {"host": "a", "argv": ["true"], "timeout": "5m"},
    "notification": {"text": {"en": "Over", "id": "Selesai"}, "each_service": True},
    "traffic": {"to": "recovery", "only": ["failover"]},
}

GOOD_FILES: dict[str, dict[str, Any]] = {
    "drp": GOOD["workspace"],
    "service": GOOD["services"]["pengaduan"],
    "runbook": runbook_record()
    | {
        "declared_by": ["declares"],
        "criteria": [{"en": "All is back", "id": "Semua pulih"}],
        "steps": [
            {"kind": kind, "id": kind, "title": {"en": "Do", "id": "Lakukan"}} | rest for kind, rest in STEPS.items()
        ],
    },
} | {kind: {"schema": 1} | GOOD[kind] for kind in ("network", "people", "documents", "assets")}


def shipped_files() -> Iterator[tuple[str, Path]]:
    """Every file of the workspaces in this repository, by kind: its root, those under inventories, the templates."""
    roots = [REPOSITORY, TEMPLATES, *(path.parent for path in (REPOSITORY / "inventories").rglob("drp.yaml"))]
    for root in roots:
        for kind, (files, _) in KINDS.items():
            for path in root.glob(files):
                yield kind, path


def accepted(kind: str, value: Any) -> tuple[bool, bool]:
    """Whether the schema accepts it, and whether the model does."""
    by_schema = jsonschema.Draft202012Validator(SCHEMAS[kind]).is_valid(value)
    try:
        KINDS[kind][1].model_validate(value)
    except ValidationError:
        return by_schema, False
    return by_schema, True


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_a_schema_of_the_draft_that_it_names(kind: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[kind])
    assert SCHEMAS[kind]["$schema"].endswith("/draft/2020-12/schema")
    assert accepted(kind, GOOD_FILES[kind]) == (True, True)
    assert accepted(kind, GOOD_FILES[kind] | {"unknown": 1}) == (False, False)
    assert accepted(kind, GOOD_FILES[kind] | {"schema": 2}) == (False, False)


def test_every_shipped_file_is_accepted() -> None:
    found = list(shipped_files())
    assert {kind for kind, _ in found} >= {"drp", "service", "runbook"}
    for kind, path in found:
        file = read_yaml(path, str(path))
        assert isinstance(file, YamlFile), file
        errors = jsonschema.Draft202012Validator(SCHEMAS[kind]).iter_errors(file.value)
        assert [f"{path}: {error.json_path}: {error.message}" for error in errors] == []


def changed(kind: str, path: str, value: Any) -> Any:
    whole: Any = copy.deepcopy(GOOD_FILES[kind])
    *above, last = [int(word) if word.isdecimal() else word for word in path.split(".")]
    holder: Any = whole
    for word in above:
        holder = holder[word]
    if value is GONE:
        del holder[last]
    else:
        holder[last] = value
    return whole


LINK, ASSET, DOCUMENT = "links.r01.", "assets.server.", "documents.sop."
SQL = {"type": "postgresql", "host": "pengaduan-1", "id": "d", "database": "d"}
ZONE: dict[str, Any] = {
    "type": "dns",
    "server": "192.0.2.53",
    "zone": "kota.example",
    "key": {"name": "drp", "secret": {"file": "/etc/drp/zone-key"}},
    "records": [{"name": "www.kota.example", "type": "A", "primary": ["192.0.2.1"], "recovery": ["192.0.2.2"]}],
}
PROXY = {"type": "haproxy", "hosts": ["lb-1"], "backend": "users", "primary": ["a"], "recovery": ["b"]}
COMMAND: dict[str, Any] = {"type": "command", "to_recovery": ["switch", "drc"], "to_primary": ["switch", "back"]}
RIGHT: list[tuple[str, str, Any]] = [
    ("drp", "agencies.humas", {"title": "Humas", "head": "kabid", "assumed": ["head"]}),
    ("drp", "sites.primary", "Balai Kota"),
    ("drp", "sites.primary.availability", 99.5),
    ("drp", "sites.primary.availability", "99.5%"),
    ("drp", "sites.primary.assumed", True),
    ("drp", "dr_centres.drc.throughput", "100Mbit/s"),
    ("drp", "dr_centres.drc.contract.capacity", "1.5 TiB"),
    ("drp", "exercise_programme.penting", {"restore-test": "90d", "full": "365d"}),
    ("drp", "sla_targets.now.approved", True),
    ("drp", "lab", {"network": "198.18.0.0/16", "dr_centre": "drc"}),
    ("drp", "lab", None),
    ("service", "owner", "kabid"),
    ("service", "owner", {"person": "kabid"}),
    ("service", "owner", {"name": "Budi", "contact": "+62"}),
    ("service", "owner", None),
    ("service", "assumed", ["runs_on"]),
    ("service", "address", "192.0.2.80"),
    ("service", "mtpd", "1h30m"),
    ("service", "datasets.0", SQL | {"size": "12GB", "daily_change": "500MB", "copy_of": "a/b", "personal_data": True}),
    ("service", "backup.schedule", "hourly"),
    ("service", "backup.schedule", "every 4h"),
    ("service", "backup.schedule", "weekly sunday 02:00"),
    ("service", "backup.schedule", "*/10 6-18 * * 1-5"),
    ("service", "backup.password", {"command": ["pass", "drp"]}),
    ("service", "recovery", {"estimates": {"activate": "2m"}, "accounts": [{"name": "app", "uid": 800}]}),
    ("service", "traffic", [{"type": "floating_address", "address": "192.0.2.80"}]),
    ("service", "traffic", [ZONE, PROXY, COMMAND | {"host": "lb-1", "state": ["switch", "where"]}]),
    ("service", "traffic", [ZONE | {"ttl": "5m", "port": 5353, "timeout": "3s"}]),
    ("service", "recovery", {"commands": [{"argv": ["warm", "up"], "on": "verify", "timeout": "30s"}]}),
    ("service", "recovery", {"playbooks": {"after_restore": "mask-data", "after_verify": "tell_partners"}}),
    ("network", LINK + "capacity", "1Gbit/s"),
    ("network", LINK + "last_failover_test", None),
    ("documents", DOCUMENT + "approved", "2026-01-31"),
    ("assets", ASSET + "runtime", "15m"),
    ("people", "roles", {}),
    ("runbook", "people", {"decide": "10m", "mobilise": "30m"}),
    ("runbook", "select", {"sites": ["primary"], "tiers": ["kritis"]}),
    ("runbook", "declared_by", "declares"),
    ("runbook", "operation", "none"),
    ("runbook", "restore_points", "walk-back"),
    ("runbook", "steps.0.after", ["pengaduan/verify", "usable", "another-step"]),
    ("runbook", "steps.0.only", "drill"),
    ("runbook", "steps.0.rerun", False),
    ("runbook", "steps.3.hosts", ["drc-app-1"]),
]
WRONG: list[tuple[str, str, Any]] = [
    ("drp", "agencies.Humas", "Humas"),
    ("drp", "agencies.humas", 5),
    ("drp", "agencies.humas", ""),
    ("drp", "sites.primary.level", "3"),
    ("drp", "sites.primary.level", True),
    ("drp", "sites.primary.level", 5),
    ("drp", "sites.primary.availability", 101),
    ("drp", "sites.primary.availability", "high"),
    ("drp", "sites.primary.certificate.expires", 2030),
    ("drp", "sites.primary.certificate.expires", "2030"),
    ("drp", "sites.primary.certificate.expires", "1 January 2030"),
    ("drp", "tiers.penting.rto", "4 hours"),
    ("drp", "tiers.penting.rto", 4),
    ("drp", "tiers.penting.rto", GONE),
    ("drp", "dr_centres.drc.throughput", "100Mb"),
    ("drp", "dr_centres.drc.throughput", "0Mbit/s"),
    ("drp", "dr_centres.drc.contract.clock_starts", "monday"),
    ("drp", "dr_centres.drc.access_key_id", {"file": "a", "env": "B"}),
    ("drp", "dr_centres.drc.access_key_id", {}),
    ("drp", "exercise_programme.penting", {"walk": "90d"}),
    ("drp", "exercise_programme.penting", {"full": "0s"}),
    ("drp", "sla_targets.now.approved", "yes"),
    ("drp", "lab", {"network": 5, "dr_centre": "drc"}),
    ("service", "id", "Pengaduan"),
    ("service", "id", GONE),
    ("service", "owner", "Pak Kabid"),
    ("service", "owner", {"contact": "+62"}),
    ("service", "owner", {"person": "kabid", "name": "Budi"}),
    ("service", "assumed", "runs_on"),
    ("service", "assumed", 1),
    ("service", "address", 5),
    ("service", "address", "balai-kota"),
    ("service", "hosting", "cloud"),
    ("service", "depends_on", "identitas"),
    ("service", "recovers_on", {"pengaduan-1": "a b"}),
    ("service", "recovers_on", {"a b": "pengaduan-1"}),
    ("service", "datasets.0.type", "oracle"),
    ("service", "datasets.0", SQL | {"size": "12"}),
    ("service", "datasets.0", SQL | {"size": 12}),
    ("service", "datasets.0", SQL | {"port": "5432"}),
    ("service", "datasets.0", SQL | {"personal_data": "yes"}),
    ("service", "datasets.0", SQL | {"paths": ["/srv/a"]}),
    ("service", "datasets.1.paths", ["srv/pengaduan"]),
    ("service", "datasets.1.paths", ["/srv/../etc"]),
    ("service", "datasets.1.paths", []),
    ("service", "backup.schedule", "daily"),
    ("service", "backup.schedule", 15),
    ("service", "checks.0.interval", "0s"),
    ("service", "checks.0.steps.0.request", "GET front-page"),
    ("service", "traffic", []),
    ("service", "traffic", ZONE),
    ("service", "traffic", [{"type": "anycast"}]),
    ("service", "traffic", [ZONE | {"address": "192.0.2.80"}]),
    ("service", "traffic", [ZONE | {"zone": "kota example"}]),
    ("service", "traffic", [ZONE | {"key": {"name": "drp", "secret": "c2VjcmV0"}}]),
    ("service", "traffic", [ZONE | {"records": []}]),
    ("service", "traffic", [PROXY | {"hosts": []}]),
    ("service", "traffic", [PROXY | {"socket": "admin.sock"}]),
    ("service", "traffic", [PROXY | {"backend": "users; disable"}]),
    ("service", "traffic", [COMMAND | {"to_primary": "switch back"}]),
    ("service", "traffic", [COMMAND | {"to_primary": []}]),
    ("service", "recovery", {"commands": [{"argv": ["warm"], "on": "restore"}]}),
    ("service", "recovery", {"playbooks": {"after_restore": "../mask"}}),
    ("service", "recovery", {"playbooks": {"after_restore": "restore"}}),
    ("service", "recovery", {"playbooks": {"after_cutover": "mask"}}),
    ("network", LINK + "medium", "pigeon"),
    ("network", LINK + "backup_links", "r02"),
    ("people", "roles", {"chief": ["kabid"]}),
    ("documents", DOCUMENT + "review_due", "soon"),
    ("assets", ASSET + "spare", {"stock": -1, "lead_time": "14d"}),
    ("assets", ASSET + "spare.lead_time", "two weeks"),
    ("runbook", "people", {"decide": "10m"}),
    ("runbook", "hold", 60),
    ("runbook", "select", {}),
    ("runbook", "select", {"host": ["a"]}),
    ("runbook", "operation", "sideways"),
    ("runbook", "criteria", "all is back"),
    ("runbook", "steps.0.kind", "dance"),
    ("runbook", "steps.0.expected", GONE),
    ("runbook", "steps.0.before", "verify please"),
    ("runbook", "steps.0.only", "tabletop"),
    ("runbook", "steps.0.argv", ["true"]),
    ("runbook", "steps.1.who", GONE),
    ("runbook", "steps.3.playbook", "../restore"),
    ("runbook", "steps.4.argv", "true"),
    ("runbook", "steps.4.timeout", GONE),
    ("runbook", "steps.6.to", "home"),
]


def named(value: Any) -> str:
    return value if isinstance(value, str) else "gone" if value is GONE else json.dumps(value)


@pytest.mark.parametrize(("kind", "path", "value"), RIGHT, ids=named)
def test_what_drp_reads_is_accepted(kind: str, path: str, value: Any) -> None:
    assert accepted(kind, changed(kind, path, value)) == (True, True)


@pytest.mark.parametrize(("kind", "path", "value"), WRONG, ids=named)
def test_what_drp_refuses_is_refused(kind: str, path: str, value: Any) -> None:
    assert accepted(kind, changed(kind, path, value)) == (False, False)


def defaults(schema: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """Every part of a schema that has a default, with that default."""
    if isinstance(schema, dict):
        if "default" in schema:
            yield schema, schema["default"]
        for value in schema.values():
            yield from defaults(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from defaults(value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_default_is_told_as_it_would_be_written(kind: str) -> None:
    for part, default in defaults(SCHEMAS[kind]):
        rest = {"$defs": SCHEMAS[kind].get("$defs", {}), **part}
        assert jsonschema.Draft202012Validator(rest).is_valid(default), part
        assert default not in ({}, [], None)


@pytest.mark.parametrize("text", ["500ms", "90s", "15m", "4h", "2d", "0s"])
def test_a_duration_is_written_as_it_is_read(text: str) -> None:
    assert parse_duration(write_duration(parse_duration(text))) == parse_duration(text)
    assert write_duration(timedelta(minutes=90)) == "90m"


def test_schemas_are_written_beside_the_files_that_name_them(tmp_path: Path) -> None:
    written = write_schemas(tmp_path, Path("schemas"))
    assert {schema.path.name for schema in written} == {f"{kind}.schema.json" for kind in KINDS}
    for schema in written:
        folder = tmp_path / Path(schema.files).parent
        folder.mkdir(parents=True, exist_ok=True)
        assert (folder / schema.reference).resolve() == schema.path
        assert json.loads(schema.path.read_text())["$schema"]
    assert write_schemas(tmp_path, Path("schemas")) == written


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "schemas").write_text("")
    with pytest.raises(DrpError, match="cannot be written"):
        write_schemas(tmp_path, Path("schemas"))
