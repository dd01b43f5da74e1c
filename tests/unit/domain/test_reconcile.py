"""What drp reads of a host and what Ansible makes of it must be alike in all that a recovery goes by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from drp.domain.importing.reconcile import ENCRYPTED, ListedHost, disagreements_of, uses_of
from drp.domain.inventory import AnsibleHost
from tests.fakes.city import make_city, service_record

OURS = AnsibleHost(name="app", site="primary", address="192.0.2.1")
THEIRS = ListedHost("app", ("primary",), "192.0.2.1", "22", "root", "False", "/usr/bin/python3")


def test_alike_is_alike() -> None:
    assert disagreements_of({"app": OURS}, {"app": THEIRS}, ["app"]) == []


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"address": "192.0.2.9"}, "address", "ansible_host is 192.0.2.1 for drp, 192.0.2.9 for Ansible"),
        ({"port": "2222"}, "port", "ansible_port is 22 for drp, 2222 for Ansible"),
        ({"user": "admin"}, "user", "ansible_user is root for drp, admin for Ansible"),
        ({"become": "True"}, "become", "ansible_become is False for drp, True for Ansible"),
        ({"python": "/opt/python"}, "python", "/opt/python for Ansible"),
        ({"sites": ("recovery",)}, "site", "drp has it at primary, Ansible at recovery"),
        ({"sites": ()}, "site", "Ansible at neither site"),
        ({"sites": ("primary", "recovery")}, "site", "Ansible at primary and recovery"),
        ({"address": "{{ base }}.1"}, "address", "a template"),
        ({"user": ENCRYPTED}, "user", "encrypted"),
    ],
)
def test_each_difference_is_told(change: dict[str, Any], code: str, said: str) -> None:
    (found,) = disagreements_of({"app": OURS}, {"app": replace(THEIRS, **change)}, [])
    assert found.code == code
    assert said in found.message
    assert found.hint


def test_a_template_is_told_also_where_both_read_it_alike() -> None:
    ours = OURS.model_copy(update={"address": "{{ base }}.1"})
    (found,) = disagreements_of({"app": ours}, {"app": replace(THEIRS, address="{{ base }}.1")}, [])
    assert found.code == "address"


def test_hosts_that_only_one_knows_and_hosts_that_nobody_knows() -> None:
    other = replace(THEIRS, name="web")
    found = disagreements_of({"app": OURS}, {"web": other}, ["app", "web", "gone"])
    assert [(item.host, item.code) for item in found] == [
        ("app", "only-drp"),
        ("gone", "missing"),
        ("web", "only-ansible"),
    ]


def test_who_uses_a_host() -> None:
    city = make_city(
        service_record("a", runs_on=["a-1", "shared"], recovers_on={"a-1": "r-1", "shared": "r-1"}, datasets=[]),
        service_record("b", runs_on=["shared"], recovers_on={"shared": "gone"}, datasets=[]),
    )
    spare = AnsibleHost(name="spare", site="recovery", address="198.51.100.9")
    hosts = {name: host for name, host in city.hosts.items() if name != "gone"} | {"spare": spare}
    uses = uses_of(city.model_copy(update={"hosts": hosts}))
    assert uses["shared"].runs == ("a", "b")
    assert uses["r-1"].recovers == ("a",)
    assert uses["gone"].recovers == ("b",)
    assert uses["shared"].agencies == ("humas",)
    assert [name for name, use in uses.items() if use.unused] == ["spare"]
