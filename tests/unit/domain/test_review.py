"""Each warning is given for one small change of a good city, in its place, and no other with it."""

from __future__ import annotations

import time
from datetime import date
from typing import Any

import pytest

from drp.domain.findings import ASSETS, DOCUMENTS, HOSTS, NETWORK, PEOPLE, SERVICE, WORKSPACE, Record
from drp.domain.inventory import AnsibleHost
from drp.domain.review import review
from drp.domain.service import Service
from tests.fakes.whole_city import GONE, city_with

TODAY = date(2026, 11, 20)


def found_in(changes: dict[str, Any], hosts: dict[str, AnsibleHost | None] | None = None) -> list[tuple[Any, ...]]:
    return [
        (finding.code, finding.record, finding.location, finding.services)
        for finding in review(city_with(changes, hosts), TODAY)
    ]


def test_a_good_city_gives_no_warning() -> None:
    assert found_in({}) == []


P, OTHER, BOTH = ("pengaduan",), ("identitas",), ("identitas", "pengaduan")
PENGADUAN, WORK = Record(SERVICE, "pengaduan"), Record(WORKSPACE)
S, W = "services.pengaduan.", "workspace."
TIER, CENTRE, LINK = W + "tiers.penting.", W + "dr_centres.drc.", "network.links.r01."
IN_CONTRACT = ("dr_centres", "drc", "contract")
SPARE = "assets.assets.server.spare"
LEAD_TIME = ("assets", "server", "spare", "lead_time")
ELSEWHERE = {S + "backup": GONE, S + "datasets": [], S + "checks": [], S + "runs_on": [], S + "recovers_on": {}}
COPY = S + "datasets.1.copy_of"
AT_COPY = ("datasets", 1, "copy_of")

