"""A city to lose parts of.

                 utama, cadangan (radio)
      drc ════════════════════════════════ pusat ── c1 ── cabang (lokal-1)     pulau: no line
      (recovery site, DR centre)             │               │
                                            s1              cb
                                             │               │
                        kantor-a ── s2 ── simpul ── s3 ── kantor-b

`arsip` needs `pengaduan`, which needs `identitas`; each runs at `pusat` and recovers at `drc`. `lokal` runs on a host
in the branch office `cabang`. Agency `dinas` hosts `posyandu` itself, in its office `kantor-a`. Nobody has said where
`portal` runs, nor what `kabar`, at a third party, depends on.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from drp.domain.consistency import faults_of
from drp.domain.inventory import City
from tests.fakes.city import make_city, parts_of, service_record, workspace_record

NETWORK: dict[str, Any] = {
    "locations": {
        "pusat": {"title": "Pusat Data", "kind": "data-centre", "agencies": ["humas", "kominfo"]},
        "drc": {"title": "Pusat Pemulihan", "kind": "dr-centre"},
        "simpul": {"title": "Simpul Jalan Baru", "kind": "junction"},
        "kantor-a": {"title": "Kantor A"},
        "kantor-b": {"title": "Kantor B", "agencies": ["camat"]},
        "cabang": {"title": "Kantor Cabang", "agencies": ["camat"]},
        "pulau": {"title": "Kantor Pulau", "agencies": ["pulau"]},
    },
    "links": {
        "utama": {"a": "drc", "b": "pusat", "medium": "fibre", "backup_link": "cadangan"},
        "cadangan": {"a": "pusat", "b": "drc", "medium": "radio"},
        "s1": {"a": "pusat", "b": "simpul", "medium": "fibre", "title": "Kabel Utama", "route": "1"},
        "s2": {"a": "simpul", "b": "kantor-a", "medium": "fibre"},
        "s3": {"a": "kantor-b", "b": "simpul", "medium": "radio"},
        "c1": {"a": "pusat", "b": "cabang", "medium": "fibre", "backup_link": "cb", "last_failover_test": "2026-03-01"},
        "cb": {"a": "cabang", "b": "kantor-b", "medium": "radio"},
    },
}
AGENCIES = {
    "humas": "Humas",
    "kominfo": "Kominfo",
    "dinas": {"title": "Dinas Kesehatan", "location": "kantor-a"},
    "camat": "Kecamatan",
    "pulau": "Kantor Pulau",
}
BARE: dict[str, Any] = {"runs_on": [], "recovers_on": {}, "datasets": [], "checks": [], "backup": None}
ASSETS: dict[str, Any] = {
    "server": {"kind": "server", "title": "Server Basis Data", "hosts": ["identitas-1"], "links": ["s2"]},
    "genset": {"kind": "generator", "title": "Genset", "location": "pusat"},
}


def services() -> list[dict[str, Any]]:
    unsaid = service_record("kabar", hosting="third-party", **BARE)
    del unsaid["depends_on"]
    return [
        service_record("identitas", rto="1m"),
        service_record("pengaduan", depends_on=["identitas"]),
        service_record("arsip", depends_on=["pengaduan"], tier="biasa"),
        service_record("lokal"),
        service_record("posyandu", agency="dinas", hosting="agency", **BARE),
        service_record("portal", tier=None, **BARE),
        unsaid,
    ]


def lost_city(
    network: dict[str, Any] | None = None,
    *records: dict[str, Any],
    places: dict[str, str] | None = None,
    assets: dict[str, Any] | None = None,
    **workspace: Any,
) -> City:
    """The city of this module, with other contents where they are given.

    Args:
        network: the content of network.yaml.
        records: its services.
        places: where hosts stand that do not stand at their site.
        assets: its assets.
        workspace: other keys of drp.yaml.
    """
    centre = workspace_record()["dr_centres"]["drc"] | {"location": "drc"}
    tiers = {"penting": {"rto": "5m", "rpo": "15m"}, "biasa": {"rto": "1d", "rpo": "1d"}}
    sites = {
        "primary": {"title": "Pusat Data", "location": "pusat"},
        "recovery": {"title": "Pusat Pemulihan", "location": "drc"},
    }
    changed = {"agencies": AGENCIES, "sites": sites, "dr_centres": {"drc": centre}, "tiers": tiers} | workspace
    city = make_city(
        *(records or services()),
        workspace=changed,
        network=network or NETWORK,
        assets={"assets": ASSETS if assets is None else assets},
    )
    elsewhere = {"lokal-1": "cabang"} if places is None else places
    hosts = {name: host.model_copy(update={"location": elsewhere.get(name)}) for name, host in city.hosts.items()}
    city = city.model_copy(update={"hosts": hosts})
    assert faults_of(parts_of(city)) == []
    return city


HOSTILE = "\"]-->|x| <script>alert('1')</script> & `a` #quot; %%{init}%% ]]>\n1. end; _b_ \uffff"
"""A title that tries to break out of Mermaid, SVG and HTML, with a character that XML forbids."""


def hostile_city() -> City:
    """The city with such titles wherever a person may write one."""
    network = deepcopy(NETWORK)
    for record in (*network["locations"].values(), *network["links"].values()):
        record["title"] = HOSTILE
    agencies = {name: {"title": HOSTILE, "location": "kantor-a"} for name in AGENCIES}
    records = [record | {"title": {"en": HOSTILE, "id": HOSTILE}} for record in services()]
    organisation = {"name": HOSTILE}
    sites = {
        "primary": {"title": HOSTILE, "location": "pusat"},
        "recovery": {"title": HOSTILE, "location": "drc"},
    }
    return lost_city(network, *records, agencies=agencies, organisation=organisation, sites=sites)
