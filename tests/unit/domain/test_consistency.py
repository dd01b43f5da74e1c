"""Each fault between the files is found, alone, where it is."""

from __future__ import annotations

from typing import Any

import pytest

from drp.domain.consistency import faults_of
from drp.domain.inventory import AnsibleHost, Workspace
from tests.fakes.city import make_city, parts_of, service_record, workspace_record

Found = list[tuple[str | None, tuple[str | int, ...], str]]


def found_in(
    pengaduan: dict[str, Any] | None = None,
    identitas: dict[str, Any] | None = None,
    workspace: dict[str, Any] | None = None,
    hosts: dict[str, AnsibleHost | None] | None = None,
) -> Found:
    """The inconsistencies of a good city with these changes."""
    records = [
        service_record("identitas", **(identitas or {})),
        service_record("pengaduan", **({"depends_on": ["identitas"]} | (pengaduan or {}))),
    ]
    known = {**make_city().hosts, **(hosts or {})}
    kept = {name: host for name, host in known.items() if host is not None}
    settings = Workspace.model_validate(workspace_record() | (workspace or {}))
    parts = parts_of(make_city(*records).model_copy(update={"workspace": settings, "hosts": kept}))
    return [(item.record.name or None, item.location, item.message) for item in faults_of(parts)]


def test_a_good_city_has_no_fault() -> None:
    assert found_in() == []


def dataset(**changes: str) -> dict[str, str]:
    return {"id": "database", "type": "postgresql", "host": "pengaduan-1", "database": "pengaduan"} | changes


BACKUP = {"dr_centre": "drc", "password": {"env": "X"}}
LAB = {"lab": {"network": "198.18.0.0/16", "dr_centre": "nowhere"}}
NO_SITE = AnsibleHost(name="pengaduan-1", site=None, address="192.0.2.2")
AT_PRIMARY = AnsibleHost(name="drc-pengaduan-1", site="primary", address="192.0.2.3")


FLOATING = {"type": "floating_address", "address": "192.0.2.80"}
ZONE = {
    "type": "dns",
    "server": "192.0.2.53",
    "zone": "kota.example",
    "key": {"name": "drp", "secret": {"env": "X"}},
    "records": [{"name": "www.kota.example", "type": "A", "primary": ["192.0.2.1"], "recovery": ["192.0.2.2"]}],
}
PROXY = {"type": "haproxy", "hosts": ["pengaduan-1"], "backend": "users", "primary": ["a"], "recovery": ["b"]}
COMMAND = {"type": "command", "to_recovery": ["true"], "to_primary": ["true"]}


