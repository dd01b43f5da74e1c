"""Cities of any size, written to disk as workspaces, for benchmarks: the same text for the same size and seed.

Services stand in layers and depend only on earlier ones, mostly on a few hubs (sign-in, gateway, population register
…), as in a real city. Five services share a host; every host has one at the other site that stands in for it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

SERVICES_PER_HOST = 5
SERVICES_PER_LAYER_SHARE = 5
HUB_SHARE = 200
"""One service of so many is a hub that others lean on."""

_NOUNS = (
    "pengaduan",
    "perizinan",
    "arsip",
    "pajak",
    "kepegawaian",
    "retribusi",
    "posyandu",
    "aset",
    "anggaran",
    "surat",
)
_ROLES = ("drill-lead", "declares", "approves", "drc-contact", "network-contact", "observer")
_MEDIA = (("fibre", "1Gbit/s"), ("fibre", "100Mbit/s"), ("radio", "50Mbit/s"), ("leased", "200Mbit/s"))
_TIERS = ("kritis", "penting", "penting", "biasa")
_SCHEDULES = {
    "kritis": ("every 5m", "*/4 * * * *"),
    "penting": ("every 30m", "every 20m", "15,45 * * * *"),
    "biasa": ("daily 02:00", "daily 23:30", "0 */4 * * *", "hourly"),
}


@dataclass(frozen=True)
class Size:
    """How many of each kind a city of so many services has."""

    services: int

    @property
    def hosts(self) -> int:
        """At each of the two sites."""
        return max(2, self.services // SERVICES_PER_HOST)

    @property
    def line(self) -> int:
        """Gbit/s to the DR centre: what the whole city's data needs about half an hour for."""
        return max(10, self.services // 50)

    @property
    def agencies(self) -> int:
        return max(5, min(300, self.services // 20))

    @property
    def locations(self) -> int:
        return max(6, min(200, self.services // 25))

    @property
    def people(self) -> int:
        return max(8, self.services // 10)


def write_city(folder: Path, services: int, *, seed: int = 1) -> None:
    """Write a workspace of so many services; the folder must be new or empty."""
    chance = random.Random(f"{seed}/{services}")
    size = Size(services)
    files = folder / "inventories" / "services"
    files.mkdir(parents=True)
    (folder / "runbooks").mkdir()
    (folder / "drp.yaml").write_text(_workspace(size))
    (folder / "inventories" / "hosts.yaml").write_text(_hosts(size))
    (folder / "inventories" / "network.yaml").write_text(_network(size, chance))
    (folder / "inventories" / "people.yaml").write_text(_people(size, chance))
    (folder / "runbooks" / "site-loss.yaml").write_text(_RUNBOOK)
    names = [f"{chance.choice(_NOUNS)}-{number}" for number in range(services)]
    for number, name in enumerate(names):
        (files / f"{name}.yaml").write_text(_service(size, number, names, chance))


_RUNBOOK = """\
schema: 1
id: site-loss
title: {en: Loss of the primary site, id: Hilangnya pusat data utama}
purpose: {en: Everything is recovered at the other site, id: Semua dipulihkan di pusat data lain}
kind: full
people: {decide: 10m, mobilise: 20m}
"""


def _workspace(size: Size) -> str:
    agencies = "\n".join(
        f"  agency-{number}: {{title: Dinas {number}, head: person-{number % size.people}, "
        f"location: office-{number % (size.locations - 2)}}}"
        for number in range(size.agencies)
    )
    return f"""\
schema: 1
organisation: {{name: Kota dengan {size.services} layanan, time_zone: Asia/Jakarta}}
agencies:
{agencies}
clusters:
  umum: {{en: General administration, id: Administrasi umum}}
  publik: {{en: Public services, id: Layanan publik}}
sites:
  primary: {{title: Pusat data, location: data-centre, level: 3, availability: 99.98%}}
  recovery: {{title: DRC, location: dr-centre}}
dr_centres:
  drc:
    title: Object storage of the third party
    endpoint: https://192.0.2.10:9000
    bucket: drp-bench
    access_key_id: {{env: DRP_BENCH_KEY}}
    secret_access_key: {{env: DRP_BENCH_SECRET}}
    location: dr-centre
    throughput: {size.line}Gbit/s
    contract: {{provider: Penyedia, rto: 4h, rpo: 1h, clock_starts: declaration, capacity: 500TB}}
tiers:
  kritis: {{rto: 90m, rpo: 15m, mtpd: 4h}}
  penting: {{rto: 4h, rpo: 1h, mtpd: 1d}}
  biasa: {{rto: 1d, rpo: 26h, mtpd: 7d}}
estimates: {{activate: 2m, verify: 1m, cutover: 1m, usable: 1m}}
ssh: {{private_key: key, known_hosts: known_hosts}}
"""


def _hosts(size: Size) -> str:
    lines = ["all:", "  vars: {ansible_user: root}", "  children:"]
    for site, prefix, network in (("primary", "app", 20), ("recovery", "drc", 21)):
        lines += [f"    {site}:", "      hosts:"]
        lines += [
            f"        {prefix}-{number}: {{ansible_host: 10.{network}.{number // 250}.{number % 250 + 1}}}"
            for number in range(size.hosts)
        ]
    return "\n".join(lines) + "\n"


def _network(size: Size, chance: random.Random) -> str:
    """Offices hang on the data centre by a tree of lines; every third one has a second line as its backup."""
    places = ["data-centre", "dr-centre", *(f"office-{number}" for number in range(size.locations - 2))]
    lines = ["schema: 1", "locations:"]
    for number, place in enumerate(places):
        kind = place if number < 2 else "office"
        lines.append(f"  {place}: {{title: Lokasi {number}, kind: {kind}, lan: {size.line}Gbit/s}}")
    lines += ["links:", f"  drc-line: {{a: data-centre, b: dr-centre, medium: fibre, capacity: {size.line}Gbit/s}}"]
    for number, place in enumerate(places[2:]):
        parent = places[0] if number < 3 else places[2 + chance.randrange(number)]
        medium, capacity = chance.choice(_MEDIA)
        backup = f", backup_link: spare-{number}" if number % 3 == 0 else ""
        lines.append(f"  line-{number}: {{a: {parent}, b: {place}, medium: {medium}, capacity: {capacity}{backup}}}")
        if backup:
            lines.append(f"  spare-{number}: {{a: data-centre, b: {place}, medium: radio, capacity: 20Mbit/s}}")
    return "\n".join(lines) + "\n"


def _people(size: Size, chance: random.Random) -> str:
    lines = ["schema: 1", "people:"]
    lines += [
        f"  person-{number}: {{name: Pejabat {number}, position: Kepala bidang, "
        f"agency: agency-{number % size.agencies}, contact: +62 811 {number:06}}}"
        for number in range(size.people)
    ]
    lines.append("roles:")
    lines += [f"  {role}: [person-{chance.randrange(size.people)}]" for role in _ROLES]
    return "\n".join(lines) + "\n"


def _dependencies(size: Size, number: int, names: list[str], chance: random.Random) -> list[str]:
    """Up to four earlier services: a hub in three of five cases, else one of the layers before its own."""
    hubs = max(3, size.services // HUB_SHARE)
    layer = max(hubs, size.services // SERVICES_PER_LAYER_SHARE)
    before = number // layer * layer if number >= layer else min(number, hubs)
    if before == 0:
        return []
    wanted = chance.choices((0, 1, 2, 3, 4), weights=(2, 3, 3, 1, 1))[0]
    found = {names[chance.randrange(min(before, hubs) if chance.random() < 0.6 else before)] for _ in range(wanted)}
    return sorted(found)


def _service(size: Size, number: int, names: list[str], chance: random.Random) -> str:
    name = names[number]
    host = number % size.hosts
    needs = _dependencies(size, number, names, chance)
    cluster, tier = chance.choice(("umum", "publik")), chance.choice(_TIERS)
    data, files = chance.randrange(2, 40), chance.randrange(2, 80)
    return f"""\
# {name}: as its agency has declared it
schema: 1
id: {name}
title: {{en: Service {number}, id: Layanan {number}}}
description: What agency {number % size.agencies} does for citizens, number {number} of the list of applications.
source: Inventaris aplikasi 2025–2026, nomor {number}
assumed:
  [owner, tier, depends_on, runs_on, recovers_on, address, datasets, backup, recovery,
   checks]
agency: agency-{number % size.agencies}
cluster: {cluster}
owner: person-{number % size.people}
audience: [citizens, government]
tier: {tier}
depends_on: [{", ".join(needs)}]

runs_on: [app-{host}]
recovers_on: {{app-{host}: drc-{host}}}
address: 10.30.{number // 250}.{number % 250 + 1}

datasets:
  - id: database
    type: postgresql
    host: app-{host}
    database: layanan_{number}
    size: {data * 50}MB
    daily_change: {data}MB
    classification: {{confidentiality: high, integrity: high, availability: medium}}
    personal_data: true
  - id: files
    type: files
    host: app-{host}
    paths: [/srv/{name}, /etc/{name}, /etc/systemd/system/{name}.service]
    size: {files * 50}MB
    daily_change: {files * 100}kB

backup:
  dr_centre: drc
  password: {{env: DRP_BENCH_PASSWORD}}
  schedule: "{chance.choice(_SCHEDULES[tier])}"

recovery:
  accounts: [{{name: app{number}, uid: {1000 + number}, home: /srv/{name}}}]
  start: [postgresql, {name}, nginx]
  estimates: {{restore: {chance.randrange(5, 10 if tier == "kritis" else 40)}m, activate: 3m, verify: 1m}}

checks:
  - id: path
    type: http
    interval: 5s
    steps:
      - {{request: GET /{name}/health, expect_text: ok}}
      - {{request: GET /{name}/records/1, same_as_before: true}}
"""
