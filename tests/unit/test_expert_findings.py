"""What an expert would say after one change to a real city: exactly that is found, and nothing else.

Each row changes the files of a shipped workspace, and lists what is told then and was not before (`plan:` for
`drp plan`, else `drp validate`), and what is no longer told.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.workspaces import REPOSITORY, Files, Outcome, outcome_of, read_files

BOGOR, CIREBON = REPOSITORY, REPOSITORY / "inventories" / "cirebon"
HOSTS, NETWORK, WORKSPACE = "inventories/hosts.yaml", "inventories/network.yaml", "drp.yaml"
DOCUMENTS, ASSETS, RUNBOOK = "inventories/documents.yaml", "inventories/assets.yaml", "runbooks/site-loss.yaml"
PLACE = (HOSTS, "all", "children")
CENTRE = (WORKSPACE, "dr_centres", "drc")
IN_CONTRACT = "dr_centres.drc.contract"

Told = set[tuple[str, str]]
Change = Callable[[Files], None]


def at(*path: Any) -> tuple[Any, ...]:
    return path


def of(service: str, *path: Any) -> tuple[Any, ...]:
    """A place in a service's file."""
    return (f"inventories/services/{service}.yaml", *path)


def put(path: tuple[Any, ...], value: Any) -> Change:
    def change(files: Files) -> None:
        holder: Any = files
        for word in path[:-1]:
            holder = holder.setdefault(word, {}) if isinstance(holder, dict) else holder[word]
        holder[path[-1]] = value

    return change


def drop(*paths: tuple[Any, ...]) -> Change:
    def change(files: Files) -> None:
        for path in paths:
            holder: Any = files
            for word in path[:-1]:
                holder = holder[word]
            del holder[path[-1]]

    return change


def both(*changes: Change) -> Change:
    def change(files: Files) -> None:
        for one in changes:
            one(files)

    return change


@cache
def files_of(workspace: Path) -> Files:
    return read_files(workspace)


def services(workspace: Path) -> dict[str, Any]:
    found = [value for name, value in files_of(workspace).items() if name.startswith("inventories/services/")]
    return {service["id"]: service for service in found}


def central(workspace: Path = BOGOR) -> set[str]:
    """The services that a loss of the primary site takes down."""
    return {name for name, service in services(workspace).items() if service.get("hosting", "central") == "central"}


def direct(*names: str, workspace: Path = BOGOR) -> set[str]:
    """The services that say that they need one of these."""
    return {name for name, service in services(workspace).items() if set(names) & set(service.get("depends_on", []))}


def needing(*names: str, workspace: Path = BOGOR) -> set[str]:
    """The services that need one of these, at any remove."""
    found: set[str] = set()
    while more := direct(*names, *found, workspace=workspace) - found:
        found |= more
    return found - set(names)


def each(code: str, names: set[str]) -> Told:
    return {(code, name) for name in names}


def lost(code: str, *names: str, workspace: Path = BOGOR) -> Told:
    """What is told where these services cannot be recovered: by validate and plan, for them and for what needs them."""
    found = each(code, set(names)) | each(f"plan:{code}", set(names))
    found |= each("depends-on-unrecoverable", direct(*names, workspace=workspace))
    return found | each("plan:needs-unrecoverable", needing(*names, workspace=workspace))


CRITICAL_AND_LARGE = {"kelurahan-kecamatan", "kesehatan", "pajak", "perizinan"}
CRITICAL = CRITICAL_AND_LARGE | {"pendapatan", "sim-egov", "website"}
ON_PAJAKS_HOST = ("pajak", "pendapatan")


@dataclass(frozen=True)
class Row:
    """A change, what is told after it and was not before, and what is no longer told."""

    name: str
    change: Change
    told: Told
    gone: Told = field(default_factory=set)
    workspace: Path = BOGOR


