"""One lab for all tests of the real parts, and the order in which they use it."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.workbench import PASSWORD_CANARY, S3_CANARY, Workbench

# A shell starts what runs in the background with interrupts ignored, and children inherit that: drp must be
# interruptible in tests.
signal.signal(signal.SIGINT, signal.default_int_handler)

ORDER = (
    "tests/integration/lab/",  # labs of their own, on the same addresses
    "tests/integration/test_protection.py",  # the same
    "tests/integration/test_killed_drill.py",
    "tests/integration/test_killed_backup.py",
    "tests/e2e/test_drill.py",
    "tests/integration/test_restore.py",
    "tests/integration/test_trouble_backup.py",
    "tests/integration/test_trouble_middle.py",
    "tests/integration/test_trouble_drill.py",
    "tests/integration/test_upkeep.py",
    "tests/integration/test_restic_versions.py",
    "tests/integration/test_copies.py",
    "tests/integration/test_trouble_s3.py",
    "tests/integration/test_ceph_lab.py",
    "tests/integration/test_carried_restic.py",
    "tests/e2e/test_failover.py",
)
"""Where tests use a lab, later ones go on with what earlier ones left; each file also works alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        name = item.nodeid
        return next((number for number, start in enumerate(ORDER, 1) if name.startswith(start)), 0)

    items.sort(key=place)


@pytest.fixture(scope="session")
def bench() -> Iterator[Workbench]:
    """A lab on 198.19.0.0/16 in a folder whose name must be quoted everywhere, with secrets that can be searched for.

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
            found.watch()
            yield found
        finally:
            found.down()
        assert found.leftovers() == []
