"""A part of the city in the lab, which needs each other: a directory, a site and what stands on them, in PostgreSQL,
MariaDB, Redis, SQLite and files. Its citizens write all the time; at the end its primary site is lost."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from drp.lab import city as lab_city
from drp.lab import network
from tests.e2e.citizens import acknowledged, compare, missing_of_all, writers_of
from tests.e2e.workbench import Workbench, eventually, lab_address

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

DIRECTORY, CALENDAR, STAFF, PAYROLL = "sim-egov", "diklat", "mutasi-bangrir", "absensi-penggajian"
PATHS = {
    DIRECTORY: ("0.135", "/masuk"),
    CALENDAR: ("0.105", "/pelatihan/1"),
    STAFF: ("0.102", "/"),
    PAYROLL: ("0.103", "/rekap/2025-01"),
    "katalog-barang": ("0.109", "/barang/1"),
    "transportasi": ("0.118", "/uji-kendaraan/1"),
    "website": ("0.106", "/"),
    "komunikasi": ("0.120", "/pengumuman/1"),
}
BUILT = ("diklat", "absensi-penggajian", "katalog-barang", "transportasi", "komunikasi")
"""The others are what these need."""
LOSE_A_HOST = (DIRECTORY, CALENDAR, STAFF)

DIRECTORY_HOST, PAYROLL_HOST = lab_address("1.40"), lab_address("1.13")
SPARE_NAME = "drc-app-4"
SPARE_HOSTS = [lab_address(last) for last in ("2.13", "2.14", "2.20", "2.40")]
SLOW_SECONDS = 700
"""Other tests run beside these."""


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """A lab with the applications and what they need."""
    bench = Workbench(tmp_path_factory.mktemp("city"))
    try:
        bench.drp("lab", "up", *BUILT, limit_seconds=SLOW_SECONDS)
        yield bench
    finally:
        bench.down()
    assert bench.leftovers() == []


@pytest.fixture(scope="module")
def backed_up(city: Workbench) -> None:
    """Each service has a restore point."""
    city.drp("backup", "run", *PATHS, limit_seconds=SLOW_SECONDS)


def answer_of(service: str) -> tuple[int, str]:
    """What users get of a service: status and text; 0 where nobody answers."""
    address, path = PATHS[service]
    with contextlib.closing(http.client.HTTPConnection(lab_address(address), 80, timeout=60)) as connection:
        try:
            connection.request("GET", path, headers={"Host": f"{service}.kotabogor.example"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""


def all_answer() -> bool:
    return {service: answer_of(service)[0] for service in PATHS} == dict.fromkeys(PATHS, 200)


def test_services_answer_from_their_own_data_and_up_again_changes_nothing(city: Workbench) -> None:
    eventually(all_answer, "all of them answer")
    assert "BEGIN:VEVENT" in answer_of(CALENDAR)[1]
    page = answer_of(STAFF)[1]
    assert "Dokumen pegawai/1" in page or "Dokumen arsip/" in page or "Dokumen warga/" in page
    assert f"{DIRECTORY}: sesi dapat dibuka" in page
    again = city.drp("lab", "up", *BUILT, limit_seconds=SLOW_SECONDS)
    assert "the lab was already up" in again.stderr


def test_what_a_service_needs_takes_it_down_and_brings_it_back(city: Workbench) -> None:
    before = answer_of(CALENDAR)
    city.ssh(DIRECTORY_HOST, "service slapd stop")
    try:
        for service in (CALENDAR, STAFF):
            eventually(lambda: answer_of(service)[0] >= 500, f"{service} is not usable without the directory")  # noqa: B023
        assert DIRECTORY in answer_of(STAFF)[1]
    finally:
        city.ssh(DIRECTORY_HOST, "service slapd start")
    for service in (CALENDAR, STAFF):
        eventually(lambda: answer_of(service)[0] == 200, f"{service} is usable again")  # noqa: B023
    assert answer_of(CALENDAR) == before


def test_a_drill_recovers_all_of_them_with_measured_verdicts_and_leaves_nothing(
    city: Workbench, backed_up: None
) -> None:
    del backed_up
    done = city.drp("drill", "run", *PATHS, "--json", code=(0, 4), limit_seconds=SLOW_SECONDS)
    result = done.json()
    found = {item["service"]: item for item in result["services"]}
    assert set(found) == set(PATHS)
    for name, item in found.items():
        assert item["verdict"] in ("MET", "MET_WITH_EXCEPTION"), f"{name}: {item}\n{done.stderr}"
        assert item["rta_ms"] > 0, name
        assert item["rpa_ms"] > 0, name
    for host in SPARE_HOSTS:
        assert city.ssh(host, "ls -A /srv /etc/nginx/sites-enabled").split() == ["/etc/nginx/sites-enabled:", "/srv:"]
    assert not {"absensi_penggajian", "mutasi_bangrir"} & databases(city, SPARE_HOSTS[0])
    assert {"absensi_penggajian", "mutasi_bangrir"} <= databases(city, PAYROLL_HOST)
    eventually(all_answer, "all of them answer")


def databases(city: Workbench, host: str) -> set[str]:
    """What the two database servers of a host have."""
    script = "service mariadb start >/dev/null; mariadb -BNe 'SHOW DATABASES'"
    return set((city.ssh(host, script) + city.sql(host, "SELECT datname FROM pg_database", "postgres")).split())


# The restore from a DR centre waits for ever: the host is lost in the middle of it.
WAITING = """#!/bin/sh
case "$*" in *restore*|*dump*) touch /tmp/waits; exec sleep 86400;; esac
exec /usr/bin/restic "$@"
"""


def lose_for_good(bench: Workbench, name: str) -> None:
    """All that runs there is gone at once, and so is the host: no connection is closed, and nothing answers again."""
    (host,) = (host for host in lab_city.status(bench.folder).hosts if host.name == name)
    assert host.pid is not None
    network.unplug(bench.names, name)
    os.kill(host.pid, signal.SIGKILL)


def test_a_recovery_host_that_is_lost_for_good_costs_only_its_own_services(city: Workbench, backed_up: None) -> None:
    """The host does not come back. The run ends by its own limits, and says which host it was."""
    del backed_up
    with contextlib.ExitStack() as changes:
        for service in (CALENDAR, STAFF):
            shorter = ("\nrecovery:\n", "\nrecovery:\n  timeouts: {host_away: 5s}\n")
            file = f"inventories/services/{service}.yaml"
            changes.enter_context(city.changed(file, lambda text: text.replace(*shorter)))  # noqa: B023 - at once
        city.ssh(SPARE_HOSTS[0], "cat >/usr/local/sbin/restic && chmod 755 /usr/local/sbin/restic", stdin=WAITING)
        drill = city.start("drill", "run", *LOSE_A_HOST, "--json")
        is_waiting = "ls /tmp/waits 2>/dev/null || true"
        eventually(lambda: city.ssh(SPARE_HOSTS[0], is_waiting) != "", "a restore is at work", SLOW_SECONDS)
        lose_for_good(city, SPARE_NAME)
        done = drill.end(limit_seconds=SLOW_SECONDS)
    assert done.code == 4, done.stderr
    result = done.json()
    found = {item["service"]: item for item in result["services"]}
    assert result["verdict"] == "NOT_MET"
    assert found[DIRECTORY]["verdict"] in ("MET", "MET_WITH_EXCEPTION"), done.stderr
    assert found[DIRECTORY]["rta_ms"] > 0
    for service in (CALENDAR, STAFF):
        assert (found[service]["verdict"], found[service]["rta_ms"]) == ("NOT_MET", None)
        hosts = {cause["host"] for cause in result["causes"] if cause["service"] == service}
        assert SPARE_NAME in hosts, result["causes"]
    exceptions = [item["text"] for service in (CALENDAR, STAFF) for item in found[service]["exceptions"]]
    assert any("what should be removed is still there" in text for text in exceptions), exceptions
    assert f"{SPARE_NAME} was lost in" in done.stderr
    city.drp("report", "verify", result["report"][1])
    assert all_answer(), "production works on"


WRITERS = {STAFF, PAYROLL, CALENDAR, "transportasi", "website"}
"""In PostgreSQL, MariaDB, files and Redis; the others are only read."""


def test_after_a_site_loss_citizens_of_every_service_agree_with_what_drp_says_is_lost(
    city: Workbench, backed_up: None
) -> None:
    """Last: it is for real. What needs a service finds it where users do."""
    del backed_up
    city.drp("lab", "up", *BUILT, limit_seconds=SLOW_SECONDS)  # another host in the place of the lost one
    watch = city.start("watch", *PATHS)
    for service in PATHS:
        watch.until(f"{service}: usable from outside")
    writers = writers_of(city.folder)
    assert set(writers) == WRITERS
    at = lab_city.disaster(city.folder, "site-loss", say=lambda _line: None)
    for service in PATHS:
        watch.until(f"{service}: NOT usable")
    decided = ("--yes", "--by", "Ratna Kusumah", "--reason", "banjir", "--json")
    done = city.drp("failover", *PATHS, *decided, code=(0, 4), limit_seconds=SLOW_SECONDS)
    found = {item["service"]: item for item in done.json()["services"]}
    for name in PATHS:
        assert found[name]["verdict"] in ("MET", "MET_WITH_EXCEPTION"), f"{name}: {found[name]}\n{done.stderr}"
    eventually(all_answer, "all of them answer at the recovery site")
    report = json.loads(Path(done.json()["report"][1]).read_text())
    writes = {name: acknowledged(writer) for name, writer in writers.items()}
    lost = missing_of_all(writers, writes)
    compared = [compare(name, at, writes[name], lost[name], report) for name in writers]
    assert {item.service: item.faults for item in compared} == {name: [] for name in writers}
    assert all(len(item.lost) >= 2 for item in compared), "what was written since the backup is lost, and drp said so"
