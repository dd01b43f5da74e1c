"""A part of the city in the lab: a directory, a Debian application and one of a city, which need each other."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator

import pytest

from tests.e2e.workbench import Workbench, eventually, lab_address

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

DIRECTORY, CALENDAR, STAFF = "sim-egov", "diklat", "mutasi-bangrir"
PATHS = {DIRECTORY: ("0.135", "/masuk"), CALENDAR: ("0.105", "/pelatihan/1"), STAFF: ("0.102", "/")}
DIRECTORY_HOST, SPARE_HOST = lab_address("1.40"), lab_address("2.13")
SLOW_SECONDS = 600
"""Other tests run beside these."""


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """A lab with the two applications and what they need."""
    bench = Workbench(tmp_path_factory.mktemp("city"))
    try:
        bench.drp("lab", "up", CALENDAR, STAFF, limit_seconds=SLOW_SECONDS)
        yield bench
    finally:
        bench.down()
    assert bench.leftovers() == []


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
    return [answer_of(service)[0] for service in PATHS] == [200, 200, 200]


def test_services_answer_from_their_own_data_and_up_again_changes_nothing(city: Workbench) -> None:
    eventually(all_answer, "all of them answer")
    assert "BEGIN:VEVENT" in answer_of(CALENDAR)[1]
    page = answer_of(STAFF)[1]
    assert "Dokumen pegawai/1" in page or "Dokumen arsip/" in page
    assert f"{DIRECTORY}: sesi dapat dibuka" in page
    again = city.drp("lab", "up", CALENDAR, STAFF, limit_seconds=SLOW_SECONDS)
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


def test_a_drill_recovers_all_of_them_with_measured_verdicts_and_leaves_nothing(city: Workbench) -> None:
    city.drp("backup", "run", *PATHS, limit_seconds=SLOW_SECONDS)
    done = city.drp("drill", "run", *PATHS, "--json", code=(0, 4), limit_seconds=SLOW_SECONDS)
    result = done.json()
    found = {item["service"]: item for item in result["services"]}
    assert set(found) == set(PATHS)
    for name, item in found.items():
        assert item["verdict"] in ("MET", "MET_WITH_EXCEPTION"), f"{name}: {item}\n{done.stderr}"
        assert item["rta_ms"] > 0, name
        assert item["rpa_ms"] > 0, name
    assert city.ssh(SPARE_HOST, "ls -A /srv /etc/nginx/sites-enabled").split() == ["/etc/nginx/sites-enabled:", "/srv:"]
    eventually(all_answer, "all of them answer")