FAULTS = [
    Row(
        "a primary host is gone",
        drop(at(*PLACE, "primary", "hosts", "balaikota-app-6")),
        each("unknown-name", {"pajak", "pendapatan"}),
    ),
    Row(
        "a recovery host has a primary host's address",
        put(at(*PLACE, "recovery", "hosts", "drc-db-1", "ansible_host"), "198.18.1.30"),
        each("same-address", {"dss", "eis", "repositori-data"}),
    ),
    Row(
        "a stand-in stands at the primary site",
        put(of("pajak", "recovers_on"), {"balaikota-app-6": "balaikota-app-1"}),
        {("wrong-site", "pajak")},
    ),
    Row("an unknown dependency", put(of("dss", "depends_on"), ["sim-egof"]), {("unknown-name", "dss")}),
    Row("an unknown agency", put(of("dss", "agency"), "diskominfoo"), {("unknown-name", "dss")}),
    Row("a circle of dependencies", put(of("sim-egov", "depends_on"), ["dss"]), {("dependency-cycle", "sim-egov")}),
    Row("two services in one database", put(of("eis", "datasets", 0, "database"), "dss"), {("same-place", "eis")}),
    Row(
        "a line that ends where it starts",
        put(at(NETWORK, "links", "r07", "b"), "kec-tanah-sareal"),
        {("line-to-itself", "network")},
    ),
    Row("a line that ends nowhere", put(at(NETWORK, "links", "r07", "b"), "bulan"), {("unknown-name", "network")}),
]

