"""A restore in place takes away what it brings back, and nothing that backups leave out."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.fakes.host_driver import load

clearing, restore = load("clearing"), load("restore")


@pytest.mark.parametrize(
    ("path", "pattern", "expected"),
    [
        ("/srv/app/cache", "/srv/app/cache", True),
        ("/srv/app/cache/x", "/srv/app/cache", False),
        ("/srv/app/cache/x", "/srv/app/cache/*", True),
        ("/srv/app/cache", "/srv/app/cache/*", False),
        ("/srv/app/a.tmp", "/srv/app/*.tmp", True),
        ("/srv/app/deep/er/a.tmp", "/srv/**/*.tmp", True),
        ("/srv/a.tmp", "/srv/**/*.tmp", True),
        ("/srv/b", "/srv/[^a]", True),
        ("/srv/a", "/srv/[^a]", False),
        ("/srv/[a]", r"/srv/\[a]", True),
        ("/srv/a", r"/srv/\[a]", False),
    ],
)
def test_what_is_left_out_is_known_as_restic_knows_it(path: str, pattern: str, expected: bool) -> None:
    assert clearing.is_named(path, pattern) is expected


def test_what_backups_leave_out_stays_until_everything_is_to_go(tmp_path: Path) -> None:
    root = tmp_path / "app"
    for name in ("data/old", "cache/kept", "uploads/a.tmp", "uploads/a.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    (root / "link").symlink_to(tmp_path)
    part = {"paths": [str(root)], "excludes": [f"{root}/cache", f"{root}/uploads/*.tmp"]}
    dataset = {"prepare_restore": [], "parts": [part]}
    restore.clear(SimpleNamespace(), dataset)
    left = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    assert left == ["cache", "cache/kept", "uploads", "uploads/a.tmp"]
    restore.clear(SimpleNamespace(), dataset, everything=True)
    assert not root.exists()
    assert tmp_path.exists(), "what a link leads to is not touched"
