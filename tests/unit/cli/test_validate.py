"""`drp validate`: faults and warnings, each once, in its place, with what to do; schemas for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes.city import runbook_record
from tests.fakes.command import run
from tests.fakes.whole_city import GOOD

HOSTS = """\
all:
  children:
    primary: {hosts: {identitas-1: {ansible_host: 192.0.2.1}, pengaduan-1: {ansible_host: 192.0.2.2}}}
    recovery: {hosts: {drc-identitas-1: {ansible_host: 198.51.100.1}, drc-pengaduan-1: {ansible_host: 198.51.100.2}}}
"""
PENGADUAN = "inventories/services/pengaduan.yaml"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with all registers, about which there is nothing to say whatever the day: it has no dates."""
    folder = tmp_path / "city"
    settings = without(GOOD["workspace"], "sla_targets") | {
        "sites": GOOD["workspace"]["sites"] | {"primary": {"title": "Balai Kota", "location": "balai-kota"}},
        "dr_centres": {"drc": without(GOOD["workspace"]["dr_centres"]["drc"], "contract")},
    }
    write(folder / "drp.yaml", settings)
    write(folder / "inventories/people.yaml", {"schema": 1} | GOOD["people"])
    write(folder / "inventories/network.yaml", {"schema": 1, "locations": GOOD["network"]["locations"]})
    (folder / "inventories/hosts.yaml").write_text(HOSTS)
    for name, record in GOOD["services"].items():
        write(folder / f"inventories/services/{name}.yaml", record)
    write(folder / "runbooks/site-loss.yaml", runbook_record())
    return folder


def without(record: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in keys}


def write(path: Path, record: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(record, sort_keys=False))


def line_of(path: Path, text: str) -> int:
    return next(number for number, line in enumerate(path.read_text().splitlines(), 1) if line.startswith(text))


def take_away(workspace: Path, *keys: str) -> None:
    """Remove these keys from both services."""
    for name, record in GOOD["services"].items():
        changed = without(record, *keys)
        if "schedule" in keys:
            changed["backup"] = without(record["backup"], "schedule")
        write(workspace / f"inventories/services/{name}.yaml", changed)


def test_a_city_without_warnings_says_so_and_counts_what_it_has(workspace: Path) -> None:
    done = run("-w", workspace, "validate", "--strict")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        f"valid: 2 services, 4 hosts, 10 runbooks, 3 locations, 4 people in {workspace}",
        "no warnings; 9 assumptions to confirm: drp inventory list --assumed",  # those of the runbooks that drp brings
    ]


def test_warnings_stand_by_file_and_line_and_what_to_do_is_said_once(workspace: Path) -> None:
    take_away(workspace, "schedule", "owner")
    done = run("-w", workspace, "validate")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    start = lines.index(PENGADUAN)
    backup = line_of(workspace / PENGADUAN, "backup:")
    assert lines[start + 1 : start + 4] == [
        "     1  nobody is named as its owner  [no-owner]",
        f"{backup:6}  its backup has no schedule: it is made only when somebody asks  [no-schedule]",
        "",
    ]
    assert done.out.count("backup.schedule") == 1
    hints = lines[lines.index("What to do") :]
    assert [line.split()[:3] for line in hints if "→" in line] == [
        ["no-owner", "(2)", "→"],
        ["no-schedule", "(2)", "→"],
    ]
    assert lines[-1] == "4 warnings; 9 assumptions to confirm: drp inventory list --assumed"
    assert "\x1b" not in done.out


def test_what_is_said_several_times_of_one_place_stands_there_once(workspace: Path) -> None:
    people = {"schema": 1, "people": GOOD["people"]["people"], "roles": {}}
    write(workspace / "inventories/people.yaml", people)
    done = run("-w", workspace, "validate")
    assert len([line for line in done.out.splitlines() if line.endswith("[role-empty]")]) == 1
    for role in ("drill-lead", "declares", "drc-contact", "observer"):
        assert f"(role {role})" in done.out
    assert "4 warnings" in done.out


def test_strict_ends_with_4_where_there_are_warnings(workspace: Path) -> None:
    take_away(workspace, "owner")
    plain, strict = run("-w", workspace, "validate"), run("-w", workspace, "validate", "--strict")
    assert (plain.code, strict.code) == (0, 4)
    assert strict.out == plain.out
    assert run("-w", workspace, "validate", "--strict", "--json").code == 4


def test_assumptions_are_counted_with_how_to_list_them(workspace: Path) -> None:
    record = GOOD["services"]["pengaduan"] | {"assumed": ["runs_on"]}
    write(workspace / PENGADUAN, record)
    assert run("-w", workspace, "validate").out.splitlines()[-1] == (
        "no warnings; 10 assumptions to confirm: drp inventory list --assumed"
    )


