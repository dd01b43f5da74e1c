"""A lab for each file of tests of the real parts. Files may run side by side; see `./dev test`."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.e2e.workbench import PASSWORD_CANARY, S3_CANARY, Workbench

# A shell starts what runs in the background with interrupts ignored, and children inherit that: drp must be
# interruptible in tests.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A property holds or does not; how long one example takes on a busy machine says nothing of it.
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")

LONGEST_FIRST = (
    "tests/integration/test_dataset_types.py",
    "tests/e2e/test_planned_move.py",
    "tests/e2e/test_selftest.py",
    "tests/integration/test_killed_everywhere.py",
    "tests/integration/repositories/test_retention.py",
    "tests/integration/test_trouble_backup.py",
    "tests/integration/test_trouble_recovery.py",
    "tests/integration/test_copies.py",
    "tests/e2e/test_city.py",
    "tests/integration/test_isolation.py",
    "tests/integration/test_restore.py",
    "tests/e2e/test_drill.py",
    "tests/e2e/test_walk_back.py",
    "tests/integration/test_killed_backup.py",
    "tests/integration/repositories/test_checks.py",
    "tests/integration/test_copies_after_failover.py",
    "tests/integration/test_trouble_drill.py",
    "tests/integration/test_trouble_middle.py",
    "tests/integration/test_runbook_steps.py",
    "tests/integration/test_upkeep.py",
    "tests/e2e/test_failover.py",
    "tests/integration/test_ceph_lab.py",
)
"""Files that take minutes. They are begun first, so that no process is left alone with one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        return next((number for number, file in enumerate(LONGEST_FIRST) if item.nodeid.startswith(file)), 99)

    items.sort(key=place)


@pytest.fixture(scope="module")
def bench(request: pytest.FixtureRequest) -> Iterator[Workbench]:
    """A lab in a folder whose name must be quoted everywhere, with secrets that can be searched for.

    `drp watch` looks at it, as verdicts of recoveries need it; not in files that say `IS_WATCHED = False`: they recover
    nothing, and it would only keep the machine busy.

    Not in pytest's own directory: that is under /tmp, which every host has for itself.
    """
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="drp e2e, lab ") as folder:
        found = Workbench(Path(folder))
        secrets = found.folder / "var/lab/secrets"
        secrets.mkdir(parents=True, mode=0o700)
        for name, text in (("pengaduan-repository-password", PASSWORD_CANARY), ("s3-secret-access-key", S3_CANARY)):
            (secrets / name).write_text(text)
            (secrets / name).chmod(0o600)
        try:
            found.up()
            if getattr(request.module, "IS_WATCHED", True):
                found.watch()
            yield found
        finally:
            found.down()
        assert found.leftovers() == []
