"""A workspace's files: every fault at once, each with its file and line."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from drp.adapters.inventory import MOST_FAULTS_PER_FILE, find_workspace, load_city, read_city
from drp.domain.inventory import AnsibleHost, City
from drp.domain.people import owner_name
from drp.errors import InvalidInventoryError, UsageError
from tests.fakes.city import runbook_record, service_record, workspace_record

HOSTS = """\
all:
  vars:
    ansible_user: root
  children:
    primary:
      hosts:
        identitas-1: {ansible_host: 192.0.2.1}
        pengaduan-1: {ansible_host: 192.0.2.2}
    recovery:
      hosts:
        drc-identitas-1: {ansible_host: 198.51.100.1}
        drc-pengaduan-1: {ansible_host: 198.51.100.2}
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A good workspace; keys stand in the order of the records, one a line."""
    folder = tmp_path / "city"
    write(folder / "drp.yaml", workspace_record())
    (folder / "inventories").mkdir()
    (folder / "inventories/hosts.yaml").write_text(HOSTS)
    write(folder / "inventories/services/identitas.yaml", service_record("identitas"))
    write(folder / "inventories/services/pengaduan.yaml", service_record("pengaduan", depends_on=["identitas"]))
    write(folder / "runbooks/site-loss.yaml", runbook_record())
    return folder


def write(path: Path, record: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(record, sort_keys=False))


def load(folder: Path) -> City:
    return load_city(folder, folder / "runbooks")


def faults(folder: Path) -> list[tuple[str, str]]:
    with pytest.raises(InvalidInventoryError) as caught:
        load(folder)
    return [(fault.where, fault.message) for fault in caught.value.faults]


def line_of(path: Path, text: str) -> int:
    return next(number for number, line in enumerate(path.read_text().splitlines(), 1) if text in line)


def change(path: Path, old: str, new: str) -> int:
    """Change one place of a file; gives its line."""
    text = path.read_text()
    assert old in text
    line = text[: text.index(old)].count("\n") + 1
    path.write_text(text.replace(old, new, 1))
    return line


def test_a_good_workspace_is_read(workspace: Path) -> None:
    city = load(workspace)
    assert sorted(city.services) == ["identitas", "pengaduan"]
    assert city.hosts["drc-pengaduan-1"] == AnsibleHost(name="drc-pengaduan-1", site="recovery", address="198.51.100.2")


def test_all_faults_of_all_files_are_told_at_once_each_with_its_line(workspace: Path) -> None:
    services = workspace / "inventories/services"
    lines = [
        change(workspace / "drp.yaml", "rto: 5m", "rto: 5 minutes"),
        change(workspace / "inventories/hosts.yaml", "ansible_host: 192.0.2.1", "ansible_port: 99999"),
        change(services / "identitas.yaml", "agency: humas", "agency: dukcapil"),
        change(services / "pengaduan.yaml", "database: pengaduan", "database: a;b"),
        change(services / "pengaduan.yaml", "checks:", "chekcs: 1\nchecks:"),
    ]
    found = faults(workspace)
    told = {message for _, message in found}
    assert "unknown agency 'dukcapil'" in told
    assert "chekcs: unknown key" in told
    assert "datasets.0.postgresql.database: 'a;b' is not an allowed name" in told
    wheres = {where for where, _ in found}
    assert {
        f"drp.yaml:{lines[0]}",
        f"inventories/hosts.yaml:{lines[1]}",
        f"inventories/services/identitas.yaml:{lines[2]}",
        f"inventories/services/pengaduan.yaml:{lines[3]}",
        f"inventories/services/pengaduan.yaml:{lines[4]}",
    } <= wheres


def test_a_faulty_value_does_not_hide_faults_of_references_in_the_same_file(workspace: Path) -> None:
    path = workspace / "inventories/services/pengaduan.yaml"
    bad_key = change(path, "schema: 1", "schema: 1\nunknown: 1") + 1
    bad_reference = change(path, "- identitas", "- pajak")
    assert faults(workspace) == [
        (f"inventories/services/pengaduan.yaml:{bad_key}", "unknown: unknown key"),
        (f"inventories/services/pengaduan.yaml:{bad_reference}", "unknown service 'pajak'"),
    ]


def test_a_service_that_cannot_be_read_is_no_second_fault_where_it_is_named(workspace: Path) -> None:
    (workspace / "inventories/services/identitas.yaml").write_text("a: [\n")
    found = faults(workspace)
    assert [where for where, _ in found] == ["inventories/services/identitas.yaml:2"]


@pytest.mark.parametrize(
    ("break_it", "where", "message"),
    [
        (lambda folder: (folder / "drp.yaml").write_text("- a\n"), "drp.yaml:1", "not a mapping"),
        (lambda folder: (folder / "inventories/hosts.yaml").unlink(), "inventories/hosts.yaml", "cannot be read"),
        (
            lambda folder: (folder / "inventories/services/pengaduan.yaml").rename(
                folder / "inventories/services/other.yaml"
            ),
            "inventories/services/other.yaml:2",
            "in a file called other.yaml",
        ),
        (
            lambda folder: (folder / "inventories/services/pengaduan.yml").write_text(
                (folder / "inventories/services/pengaduan.yaml").read_text()
            ),
            "inventories/services/pengaduan.yml",
            "declared twice",
        ),
        (lambda folder: (folder / "runbooks/x.yaml").write_text("schema: 2\n"), "runbooks/x.yaml:1", "schema"),
    ],
)
def test_a_broken_file_is_told(workspace: Path, break_it: Callable[[Path], object], where: str, message: str) -> None:
    break_it(workspace)
    assert any(place == where and message in text for place, text in faults(workspace)), faults(workspace)


def test_a_city_without_services_is_a_fault(workspace: Path) -> None:
    for path in (workspace / "inventories/services").iterdir():
        path.unlink()
    assert faults(workspace) == [("inventories/services", "no service is declared")]


def hosts(workspace: Path, text: str) -> dict[str, AnsibleHost]:
    """The hosts of an inventory, read beside services that its own hosts run."""
    for path in (workspace / "inventories/services").iterdir():
        path.unlink()
    record = service_record("web", runs_on=["a"], recovers_on={"a": "b"})
    record["datasets"] = [{"id": "files", "type": "files", "host": "a", "paths": ["/srv/web"]}]
    write(workspace / "inventories/services/web.yaml", record)
    (workspace / "inventories/hosts.yaml").write_text(text)
    return load(workspace).hosts


def test_inner_groups_win_over_outer_ones_and_a_hosts_own_variables_over_all(workspace: Path) -> None:
    found = hosts(
        workspace,
        """\