@pytest.mark.parametrize(
    ("changes", "location", "message"),
    [
        (
            {"traffic": [ZONE, PROXY | {"hosts": ["pengaduan-1", "lb-9"]}]},
            ("traffic", 1, "hosts", 1),
            "unknown host 'lb-9'",
        ),
        ({"traffic": [ZONE, COMMAND | {"host": "lb-9"}]}, ("traffic", 1, "host"), "unknown host 'lb-9'"),
        (
            {"traffic": [PROXY, COMMAND]},
            ("traffic",),
            "nobody knows where users reach the service: a HAProxy back end or a command alone does not say it",
        ),
        (
            {"address": make_city().hosts["identitas-1"].address},
            ("address",),
            f"{make_city().hosts['identitas-1'].address} is host identitas-1's own address, so it cannot move",
        ),
        (
            {"traffic": [FLOATING | {"address": make_city().hosts["drc-pengaduan-1"].address}]},
            ("traffic", 0, "address"),
            f"{make_city().hosts['drc-pengaduan-1'].address} is host drc-pengaduan-1's own address, so it cannot move",
        ),
        (
            {"recovery": {"commands": [{"argv": ["true"], "on": "verify", "host": "identitas-1"}]}},
            ("recovery", "commands", 0, "host"),
            "unknown host of runs_on 'identitas-1'",
        ),
        ({"agency": "dukcapil"}, ("agency",), "unknown agency 'dukcapil'"),
        ({"tier": "biasa"}, ("tier",), "unknown tier 'biasa'"),
        ({"tier": None}, ("tier",), "the service has no RTO or no RPO"),
        ({"tier": None, "rto": "1m"}, ("tier",), "the service has no RTO or no RPO"),
        (
            {"backup": {"dr_centre": "drb", "password": {"env": "X"}}},
            ("backup", "dr_centre"),
            "unknown DR centre 'drb'",
        ),
        (
            {"backup": {"dr_centre": "drc", "password": {"env": "X"}, "copies": [{"dr_centre": "kedua"}]}},
            ("backup", "copies", 0, "dr_centre"),
            "unknown DR centre 'kedua'",
        ),
        (
            {"backup": {"dr_centre": "drc", "password": {"env": "X"}, "copies": [{"dr_centre": "drc"}]}},
            ("backup", "copies", 0, "dr_centre"),
            "a copy to DR centre 'drc', where the backup itself is already",
        ),
        ({"depends_on": ["identitas", "pajak"]}, ("depends_on", 1), "unknown service 'pajak'"),
        ({"depends_on": ["pengaduan"]}, ("depends_on", 0), "dependency cycle: pengaduan → pengaduan"),
        (
            {"datasets": [dataset(), dataset()]},
            ("datasets", 1, "id"),
            "two datasets are called 'database'",
        ),
        (
            {"datasets": [dataset(host="identitas-1")]},
            ("datasets", 0, "host"),
            "unknown host of runs_on 'identitas-1'",
        ),
        (
            {"backup": BACKUP | {"quiesce": [{"host": "identitas-1", "before": [["a"]], "after": [["b"]]}]}},
            ("backup", "quiesce", 0, "host"),
            "unknown host of runs_on 'identitas-1'",
        ),
        (
            {"recovers_on": {"pengaduan-1": "drc-pengaduan-1", "identitas-1": "drc-identitas-1"}},
            ("recovers_on", "identitas-1"),
            "unknown host of runs_on 'identitas-1'",
        ),
        (
            {"recovers_on": {"pengaduan-1": "identitas-1"}},
            ("recovers_on", "pengaduan-1"),
            "host 'identitas-1' is not in the group 'recovery' of the Ansible inventory",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_change_gives_exactly_its_finding(
    changes: dict[str, Any], location: tuple[str | int, ...], message: str
) -> None:
    assert found_in(changes) == [("pengaduan", location, message)]


def test_a_host_that_is_gone_or_stands_nowhere_is_found() -> None:
    missing = ("pengaduan", ("runs_on", 0), "unknown host 'pengaduan-1'")
    assert found_in(hosts={"pengaduan-1": None}) == [missing]
    nowhere = "host 'pengaduan-1' is not in the group 'primary' of the Ansible inventory"
    assert found_in(hosts={"pengaduan-1": NO_SITE}) == [("pengaduan", ("runs_on", 0), nowhere)]
    wrong = "host 'drc-pengaduan-1' is not in the group 'recovery' of the Ansible inventory"
    location = ("recovers_on", "pengaduan-1")
    assert found_in(hosts={"drc-pengaduan-1": AT_PRIMARY}) == [("pengaduan", location, wrong)]


def jumping(name: str, jump: str) -> AnsibleHost:
    return AnsibleHost(name=name, site="primary", address="192.0.2.9", jump_host=jump)


def test_an_unknown_jump_host_is_a_fault() -> None:
    unknown = (None, ("host", "gate"), "unknown host 'nowhere'")
    assert found_in(hosts={"gate": jumping("gate", "nowhere")}) == [unknown]


def test_jump_hosts_in_a_circle_are_told_once() -> None:
    circle = {"a": jumping("a", "b"), "b": jumping("b", "a"), "c": jumping("c", "a")}
    assert found_in(hosts={**circle}) == [(None, ("host", "a"), "jump hosts lead in a circle: a → b → a")]
    itself = "jump hosts lead in a circle: a → a"
    assert found_in(hosts={"a": jumping("a", "a")}) == [(None, ("host", "a"), itself)]


def test_a_recovery_host_without_restic_is_a_fault() -> None:
    without = make_city().hosts["drc-pengaduan-1"].model_copy(update={"restic": "control-node"})
    message = "recovery host 'drc-pengaduan-1' has drp_restic: control-node, so nothing could be restored there"
    assert found_in(hosts={"drc-pengaduan-1": without}) == [("pengaduan", ("recovers_on", "pengaduan-1"), message)]


def test_the_labs_unknown_dr_centre_is_a_fault_of_the_workspace() -> None:
    assert found_in(workspace=LAB) == [(None, ("lab", "dr_centre"), "unknown DR centre 'nowhere'")]


def test_a_circle_over_two_services_is_found_once() -> None:
    found = found_in(identitas={"depends_on": ["pengaduan"]})
    assert found == [("identitas", ("depends_on", 0), "dependency cycle: identitas → pengaduan → identitas")]


def test_a_service_whose_file_could_not_be_read_may_be_depended_on() -> None:
    city = make_city(service_record("pengaduan", depends_on=["identitas"]))
    assert faults_of(parts_of(city, declared={"pengaduan", "identitas"})) == []


def test_all_faults_are_told_at_once() -> None:
    assert len(found_in({"agency": "x", "tier": "y"}, {"agency": "z"}, LAB)) == 4


def with_centres(**other: Any) -> dict[str, Any]:
    """drp.yaml with a second DR centre."""
    own = workspace_record()["dr_centres"]["drc"]
    return {"dr_centres": {"drc": own, "kedua": own | {"bucket": "drp-salinan"} | other}}


COPIED = {"backup": {"dr_centre": "drc", "password": {"env": "X"}, "copies": [{"dr_centre": "kedua"}]}}
PAIR = {"access_key_id": {"env": "A"}, "secret_access_key": {"env": "B"}}


def test_a_copy_into_the_same_bucket_is_none() -> None:
    assert found_in(COPIED, workspace=with_centres()) == []
    ((_, location, message),) = found_in(COPIED, workspace=with_centres(bucket="drp-bogor"))
    assert location == ("backup", "copies", 0, "dr_centre")
    assert "whose bucket is that of 'drc'" in message


def test_where_some_hosts_have_keys_of_their_own_all_that_need_them_have() -> None:
    hosts = ("identitas-1", "drc-identitas-1", "pengaduan-1", "drc-pengaduan-1")
    own = workspace_record()["dr_centres"]["drc"]

    def keys_for(*names: str) -> dict[str, Any]:
        return {"dr_centres": {"drc": own | {"host_keys": dict.fromkeys(names, PAIR)}}}

    assert found_in(workspace=keys_for(*hosts)) == []
    missing = found_in(workspace=keys_for("pengaduan-1"))
    assert [message.split("'")[1] for _, _, message in missing] == ["drc-identitas-1", "drc-pengaduan-1", "identitas-1"]
    ((_, location, message),) = found_in(workspace=keys_for(*hosts, "elsewhere"))
    assert location == ("dr_centres", "drc", "host_keys", "elsewhere")
    assert message == "unknown host 'elsewhere'"


def test_what_leads_the_users_of_another_service_along_is_a_fault() -> None:
    other = ZONE | {"records": [ZONE["records"][0] | {"name": "www.kota.example."}]}  # type: ignore[index]
    assert found_in({"traffic": [other]}, {"traffic": [ZONE]}) == [
        ("pengaduan", ("traffic", 0), "www.kota.example A is switched by service identitas too")
    ]
    proxies = found_in(
        {"traffic": [FLOATING, PROXY]}, {"traffic": [FLOATING | {"address": "192.0.2.81"}, PROXY | {"backend": "else"}]}
    )
    assert proxies == [], "another back end is another thing"
    same = found_in({"traffic": [FLOATING, PROXY]}, {"traffic": [FLOATING, PROXY]})
    assert [(name, where) for name, where, _ in same] == [("pengaduan", ("traffic", 1))] * 2


HTTP = {"id": "path", "type": "http", "steps": [{"request": "GET /"}]}
OLD = {"id": "old", "type": "http", "steps": [{"request": "GET /1", "same_as_before": True}]}


def test_checks_are_told_apart_by_name() -> None:
    found = found_in({"checks": [HTTP, {"id": "path", "type": "tcp", "port": 80}]})
    assert found == [("pengaduan", ("checks", 1, "id"), "two checks are called 'path'")]


def test_old_content_is_compared_by_the_first_check_alone() -> None:
    assert found_in({"checks": [OLD, HTTP]}) == []
    found = found_in({"checks": [HTTP, OLD]})
    assert found == [("pengaduan", ("checks", 1), "check 'old' has same_as_before, and is not the first one")]
