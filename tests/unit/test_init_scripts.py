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