all:
  vars: {ansible_user: outer, ansible_port: 1}
  children:
    primary:
      vars: {ansible_user: inner, ansible_become: true}
      hosts: {a: {ansible_port: 2}}
    recovery:
      children:
        rack-1:
          vars: {ansible_user: rack}
          hosts: {b: }
""",
    )
    assert found["a"] == AnsibleHost(name="a", site="primary", address="a", port=2, user="inner", become=True)
    assert found["b"] == AnsibleHost(name="b", site="recovery", address="b", port=1, user="rack")


def test_a_hosts_own_variable_wins_also_where_a_later_group_names_it_again(workspace: Path) -> None:
    found = hosts(
        workspace,
        "primary: {hosts: {a: {ansible_port: 2}}}\nrecovery: {hosts: {b: }}\n"
        "web: {vars: {ansible_port: 3}, hosts: {a: }}\n",
    )
    assert found["a"].port == 2


def test_a_group_may_be_filled_in_another_place_than_where_it_is_a_child(workspace: Path) -> None:
    found = hosts(
        workspace,
        "primary: {children: {balai: }}\nrecovery: {children: {drc: }}\n"
        "balai: {vars: {ansible_user: x}, hosts: {a: }}\ndrc: {hosts: {b: }}\n",
    )
    assert (found["a"].site, found["a"].user, found["b"].site) == ("primary", "x", "recovery")


def test_groups_that_hold_each_other_end(workspace: Path) -> None:
    found = hosts(
        workspace,
        "primary: {hosts: {a: }, children: {x: }}\nx: {children: {primary: }}\nrecovery: {hosts: {b: }}\n",
    )
    assert found["a"].site == "primary"


def test_what_is_said_of_all_hosts_holds_wherever_it_stands(workspace: Path) -> None:
    found = hosts(
        workspace,
        "primary: {hosts: {a: }}\nrecovery: {children: {rack: {hosts: {b: }}}}\nall: {vars: {ansible_port: 7}}\n",
    )
    assert (found["a"].port, found["b"].port) == (7, 7)


def test_the_inner_of_two_groups_is_the_one_that_is_further_from_the_outermost_by_any_way(workspace: Path) -> None:
    found = hosts(
        workspace,
        "primary: {children: {x: , z: }}\nx: {children: {y: }}\ny: {vars: {ansible_port: 2}, children: {z: }}\n"
        "z: {vars: {ansible_port: 3}, hosts: {a: }}\nrecovery: {hosts: {b: }}\n",
    )
    assert found["a"].port == 3


def test_a_host_at_both_sites_is_a_fault(workspace: Path) -> None:
    change(workspace / "inventories/hosts.yaml", "drc-pengaduan-1", "pengaduan-1")
    line = line_of(workspace / "inventories/hosts.yaml", "pengaduan-1")
    told = [
        where for where, message in faults(workspace) if message == "host 'pengaduan-1' is in primary and in recovery"
    ]
    assert told == [f"inventories/hosts.yaml:{line}"]


def test_an_interpreter_that_ansible_looks_for_itself_is_the_usual_one(workspace: Path) -> None:
    path = workspace / "inventories/hosts.yaml"
    change(path, "ansible_user: root", "ansible_python_interpreter: auto_silent")
    assert load(workspace).hosts["pengaduan-1"].python == "/usr/bin/python3"


def test_an_encrypted_variable_does_not_disturb(workspace: Path) -> None:
    vault = "{ansible_host: 192.0.2.1, ansible_become_password: !vault x}"
    change(workspace / "inventories/hosts.yaml", "{ansible_host: 192.0.2.1}", vault)
    assert load(workspace).hosts["identitas-1"].address == "192.0.2.1"
    change(workspace / "drp.yaml", "name: Pemerintah", "name: !vault Pemerintah")
    assert "tag" in faults(workspace)[0][1]


@pytest.mark.parametrize("text", ["all: 5\n", "all: {hosts: [a]}\n", "all: {children: 5}\n", "{}\n", "all:\n"])
def test_an_inventory_of_another_shape_has_no_hosts_and_breaks_nothing(workspace: Path, text: str) -> None:
    (workspace / "inventories/hosts.yaml").write_text(text)
    assert all("unknown host" in message for _, message in faults(workspace))


@pytest.mark.parametrize("field", ["interval", "timeout"])
def test_a_check_that_would_never_wait_is_refused(workspace: Path, field: str) -> None:
    path = workspace / "inventories/services/pengaduan.yaml"
    line = change(path, "  interval: 500ms", f"  {field}: 0s")
    assert [where for where, _ in faults(workspace)] == [f"inventories/services/pengaduan.yaml:{line}"]


def test_the_workspace_is_the_nearest_folder_upwards(workspace: Path) -> None:
    assert find_workspace(workspace / "inventories" / "services") == workspace
    with pytest.raises(UsageError):
        find_workspace(workspace.parent)


# -- registers: nobody needs them to back up or to recover ---------------------------------------------------------


ASSET = {"kind": "server", "title": "Server", "hosts": ["pengaduan-1", "gone-1", "gone-2"], "links": ["r99"]}


def test_a_loose_end_of_a_register_is_told_and_left_out(workspace: Path) -> None:
    write(workspace / "inventories/assets.yaml", {"schema": 1, "assets": {"server": ASSET}})
    people = {"people": {"siti": {"name": "Siti", "deputy": "budi"}}, "roles": {"drill-lead": ["joko", "siti"]}}
    write(workspace / "inventories/people.yaml", {"schema": 1, **people})
    city, files = read_city(workspace, workspace / "runbooks")
    told = [(fault.file, fault.message) for fault in files.locate(files.loose_ends)]
    assert told == [
        ("inventories/assets.yaml", "unknown host 'gone-1'"),
        ("inventories/assets.yaml", "unknown host 'gone-2'"),
        ("inventories/assets.yaml", "unknown link 'r99'"),
        ("inventories/people.yaml", "unknown person 'budi'"),
        ("inventories/people.yaml", "unknown person 'joko'"),
    ]
    assert (city.assets.assets["server"].hosts, city.assets.assets["server"].links) == (("pengaduan-1",), ())
    assert (city.people.people["siti"].deputy, city.people.roles["drill-lead"]) == (None, ("siti",))


def test_a_line_that_ends_nowhere_is_a_fault(workspace: Path) -> None:
    links = {"r1": {"a": "kantor", "b": "bulan", "medium": "radio"}}
    write(
        workspace / "inventories/network.yaml",
        {"schema": 1, "locations": {"kantor": {"title": "Kantor"}}, "links": links},
    )
    assert [message for _, message in faults(workspace)] == ["unknown location 'bulan'"]


@pytest.mark.parametrize("text", ["schema: 1\nasets: {}\n", "a: [", "", "schema: 2\n"])
def test_a_damaged_register_is_a_fault_but_keeps_nobody_from_recovering(workspace: Path, text: str) -> None:
    path = workspace / "inventories/people.yaml"
    path.write_text(text)
    record = service_record("pengaduan", depends_on=["identitas"], owner="siti")
    write(workspace / "inventories/services/pengaduan.yaml", record)
    assert "inventories/people.yaml" in {where.split(":")[0] for where, _ in faults(workspace)}
    city, files = read_city(workspace, workspace / "runbooks", whole=False)
    assert {fault.file for fault in files.passed_over} == {"inventories/people.yaml"}
    assert city.people.people == {}
    assert owner_name(city, city.services["pengaduan"]) is None


def test_two_runbooks_with_one_id_are_a_fault(workspace: Path) -> None:
    write(workspace / "runbooks/z.yaml", runbook_record())
    assert faults(workspace) == [
        ("runbooks/z.yaml", "the runbook 'site-loss' is declared twice: in site-loss.yaml too")
    ]


def test_of_very_many_faults_in_a_file_the_first_are_told_and_the_number_of_the_others(workspace: Path) -> None:
    path = workspace / "inventories/services/pengaduan.yaml"
    with path.open("a") as stream:
        stream.writelines(f"unknown-{number}: 1\n" for number in range(MOST_FAULTS_PER_FILE + 7))
    found = faults(workspace)
    assert len(found) == MOST_FAULTS_PER_FILE + 1
    assert found[-1] == ("inventories/services/pengaduan.yaml", "7 more faults in this file")


def test_several_bad_items_of_a_list_are_left_out_and_no_good_one(workspace: Path) -> None:
    """So that the names of the good ones are still checked."""
    path = workspace / "inventories/services/pengaduan.yaml"
    change(path, "- identitas", "- $\n- pajak\n- $\n- $\n- identitas")
    told = [message for _, message in faults(workspace)]
    assert told == [
        "depends_on.0: '$' is not an allowed name",
        "unknown service 'pajak'",
        "depends_on.2: '$' is not an allowed name",
        "depends_on.3: '$' is not an allowed name",
    ]


@pytest.mark.parametrize("was_on", [True, False])
def test_the_collection_of_garbage_goes_on_as_before(workspace: Path, was_on: bool) -> None:
    try:
        (gc.enable if was_on else gc.disable)()
        load(workspace)
        assert gc.isenabled() is was_on
        (workspace / "drp.yaml").unlink()
        faults(workspace)
        assert gc.isenabled() is was_on
    finally:
        gc.enable()
