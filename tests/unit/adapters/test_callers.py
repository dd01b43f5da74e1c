"""Units and crontab lines: checked by systemd's own tools and by a crontab program, with names that need quoting."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from drp.adapters import callers as callers_module
from drp.adapters.callers import Callers, callers_of
from drp.adapters.service_manager import ServiceManager
from drp.adapters.systemd_units import UnitSettings, run_systemctl, unit_texts, write_units
from drp.domain.backups.record import SCHEDULED_KINDS
from drp.errors import DrpError, UsageError

AWKWARD = "kota \"q' $HOME %h \\ ä;#"
AWKWARD_PROGRAM = "py $HOME %h ä;#"
"""Quotes and backslashes in a program's path are refused: systemd takes none."""

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed: units cannot be verified here"
)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / AWKWARD
    folder.mkdir()
    return folder


def settings_of(workspace: Path, *, for_system: bool = True) -> UnitSettings:
    """Units whose program lies at a path that must be quoted right, or systemd does not find it."""
    program = workspace.parent / AWKWARD_PROGRAM
    if not program.exists():
        program.symlink_to(sys.executable)
    settings = callers_of(workspace, None, for_system=for_system).settings
    return replace(settings, program=(str(program), *settings.program[1:]))


def analyze(*arguments: str | Path, runtime: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"XDG_RUNTIME_DIR": str(runtime)}
    command = ["systemd-analyze", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)


@needs_systemd
@pytest.mark.parametrize("for_system", [True, False])
def test_systemd_has_nothing_to_say_against_the_units(workspace: Path, tmp_path: Path, for_system: bool) -> None:
    paths = write_units(tmp_path / "units", unit_texts(settings_of(workspace, for_system=for_system)))
    assert len(paths) == 8
    manager = [] if for_system else ["--user"]
    done = analyze(*manager, "verify", *paths, runtime=tmp_path)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    # The check can fail: a program that is not there is noticed, so the quoted path was read as it is.
    (tmp_path / AWKWARD_PROGRAM).unlink()
    done = analyze(*manager, "verify", *paths, runtime=tmp_path)
    assert f"{AWKWARD_PROGRAM} is not executable" in done.stderr


@needs_systemd
def test_the_units_are_hardened(workspace: Path, tmp_path: Path) -> None:
    for path in write_units(tmp_path / "units", unit_texts(settings_of(workspace))):
        if path.suffix == ".service":
            done = analyze("security", "--offline=true", path, runtime=tmp_path)
            level = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
            assert level is not None, done.stderr
            assert float(level[1]) <= 2.5, f"{path.name} is open: {level[1]}"


def test_units_call_what_they_say(workspace: Path) -> None:
    settings = settings_of(workspace)
    texts = unit_texts(settings)
    assert re.fullmatch(r"drp-kota-q-home-h-[0-9a-f]{6}", settings.prefix)
    backup = texts[f"{settings.prefix}-backup.service"]
    assert '"backup" "run" "--due"\n' in backup
    assert "Persistent=true" in texts[f"{settings.prefix}-backup.timer"]
    assert "KillMode=process" in backup, "what runs on hosts outlives drp"
    kinds = re.findall('"--kind" "([a-z-]+)"', "".join(texts.values()))
    assert {"backup", *kinds} == set(SCHEDULED_KINDS)
    assert set(re.findall("--kind ([a-z-]+)", Callers(settings).crontab())) == set(kinds)
    daemon = texts[f"{settings.prefix}-daemon.service"]
    assert "Type=notify" in daemon
    assert "WatchdogSec=" in daemon
    assert f"Conflicts={settings.prefix}-backup.timer" in daemon, "timers and daemon would do the same work"


def test_a_users_units_ask_for_nothing_that_only_the_system_can_give(workspace: Path) -> None:
    text = "".join(unit_texts(settings_of(workspace, for_system=False)).values())
    assert not re.search(r"^(User|ProtectSystem|ReadWritePaths|PrivateDevices)=", text, re.MULTILINE)
    assert "network-online" not in text
    assert "NoNewPrivileges=yes" in text


def test_the_folder_for_figures_is_writable_where_it_is_elsewhere(workspace: Path, tmp_path: Path) -> None:
    elsewhere = callers_of(workspace, f"{tmp_path}/prom/drp.prom", for_system=True).settings
    assert elsewhere.writable == (workspace / "var", tmp_path / "prom")
    within = callers_of(workspace, "var/drp.prom", for_system=True).settings
    assert within.writable == (workspace / "var",)


def test_a_name_that_no_unit_can_hold_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "two\nlines"
    folder.mkdir()
    with pytest.raises(UsageError, match="cannot name this path"):
        unit_texts(settings_of(folder))


def test_a_program_that_systemd_would_not_start_is_refused(workspace: Path) -> None:
    with pytest.raises(UsageError, match="systemd starts no program"):
        unit_texts(replace(settings_of(workspace), program=("/opt/it's/python",)))


