"""What is known about a record, with names resolved and with what is unknown said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from drp.domain.dossiers.dossier import KINDS, Dossier, dossier_of, find_record
from drp.domain.dossiers.service_dossier import data_size, service_dossier
from drp.domain.inventory import City
from drp.errors import UsageError
from tests.fakes.city import NOW, make_city, service_record, workspace_record


def rich_city() -> City:
    pengaduan = service_record(
        "pengaduan",
        title={"en": "Complaints", "id": "Pengaduan"},
        depends_on=["identitas"],
        address="192.0.2.80",
        owner="siti",
        deputy={"name": "Budi"},
        rpo="10m",
        cluster="warga",
        mbco="read old complaints",
        assumed=["rpo"],
        manual_fallback={"procedure": "paper", "workable_for": "8h"},
    )
    pengaduan["backup"] |= {"schedule": "daily 02:00"}
    level = {"confidentiality": "high", "integrity": "medium", "availability": "low"}
    pengaduan["datasets"][0] |= {"size": "12GB", "personal_data": True, "classification": level}
    drc = workspace_record()["dr_centres"]["drc"]
    return make_city(
        service_record("identitas"),
        pengaduan,
        service_record("portal", depends_on=["pengaduan"], runs_on=["bare"], recovers_on={}, datasets=[], backup=None),
        service_record("peta", depends_on=["portal"]),
        workspace={
            "agencies": {"humas": {"title": "Bagian Humas", "head": "siti", "location": "balai"}},
            "clusters": {"warga": {"en": "Citizens", "id": "Warga"}},
            "dr_centres": {"drc": drc | {"contract": {"provider": "PT", "contact": "siti", "capacity": "2TB"}}},
            "exercise_programme": {"penting": {"full": "90d"}},
            "sites": {"primary": {"title": "Balai Kota", "location": "balai"}, "recovery": "DRC"},
            "sla_targets": {
                "sekarang": {"availability": "99.5%", "period": {"first": "2026-01-01", "last": "2026-12-31"}}
            },
        },
        network={
            "locations": {
                "balai": {"title": "Balai Kota", "lan": "1Gbit/s"},
                "dinas": {"title": "Dinas", "agencies": ["humas"]},
            },
            "links": {
                "r01": {"a": "balai", "b": "dinas", "medium": "fibre", "capacity": "100Mbit/s", "backup_link": "r02"},
                "r02": {"a": "balai", "b": "dinas", "medium": "radio", "last_failover_test": "2026-01-02"},
            },
        },
        people={
            "people": {
                "siti": {"name": "Siti", "position": "Head", "agency": "humas", "contact": "0251", "deputy": "tono"},
                "tono": {"name": "Tono"},
            },
            "roles": {"drill-lead": ["siti"]},
        },
        documents={
            "documents": {
                "perwali": {"kind": "regulation", "title": "Perwali"},
                "bia": {
                    "kind": "bia",
                    "title": "BIA",
                    "version": "2",
                    "parent": "perwali",
                    "services": ["pengaduan"],
                    "review_due": "2027-01-01",
                },
            }
        },
        assets={
            "assets": {
                "ups": {"kind": "ups", "title": "UPS", "location": "balai", "hosts": ["pengaduan-1"], "links": ["r01"]}
            }
        },
    )


CITY = rich_city()


def rows(found: Dossier) -> dict[str, dict[str, str]]:
    return {section.title: {label: " | ".join(lines) for label, lines in section.rows} for section in found.sections}


def test_a_service_is_resolved() -> None:
    found = service_dossier(CITY, "pengaduan", NOW)
    assert rows(found) == {
        "": {
            "title (id)": "Pengaduan",
            "agency": "humas: Bagian Humas",
            "cluster": "warga: Citizens",
            "owner": "siti: Siti, Head, humas, 0251",
            "deputy": "Budi, no contact known",
            "hosting": "central",
        },
        "Objectives": {
            "RTO": "5 m (from tier penting)",
            "RPO": "10 m (its own)",
            "MTPD": "4 h (from tier penting)",
            "WRT": "not declared",
            "MBCO": "read old complaints",
        },
        "Runs on": {
            "pengaduan-1 (192.0.2.2)": "recovers on drc-pengaduan-1 (198.51.100.2)",
            "address": "192.0.2.80, where its users reach it",
        },
        "Data": {
            "database": "postgresql on pengaduan-1, 12 GB | C high, I medium, A low · personal data",
            "files": "files on pengaduan-1, size unknown | personal data: not stated",
            "together": "at least 12 GB",
        },
        "Backup": {
            "to": "drc: DR centre",
            "schedule": "daily 02:00",
            # 14:00 in Jakarta: the next run is tomorrow's
            "next runs": "Sat 2026-11-21 02:00 (Asia/Jakarta) | Sun 2026-11-22 02:00 (Asia/Jakarta)",
            "longest gap": "1 d",
        },
        "Dependencies": {
            "depends on": "identitas",
            "needed by": "portal (2 in all, with what follows)",
        },
        "Proof and paper": {
            "check path": "http every 500 ms: GET /",
            "document bia": "BIA (bia, in-force, version 2, review due 2027-01-01)",
            "without it": "paper (for 8 h)",
        },
        "Assumed": {"the service": "rpo"},
        "Missing": {"": "nothing to back it up or recover it"},
    }


def test_a_service_for_programs() -> None:
    found = json.loads(json.dumps(dict(service_dossier(CITY, "pengaduan", NOW).details)))
    assert found["objectives"]["rpo"] == {"ms": 600_000, "origin": "its own"}
    assert found["objectives"]["wrt"] == {"ms": None, "origin": "not declared"}
    assert found["owner"]["name"] == "Siti"
    assert found["hosts"] == [
        {
            "name": "pengaduan-1",
            "address": "192.0.2.2",
            "recovers_on": "drc-pengaduan-1",
            "recovery_address": "198.51.100.2",
        }
    ]
    assert found["backup"]["next_runs"] == ["2026-11-20T19:00:00.000000Z", "2026-11-21T19:00:00.000000Z"]
    assert found["backup"]["longest_gap_ms"] == 86_400_000
    assert (found["depends_on_in_all"], found["needed_by"], found["needed_by_in_all"]) == (1, ["portal"], 2)
    assert (found["gaps"], found["documents"]) == ([], ["bia"])


def test_what_nobody_has_said_is_said() -> None:
    bare = {"schema": 1, "id": "bare", "title": {"en": "Bare", "id": "Bare"}, "agency": "humas", "hosting": "agency"}
    found = rows(service_dossier(make_city(bare), "bare", NOW))
    assert found[""]["owner"] == found[""]["deputy"] == "nobody is named"
    assert found[""]["hosting"] == "agency: run by its agency itself"
    assert set(found["Objectives"].values()) == {"not declared"}
    assert found["Runs on"] == {"": "no host is declared"}
    assert found["Data"] == {"": "no dataset is declared"}
    assert found["Backup"] == {"": "no backup is declared"}
    assert found["Dependencies"] == {"depends on": "nobody has said", "needed by": "no other service says so"}
    assert found["Proof and paper"]["checks"].startswith("none")
    assert found["Assumed"] == {"": "nothing is marked"}
    assert set(found["Missing"]) == {
        *("hosted-elsewhere", "no-backup", "no-dataset", "no-objectives", "no-host", "no-check")
    }


def test_a_stand_in_that_no_inventory_holds_and_a_backup_without_a_schedule() -> None:
    city = make_city(service_record("a"))
    city = city.model_copy(update={"hosts": {"a-1": city.hosts["a-1"]}})
    found = rows(service_dossier(city, "a", NOW))
    assert found["Runs on"] == {"a-1 (192.0.2.1)": "recovers on drc-a-1 (not in the Ansible inventory)"}
    assert "only when somebody does it" in found["Backup"]["schedule"]
    assert "recovery-host-missing" in found["Missing"]


@pytest.mark.parametrize(
    ("sizes", "shown"),
    [([], "no dataset"), ([None], "size unknown"), (["1GB", None], "at least 1 GB"), (["1GB", "500MB"], "1.5 GB")],
)
def test_the_size_of_the_data_together(sizes: list[str | None], shown: str) -> None:
    datasets: list[dict[str, Any]] = [
        {"id": f"d{number}", "type": "postgresql", "host": "a-1", "database": f"d{number}"}
        | ({} if size is None else {"size": size})
        for number, size in enumerate(sizes)
    ]
    assert data_size(make_city(service_record("a", datasets=datasets)).services["a"]).shown == shown


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("host", "pengaduan-1", {"services that run here": "pengaduan", "agencies": "humas", "equipment": "ups"}),
        ("host", "drc-pengaduan-1", {"services that recover here": "pengaduan"}),
        ("link", "r01", {"ends": "balai (Balai Kota), dinas (Dinas)", "equipment": "ups"}),
        ("link", "r02", {"backup for": "r01"}),
        (
            "location",
            "balai",
            {"sites": "primary", "agencies with their office here": "humas", "links": "r01, r02", "equipment": "ups"},
        ),
        ("location", "dinas", {"links": "r01, r02"}),
        (
            "person",
            "siti",
            {"owns": "pengaduan", "roles": "drill-lead", "heads": "humas", "contact of DR centres": "drc"},
        ),
        ("person", "tono", {"stands in for": "siti"}),
        ("agency", "humas", {"services": "identitas, pengaduan, portal, peta", "people": "siti", "locations": "dinas"}),
        ("cluster", "warga", {"services": "pengaduan"}),
        ("tier", "penting", {"to be exercised": "full every 90 d"}),
        ("dr-centre", "drc", {"services that back up there": "identitas, pengaduan, peta"}),
        ("document", "perwali", {"belongs to it": "bia"}),
        ("document", "bia", {"": "nothing refers to it"}),
        ("site", "recovery", {"hosts": "drc-identitas-1, drc-pengaduan-1, drc-peta-1"}),
    ],
)
def test_what_a_record_is_related_to(kind: str, name: str, expected: dict[str, str]) -> None:
    found = rows(dossier_of(CITY, kind, name))["Related"]
    assert expected.items() <= found.items()


def test_a_record_in_words() -> None:
    link = rows(dossier_of(CITY, "link", "r01"))[""]
    assert (link["capacity"], link["medium"], link["backup link"]) == ("100 Mbit/s", "fibre", "r02")
    centre = rows(dossier_of(CITY, "dr-centre", "drc"))[""]
    assert centre["contract, capacity"] == "2 TB"
    assert not any("key" in label for label in centre)
    assert rows(dossier_of(CITY, "tier", "penting"))[""]["rto"] == "5 m"
    assert rows(dossier_of(CITY, "sla-target", "sekarang"))[""]["availability"] == "99.5%"


def test_secrets_are_not_told() -> None:
    assert "access_key" not in json.dumps(dict(dossier_of(CITY, "dr-centre", "drc").details))


def test_every_kind_can_be_shown() -> None:
    names = {
        "host": "pengaduan-1",
        "link": "r01",
        "location": "balai",
        "person": "siti",
        "agency": "humas",
        "cluster": "warga",
        "tier": "penting",
        "site": "primary",
        "dr-centre": "drc",
        "sla-target": "sekarang",
        "document": "bia",
        "asset": "ups",
        "runbook": "site-loss",
    }
    assert {"service", *names} == set(KINDS)
    for kind, name in names.items():
        found = dossier_of(CITY, kind, name)
        assert find_record(CITY, f"{kind}:{name}") == (kind, name)
        assert rows(found)[""]
        json.dumps(dict(found.details))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pengaduan", ("service", "pengaduan")),
        ("complaints", ("service", "pengaduan")),
        ("PENGADUAN", ("service", "pengaduan")),
        ("pengaduan-1", ("host", "pengaduan-1")),
        ("Siti", ("person", "siti")),
        ("bagian humas", ("agency", "humas")),
        ("location:Balai Kota", ("location", "balai")),
        ("site:balai kota", ("site", "primary")),
    ],
)
def test_records_are_found_by_id_and_by_title(name: str, expected: tuple[str, str]) -> None:
    assert find_record(CITY, name) == expected


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Balai Kota", "write location:balai or site:primary"),
        ("pengadaan", "did you mean service:pengaduan"),
        ("link:pengaduan", "kinds: service"),
        ("zzz", "kinds: service"),
        ("", "kinds: service"),
        ("other:x", "kinds: service"),
    ],
)
def test_a_name_that_means_nothing_or_several_things(name: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_record(CITY, name)
    assert said in caught.value.hint
