"""Every record that is marked assumed is found, in whatever register and however deep it stands."""

from __future__ import annotations

from typing import Any

from drp.domain.dossiers.assumptions import Assumption, assumptions_of
from drp.domain.inventory import AnsibleHost, City
from drp.domain.model import Declared, Model
from tests.fakes.city import make_city, runbook_record, service_record, workspace_record


def _found(city: City) -> set[tuple[str, str, tuple[Any, ...], tuple[str, ...]]]:
    return {(item.record.kind, item.record.name, item.location, item.keys) for item in assumptions_of(city)}


def test_nothing_is_assumed_that_is_not_marked() -> None:
    assert assumptions_of(make_city()) == []


def test_every_register_and_every_depth_is_looked_at() -> None:
    drc = workspace_record()["dr_centres"]["drc"]
    service = service_record("pengaduan", assumed=["tier", "owner"], source="BIA 2026")
    service["owner"] = {"name": "Siti", "assumed": True}
    service["datasets"][1]["assumed"] = True
    service["manual_fallback"] = {"procedure": "paper", "assumed": ["workable_for"], "workable_for": "8h"}
    city = make_city(
        service,
        workspace={
            "agencies": {"humas": {"title": "Humas", "assumed": True}},
            "tiers": {"penting": {"rto": "5m", "rpo": "15m", "assumed": ["rpo"]}},
            "sites": {"primary": {"title": "Balai Kota", "certificate": {"assumed": True}}, "recovery": "DRC"},
            "dr_centres": {"drc": drc | {"contract": {"provider": "PT", "assumed": ["rto"]}}},
        },
        network={
            "locations": {"a": {"title": "A", "assumed": True}, "b": {"title": "B"}},
            "links": {"ab": {"a": "a", "b": "b", "medium": "fibre", "assumed": ["capacity"]}},
        },
        people={"people": {"siti": {"name": "Siti", "assumed": True}}},
        documents={"documents": {"bia": {"kind": "bia", "title": "BIA", "assumed": ["status"]}}},
        assets={
            "assets": {
                "ups": {"kind": "ups", "title": "UPS", "spare": {"stock": 1, "lead_time": "3d", "assumed": True}}
            }
        },
    )
    hosts = {name: host.model_copy(update={"assumed": name == "pengaduan-1"}) for name, host in city.hosts.items()}
    people = {"decide": "5m", "mobilise": "5m", "assumed": True}
    runbooks = {"site-loss": type(city.runbooks["site-loss"]).model_validate(runbook_record() | {"people": people})}
    every = ("*",)
    assert _found(city.model_copy(update={"hosts": hosts, "runbooks": runbooks})) == {
        ("workspace", "", ("agencies", "humas"), every),
        ("workspace", "", ("tiers", "penting"), ("rpo",)),
        ("workspace", "", ("sites", "primary", "certificate"), every),
        ("workspace", "", ("dr_centres", "drc", "contract"), ("rto",)),
        ("hosts", "", ("host", "pengaduan-1"), every),
        ("service", "pengaduan", (), ("tier", "owner")),
        ("service", "pengaduan", ("owner",), every),
        ("service", "pengaduan", ("datasets", 1), every),
        ("service", "pengaduan", ("manual_fallback",), ("workable_for",)),
        ("runbook", "site-loss", ("people",), every),
        ("network", "", ("locations", "a"), every),
        ("network", "", ("links", "ab"), ("capacity",)),
        ("people", "", ("people", "siti"), every),
        ("documents", "", ("documents", "bia"), ("status",)),
        ("assets", "", ("assets", "ups", "spare"), every),
    }


def test_people_read_the_ids_of_what_is_in_a_list() -> None:
    service = service_record("pengaduan")
    service["datasets"][1] |= {"assumed": True, "source": "guess"}
    (found,) = assumptions_of(make_city(service))
    assert found.path == ("datasets", "files")
    assert (found.source, found.everything) == ("guess", True)


def test_a_register_that_is_added_is_found_by_itself() -> None:
    class Vehicle(Declared):
        plate: str

    class Vehicles(Model):
        vehicles: dict[str, Vehicle]

    class LargerCity(City):
        fleet: Vehicles

    city = make_city()
    fleet = Vehicles.model_validate({"vehicles": {"van": {"plate": "F 1 AB", "assumed": ["plate"]}}})
    larger = LargerCity(workspace=city.workspace, hosts={}, services={}, runbooks={}, fleet=fleet)
    (found,) = assumptions_of(larger)
    assert isinstance(found, Assumption)
    assert (found.record.kind, found.location, found.keys) == ("fleet", ("vehicles", "van"), ("plate",))


def test_a_host_of_its_own_is_assumed_as_a_whole() -> None:
    host = AnsibleHost(name="h", site=None, address="192.0.2.1", assumed=True)
    city = make_city().model_copy(update={"hosts": {"h": host}})
    assert [item.keys for item in assumptions_of(city)] == [("*",)]