ROWS = [
    # -- hosts -----------------------------------------------------------------------------------------------------
    Row(
        "a recovery host is gone",
        drop(at(*PLACE, "recovery", "hosts", "drc-app-6")),
        lost("recovery-host-missing", *ON_PAJAKS_HOST) | {("unknown-name", "assets.server-drc.hosts.5")},
    ),
    Row("nobody stands in", drop(of("pajak", "recovers_on")), lost("no-recovery-host", "pajak")),
    # -- lines -----------------------------------------------------------------------------------------------------
    Row(
        "the storage gives half",
        put(at(*CENTRE, "throughput"), "500Mbit/s"),
        each("plan:shared-line", CRITICAL_AND_LARGE),
    ),
    Row(
        "the storage gives a quarter",
        put(at(*CENTRE, "throughput"), "250Mbit/s"),
        each(
            "plan:shared-line",
            CRITICAL_AND_LARGE
            | {"pendapatan", "website", "e-filing", "eis", "repositori-data", "sosial", "tata-ruang"},
        ),
    ),
    Row(
        "one of the two lines to the DR centre is gone",
        drop(at(NETWORK, "links", "drc-utama")),
        {("single-line", "links.drc-cadangan"), ("unknown-name", "assets.router-drc.links.0")},
    ),
    Row(
        "both lines to the DR centre are gone",
        drop(at(NETWORK, "links", "drc-utama"), at(NETWORK, "links", "drc-cadangan")),
        each("plan:no-uplink", central())
        | {("unknown-name", "assets.router-drc.links.0"), ("unknown-name", "assets.router-drc.links.1")},
        {("no-way-round", "sites.recovery.location")},
    ),
    Row(
        "the lines to the DR centre carry a megabit",
        both(
            put(at(NETWORK, "links", "drc-utama", "capacity"), "1Mbit/s"),
            put(at(NETWORK, "links", "drc-cadangan", "capacity"), "1Mbit/s"),
        ),
        each("plan:uplink-overloaded", central()) | each("plan:shared-uplink", CRITICAL | {"pengaduan"}),
    ),
    Row(
        "nobody knows what the lines to the DR centre carry",
        drop(at(NETWORK, "links", "drc-utama", "capacity"), at(NETWORK, "links", "drc-cadangan", "capacity")),
        each("plan:arrival-unknown", central()),
    ),
    Row(
        "a fibre gets a second way that nobody has tried",
        put(at(NETWORK, "links", "r07", "backup_link"), "r08"),
        {("backup-link-untested", "links.r07.backup_link"), ("backup-link-no-way", "links.r07.backup_link")},
        {("redundancy-lost", "links.r07.replaces")},
    ),
    Row(
        "the second line was last tried two years ago",
        put(at(NETWORK, "links", "drc-utama", "last_failover_test"), "2024-06-11"),
        {("backup-link-untested", "links.drc-utama.last_failover_test")},
    ),
    # -- data, objectives and people -------------------------------------------------------------------------------
    Row(
        "one dataset grows to two terabytes",
        put(of("kesehatan", "datasets", 0, "size"), "2TB"),
        {("plan:data-too-large", "kesehatan")} | each("plan:shared-line", {"eis", "repositori-data"}),
    ),
    Row(
        "nobody knows how large a dataset is",
        drop(of("pajak", "datasets", 0, "size")),
        each("plan:step-unknown", central()),  # all others share the line with it
    ),
    Row(
        "one RTO is cut to two hours",
        put(of("perizinan", "rto"), "2h"),
        {("plan:shared-line", "perizinan"), ("contract-rto", f"{IN_CONTRACT}.rto"), ("rto-over-downtime", "perizinan")},
    ),
    Row(
        "one RTO is cut below the time that people need",
        put(of("pengaduan", "rto"), "20m"),
        {("plan:people-too-slow", "pengaduan"), ("contract-rto", f"{IN_CONTRACT}.rto")},
    ),
    Row("an RTO over its MTPD", put(of("kesehatan", "mtpd"), "3h"), {("rto-over-mtpd", "kesehatan")}),
    Row(
        "the critical tier promises three hours",
        put(at(WORKSPACE, "tiers", "kritis", "rto"), "3h"),
        each("plan:shared-line", CRITICAL_AND_LARGE) | {("contract-rto", f"{IN_CONTRACT}.rto")},
    ),
    Row(
        "what nearly all depend on starts slowly",
        put(of("sim-egov", "recovery", "estimates", "activate"), "4h"),
        {("plan:steps-too-long", "sim-egov")} | each("plan:critical-path", CRITICAL_AND_LARGE | {"pendapatan"}),
    ),
    Row(
        "people take two hours to decide",
        put(at(RUNBOOK, "people", "decide"), "2h"),
        each("plan:shared-line", CRITICAL_AND_LARGE),
    ),
    Row(
        "nobody says how long people need",
        drop(at(RUNBOOK, "people")),
        each("plan:people-time-unknown", central()),
    ),
    # -- backups ---------------------------------------------------------------------------------------------------
    Row(
        "the hub has no backup",
        drop(of("sim-egov", "backup")),
        lost("no-backup", "sim-egov"),
    ),
    Row("nobody can prove a service usable", drop(of("pajak", "checks")), lost("no-check", "pajak")),
    Row(
        "an hourly backup becomes a nightly one",
        put(of("kesehatan", "backup", "schedule"), "daily 02:00"),
        {("plan:schedule-too-rare", "kesehatan")},
    ),
    Row(
        "a backup without a schedule",
        drop(of("kesehatan", "backup", "schedule")),
        {("no-schedule", "kesehatan"), ("plan:no-schedule", "kesehatan")},
    ),
    Row(
        "an agency takes its service to itself, without a backup",
        both(
            put(of("dss", "hosting"), "agency"),
            drop(*(of("dss", key) for key in ("backup", "runs_on", "recovers_on", "datasets"))),
        ),
        {("no-backup-elsewhere", "dss")},
    ),
    Row(
        "an agency's service without a backup stands on a host of the primary site",
        both(put(of("dss", "hosting"), "agency"), drop(of("dss", "backup"))),
        {("no-backup-elsewhere", "dss"), ("plan:hosted-elsewhere", "dss"), ("plan:no-backup", "dss")},
    ),
    # -- papers, people, things ------------------------------------------------------------------------------------
    Row(
        "the DR centre's contract ends in three weeks",
        put(at(*CENTRE, "contract", "expires"), "2026-12-15"),
        {("expires-soon", "dr_centres.drc.contract.expires")},
    ),
    Row(
        "the contract has no room for one copy",
        put(at(*CENTRE, "contract", "capacity"), "1TB"),
        each("plan:contract-capacity", central()),
    ),
    Row(
        "one SLA target is approved, and is one that the contract and the tiers can carry",
        put(at(WORKSPACE, "sla_targets", "layanan-99-5", "approved"), True),
        set(),
        each("rto-over-downtime", {f"tiers.{tier}.rto" for tier in ("kritis", "penting", "biasa")})
        | {("contract-availability", f"{IN_CONTRACT}.availability")}
        | {("site-below-target", "sites.primary.availability"), ("sla-targets-disagree", "sla_targets")},
    ),
    Row(
        "the recovery site is accepted",
        put(at(WORKSPACE, "sites", "recovery", "status"), "accepted"),
        set(),
        {("site-not-accepted", "sites.recovery.status")},
    ),
    Row(
        "a spare database server lies ready",
        put(at(ASSETS, "assets", "server-basis-data", "spare", "stock"), 1),
        set(),
        {("spare-too-late", "assets.server-basis-data.spare.lead_time")},
    ),
    Row("nobody has said what a service needs", drop(of("dss", "depends_on")), {("dependencies-unstated", "dss")}),
    Row("a service without an owner", drop(of("dss", "owner")), {("no-owner", "dss")}),
    Row(
        "a tier has no exercises",
        drop(at(WORKSPACE, "exercise_programme", "biasa")),
        {("no-cadence", "exercise_programme")},
    ),
    Row(
        "the master plan was looked at again",
        put(at(DOCUMENTS, "documents", "rencana-induk", "review_due"), "2027-12-31"),
        set(),
        {("review-overdue", "documents.rencana-induk.review_due")},
    ),
    # -- the other city --------------------------------------------------------------------------------------------
    Row(
        "Cirebon: the recovery host of three systems is gone",
        drop(at(*PLACE, "recovery", "hosts", "drc-db-1")),
        lost("recovery-host-missing", "simda", "simpatda", "sipkd", workspace=CIREBON)
        | {("unknown-name", "assets.server-drc.hosts.3")},
        workspace=CIREBON,
    ),
    Row(
        "Cirebon: its only line to the DR centre is gone",
        drop(at(NETWORK, "links", "drc-sewa")),
        each("plan:no-uplink", central(CIREBON)) | {("unknown-name", "assets.router-drc.links.0")},
        {("no-way-round", "sites.recovery.location"), ("single-line", "links.drc-sewa")},
        workspace=CIREBON,
    ),
    Row(
        "Cirebon: the storage gives half",
        put(at(*CENTRE, "throughput"), "50Mbit/s"),
        each("plan:shared-line", {"perizinan", "sipkd", "e-procurement"}),
        workspace=CIREBON,
    ),
]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Outcome]:
    """What is told about an unchanged workspace."""

    @cache
    def outcome(workspace: Path) -> Outcome:
        return outcome_of(files_of(workspace), tmp_path_factory.mktemp("before"))

    return outcome


def changed(row: Row, folder: Path) -> Outcome:
    files = copy.deepcopy(files_of(row.workspace))
    row.change(files)
    return outcome_of(files, folder)


@pytest.mark.parametrize("workspace", [BOGOR, CIREBON], ids=["bogor", "cirebon"])
def test_the_city_as_it_is_can_keep_every_promise(workspace: Path, before: Callable[[Path], Outcome]) -> None:
    outcome = before(workspace)
    assert outcome.faults == ()
    assert outcome.shortfalls == ()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_one_change_gives_exactly_what_an_expert_would_say(
    row: Row, tmp_path: Path, before: Callable[[Path], Outcome]
) -> None:
    known, now = before(row.workspace).told(), changed(row, tmp_path).told()
    assert now - known == row.told
    assert known - now == row.gone


@pytest.mark.parametrize("row", FAULTS, ids=lambda row: row.name)
def test_one_wrong_name_stops_everything_and_is_told_where_it_stands(row: Row, tmp_path: Path) -> None:
    outcome = changed(row, tmp_path)
    assert {(fault.code, Path(fault.file).stem) for fault in outcome.faults} == row.told
    assert all(fault.line and fault.hint for fault in outcome.faults)
