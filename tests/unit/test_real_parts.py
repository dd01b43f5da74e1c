"""Which failed tests of the real parts are run again, and what that makes of the run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import real_parts
from tests.real_parts import MOST_AGAIN, Outcome

# The second run is a process of its own, so what a test has met before is remembered in a file.
TESTS = """
import os, pathlib
import pytest

def first_time(name):
    mark = pathlib.Path(__file__).with_name(name)
    if mark.exists():
        return False
    mark.touch()
    return True

def test_good():
    assert not os.environ.get("ALL_BAD")

def test_race():
    assert not first_time("met"), "beside others"

@pytest.mark.parametrize("word", ["a b [c]"])
def test_bad(word):
    assert not os.environ.get("BAD")
    if os.environ.get("CRASH") and first_time("crashed"):
        os._exit(9)
"""


def run(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_these.py").write_text(TESTS)
    program = f"import sys; from tests import real_parts; real_parts.FOLDERS = ({str(folder)!r},)"
    argv = [sys.executable, "-c", f"{program}; real_parts.AT_ONCE = '2'; sys.exit(real_parts.main())"]
    root = Path(real_parts.__file__).parents[1]
    known = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root)}
    return subprocess.run(argv, cwd=folder, env=known | environment, capture_output=True, text=True, check=False)


def test_what_fails_beside_others_and_passes_alone_is_named_and_counts(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout.partition("DEFECTS TO BE MENDED")[2]
    assert "test_these.py::test_race\n" in told
    assert "test_these.py::test_bad" not in told


def test_what_fails_alone_too_is_a_failure(tmp_path: Path) -> None:
    done = run(tmp_path, BAD="1")
    assert done.returncode == 1, done.stdout
    assert "1 failed, 2 passed" in done.stdout, "they were run again, after the one before them"
    assert "DEFECTS" not in done.stdout


def test_a_process_that_crashes_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "met").touch()
    done = run(tmp_path, CRASH="1")
    assert done.returncode == 1, done.stdout
    assert "Run again" not in done.stdout


def report(test: str, when: str = "call", *, failed: bool = True) -> Any:
    return SimpleNamespace(nodeid=test, when=when, failed=failed, duration=0.5)


@pytest.mark.parametrize(
    ("when", "files", "tests", "again"),
    [
        ("call", 1, MOST_AGAIN, True),
        ("call", 1, MOST_AGAIN + 1, False),
        ("setup", MOST_AGAIN, 20, True),
        ("setup", MOST_AGAIN + 1, 1, False),
    ],
)
def test_only_a_few_are_run_again(when: str, files: int, tests: int, again: bool) -> None:
    """What all tests of a file stand on fails once for all of them."""
    outcome = Outcome()
    for number in range(files * tests):
        test = f"tests/file-{number % files}.py::test_{number}"
        for phase in ("setup", "call") if when == "call" else ("setup",):
            outcome.pytest_runtest_logreport(report(test, phase, failed=phase == when))
    assert len(outcome.to_run_again(1)) == (files * tests if again else 0)


def test_what_comes_before_a_test_in_its_file_is_run_with_it() -> None:
    outcome = Outcome()
    tests = ["a.py::1", "b.py::1", "a.py::2", "b.py::2", "a.py::3", "c.py::1"]
    for test in tests:
        outcome.pytest_runtest_logreport(report(test, "setup", failed=False))
        outcome.pytest_runtest_logreport(report(test, failed=test in ("a.py::2", "b.py::1")))
    assert outcome.to_run_again(1) == ["a.py::1", "b.py::1", "a.py::2"]


@pytest.mark.parametrize("code", [0, 2, 3, 4, 5])
def test_nothing_is_run_again_where_pytest_itself_could_not_go_on(code: int) -> None:
    outcome = Outcome()
    outcome.pytest_runtest_logreport(report("tests/e2e/test_a.py::test_b"))
    assert outcome.to_run_again(code) == []