def test_what_was_written_is_removed_and_nothing_else(workspace: Path, tmp_path: Path) -> None:
    folder = tmp_path / "units"
    callers = Callers(settings_of(workspace))
    written = callers.write(folder)
    assert (workspace / "var").is_dir()
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in written)
    wants = folder / "timers.target.wants"
    wants.mkdir()
    (wants / f"{callers.settings.prefix}-backup.timer").symlink_to(folder / f"{callers.settings.prefix}-backup.timer")
    (folder / "drp-other-000000-backup.timer").touch()
    assert len(callers.remove(folder)) == 9
    left = sorted(path.name for path in folder.rglob("*"))
    assert left == ["drp-other-000000-backup.timer", "timers.target.wants"]
    assert callers.remove(folder) == []


def test_a_folder_that_cannot_be_written_is_an_error_with_a_way_out(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DrpError) as caught:
        Callers(settings_of(workspace)).write(tmp_path / "file" / "units")
    assert "--user" in caught.value.hint


FAKE_SYSTEMCTL = """#!/bin/sh
echo "$@" >>"$0.calls"
case "$*" in *enable*) [ ! -e "$0.fails" ] || { echo "Failed to connect to bus" >&2; exit 1; } ;; esac
"""


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(FAKE_SYSTEMCTL)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return program


def test_starting_and_removing_go_through_systemctl(
    workspace: Path, tmp_path: Path, systemctl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers_module, "SYSTEM_FOLDER", tmp_path / "etc")
    monkeypatch.setattr("drp.adapters.systemd_units.RUNNING_SYSTEMD", tmp_path)
    callers = Callers(settings_of(workspace))
    callers.write(callers.folder)
    callers.start()
    callers.remove(callers.folder)
    calls = Path(f"{systemctl}.calls").read_text().splitlines()
    prefix = callers.settings.prefix
    timers = f"{prefix}-backup.timer {prefix}-copy.timer {prefix}-proof.timer {prefix}-watch.service"
    assert calls[:2] == ["daemon-reload", f"enable --now {timers}"]
    assert calls[2].startswith("disable --now ")
    assert f"{prefix}-daemon.service" in calls[2]
    assert calls[3] == "daemon-reload"
    Path(f"{systemctl}.fails").touch()
    with pytest.raises(DrpError, match="Failed to connect to bus"):
        run_systemctl(("enable", "x"), for_system=False)


FAKE_CRONTAB = """#!/bin/sh
case "$1" in
    -l) [ -e "$0.tab" ] || { echo "no crontab for $(id -un)" >&2; exit 1; }; cat "$0.tab" ;;
    -) cat >"$0.tab" ;;
esac
"""


@pytest.fixture
def crontab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "bin" / "crontab"
    program.parent.mkdir()
    program.write_text(FAKE_CRONTAB)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return Path(f"{program}.tab")


def test_lines_come_into_a_crontab_once_and_go_without_a_trace(workspace: Path, crontab: Path) -> None:
    callers = Callers(settings_of(workspace))
    assert not callers.remove_crontab()
    callers.install_crontab()
    assert crontab.read_text() == callers.crontab()
    crontab.write_text(f"MAILTO=root\n{callers.crontab()}0 1 * * * mine\n")
    callers.install_crontab()
    callers.install_crontab()
    assert crontab.read_text() == f"MAILTO=root\n0 1 * * * mine\n{callers.crontab()}"
    assert callers.remove_crontab()
    assert crontab.read_text() == "MAILTO=root\n0 1 * * * mine\n"
    crontab.write_text(callers.crontab().rpartition("#")[0] + "0 1 * * * mine\n")
    with pytest.raises(DrpError, match="not their end"):
        callers.remove_crontab()


def test_a_shell_reads_a_crontab_line_as_it_is_meant(workspace: Path) -> None:
    callers = Callers(settings_of(workspace))
    line = next(line for line in callers.crontab().splitlines() if line.endswith("-backup"))
    command = line.removeprefix("* * * * * ").replace("\\%", "%")  # what cron hands to the shell
    words = command.partition(" 2>&1 ")[0].replace("env PATH", "printf '%s\\n' PATH")
    done = subprocess.run(["sh", "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1:] == [
        str(workspace.parent / AWKWARD_PROGRAM),
        *("-P", "-m", "drp", "--workspace", str(workspace), "backup", "run", "--due"),
    ]


def test_without_a_crontab_program_the_way_out_is_told(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DrpError) as caught:
        Callers(settings_of(workspace)).install_crontab()
    assert "--print" in caught.value.hint


# -- the notification socket -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_abstract", [False, True])
def test_a_manager_hears_what_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_abstract: bool) -> None:
    address = f"@drp-test-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.settimeout(10)
        receiver.bind("\0" + address[1:] if is_abstract else address)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        monkeypatch.setenv("WATCHDOG_USEC", "30000000")
        manager = ServiceManager()
        assert manager.watchdog_seconds == 30
        assert manager.notify(READY="1", STATUS="two\nlines=1")
        assert receiver.recv(1000) == b"READY=1\nSTATUS=two lines=1"
    assert "NOTIFY_SOCKET" not in os.environ, "no program that drp starts speaks for drp"
    assert not manager.notify(STATUS="gone")


def test_without_a_manager_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    manager = ServiceManager()
    assert manager.watchdog_seconds is None
    assert not manager.notify(READY="1")
