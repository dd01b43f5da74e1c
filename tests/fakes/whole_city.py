"""A city with all its registers, about which there is nothing to say, and small changes of it."""

from __future__ import annotations

import copy
from typing import Any

from drp.domain.consistency import faults_of
from drp.domain.inventory import AnsibleHost, City
from tests.fakes.city import make_city, parts_of, service_record, workspace_record

GONE = object()
"""Stands for: take this key away."""


def _service(name: str, needs: list[str]) -> dict[str, Any]:
    backup = {"dr_centre": "drc", "password": {"env": "X"}, "schedule": "every 15m"}
    return service_record(name, depends_on=needs, owner="kabid", backup=backup)


GOOD: dict[str, Any] = {
    "services": {"identitas": _service("identitas", []), "pengaduan": _service("pengaduan", ["identitas"])},
    "workspace": workspace_record()
    | {
        "agencies": {"humas": "Humas", "inspektorat": "Inspektorat"},
        "sites": {
            "primary": {
                "title": "Balai Kota",
                "location": "balai-kota",
                "level": 3,
                "certificate": {"expires": "2030-01-01"},
            },
            "recovery": {"title": "DRC", "location": "drc", "status": "accepted"},
        },
        "tiers": {"penting": {"rto": "5m", "rpo": "15m", "mtpd": "4h", "wrt": "1h"}},
        "sla_targets": {
            "then": {"availability": 99, "period": {"first": "2020-01-01", "last": "2025-12-31"}},
            "now": {"availability": 99.9, "period": {"first": "2026-01-01", "last": "2026-12-31"}, "source": "Perwali"},
        },
        "exercise_programme": {"penting": {"full": "365d"}},
    },
    "network": {
        "locations": {name: {"title": name} for name in ("balai-kota", "drc", "kantor")},
        "links": {
            "r01": {
                "a": "balai-kota",
                "b": "drc",
                "medium": "fibre",
                "route": "Jalan Baru",
                "backup_link": "r02",
                "last_failover_test": "2026-06-01",
                "replaces": "radio",
            },
            "r02": {"a": "balai-kota", "b": "drc", "medium": "radio", "route": "udara"},
            "r03": {"a": "balai-kota", "b": "kantor", "medium": "fibre"},
        },
    },
    "people": {
        "people": {
            "kabid": {"name": "Kabid", "agency": "humas", "deputy": "staf"},
            "staf": {"name": "Staf", "agency": "humas", "deputy": "kabid"},
            "inspektur": {"name": "Inspektur", "agency": "inspektorat", "deputy": "auditor"},
            "auditor": {"name": "Auditor", "agency": "inspektorat"},
        },
        "roles": {
            "drill-lead": ["kabid"],
            "declares": ["kabid", "staf"],
            "drc-contact": ["staf"],
            "observer": ["inspektur"],
        },
    },
    "documents": {
        "documents": {
            "perwali": {"kind": "regulation", "title": "Perwali", "review_due": "2027-01-01"},
            "sop": {"kind": "sop", "title": "SOP", "parent": "perwali", "services": ["pengaduan"]},
        }
    },
    "assets": {
        "assets": {
            "server": {
                "kind": "server",
                "title": "Server",
                "hosts": ["pengaduan-1"],
                "end_of_life": "2030-01-01",
                "spare": {"stock": 1, "lead_time": "14d"},
            },
            "ups": {"kind": "ups", "title": "UPS", "location": "balai-kota", "last_test": "2026-06-01"},
        }
    },
}
CONTRACT = {"provider": "PT Awan", "rto": "5m", "rpo": "15m", "availability": 99.9, "clock_starts": "disruption"}
GOOD["workspace"]["dr_centres"]["drc"] |= {"location": "drc", "contract": CONTRACT | {"expires": "2030-01-01"}}


def city_with(changes: dict[str, Any], hosts: dict[str, AnsibleHost | None] | None = None) -> City:
    """The good city with the values at these dotted paths changed; it has no fault then either."""
    whole: Any = copy.deepcopy(GOOD)
    for path, value in changes.items():
        *above, last = [int(word) if word.isdecimal() else word for word in path.split(".")]
        holder: Any = whole
        for word in above:
            holder = holder[word]
        if value is GONE:
            del holder[last]
        else:
            holder[last] = value
    services = whole.pop("services").values()
    city = make_city(*services, **whole)
    known = make_city().hosts | (hosts or {})
    city = city.model_copy(update={"hosts": {name: host for name, host in known.items() if host is not None}})
    assert faults_of(parts_of(city)) == []
    return city