SERVICES: list[tuple[dict[str, Any], str, Record, tuple[Any, ...], tuple[str, ...]]] = [
    ({S + "backup": GONE}, "no-backup", PENGADUAN, ("backup",), P),
    ({S + "backup": GONE, S + "checks": [], S + "datasets": []}, "no-backup", PENGADUAN, ("backup",), P),
    (ELSEWHERE, "no-backup", PENGADUAN, ("backup",), P),
    (ELSEWHERE | {S + "tier": GONE}, "no-backup", PENGADUAN, ("backup",), P),
    (ELSEWHERE | {S + "hosting": "agency"}, "no-backup-elsewhere", PENGADUAN, ("hosting",), P),
    (ELSEWHERE | {S + "hosting": "third-party"}, "no-backup-elsewhere", PENGADUAN, ("hosting",), P),
    (ELSEWHERE | {S + "hosting": "national"}, "no-backup-elsewhere", PENGADUAN, ("hosting",), P),
    ({S + "backup.schedule": GONE}, "no-schedule", PENGADUAN, ("backup",), P),
    ({S + "datasets": []}, "no-dataset", PENGADUAN, ("datasets",), P),
    ({S + "checks": []}, "no-check", PENGADUAN, ("checks",), P),
    ({S + "recovers_on": {}}, "no-recovery-host", PENGADUAN, ("runs_on", 0), P),
    (
        {S + "recovers_on.pengaduan-1": "drc-lost"},
        "recovery-host-missing",
        PENGADUAN,
        ("recovers_on", "pengaduan-1"),
        P,
    ),
    ({S + "depends_on": GONE}, "dependencies-unstated", PENGADUAN, ("depends_on",), P),
    ({S + "owner": GONE}, "no-owner", PENGADUAN, ("owner",), P),
    ({S + "owner": {"name": "Budi"}}, "no-deputy", PENGADUAN, ("owner",), P),
    ({S + "owner": {"name": "Budi"}, S + "deputy": {"name": "Budi"}}, "no-deputy", PENGADUAN, ("owner",), P),
    ({S + "rto": "5h"}, "rto-over-mtpd", PENGADUAN, ("rto",), P),
    ({S + "mtpd": "1m"}, "rto-over-mtpd", PENGADUAN, ("mtpd",), P),
    ({S + "wrt": "239m"}, "rto-and-wrt-over-mtpd", PENGADUAN, ("wrt",), P),
    ({S + "rto": "9h", S + "mtpd": "1d"}, "rto-over-downtime", PENGADUAN, ("rto",), P),
    ({COPY: "identitas/gone"}, "copy-of-unknown", PENGADUAN, AT_COPY, P),
    ({COPY: "pengaduan/files"}, "copy-of-unknown", PENGADUAN, AT_COPY, P),
]
D = S + "datasets."
DATABASE = {"id": "database", "type": "postgresql", "host": "pengaduan-1", "database": "pengaduan"}
SQLITE = {D + "0": {"id": "app", "type": "sqlite", "host": "pengaduan-1", "path": "/srv/pengaduan/a/app.db"}}
OVERLAPS: list[tuple[dict[str, Any], str, Record, tuple[Any, ...], tuple[str, ...]]] = [
    (
        {D + "1": {"id": "all", "type": "postgresql-cluster", "host": "pengaduan-1"}},
        *("same-data", PENGADUAN, ("datasets", 0), P),
    ),
    (
        {
            "services.identitas.runs_on": ["identitas-1", "pengaduan-1"],
            "services.identitas.recovers_on": {"identitas-1": "drc-identitas-1", "pengaduan-1": "drc-pengaduan-1"},
            "services.identitas.datasets.1": {"id": "all", "type": "postgresql-cluster", "host": "pengaduan-1"},
        },
        *("same-data", PENGADUAN, ("datasets", 0), BOTH),
    ),
    (
        {
            D + "0": {"id": "all", "type": "mariadb", "host": "pengaduan-1"},
            D + "1": {"id": "one", "type": "mariadb", "host": "pengaduan-1", "database": "x"},
        },
        *("same-data", PENGADUAN, ("datasets", 1), P),
    ),
    ({D + "1.paths": ["/srv/a", "/var/lib/postgresql"]}, "files-over-data", PENGADUAN, ("datasets", 1, "paths", 1), P),
    ({D + "1.paths": ["/var/lib/postgresql/15/main"]}, "files-over-data", PENGADUAN, ("datasets", 1, "paths", 0), P),
    (
        SQLITE,
        *("files-over-data", PENGADUAN, ("datasets", 1, "paths", 0), P),
    ),
    (
        SQLITE | {D + "1.excludes": ["/srv/*/x", "/srv/pengaduan/a/app"]},
        *("files-over-data", PENGADUAN, ("datasets", 1, "paths", 0), P),
    ),
    (
        {D + "0": {"id": "code", "type": "git", "host": "pengaduan-1", "path": "/srv/pengaduan/code.git"}},
        *("files-over-data", PENGADUAN, ("datasets", 1, "paths", 0), P),
    ),
]
NO_OVERLAPS: list[dict[str, Any]] = [
    {D + "1": {"id": "all", "type": "postgresql-cluster", "host": "pengaduan-1", "port": 5433}},
    {D + "1": {"id": "all", "type": "mariadb", "host": "pengaduan-1"}},
    {D + "1.paths": ["/var/lib/postgresql-tools", "/var/lib/post"]},
    SQLITE | {D + "1.excludes": ["/srv/pengaduan/a"]},
    SQLITE | {D + "1.excludes": ["/srv/pengaduan/*/app.db"]},
    SQLITE | {D + "1.excludes": ["/srv/pengaduan/a/*"]},
    SQLITE | {D + "1.copy_of": "pengaduan/app"},
]
WORKSPACES: list[tuple[dict[str, Any], str, Record, tuple[Any, ...], tuple[str, ...]]] = [
    ({TIER + "mtpd": "4m", TIER + "wrt": GONE}, "rto-over-mtpd", WORK, ("tiers", "penting", "rto"), BOTH),
    (
        {TIER + "wrt": "4h", S + "wrt": "1h"},
        "rto-and-wrt-over-mtpd",
        WORK,
        ("tiers", "penting", "rto"),
        OTHER,
    ),
    (
        {TIER + "rto": "9h", TIER + "mtpd": "1d", S + "rto": "5m"},
        "rto-over-downtime",
        WORK,
        ("tiers", "penting", "rto"),
        OTHER,
    ),
    ({W + "sla_targets.then.period.last": "2026-01-01"}, "sla-targets-disagree", WORK, ("sla_targets",), ()),
    (
        {
            W + "sla_targets.then.period.last": "2026-12-31",
            W + "sla_targets.then.approved": True,
            W + "sla_targets.now.approved": True,
        },
        "sla-targets-disagree",
        WORK,
        ("sla_targets",),
        (),
    ),
    ({W + "sla_targets.now.period.last": "2026-11-19"}, "no-sla-target", WORK, ("sla_targets",), ()),
    ({W + "sites.primary.level": 2}, "site-below-target", WORK, ("sites", "primary", "level"), ()),
    ({W + "sites.recovery.level": 1}, "site-below-target", WORK, ("sites", "recovery", "level"), ()),
    (
        {W + "sites.primary.availability": 99.8},
        "site-below-target",
        WORK,
        ("sites", "primary", "availability"),
        (),
    ),
    ({CENTRE + "contract.rto": "6m"}, "contract-rto", WORK, (*IN_CONTRACT, "rto"), BOTH),
    ({CENTRE + "contract.rto": "6m", S + "rto": "6m"}, "contract-rto", WORK, (*IN_CONTRACT, "rto"), OTHER),
    ({CENTRE + "contract.rpo": "16m"}, "contract-rpo", WORK, (*IN_CONTRACT, "rpo"), BOTH),
    (
        {CENTRE + "contract.availability": 99.8},
        "contract-availability",
        WORK,
        (*IN_CONTRACT, "availability"),
        BOTH,
    ),
    ({CENTRE + "contract.clock_starts": "ticket"}, "contract-clock", WORK, (*IN_CONTRACT, "clock_starts"), BOTH),
    ({CENTRE + "contract.expires": "2026-11-19"}, "expired", WORK, (*IN_CONTRACT, "expires"), ()),
    ({CENTRE + "contract.expires": "2026-11-20"}, "expires-soon", WORK, (*IN_CONTRACT, "expires"), ()),
    ({CENTRE + "contract.expires": "2027-02-18"}, "expires-soon", WORK, (*IN_CONTRACT, "expires"), ()),
    (
        {W + "sites.primary.certificate.expires": "2026-01-01"},
        "expired",
        WORK,
        ("sites", "primary", "certificate", "expires"),
        (),
    ),
    ({W + "sites.recovery.status": "built"}, "site-not-accepted", WORK, ("sites", "recovery", "status"), ()),
    (
        {W + "sites.recovery.location": "balai-kota"},
        "same-location",
        WORK,
        ("sites", "recovery", "location"),
        (),
    ),
    ({CENTRE + "location": "balai-kota"}, "same-location", WORK, ("dr_centres", "drc", "location"), ()),
    (
        {"network.links.r02": GONE, LINK + "backup_link": GONE, LINK + "replaces": GONE},
        "single-line",
        Record(NETWORK),
        ("links", "r01"),
        (),
    ),
    ({"network.locations.kantor.agencies": ["humas"]}, "no-way-round", WORK, ("sites", "recovery", "location"), ()),
    (
        {TIER[:-1].replace("penting", "biasa"): {"rto": "1h", "rpo": "1h"}},
        "no-cadence",
        WORK,
        ("exercise_programme",),
        (),
    ),
    (
        {W + "exercise_programme.penting": {}, W + "exercise_programme.biasa": {"full": "365d"}}
        | {TIER[:-1].replace("penting", "biasa"): {"rto": "1h", "rpo": "1h"}},
        "no-cadence",
        WORK,
        ("exercise_programme",),
        BOTH,
    ),
]
DOCUMENT = "documents.documents.sop."
REGISTERS: list[tuple[dict[str, Any], str, Record, tuple[Any, ...], tuple[str, ...]]] = [
    (
        {DOCUMENT + "review_due": "2026-11-19"},
        "review-overdue",
        Record(DOCUMENTS),
        ("documents", "sop", "review_due"),
        P,
    ),
    (
        {DOCUMENT + "status": "draft", DOCUMENT + "approved": "2026-11-20"},
        "still-draft",
        Record(DOCUMENTS),
        ("documents", "sop", "status"),
        P,
    ),
    (
        {DOCUMENT + "status": "planned", DOCUMENT + "review_due": "2026-11-19"},
        "still-draft",
        Record(DOCUMENTS),
        ("documents", "sop", "status"),
        P,
    ),
    (
        {"documents.documents.perwali.status": "superseded"},
        "superseded-parent",
        Record(DOCUMENTS),
        ("documents", "sop", "parent"),
        P,
    ),
    ({LINK + "backup_link": GONE}, "redundancy-lost", Record(NETWORK), ("links", "r01", "replaces"), ()),
    ({LINK + "backup_link": "r01"}, "backup-link-same-way", Record(NETWORK), ("links", "r01", "backup_link"), ()),
    ({LINK + "route": "udara"}, "backup-link-same-way", Record(NETWORK), ("links", "r01", "backup_link"), ()),
    (
        {LINK + "last_failover_test": GONE},
        "backup-link-untested",
        Record(NETWORK),
        ("links", "r01", "backup_link"),
        (),
    ),
    (
        {LINK + "last_failover_test": "2025-11-19"},
        "backup-link-untested",
        Record(NETWORK),
        ("links", "r01", "last_failover_test"),
        (),
    ),
    ({SPARE + ".stock": 0}, "spare-too-late", Record(ASSETS), LEAD_TIME, P),
    (
        {SPARE + ".stock": 0, "assets.assets.server.hosts": ["drc-pengaduan-1"]},
        "spare-too-late",
        Record(ASSETS),
        LEAD_TIME,
        P,
    ),
    (
        {SPARE + ".stock": 0, "assets.assets.server.hosts": [], "assets.assets.server.links": ["r01"]},
        "spare-too-late",
        Record(ASSETS),
        LEAD_TIME,
        BOTH,
    ),
    (
        {SPARE + ".stock": 0, "assets.assets.server.hosts": [], "assets.assets.server.location": "drc"},
        "spare-too-late",
        Record(ASSETS),
        LEAD_TIME,
        BOTH,
    ),
    (
        {"assets.assets.server.end_of_life": "2026-11-19"},
        "end-of-life",
        Record(ASSETS),
        ("assets", "server", "end_of_life"),
        (),
    ),
    ({"assets.assets.ups.last_test": GONE}, "power-untested", Record(ASSETS), ("assets", "ups", "kind"), ()),
    (
        {"assets.assets.ups.last_test": "2025-11-19", "assets.assets.ups.kind": "generator"},
        "power-untested",
        Record(ASSETS),
        ("assets", "ups", "last_test"),
        (),
    ),
    (
        {"people.people.kabid.deputy": GONE, "people.roles.drill-lead": ["kabid", "staf"]},
        "no-deputy",
        Record(PEOPLE),
        ("people", "kabid"),
        BOTH,
    ),
    (
        {"people.people.kabid.deputy": "kabid", "people.roles.drill-lead": ["kabid", "staf"], S + "deputy": "staf"},
        "no-deputy",
        Record(PEOPLE),
        ("people", "kabid"),
        OTHER,
    ),
    ({"people.roles.drill-lead": []}, "role-empty", Record(PEOPLE), ("roles", "drill-lead"), ()),
    ({"people.roles.declares": GONE}, "role-empty", Record(PEOPLE), ("roles", "declares"), ()),
    ({"people.roles.drc-contact": GONE}, "role-empty", Record(PEOPLE), ("roles", "drc-contact"), ()),
    ({"people.roles.observer": GONE}, "role-empty", Record(PEOPLE), ("roles", "observer"), ()),
    (
        {"people.roles.observer": ["inspektur", "kabid"]},
        "observer-not-independent",
        Record(PEOPLE),
        ("roles", "observer", 1),
        (),
    ),
    (
        {"people.roles.observer": ["staf", "inspektur"]},
        "observer-not-independent",
        Record(PEOPLE),
        ("roles", "observer", 0),
        (),
    ),
    (
        {"people.people.inspektur.deputy": GONE},
        "key-person",
        Record(PEOPLE),
        ("roles", "observer", 0),
        (),
    ),
    ({"people.roles.approves": ["auditor", "auditor"]}, "key-person", Record(PEOPLE), ("roles", "approves", 0), ()),
]


