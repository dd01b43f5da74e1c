"""A job that outlived its connection does not go on beside the next one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.host_driver import load

alone = load("alone")

HOLD = """
import signal, sys, time
sys.path.insert(0, sys.argv[1])
from tests.fakes.host_driver import load
alone = load("alone")
if sys.argv[3] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
alone.be_alone("pengaduan", sys.argv[2])
print("held", flush=True)
time.sleep(100)
"""
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("manner", ["polite", "deaf"])
def test_an_older_job_of_the_service_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manner: str) -> None:
    monkeypatch.setattr(alone, "ASK_SECONDS", 0.5)
    argv = [sys.executable, "-c", HOLD, str(ROOT), str(tmp_path), manner]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as older:
        assert older.stdout is not None
        assert older.stdout.readline() == "held\n"
        alone.be_alone("pengaduan", str(tmp_path))
        assert older.wait(10) < 0


def test_other_services_are_left_alone(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", HOLD, str(ROOT), str(tmp_path), "polite"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        alone.be_alone("jdih", str(tmp_path))
        assert other.poll() is None
        other.terminate()
