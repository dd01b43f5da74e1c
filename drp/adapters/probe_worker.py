"""Worker: tries all checks of a run's services from outside until it is stopped. It outlives drp: the record has no
hole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from types import FrameType

from drp.adapters.probes.base import Target
from drp.adapters.probing import SAMPLES_FILE, TimedCheck, keep_probing, timed
from drp.adapters.worker import Worker
from drp.domain.checks import read_check


def main() -> None:
    worker = Worker()
    stop = threading.Event()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGINT, interrupt)
    checks = list(_checks(worker))
    worker.emit({"event": "probe.started", "services": sorted(worker.spec["targets"])})
    for _sample in keep_probing(checks, stop):
        pass


def _checks(worker: Worker) -> Iterator[TimedCheck]:
    for service, target in worker.spec["targets"].items():
        secrets = worker.secrets.get(service, {})
        file_of = partial(_the_same, Path(target["folder"]) / SAMPLES_FILE)
        for check in map(read_check, target["checks"]):
            secret = secrets.get(check.id, "")
            place = Target(target["address"], Path(worker.spec["workspace"]), secret, target["baseline"])
            yield timed(service, check, place, file_of)


def _the_same(file: Path, _at: datetime) -> Path:
    return file


if __name__ == "__main__":
    main()