@pytest.mark.parametrize("changes", NO_OVERLAPS)
def test_what_only_looks_like_the_same_data_is_no_warning(changes: dict[str, Any]) -> None:
    assert [code for code, *_ in found_in(changes) if code in ("same-data", "files-over-data")] == []


@pytest.mark.parametrize(
    ("changes", "code", "record", "location", "services"),
    SERVICES + OVERLAPS + WORKSPACES + REGISTERS,
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_change_gives_exactly_its_warning(
    changes: dict[str, Any], code: str, record: Record, location: tuple[Any, ...], services: tuple[str, ...]
) -> None:
    assert found_in(changes) == [(code, record, location, services)]


@pytest.mark.parametrize(
    "changes",
    [
        {W + "sla_targets.then.period.last": "2026-12-31", W + "sla_targets.now.approved": True},
        {W + "sla_targets.then.period.last": "2026-12-31", W + "sla_targets.then.availability": 99.9},
        {W + "sla_targets": {}},
        {W + "sites.primary.level": 1, W + "sites.primary.availability": 99.9},
        {W + "exercise_programme": {}},
        {CENTRE + "contract": GONE},
        {CENTRE + "contract.expires": "2027-02-19"},
        {TIER + "wrt": "235m"},
        {S + "wrt": "235m"},
        {S + "owner": {"name": "Budi"}, S + "deputy": {"name": "Ani"}},
        {"people.people.kabid.deputy": GONE, "services.identitas.deputy": "staf", S + "deputy": "staf"}
        | {"people.roles.drill-lead": ["kabid", "staf"]},
        {COPY: "identitas/database"},
        {DOCUMENT + "status": "superseded", DOCUMENT + "review_due": "2020-01-01"},
        {DOCUMENT + "status": "draft", DOCUMENT + "approved": "2026-11-21"},
        {"documents.documents.perwali.status": "superseded", DOCUMENT + "status": "superseded"},
        {LINK + "last_failover_test": "2025-11-20"},
        {LINK + "backup_link": GONE, LINK + "replaces": GONE},
        {SPARE + ".stock": 0, SPARE + ".lead_time": "5m"},
        {SPARE + ".stock": 0, "assets.assets.server.hosts": [], "assets.assets.server.location": "kantor"},
        {"assets.assets.server.end_of_life": "2027-02-19"},
        {S + "hosting": "agency"},
    ],
    ids=lambda changes: ",".join(changes),
)
def test_what_is_right_gives_no_warning(changes: dict[str, Any]) -> None:
    assert found_in(changes) == []


def test_a_service_with_a_backup_and_neither_hosts_nor_datasets_lacks_both() -> None:
    found = found_in({S + "datasets": [], S + "runs_on": [], S + "recovers_on": {}})
    assert found == [("no-dataset", PENGADUAN, ("datasets",), P), ("no-host", PENGADUAN, ("runs_on",), P)]


def test_no_register_of_people_asks_for_no_roles() -> None:
    own = {f"services.{name}.{word}": {"name": word} for name in BOTH for word in ("owner", "deputy")}
    assert found_in({"people": {}} | own) == []


@pytest.mark.parametrize(
    ("missing", "why"),
    [({"checks": []}, "no check proves"), ({"recovers_on": {}}, "no recovery host"), ({"backup": None}, "no backup")],
)
def test_a_service_that_needs_one_that_cannot_be_recovered_is_told(missing: dict[str, Any], why: str) -> None:
    changes = {f"services.identitas.{key}": value for key, value in missing.items()}
    of_pengaduan = [finding for finding in review(city_with(changes), TODAY) if finding.services == P]
    assert [(finding.code, finding.location) for finding in of_pengaduan] == [
        ("depends-on-unrecoverable", ("depends_on", 0))
    ]
    assert why in of_pengaduan[0].message


def test_a_copy_of_data_that_is_not_backed_up_is_told() -> None:
    found = found_in({COPY: "identitas/database", "services.identitas.backup": GONE, S + "depends_on": []})
    assert [item for item in found if item[0] == "copy-of-unprotected"] == [
        ("copy-of-unprotected", PENGADUAN, AT_COPY, ("pengaduan", "identitas"))
    ]


def test_a_service_of_an_agency_stands_at_its_office() -> None:
    changes = ELSEWHERE | {S + "hosting": "agency", W + "agencies.humas": {"title": "Humas", "location": "kantor"}}
    spare = {SPARE + ".stock": 0, "assets.assets.server.hosts": [], "assets.assets.server.location": "kantor"}
    assert [code for code, *_ in found_in(changes | spare)] == ["no-backup-elsewhere", "no-way-round", "spare-too-late"]


@pytest.mark.parametrize(
    ("host", "place", "beside"),
    [
        ("drc-pengaduan-1", "balai-kota", "the primary site"),
        ("pengaduan-1", "drc", "host 'pengaduan-1'"),
    ],
)
def test_a_recovery_host_beside_what_it_stands_in_for_is_told(host: str, place: str, beside: str) -> None:
    moved = city_with({}).hosts[host].model_copy(update={"location": place})
    (finding,) = review(city_with({}, {host: moved}), TODAY)
    assert (finding.code, finding.record, finding.location) == (
        "same-location",
        Record(HOSTS),
        ("host", "drc-pengaduan-1"),
    )
    assert finding.message == f"recovery host 'drc-pengaduan-1' is at {place!r}, as {beside} is"
    assert finding.services == P


def test_a_recovery_host_that_left_the_ansible_inventory_is_told() -> None:
    assert found_in({}, {"drc-pengaduan-1": None}) == [
        ("recovery-host-missing", PENGADUAN, ("recovers_on", "pengaduan-1"), P)
    ]


def test_sla_targets_that_disagree_are_one_warning_that_names_them_all_with_their_sources() -> None:
    whole = {"first": "2010-01-01", "last": "9999-12-31"}
    values = {"peta-jalan-1": 90, "peta-jalan-2": 95, "jaminan": 99.5, "peta-jalan-3": 99.99}
    targets = {name: {"availability": value, "period": whole, "source": f"§ {name}"} for name, value in values.items()}
    found = review(city_with({W + "sla_targets": targets, W + "tiers.penting.rto": "50m"}), TODAY)
    (disagree,) = [finding for finding in found if finding.code == "sla-targets-disagree"]
    for name, value in values.items():
        assert f"{value} % in {name} (§ {name})" in disagree.message
    # Nothing is approved, so the strictest is compared: level 3 cannot carry it, and the RTO of 50 minutes fits.
    assert {finding.code for finding in found} >= {"site-below-target", "contract-availability"}
    assert all("99.99 % (peta-jalan-3)" in finding.message for finding in found if finding.code == "site-below-target")
    assert not any(finding.code == "rto-over-downtime" for finding in found)


def test_the_approved_target_is_compared_where_there_is_one() -> None:
    both = {W + "sla_targets.then.period.last": "2026-12-31", W + "sla_targets.then.approved": True}
    assert found_in(both | {W + "sites.primary.level": 1}) == []


def test_a_target_that_has_ended_is_still_compared_until_there_is_a_new_one() -> None:
    ended = {W + "sla_targets.now.period.last": "2026-11-19"}
    assert {code for code, *_ in found_in(ended | {W + "sites.primary.level": 1})} == {
        "no-sla-target",
        "site-below-target",
    }
    next_year = {"availability": 99.9, "period": {"first": "2027-01-01", "last": "2027-12-31"}}
    to_come: dict[str, Any] = {W + "sla_targets": {"next": next_year}}
    assert [code for code, *_ in found_in(to_come | {W + "sites.primary.level": 1})] == ["no-sla-target"]


def test_every_warning_says_what_to_do_and_each_kind_says_the_same() -> None:
    hints: dict[str, set[str]] = {}
    for changes, code, *_ in SERVICES + OVERLAPS + WORKSPACES + REGISTERS:
        for finding in review(city_with(changes), TODAY):
            assert finding.severity == "warning"
            assert finding.message
            hints.setdefault(code, set()).add(finding.hint)
    assert all(len(told) == 1 and all(told) for told in hints.values())


def test_ten_thousand_services_are_reviewed_in_under_a_second() -> None:
    """In one tier, on one host, of one owner, at one place: whatever compares all with all takes minutes here."""
    city = city_with({"people.people.kabid.deputy": GONE, SPARE + ".stock": 0, CENTRE + "contract.rto": "1h"})
    pattern = city.services["pengaduan"]
    services: dict[str, Service] = dict(city.services)
    for number in range(10_000):
        changes = {"id": f"s{number}", "depends_on": tuple(services)[-3:]} if number < 100 else {"id": f"s{number}"}
        services[f"s{number}"] = pattern.model_copy(update=changes | {"rto": None, "recovers_on": {}})
    whole = city.model_copy(update={"services": services})
    started = time.process_time()
    found = review(whole, TODAY)
    assert time.process_time() - started < 1
    assert len(found) > 10_000
