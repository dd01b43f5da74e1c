"""Runs the tests of the real parts: several files at once, and what fails there once more, alone.

    python -m tests.real_parts [pytest's options]

A race that only shows beside other tests is a defect, but no reason to throw a delivery of thousands of good tests
away. So a few tests that failed are run again with nothing beside them, after those of their files that come before
them: some go on from where these end. If all pass, the run counts, and they are named loudly. Not where more failed
than races explain, where a process of tests crashed, or where nothing could be run.
"""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

AT_ONCE = "3"
"""On two cores: the tests mostly wait, for servers, limits and locks."""
FOLDERS = ("tests/e2e", "tests/integration")
MOST_AGAIN = 5
LONGEST_FILES = 25
TESTS_FAILED = 1
"""pytest's exit code; others mean that it was interrupted, misused, or found no test."""


def file_of(test: str) -> str:
    return test.partition("::")[0]


@dataclass
class Outcome:
    """What became of a run, as a plugin of the process that hands the tests out."""

    failed: dict[str, str] = field(default_factory=dict)
    """Each test that failed, and what counts once: the test, or its file where what all its tests stand on failed."""
    spoilt: list[str] = field(default_factory=list)
    """What no second run makes good."""
    ran: list[str] = field(default_factory=list)
    """All tests that were begun; those of one file in their order."""
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """How long each file took."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[file_of(report.nodeid)] += report.duration
        if report.when == "setup":
            self.ran.append(report.nodeid)
        if report.failed:
            self.failed[report.nodeid] = file_of(report.nodeid) if report.when == "setup" else report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.spoilt.append(f"{report.nodeid} could not be read")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object, error: object) -> None:  # noqa: ARG002 - the hook's signature
        """A hook of pytest-xdist; `error` is None where a process has ended as it should."""
        if error is not None:
            self.spoilt.append(f"a process of tests crashed: {error}")

    def to_run_again(self, code: int) -> list[str]:
        """The tests that may pass alone, and what comes before them; empty where the run stays what it is."""
        if code != TESTS_FAILED or self.spoilt or len(set(self.failed.values())) > MOST_AGAIN:
            return []
        last = {file_of(test): test for test in self.ran if test in self.failed}
        found = []
        for test in self.ran:
            if file_of(test) in last:
                found.append(test)
                if last[file_of(test)] == test:
                    del last[file_of(test)]
        return found


def tell_times(outcome: Outcome) -> None:
    """What the order of the files is to be made from: see LONGEST_FIRST in tests/conftest.py."""
    print("\nLongest files, in seconds:")
    longest = sorted(outcome.seconds.items(), key=lambda item: -item[1])[:LONGEST_FILES]
    for file, seconds in longest:
        print(f"  {seconds:6.0f}  {file}", flush=True)


def run_again(tests: Sequence[str]) -> int:
    """Run a few tests with nothing beside them; pytest's exit code."""
    print(f"\nRun again, alone: {', '.join(tests)}", flush=True)
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    return subprocess.run(argv, check=False).returncode


def tell(tests: Sequence[str], code: int) -> None:
    if code:
        print("\nSome of what failed beside other tests failed alone too.", flush=True)
        return
    print(f"\n{' DEFECTS TO BE MENDED: failed beside other tests, passed alone ':!^100}")
    for test in tests:
        print(f"  {test}")
    print("Each is a race, of the test or of drp itself: its failure stands above. This run counts all the same.")
    print("!" * 100, flush=True)


def main() -> int:
    outcome = Outcome()
    options = ["-q", "-p", "no:cacheprovider", "-n", AT_ONCE, "--dist", "loadfile", "--no-loadscope-reorder"]
    code = int(pytest.main([*options, *FOLDERS, *sys.argv[1:]], plugins=[outcome]))
    tell_times(outcome)
    tests = outcome.to_run_again(code)
    if not tests:
        return code
    code = run_again(tests)
    tell(list(outcome.failed), code)
    return code


if __name__ == "__main__":
    sys.exit(main())
