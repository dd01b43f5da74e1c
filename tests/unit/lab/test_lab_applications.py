"""Which program serves which service, and what it puts on a host: all from the service's own declaration."""

from __future__ import annotations

import configparser
import io
import tarfile
from functools import cache
from pathlib import Path

import pytest

from drp.adapters.inventory import load_city
from drp.domain.inventory import City
from drp.errors import UsageError
from drp.lab.applications import APPLICATIONS, application_of
from drp.lab.applications.base import Entry, archive, folder, link
from drp.lab.applications.portal import Portal
from drp.lab.plan import LabPlan
from drp.lab.workspace import plan_of, with_what_is_there

ROOT = Path(__file__).parents[3]


@cache
def city() -> City:
    return load_city(ROOT, ROOT / "runbooks")


@cache
def whole() -> LabPlan:
    return plan_of(ROOT, city(), with_what_is_there(ROOT, city(), (), everything=True))


def test_every_service_that_can_be_recovered_has_a_program_and_every_program_a_service() -> None:
    served = {service.id: application_of(service) for service in whole().services}
    assert [name for name, application in served.items() if application is None] == []
    of_the_city = {type(item) for item in APPLICATIONS} - {Portal}  # that one is the self-test's
    assert {type(application) for application in served.values()} == of_the_city
    assert len(served) >= 30
    assert len(whole().hosts) >= 12
    types = {dataset["type"] for service in whole().services for dataset in service.datasets}
    assert {"postgresql", "mariadb", "openldap", "redis", "sqlite", "git", "files"} <= types


@pytest.mark.parametrize("name", [service.id for service in whole().services])
def test_what_is_put_on_a_host_is_backed_up(name: str) -> None:
    """Whatever an application needs must come back with the service's datasets: nothing is left to be done by hand."""
    service = whole().service(name)
    assert service is not None
    application = application_of(service)
    assert application is not None
    kept = [*service.paths, *(dataset["path"] for dataset in service.datasets if "path" in dataset)]
    entries = [entry for entry in application.entries(service, whole()) if not entry.path.startswith("/run/")]
    lost = [entry.path for entry in entries if not any(f"{entry.path}/".startswith(f"{path}/") for path in kept)]
    assert lost == []
    for entry in entries:
        assert b"@" not in entry.content or entry.path.endswith((".py", ".ini", ".init")), entry.path


def test_an_application_of_the_city_asks_all_that_its_service_needs() -> None:
    service = whole().service("repositori-data")
    assert service is not None
    application = application_of(service)
    assert application is not None
    (settings,) = [entry for entry in application.entries(service, whole()) if entry.path.endswith(".ini")]
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(settings.content.decode())
    assert set(parser["needs"]) == set(city().services["repositori-data"].depends_on)
    assert parser["needs"]["pajak"] == "http://pajak.kotabogor.example/api/ringkasan"
    assert parser["needs"]["sim-egov"].endswith("@sim-egov.kotabogor.example/sesi")
    # It holds a password.
    assert (settings.mode, settings.owner) == (0o640, service.accounts[0]["uid"])


def test_services_are_built_with_all_that_they_need_and_no_others() -> None:
    assert with_what_is_there(ROOT, city(), (), everything=False) == ["pengaduan"]
    found = with_what_is_there(ROOT, city(), ("kesehatan",), everything=False)
    assert set(found) == {"sim-egov", "kelurahan-kecamatan", "kesehatan"}
    hosts = {host.name for host in plan_of(ROOT, city(), found).hosts}
    assert hosts == {"balaikota-dir-1", "drc-dir-1", "balaikota-app-2", "drc-app-2"}
    with pytest.raises(UsageError, match="no service 'nirgends'"):
        with_what_is_there(ROOT, city(), ("nirgends",), everything=False)
    with pytest.raises(UsageError, match="cannot build it"):
        with_what_is_there(ROOT, city(), ("air-bersih",), everything=False)


def test_an_archive_keeps_owners_modes_and_links() -> None:
    content = archive([folder("/srv/a", 812), Entry("/srv/a/b", b"text", 0o640, 812), link("/etc/c", "/srv/a/b")])
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        found = {item.name: (item.type, oct(item.mode), item.uid, item.size, item.linkname) for item in tar}
    assert found == {
        "srv/a": (tarfile.DIRTYPE, "0o750", 812, 0, ""),
        "srv/a/b": (tarfile.REGTYPE, "0o640", 812, 4, ""),
        "etc/c": (tarfile.SYMTYPE, "0o777", 0, 0, "/srv/a/b"),
    }
