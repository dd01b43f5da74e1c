"""A worker for tests of the supervisor. Two named pipes in its folder make it wait without a clock:

it opens `ready` for writing once it has its secrets (the test's read returns then), and goes on when the test has
opened and closed `go`. `spec.json` says how it ends.
"""

from __future__ import annotations

import os
import signal
import sys

from drp.adapters.worker import Worker


def main() -> None:
    worker = Worker()
    if worker.spec.get("deaf"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    secret = str(worker.secrets.get("password", ""))
    worker.emit({"event": "environment", "names": sorted(os.environ), "secret_length": len(secret)})
    print("the worker's output", flush=True)
    if worker.spec.get("wait"):
        with open(worker.folder / "ready", "w") as ready:
            ready.write(f"{os.getpid()} {os.getppid()}")
        with open(worker.folder / "go") as go:
            go.read()
    worker.emit({"event": "done", "text": "sepatah kata — ya"})
    sys.exit(worker.spec.get("code", 0))


if __name__ == "__main__":
    main()
