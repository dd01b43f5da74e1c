"""The two cities that come with drp: complete as their sources are, and honest about what was filled in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest

from drp.adapters.inventory import load_city
from drp.domain.datasets import FilesDataset, PostgresqlDataset
from drp.domain.forecasts.estimates import History
from drp.domain.forecasts.feasibility import shortfalls_of
from drp.domain.forecasts.forecast import forecast
from drp.domain.forecasts.lines import neighbours, reachable
from drp.domain.graph import with_dependencies
from drp.domain.inventory import City
from drp.domain.model import Declared
from drp.domain.objectives import objectives_of
from drp.domain.protection.gaps import gaps_of
from drp.domain.secret import SecretReference

REPOSITORY = Path(__file__).parents[2]

MODULES = {
    "kinerja-pns": {"mutasi-bangrir", "absensi-penggajian", "penilaian-kinerja", "diklat"},
    "kinerja-pemerintahan": {
        "website",
        "e-filing",
        "evaluasi-hasil",
        "katalog-barang",
        "pendapatan",
        "perusahaan-daerah",
        "kelurahan-kecamatan",
    },
    "layanan-masyarakat": {
        "pengaduan",
        "tata-ruang",
        "kesehatan",
        "pendidikan",
        "ketenagakerjaan",
        "sosial",
        "transportasi",
        "jalan-drainase",
        "komunikasi",
        "sampah-limbah",
        "perumahan",
        "ruang-terbuka-hijau",
        "penerangan-jalan",
        "air-bersih",
    },
    "layanan-bisnis": {
        "pajak",
        "perizinan",
        "investasi",
        "administrasi-dprd",
        "pemilu-daerah",
        "katalog-hukum",
        "potensi-daerah",
        "pertanian",
        "pariwisata",
        "kukm",
        "industri-perdagangan",
        "bangunan-gedung",
    },
}
BESIDE_THE_MODULES = {"eis", "dss", "repositori-data", "sim-egov", "website-subdomain"}
CIREBON = {
    "website",
    "perizinan",
    "siak",
    "simpatda",
    "simak-bmn",
    "e-parlemen",
    "penyuluh-pertanian",
    "sp3",
    "sipkd",
    "simpeg",
    "simda",
    "e-procurement",
    "portal",
    "intranet-opd",
    "interoperabilitas",
}
ELSEWHERE = {
    "bogor": {"air-bersih": "agency", "penerangan-jalan": "agency", "pariwisata": "agency"},
    "cirebon": {"siak": "national", "e-parlemen": "agency", "penyuluh-pertanian": "agency"},
}

WORKSPACES = {"bogor": REPOSITORY, "cirebon": REPOSITORY / "inventories" / "cirebon"}

each_city = pytest.mark.parametrize("name", WORKSPACES)


@cache
def city_of(name: str) -> City:
    return load_city(WORKSPACES[name], REPOSITORY / "runbooks")


@pytest.fixture
def bogor() -> City:
    return city_of("bogor")


def records(city: City) -> Iterator[tuple[str, Declared]]:
    """Every record that must say where it comes from, with a name for messages."""
    workspace = city.workspace
    yield "sites.primary", workspace.sites.primary
    yield "sites.recovery", workspace.sites.recovery
    yield "estimates", workspace.estimates
    for kind, found in (
        ("agencies", workspace.agencies),
        ("dr_centres", workspace.dr_centres),
        ("tiers", workspace.tiers),
        ("sla_targets", workspace.sla_targets),
        ("services", city.services),
        ("people", city.people.people),
        ("locations", city.network.locations),
        ("links", city.network.links),
        ("documents", city.documents.documents),
        ("assets", city.assets.assets),
    ):
        for name, record in found.items():
            yield f"{kind}.{name}", record
    for name, centre in workspace.dr_centres.items():
        yield f"dr_centres.{name}", centre
        if centre.contract is not None:
            yield f"dr_centres.{name}.contract", centre.contract
    for name, runbook in city.runbooks.items():
        assert runbook.people is not None
        yield f"runbooks.{name}.people", runbook.people


def test_kota_bogor_has_every_module_of_its_blueprint(bogor: City) -> None:
    found = {cluster: {s.id for s in bogor.services.values() if s.cluster == cluster} for cluster in MODULES}
    assert found == MODULES
    assert [len(modules) for modules in MODULES.values()] == [4, 7, 14, 12]
    assert set(bogor.services) - set().union(*MODULES.values()) == BESIDE_THE_MODULES
    assert list(bogor.workspace.clusters) == list(MODULES)


def test_the_order_of_building_is_no_order_of_recovery(bogor: City) -> None:
    tiers = {cluster: {bogor.services[name].tier for name in names} for cluster, names in MODULES.items()}
    assert all(len(found) > 1 for found in tiers.values())
    assert "kritis" in tiers["layanan-bisnis"]  # the last to be built
    assert "kritis" not in tiers["kinerja-pns"]  # the first


def test_kabupaten_cirebon_has_its_fifteen_systems() -> None:
    assert set(city_of("cirebon").services) == CIREBON
    assert len(CIREBON) == 15


def test_the_seventeen_routes_are_there_and_what_they_replace(bogor: City) -> None:
    routes: dict[str, list[str]] = defaultdict(list)
    for name, link in bogor.network.links.items():
        if link.route:
            routes[link.route].append(name)
    assert set(routes) == {str(number) for number in range(1, 18)}
    assert {number: len(names) for number, names in routes.items() if len(names) > 1} == {"4": 2, "5": 4, "16": 3}
    radios = {link.route for link in bogor.network.links.values() if link.replaces and "radio" in link.replaces}
    assert radios == {"1", "2", "4", "6", "7", "11", "12", "13", "14", "15", "16", "17"}
    # The contradiction of the source: the radios were the redundancy.
    assert not [name for name, link in bogor.network.links.items() if link.route and link.backup_link]


def test_all_offices_are_connected_and_mainhole_jalan_baru_is_the_only_way_for_its_routes(bogor: City) -> None:
    whole = reachable(neighbours(bogor.network), "balai-kota")
    assert whole == set(bogor.network.locations)
    left = reachable(neighbours(bogor.network, without={"mainhole-jalan-baru"}), "balai-kota")
    lost = whole - left - {"mainhole-jalan-baru"}
    ends = {
        end
        for link in bogor.network.links.values()
        if link.route in ("9", "10", "16")
        for end in (link.a, link.b)
        if end != "mainhole-jalan-baru"
    }
    assert ends <= lost
    assert {"bina-marga", "satpol-pp"} < lost
    assert "disperindag" not in lost


def test_the_four_availabilities_contradict_each_other_and_none_is_approved(bogor: City) -> None:
    targets = bogor.workspace.sla_targets.values()
    assert {target.availability for target in targets} == {Decimal(text) for text in ("90", "95", "99.5", "99.99")}
    assert not [target for target in targets if target.approved]
    unclear = next(target for target in targets if target.availability == Decimal("99.5"))
    assert all(unclear.period.overlaps(other.period) for other in targets)
    assert bogor.workspace.sites.primary.level == 1


@each_city
def test_what_no_source_says_is_marked_assumed(name: str) -> None:
    city = city_of(name)
    silent = [where for where, record in records(city) if record.source is None and not record.assumed]
    assert silent == []
    # A record without a source has nothing that is not assumed.
    halves = [where for where, record in records(city) if record.source is None and record.assumed != ("*",)]
    assert halves == []
    assert not [host.name for host in city.hosts.values() if not host.assumed]
    for service in city.services.values():
        keys = service.model_fields_set - {"schema_version", "id", "title", "cluster", "source", "assumed", "notes"}
        known = {"stage"} if (name, service.id) == ("bogor", "website") else set()
        assert keys - known == set(service.assumed), service.id


@each_city
def test_every_central_service_can_be_recovered(name: str) -> None:
    city = city_of(name)
    for service in city.services.values():
        gaps = gaps_of(service, "recovery", city.hosts, city.workspace.tiers)
        assert (gaps == []) == (service.hosting == "central"), f"{service.id}: {gaps}"
    elsewhere = {service.id: service.hosting for service in city.services.values() if service.hosting != "central"}
    assert elsewhere == ELSEWHERE[name]


@each_city
def test_every_service_is_described_in_both_languages_and_has_people(name: str) -> None:
    for service in city_of(name).services.values():
        assert service.title.en != service.title.id, service.id
        assert service.owner is not None, service.id
        assert service.deputy is not None, service.id
        assert service.owner != service.deputy, service.id
        assert service.states_dependencies == (service.hosting == "central"), service.id
    roles = city_of(name).people.roles
    assert set(roles) == {"drill-lead", "declares", "approves", "drc-contact", "network-contact", "observer"}
    judges = {city_of(name).people.people[person].agency for person in roles["observer"]}
    assert judges == {"inspektorat"}


@each_city
def test_nothing_needs_what_may_come_back_later_than_itself(name: str) -> None:
    city = city_of(name)
    for service in city.services.values():
        own = objectives_of(service, city.workspace.tiers)
        for needed in service.depends_on:
            other = objectives_of(city.services[needed], city.workspace.tiers)
            assert own is not None
            assert other is not None
            assert other.rto <= own.rto, f"{service.id} needs {needed}"


@each_city
def test_copies_name_an_original(name: str) -> None:
    city = city_of(name)
    copies = [dataset.copy_of for s in city.services.values() for dataset in s.datasets if dataset.copy_of]
    originals = {f"{s.id}/{dataset.id}" for s in city.services.values() for dataset in s.datasets}
    assert copies
    assert set(copies) <= originals


def slowed(city: City, divisor: int) -> City:
    centre = city.workspace.dr_centres["drc"]
    assert centre.throughput is not None
    slower = centre.model_copy(update={"throughput": centre.throughput // divisor})
    return city.model_copy(update={"workspace": city.workspace.model_copy(update={"dr_centres": {"drc": slower}})})


def late(city: City) -> set[str]:
    """The services that a site loss would keep away for longer than they promise, or whose data is at risk too long."""
    order = with_dependencies(list(city.services), {name: s.depends_on for name, s in city.services.items()})
    expected = forecast(city, city.runbooks["site-loss"], "failover", order, History())
    return {service for shortfall in shortfalls_of(city, expected, History()) for service in shortfall.services}


@each_city
def test_a_site_loss_can_be_survived_in_time(name: str) -> None:
    assert late(city_of(name)) == set()


def test_half_the_line_is_too_little_for_several_critical_services(bogor: City) -> None:
    found = late(slowed(bogor, 2))
    assert found == {"kesehatan", "perizinan", "pajak", "kelurahan-kecamatan"}
    assert {bogor.services[name].tier for name in found} == {"kritis"}
    assert late(slowed(city_of("cirebon"), 2)) == {"perizinan", "sipkd", "e-procurement"}


def test_the_service_of_the_demonstration_is_what_the_lab_builds(bogor: City) -> None:
    service, workspace = bogor.services["pengaduan"], bogor.workspace
    assert workspace.lab is not None
    assert workspace.lab.services == ("pengaduan",)
    assert service.depends_on == ()
    assert service.recovers_on == {"balaikota-app-1": "drc-app-1"}
    assert (bogor.hosts["balaikota-app-1"].address, bogor.hosts["drc-app-1"].address) == ("198.18.1.10", "198.18.2.10")
    assert str(service.address) == "198.18.0.80"
    database, files = service.datasets
    assert isinstance(database, PostgresqlDataset)
    assert isinstance(files, FilesDataset)
    assert (database.database, files.paths[0]) == ("pengaduan", "/srv/pengaduan")
    assert service.backup is not None
    assert service.backup.password == SecretReference(file="var/lab/secrets/pengaduan-repository-password")
    objectives = objectives_of(service, workspace.tiers)
    assert objectives is not None
    assert objectives.rpo <= timedelta(minutes=15)
    # It alone stands on its hosts: what the lab does to them concerns no other service.
    assert [s.id for s in bogor.services.values() if "balaikota-app-1" in s.runs_on] == ["pengaduan"]


def test_nothing_in_kabupaten_cirebon_can_be_reached_by_mistake() -> None:
    documentation = ("192.0.2.", "198.51.100.", "203.0.113.")
    city = city_of("cirebon")
    addresses = [host.address for host in city.hosts.values()]
    addresses += [str(service.address) for service in city.services.values() if service.address is not None]
    assert not [address for address in addresses if not address.startswith(documentation)]
    assert city.workspace.dr_centres["drc"].endpoint.endswith(".example")
    assert city.workspace.lab is None
