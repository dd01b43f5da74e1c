"""Worker: tries a service's checks from outside until it is stopped. It outlives drp: the record has no hole."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType

from drp.adapters.probes.base import Target
from drp.adapters.probing import SAMPLES_FILE, keep_probing, timed
from drp.adapters.worker import Worker
from drp.domain.checks import read_check


def main() -> None:
    worker = Worker()
    stop = threading.Event()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGINT, interrupt)
    spec = worker.spec
    checks = [
        timed(
            check, Target(spec["address"], Path(spec["workspace"]), worker.secrets.get(check.id, ""), spec["baseline"])
        )
        for check in map(read_check, spec["checks"])
    ]
    worker.emit({"event": "probe.started", "baseline_known": bool(spec["baseline"])})
    file = worker.folder / SAMPLES_FILE
    for _sample in keep_probing(checks, lambda _: file, stop):
        pass


if __name__ == "__main__":
    main()
