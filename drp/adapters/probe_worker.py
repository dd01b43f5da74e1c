"""Worker: probes one user path from outside until it is stopped. It outlives drp, so the record has no hole."""

from __future__ import annotations

import signal
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from drp.adapters.http_probe import HttpJourney
from drp.adapters.probing import SAMPLES_FILE, keep_probing
from drp.adapters.worker import Worker
from drp.domain.service import HttpCheck


def main() -> None:
    worker = Worker()
    stop = threading.Event()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGINT, interrupt)
    check = HttpCheck.model_validate(worker.spec["check"])
    certificate = str(Path(worker.spec["workspace"]) / check.ca_certificate) if check.ca_certificate else None
    baseline = worker.spec["baseline"]
    journey = HttpJourney(check, worker.spec["address"], certificate, baseline)
    worker.emit({"event": "probe.started", "baseline_known": bool(baseline)})

    def attempt() -> dict[str, object]:
        return journey.attempt(lambda: datetime.now(UTC))

    file = worker.folder / SAMPLES_FILE
    for _sample in keep_probing(attempt, check.interval.total_seconds(), lambda _: file, stop.wait):
        pass


if __name__ == "__main__":
    main()
