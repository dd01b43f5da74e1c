"""The real ansible-inventory, and what drp reads beside it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import drp.adapters.ansible_inventory as adapter
from drp.adapters.ansible_hosts import ansible_hosts, host_record
from drp.adapters.ansible_inventory import listed_hosts
from drp.adapters.yaml_file import YamlFile, read_yaml
from drp.domain.importing.reconcile import ENCRYPTED, disagreements_of
from drp.domain.inventory import AnsibleHost
from drp.errors import UnreachableError

INVENTORY = """\
all:
  vars: {ansible_user: root}
  children:
    primary:
      hosts:
        app-1: {ansible_host: 192.0.2.1}
        app-2: {ansible_host: 192.0.2.2, ansible_become: yes, ansible_port: "2222"}
      children:
        databases: {hosts: {db-1: {ansible_host: 192.0.2.3}}}
    recovery:
      hosts:
        drc-1: {ansible_host: 198.51.100.1}
    spare:
      hosts:
        lone: {}
"""


def read_by_drp(path: Path) -> dict[str, AnsibleHost]:
    file = read_yaml(path, path.name)
    assert isinstance(file, YamlFile)
    found = {}
    for name, (variables, groups, _) in ansible_hosts(file.value).items():
        site = next((site for site in ("primary", "recovery") if site in groups), None)
        found[name] = AnsibleHost.model_validate(host_record(name, variables, site))
    return found


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    path = tmp_path / "work space" / "hosts.yaml"
    path.parent.mkdir()
    path.write_text(INVENTORY)
    return path


def codes(path: Path) -> list[tuple[str, str]]:
    return [(item.host, item.code) for item in disagreements_of(read_by_drp(path), listed_hosts(path), [])]


def test_drp_and_ansible_agree_on_a_plain_inventory(inventory: Path) -> None:
    listed = listed_hosts(inventory)
    assert set(listed) == {"app-1", "app-2", "db-1", "drc-1", "lone"}
    assert listed["app-2"].become == "True"
    assert listed["db-1"].sites == ("primary",)
    assert (listed["lone"].sites, listed["lone"].address) == ((), "lone")
    assert codes(inventory) == []


def test_group_vars_and_host_vars_show(inventory: Path) -> None:
    for name, text in (
        ("group_vars/recovery.yml", "ansible_port: 2200\n"),
        ("group_vars/databases/main.yml", "ansible_user: admin\n"),
        ("host_vars/app-1.yml", "ansible_host: 198.51.100.99\nansible_python_interpreter: /opt/python\n"),
    ):
        path = inventory.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert codes(inventory) == [("app-1", "address"), ("app-1", "python"), ("db-1", "user"), ("drc-1", "port")]


def test_an_encrypted_value_is_not_shown(inventory: Path) -> None:
    text = "        lone:\n          ansible_user: !vault |\n            $ANSIBLE_VAULT;1.1;AES256\n            6162\n"
    inventory.write_text(INVENTORY.replace("        lone: {}\n", text))
    assert listed_hosts(inventory)["lone"].user == ENCRYPTED


def test_no_script_and_no_settings_of_the_folder_are_taken_up(inventory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (inventory.parent / "ansible.cfg").write_text("[defaults]\ninventory = /nonexistent\nvars_plugins_enabled =\n")
    plugins = inventory.parent / "vars_plugins"
    plugins.mkdir()
    (plugins / "evil.py").write_text(f"open({str(inventory.parent / 'ran')!r}, 'w')\n")
    monkeypatch.chdir(inventory.parent)
    monkeypatch.setenv("ANSIBLE_CONFIG", str(inventory.parent / "ansible.cfg"))
    monkeypatch.setenv("ANSIBLE_VARS_PLUGINS", str(plugins))
    inventory.chmod(0o755)
    assert codes(inventory) == []
    script = inventory.parent / "script.yaml"
    script.write_text(f"#!/bin/sh\ntouch '{inventory.parent / 'ran'}'\necho '{{}}'\n")
    script.chmod(0o755)
    with pytest.raises(UnreachableError):
        listed_hosts(script)
    assert not (inventory.parent / "ran").exists()


@pytest.mark.parametrize("text", ["all: [", "- a list\n", "", "just words"])
def test_a_file_that_ansible_does_not_understand(inventory: Path, text: str) -> None:
    inventory.write_text(text)
    with pytest.raises(UnreachableError) as caught:
        listed_hosts(inventory)
    assert caught.value.exit_code == 12
    assert "ansible-inventory -i" in caught.value.hint


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError):
        listed_hosts(tmp_path / "gone.yaml")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("sleep 20", "did not end within 0.3 s"),
        ("echo not json", "not JSON"),
        ("echo '[]'", "not a list of groups"),
        ("echo 'ERROR! no such thing' >&2; exit 4", "ERROR! no such thing"),
        ("exit 4", "did not say why"),
    ],
)
def test_a_tool_that_misbehaves(
    inventory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    program = tmp_path / "bin" / "ansible-inventory"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program.parent / "python"))
    with pytest.raises(UnreachableError, match=said):
        listed_hosts(inventory, timeout=0.3 if "sleep" in script else 20)


def test_a_tool_that_is_missing_or_does_not_start(
    inventory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnreachableError, match="not installed"):
        listed_hosts(inventory)
    (tmp_path / "ansible-inventory").write_text("no program")
    with pytest.raises(UnreachableError, match="does not start"):
        listed_hosts(inventory)


def test_a_password_file_for_ansible_vault_is_handed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", "/etc/drp/vault")
    monkeypatch.setenv("ANSIBLE_INVENTORY_PLUGINS", "/etc/evil")
    found = adapter._environment(str(tmp_path), tmp_path / "ansible.cfg")
    assert found["ANSIBLE_VAULT_PASSWORD_FILE"] == "/etc/drp/vault"
    assert found["ANSIBLE_CONFIG"] == str(tmp_path / "ansible.cfg")  # not /etc/ansible's either
    assert "ANSIBLE_INVENTORY_PLUGINS" not in found


VARIABLES = st.dictionaries(
    st.sampled_from(["ansible_user", "ansible_port", "ansible_host", "ansible_become"]), st.just(0), max_size=3
)


@settings(max_examples=6, deadline=None)
@given(st.data())
def test_drp_reads_nested_groups_as_ansible_does(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    def values(place: str) -> str:
        chosen = data.draw(VARIABLES)
        shown = {"ansible_user": f"u-{place}", "ansible_host": f"{place}.example", "ansible_become": "true"}
        return ", ".join(f"{name}: {shown.get(name, 2000 + len(place))}" for name in chosen)

    outer = data.draw(st.sampled_from(["a", "z"]))
    text = f"all:\n  vars: {{{values('all')}}}\n  children:\n    primary:\n      vars: {{{values('primary')}}}\n"
    text += f"      children:\n        {outer}:\n          vars: {{{values(outer)}}}\n          hosts:\n"
    text += f"            h1: {{{values('h1')}}}\n            h2:\n"
    text += f"    m:\n      vars: {{{values('m')}}}\n      hosts: {{h1: {{{values('h1m')}}}}}\n"
    path = tmp_path_factory.mktemp("nested") / "hosts.yaml"
    path.write_text(text)
    assert codes(path) == [], text
