"""`drp plan` as a person and as a program reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drp.cli import main
from tests.fakes.city import hosts_of
from tests.fakes.planned import ESTIMATES, LINES, city_with, sized_record


@pytest.fixture
def workspace(tmp_path: Path) -> Callable[..., Path]:
    """Writes a workspace of services of `tests.fakes.planned`, in which everything is declared."""

    def write(*records: dict[str, Any], people: dict[str, str] | None = None) -> Path:
        city = city_with(LINES, *records, estimates=ESTIMATES)
        files: dict[str, Any] = {
            "drp.yaml": city.workspace.model_dump(mode="json", by_alias=True, exclude_none=True),
            "inventories/network.yaml": city.network.model_dump(mode="json", by_alias=True, exclude_none=True),
            "runbooks/site-loss.yaml": city.runbooks["site-loss"].model_dump(
                mode="json", by_alias=True, exclude_none=True
            )
            | ({} if people == {} else {"people": people or {"detect": "5m", "decide": "15m", "mobilise": "10m"}}),
        }
        groups: dict[str, Any] = {"primary": {"hosts": {}}, "recovery": {"hosts": {}}}
        for host in hosts_of(*city.services.values()).values():
            assert host.site is not None
            groups[host.site]["hosts"][host.name] = {"ansible_host": host.address}
        files["inventories/hosts.yaml"] = {"all": {"children": groups}}
        for record in records:
            files[f"inventories/services/{record['id']}.yaml"] = record
        for name, value in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(value), encoding="utf-8")  # JSON is YAML
        return tmp_path

    return write


def run(folder: Path, *arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["-w", str(folder), "plan", *arguments])
    return int(str(ended.value.code))


def test_a_plan_that_walks_back_shows_the_trial_and_what_is_not_counted(
    workspace: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    record = sized_record("b", depends_on=["a"])
    files = record["datasets"][0]
    two = [files | {"id": "z", "paths": ["/srv/z"]}, files]
    folder = workspace(sized_record("a"), record | {"datasets": two})
    path = folder / "runbooks/site-loss.yaml"
    declared = json.loads(path.read_text()) | {
        "restore_points": "walk-back",
        "walk_back": {"attempts": 4, "patience": "5m"},
    }
    path.write_text(json.dumps(declared))
    assert run(folder, "--steps") in (0, 4)
    out = capsys.readouterr().out
    header = next(line for line in out.splitlines() if "waits for" in line)
    assert "trial" in header
    assert "each one whose data proves bad costs restore, start and trial once more (up to 4 are tried)" in out
    assert "b/trial" in out
    assert "each host restores its datasets in the declared order: b: z, files" in out
    run(folder, "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["restore_points_tried_at_most"] == 4
    assert [row["datasets_in_order"] for row in told["services"]] == [["files"], ["z", "files"]]


def test_a_feasible_plan_shows_waves_times_and_the_critical_path(
    workspace: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = workspace(sized_record("a"), sized_record("b", depends_on=["a"]))
    assert run(folder) == 0
    out = capsys.readouterr().out
    assert "failover of 2 services by runbook site-loss" in out
    assert "people first: detect 5 m (declared), decide 15 m (declared), mobilise 10 m (declared)" in out
    assert "2 h shared" in out
    assert "critical path: a/restore 2 h → a/activate 5 m → a/verify 2 m → a/cutover 1 m → b/activate 5 m" in out
    assert "feasible: every RTO and RPO can be kept, if the estimates hold" in out


def test_a_plan_that_cannot_be_kept_ends_with_4_and_says_why(
    workspace: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = workspace(sized_record("a", rto="100m"), sized_record("b"))
    assert run(folder) == 4
    out = capsys.readouterr().out
    assert "Not feasible: 1 shortfall" in out
    assert "shared-line\n  a: expected 2 h 39 m (people 30 m, machines 2 h 09 m), RTO 1 h 40 m: 2 restores" in out
    assert "share link downlink" in out
    assert "→ widen that line" in out


def test_what_nobody_knows_ends_with_4_too(workspace: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(workspace(sized_record("a"), people={})) == 4
    assert "Not known to be feasible: 1 shortfall" in capsys.readouterr().out


def test_steps_say_where_their_estimates_come_from(
    workspace: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(workspace(sized_record("a")), "--steps") == 0
    out = capsys.readouterr().out
    assert "computed: 45 GB over link" in out
    assert "declared: declared in drp.yaml for every service" in out


def test_json_has_every_figure_in_milliseconds(
    workspace: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(workspace(sized_record("a")), "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["feasible"] is True
    assert record["services"][0]["expected_rta_ms"] == 99 * 60_000
    assert record["services"][0]["worst_rpa_ms"] == 3_608_000
    assert record["makespan_ms"] == record["lower_bound_ms"] == 69 * 60_000
    assert record["steps"][0]["estimate"]["basis"] == "computed"
    assert record["shortfalls"] == []


def test_planning_writes_nothing_but_an_empty_ledger(workspace: Callable[..., Path]) -> None:
    folder = workspace(sized_record("a"))
    before = {path.relative_to(folder) for path in folder.rglob("*")}
    run(folder)
    new = {str(path.relative_to(folder)) for path in folder.rglob("*")} - {str(path) for path in before}
    assert {name for name in new if "ledger" not in name} <= {"var", "var/locks"}
