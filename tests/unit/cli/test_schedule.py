"""`drp schedule` and `drp backup run --due`, as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drp.adapters.ledger import SqliteLedger
from drp.adapters.lock import FileLocks
from drp.adapters.template import write_template
from drp.domain.values import from_stamp
from drp.errors import ExitCode
from tests.fakes.city import NOW
from tests.fakes.command import run


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A new workspace: its service has no password file, so that each backup fails as it starts."""
    folder = tmp_path / "city"
    write_template(folder)
    return folder


def test_what_is_due_is_tried_once_and_then_waits_for_its_retry(workspace: Path) -> None:
    first = run("-w", workspace, "backup", "run", "--due")
    assert first.code == ExitCode.FAILED
    assert "example: backup is due (never backed up" in first.err
    assert "No such file" in first.err
    second = run("-w", workspace, "backup", "run", "--due")
    assert (second.code, second.out) == (ExitCode.DONE, "nothing is due\n")
    ledger = SqliteLedger(workspace / "var" / "ledger.sqlite3", lambda: NOW)
    state = ledger.backup_states()["example"]
    ledger.close()
    assert (state.failures, state.outcome) == (1, "failed")
    assert state.due_at is not None
    assert state.due_at < state.opened_at


def test_what_failed_is_told_to_programs(workspace: Path) -> None:
    done = run("-w", workspace, "schedule", "run", "--json")
    assert done.code == ExitCode.FAILED
    (outcome,) = json.loads(done.out)
    assert (outcome["service"], outcome["kind"], outcome["why"]) == ("example", "backup", "never-done")
    assert outcome["outcome"] == "failed"


def test_a_second_scheduler_ends_quietly(workspace: Path) -> None:
    locks = FileLocks(workspace / "var" / "locks")
    locks.acquire("scheduler", "drp, doing what is due,")
    done = run("-w", workspace, "backup", "run", "--due")
    locks.release("scheduler")
    assert done.code == ExitCode.BUSY
    assert done.out == ""
    assert done.err == "scheduler: drp, doing what is due, is at work here; nothing was started\n"


def test_a_service_that_cannot_be_backed_up_is_a_usage_error(workspace: Path) -> None:
    assert run("-w", workspace, "backup", "run", "--due", "nobody").code == ExitCode.USAGE


def test_show_tells_the_last_and_the_next_run_and_why(workspace: Path) -> None:
    run("-w", workspace, "backup", "run", "--due")
    done = run("-w", workspace, "schedule", "show")
    assert done.code == ExitCode.DONE
    assert "retry 1" in done.out
    assert "Schedule (Asia/Jakarta)" in done.out
    shown = json.loads(run("-w", workspace, "schedule", "show", "--json", "example").out)
    backup = next(row for row in shown if row["kind"] == "backup")
    assert (backup["is_due"], backup["why"], backup["schedules"]) == (False, "retry", ["daily 02:00"])
    assert from_stamp(backup["next_at"]) > from_stamp(backup["last_run"]["opened_at"])
    assert 0 <= backup["offset_s"] < 900
    check = next(row for row in shown if row["kind"] == "check")
    assert (check["waits_for"], check["next_at"], check["last_run"]) == ("restore-point", None, None)


def test_show_names_services_that_nothing_is_scheduled_for(workspace: Path) -> None:
    path = workspace / "inventories" / "services" / "example.yaml"
    path.write_text(path.read_text().replace("  schedule: daily 02:00", "  #"))
    assert "Without a scheduled backup: 1 service (example)" in run("-w", workspace, "schedule", "show").out
    assert run("-w", workspace, "backup", "run", "--due").out == "nothing is due\n"


def test_install_writes_units_says_what_to_do_and_remove_undoes_it(workspace: Path, tmp_path: Path) -> None:
    folder = tmp_path / "units"
    done = run("-w", workspace, "schedule", "install", "--folder", folder)
    assert done.code == ExitCode.DONE
    assert len(list(folder.iterdir())) == 8
    assert "Nothing was started" in done.out
    assert "systemctl enable --now drp-city-" in done.out
    assert run("-w", workspace, "schedule", "remove", "--folder", folder).out.count("removed") == 8
    assert list(folder.iterdir()) == []
    assert "no units" in run("-w", workspace, "schedule", "remove", "--folder", folder).out


def test_install_prints_without_writing(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    done = run("-w", workspace, "schedule", "install", "--user", "--print")
    assert "ExecStart=:" in done.out
    assert "OnCalendar=" in done.out
    assert not (tmp_path / "config").exists()
    lines = run("-w", workspace, "schedule", "install", "--crontab", "--print").out
    assert lines.count("* * * * * ") == 3
    assert not (workspace / "var").exists()


def test_a_users_units_go_where_the_users_manager_looks(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    done = run("-w", workspace, "schedule", "install", "--user")
    assert "loginctl enable-linger" in done.out
    assert len(list((tmp_path / "config" / "systemd" / "user").iterdir())) == 8


@pytest.mark.parametrize(
    "options", [("--crontab", "--user"), ("--crontab", "--start"), ("--folder", "x", "--start")], ids=" ".join
)
def test_options_that_do_not_fit_are_refused(workspace: Path, options: tuple[str, ...]) -> None:
    assert run("-w", workspace, "schedule", "install", *options).code == ExitCode.USAGE