def test_json_holds_the_same(workspace: Path) -> None:
    take_away(workspace, "schedule")
    found = json.loads(run("-w", workspace, "validate", "--json").out)
    assert (found["valid"], found["faults"]) == (True, [])
    assert found["counts"] == {
        "services": 2,
        "hosts": 4,
        "runbooks": 10,
        "locations": 3,
        "links": 0,
        "people": 4,
        "documents": 0,
        "assets": 0,
        "assumptions": 9,
        "warnings": 2,
    }
    warning = found["warnings"][1]
    assert warning.pop("message")
    assert warning.pop("hint")
    line = line_of(workspace / PENGADUAN, "backup:")
    assert warning == {"file": PENGADUAN, "line": line, "code": "no-schedule", "services": ["pengaduan"]}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("agency: nowhere", "unknown-name"),
        ("agency: Humas", "bad-value"),
        ("agnecy: humas\nagency: humas", "unknown-key"),
        ("", "missing-key"),
        ("agency: [", "unreadable"),
    ],
)
def test_every_fault_has_a_code_for_programs(workspace: Path, text: str, code: str) -> None:
    path = workspace / PENGADUAN
    line = line_of(path, "agency:")
    path.write_text(path.read_text().replace("agency: humas", text))
    done = run("-w", workspace, "validate", "--json", "--strict")
    assert done.code == 10
    found = json.loads(done.out)
    assert (found["valid"], found["warnings"], found["counts"]) == (False, [], {})
    (fault,) = found["faults"]
    assert (fault["file"], fault["code"]) == (PENGADUAN, code)
    assert fault["line"] == line or code in ("missing-key", "unreadable")


def test_the_day_is_that_of_the_organisation(workspace: Path) -> None:
    from datetime import UTC, datetime
    from unittest.mock import patch

    from drp.wiring import city_of, today_of

    city = city_of(workspace)
    late = datetime(2026, 12, 31, 18, tzinfo=UTC)  # in Jakarta a new year has begun
    with patch("drp.adapters.clock.SystemClock.now", return_value=late):
        assert str(today_of(city)) == "2027-01-01"


def test_schemas_are_written_with_the_line_that_names_them(workspace: Path) -> None:
    (workspace / "drp.yaml").write_text("schema: 1\n")  # it must help with files that are not yet right
    done = run("-w", workspace, "validate", "--schema")
    assert done.code == 0
    assert "$schema=../../schemas/service.schema.json" in done.out
    assert json.loads((workspace / "schemas/service.schema.json").read_text())["properties"]["id"]
    elsewhere = run("-w", workspace, "validate", "--schema", "var/editor", "--json")
    assert {item["for"] for item in json.loads(elsewhere.out)["schemas"]} >= {"drp.yaml", "inventories/people.yaml"}
    assert (workspace / "var/editor/drp.schema.json").is_file()


def test_the_restic_to_carry_must_be_the_declared_one(workspace: Path) -> None:
    settings = yaml.safe_load((workspace / "drp.yaml").read_text())
    settings["backups"] = {"restic": {"file": "restic", "sha256": "0" * 64}}
    write(workspace / "drp.yaml", settings)
    missing = run("-w", workspace, "validate")
    assert missing.code == 10
    assert "restic cannot be read: No such file or directory" in missing.err
    (workspace / "restic").write_text("another")
    changed = run("-w", workspace, "validate")
    assert changed.code == 10
    assert "restic has the SHA-256 " in changed.err


TRAFFIC = """\
traffic:
  - type: haproxy
    hosts: [lb-9]
    backend: users
    primary: [a]
    recovery: [b, a]
  - type: dns
    server: 192.0.2.53
    zone: kota.example
    key: {name: drp, secret: {env: X}}
    records:
      - {name: www.desa.example, type: A, primary: [192.0.2.1], recovery: [192.0.2.2]}
  - {type: command, to_recovery: ['true'], to_primary: switch back}
recovery:
  commands:
    - {argv: ['true'], on: restore}
  playbooks: {after_restore: ../mask}
"""


def test_traffic_and_own_steps_that_cannot_work_are_told_with_their_lines(workspace: Path) -> None:
    path = workspace / PENGADUAN
    text = yaml.safe_dump(without(GOOD["services"]["pengaduan"], "recovery"), sort_keys=False)
    first = len(text.splitlines())
    path.write_text(text + TRAFFIC)
    done = run("-w", workspace, "validate")
    assert done.code == 10
    told = [line for line in (done.out + done.err).splitlines() if PENGADUAN in line]
    for place, words in (
        (2, "server a stands for both sites"),
        (7, "www.desa.example is not in the zone kota.example"),
        (13, "to_primary"),
        (16, "on"),
        (17, "playbooks"),
    ):
        assert any(f"{PENGADUAN}:{first + place}:" in line and words in line for line in told), (place, words, told)
    path.write_text(text + TRAFFIC.replace("[b, a]", "[b]").split("  - type: dns")[0])
    done = run("-w", workspace, "validate")
    told = [line for line in (done.out + done.err).splitlines() if PENGADUAN in line]
    assert any(f"{PENGADUAN}:{first + 3}:" in line and "unknown host 'lb-9'" in line for line in told), told
    assert any(f"{PENGADUAN}:{first + 1}:" in line and "nobody knows where users" in line for line in told), told
