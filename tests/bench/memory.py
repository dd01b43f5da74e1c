"""`./dev bench memory`: the memory of drp itself for a drill of 100 services; of Ansible it has none.

Two processes as a drill has them, each started anew and measured by the most that it ever had (shared pages counted in
full):
- drp: reads a city of 100 services, compiles the plan, carries the drill out with its real workflow, ledger, live
  progress and report. Only the tools are fakes, which answer at once and keep what they were told, as drp does not;
- the outside probe, which tries a check of two requests of each of the 100 services twice a second, over HTTP.

A drill of the city in the lab (`./dev bench drill`) measures the same with real tools and fewer services.
"""

from __future__ import annotations

import http.server
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.bench.cities import write_city
from tests.bench.common import Figure, finish, progress

SERVICES = 100
PROBING_SECONDS = 30.0
TARGET_MB = 200


def main() -> None:
    if sys.argv[1:2] == ["--drill"]:
        print(json.dumps(drill(Path(sys.argv[2]))))
        return
    if sys.argv[1:2] == ["--probe"]:
        print(json.dumps(probe(Path(sys.argv[2]), int(sys.argv[3]))))
        return
    with tempfile.TemporaryDirectory(prefix="drp-bench-") as folder:
        write_city(Path(folder), SERVICES)
        of_drill = apart("--drill", folder)
        progress(f"drp: {of_drill['memory']:.0f} MB, of it {of_drill['start']:.0f} MB before the drill")
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Well) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            of_probe = apart("--probe", folder, str(server.server_port))
            server.shutdown()
    finish(
        "memory",
        [
            Figure("services", of_drill["services"], ""),
            Figure("steps of the plan that ended well", of_drill["steps"], ""),
            Figure("drp before the drill: city and plan read", of_drill["start"], "MB"),
            Figure("drp: drill and report", of_drill["memory"], "MB"),
            Figure("outside probe", of_probe["memory"], "MB"),
            Figure("attempts of the outside probe", of_probe["attempts"], ""),
            Figure("both", of_drill["memory"] + of_probe["memory"], "MB", TARGET_MB),
        ],
    )


class Well(http.server.BaseHTTPRequestHandler):
    """Every service is well."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - as it is called there
        """Nothing: there are many."""


def apart(*arguments: str) -> dict[str, float]:
    argv = [sys.executable, "-m", "tests.bench.memory", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    result: dict[str, float] = json.loads(done.stdout)
    return result


def most_megabytes() -> float:
    """The most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def drill(workspace: Path) -> dict[str, float]:
    """A drill of all services, from reading them to its report."""
    from drp.adapters.inventory import read_city
    from drp.wiring import write_report
    from drp.workflows.recover import RecoveryRequest, recover
    from tests.fakes.world import make_stage

    city, _ = read_city(workspace, workspace / "runbooks")
    stage = make_stage(workspace, city)
    start = most_megabytes()
    names = tuple(city.services)
    request = RecoveryRequest(
        kind="drill", services=names, runbook="site-loss", by="person-1", reason="bench", accept_unisolated=True
    )
    recovery = recover(stage.world, request)
    write_report(stage.world, recovery.run)
    ended = [step for step in recovery.steps.values() if step.outcome == "ok"]
    return {"services": len(names), "steps": len(ended), "start": start, "memory": most_megabytes()}


def probe(workspace: Path, port: int) -> dict[str, float]:
    """The loop of the outside probe's process, for a while."""
    from drp.adapters.probes.base import Target
    from drp.adapters.probing import keep_probing, timed
    from drp.domain.checks import read_check

    steps = [{"request": "GET /health", "expect_text": "ok"}, {"request": "GET /records/1"}]
    declared = {"id": "path", "type": "http", "interval": "500ms", "port": port, "steps": steps}
    check, target = read_check(declared), Target("127.0.0.1", workspace)
    files = {f"service-{number}": workspace / f"samples-{number}.jsonl" for number in range(SERVICES)}
    lines = [timed(name, check, target, lambda _at, file=file: file) for name, file in files.items()]
    stop, succeeded = threading.Event(), 0
    end = time.monotonic() + PROBING_SECONDS
    for _name, sample in keep_probing(lines, stop):
        succeeded += sample.succeeded
        if time.monotonic() > end:
            stop.set()
    return {"attempts": succeeded, "memory": most_megabytes()}


if __name__ == "__main__":
    main()
