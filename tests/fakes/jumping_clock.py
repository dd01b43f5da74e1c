"""drp with a wall clock that jumps: the file that is the first argument says by how many hours. (libfaketime, which
would do it from outside, makes Python's sleep fail where the clock jumps: error 22, seen with 0.9.10.)"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from drp.adapters.clock import SystemClock
from drp.cli import main


def jumping(file: Path) -> None:
    def now(_clock: SystemClock) -> datetime:
        return datetime.now(UTC) + timedelta(hours=int(file.read_text() or "0"))

    setattr(SystemClock, "now", now)  # noqa: B010 - mypy knows no other way to replace a method


if __name__ == "__main__":
    jumping(Path(sys.argv.pop(1)))
    main()
