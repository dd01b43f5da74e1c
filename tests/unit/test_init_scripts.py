"""Units under System V's init scripts are stopped for certain, also where a script has no answer."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.host_driver import load_from

service_manager, process = (load_from("drp_traffic", name) for name in ("service_manager", "process"))
UNIT = "proksi"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program that nobody else runs."""
    return Path(shutil.copy("/bin/sleep", tmp_path / "drp-proksi"))


def manager(tmp_path: Path, script: str) -> Any:
    path = tmp_path / UNIT
    path.write_text(f"#!/bin/sh\n{script}")
    path.chmod(0o755)
    found = service_manager.InitScripts()
    found._script = lambda unit: str(tmp_path / unit)
    return found


def test_a_script_that_ends_well_at_any_word_is_no_proof_that_its_program_runs(tmp_path: Path, program: Path) -> None:
    """Debian's haproxy, whose configuration a drill has removed again."""
    silent = manager(tmp_path, f"DAEMON={program}\ntest -f {tmp_path}/proksi.cfg || exit 0\necho 'it runs'\n")
    silent.stop(UNIT)
    with subprocess.Popen([str(program), "60"]) as running:
        try:
            with pytest.raises(process.Trouble) as trouble:
                silent.stop(UNIT)
        finally:
            running.kill()
    assert "it still runs" in trouble.value.text
    silent.stop(UNIT)


def test_a_script_is_believed_that_says_something(tmp_path: Path) -> None:
    with pytest.raises(process.Trouble):
        manager(tmp_path, "echo 'proksi is running'\n").stop(UNIT)
    manager(tmp_path, "[ $1 = stop ] || exit 3\n").stop(UNIT)


def test_of_a_script_that_knows_no_status_its_program_is_looked_for(tmp_path: Path, program: Path) -> None:
    """Its exit code is that of a wrong call, which looks like that of a service that does not run."""
    old = manager(tmp_path, f"case $1 in start) {program} 60 & ;; stop) ;; *) exit 3 ;; esac\n")
    assert old.why_not_running(UNIT) == "proksi does not run"
    with subprocess.Popen([str(program), "60"]) as running:
        try:
            assert old.why_not_running(UNIT) == ""
            assert "proksi still runs" in old.still_open(UNIT)
            with pytest.raises(process.Trouble, match="it still runs"):
                old.stop(UNIT)
        finally:
            running.kill()
    assert old.why_not_running(UNIT) != ""


def test_a_unit_that_nobody_knows_is_said_to_be_unknown(tmp_path: Path) -> None:
    empty = manager(tmp_path, "exit 0\n")
    assert "there is no " in empty.why_not_running("lain")
    with pytest.raises(process.Trouble, match="this host has no service lain"):
        empty.tell_to("start", "lain")


def test_a_restart_starts_the_new_one_once_the_old_one_has_ended(tmp_path: Path, program: Path) -> None:
    """A script that finds the old one still running starts none, and calls that good."""
    pid, log = tmp_path / "pid", tmp_path / "log"
    slow = manager(
        tmp_path,
        f"""alive() {{ [ -s {pid} ] && kill -0 $(cat {pid}) 2>/dev/null; }}
        echo $1 >>{log}
        case $1 in
        start) alive && exit 0; {program} 60 & echo $! >{pid} ;;
        stop) (sleep 0.5; kill $(cat {pid})) & ;;
        restart) $0 stop; $0 start ;;
        status) alive || exit 3; echo it runs ;;
        esac
        """,
    )

    def call(unit: str, word: str) -> None:
        subprocess.run([slow._script(unit), word], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    slow._call = call
    try:
        slow.tell_to("start", UNIT)
        first = pid.read_text()
        slow.tell_to("restart", UNIT)
        assert slow.why_not_running(UNIT) == ""
        assert pid.read_text() != first
        assert "restart" not in log.read_text()
    finally:
        subprocess.run(["kill", *pid.read_text().split()], check=False)


def test_a_start_that_leaves_nothing_running_is_no_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_manager, "BEGINNING_SECONDS", 0.3)
    vain = manager(tmp_path, "[ $1 = status ] && exit 3; exit 0\n")
    vain._call = lambda *_: None
    with pytest.raises(process.Trouble, match="start ended well, and it does not run"):
        vain.tell_to("start", UNIT)
