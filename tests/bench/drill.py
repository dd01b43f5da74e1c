"""`./dev bench drill`: a drill of the whole city beside its lower bound, and beside an ordinary ordered playbook.

In one run, in a lab of the default workspace: every service is backed up, then
- drp: `drp drill run` of all of them, measured from the start of the process to the end of the last verify step;
- by hand: what a user would write: one play for each level of dependencies, in it the commands that `drp runbook
  render` prints (restic, psql, service, curl), fifty forks, pipelining, kept connections.

The lower bound is the greatest of: the critical path, of stages as long as they took in a drill of one service alone;
the processor time that the drill used, on control node and hosts, by the number of processors; the bytes that the DR
centre sent by the line that the inventory declares. Processor time is told by control groups, so this needs root and
cgroup 2. `--small` takes a few services.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from drp.adapters.drill_guard import own_group
from drp.lab.plan import names_of
from drp.lab.state import load
from tests.bench.by_hand import play_by_hand
from tests.bench.common import Figure, finish, progress
from tests.bench.recover import BIN, STAGES, workspace_copy

SMALL = ("penilaian-kinerja", "katalog-hukum", "website-subdomain")
ALONE = "website"
HOLD = "5s"
SAMPLE_SECONDS = 0.5
TARGET_BOUND, TARGET_HAND, TARGET_CORE_PERCENT, TARGET_MEMORY_MB = 1.15, 0.5, 3, 200
ANSIBLES_OWN = ("ansible", "ssh", "sshpass")
"""Words by which Ansible's processes on the control node are told from drp's own."""


@contextlib.contextmanager
def control_group(name: str) -> Iterator[Path]:
    """A control group of its own, whose processor time is counted; gone afterwards."""
    _, own = own_group()
    group = own / f"drp-bench-{os.getpid()}-{name}"
    group.mkdir()
    try:
        yield group
    finally:
        end = time.monotonic() + 30
        while group.exists() and time.monotonic() < end:
            with contextlib.suppress(OSError):
                group.rmdir()
            time.sleep(0.1)


def processor_seconds(group: Path) -> float:
    line = next(line for line in (group / "cpu.stat").read_text().splitlines() if line.startswith("usage_usec"))
    return int(line.split()[1]) / 1e6


def busy_seconds() -> float:
    """Processor time that the whole machine has used since it started."""
    user, nice, system, _idle, _wait, irq, soft_irq, *_ = map(int, Path("/proc/stat").read_text().split()[1:10])
    return (user + nice + system + irq + soft_irq) / os.sysconf("SC_CLK_TCK")


def start_in(group: Path, argv: Sequence[str], output: Path) -> subprocess.Popen[bytes]:
    """Start a command in a control group; whatever it starts is in it too."""
    script = 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"'
    with output.open("wb") as out, output.with_suffix(".err").open("wb") as err:
        return subprocess.Popen(["sh", "-c", script, "sh", str(group), *argv], stdout=out, stderr=err)


@dataclass
class Own:
    """Processor time and memory of drp's own processes on the control node."""

    seconds: dict[int, float] = field(default_factory=dict)
    most_bytes: int = 0

    def look(self, group: Path) -> None:
        total = 0
        for text in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError, IndexError, ValueError):
                words = Path("/proc", text, "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if not words or any(word in words for word in ANSIBLES_OWN):
                    continue
                stat = Path("/proc", text, "stat").read_text().rpartition(")")[2].split()
                self.seconds[int(text)] = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
                rollup = Path("/proc", text, "smaps_rollup").read_text().splitlines()
                total += next(int(line.split()[1]) for line in rollup if line.startswith("Pss:")) * 1024
        self.most_bytes = max(self.most_bytes, total)


@dataclass(frozen=True)
class Usage:
    """What had been used at a moment (seconds since the epoch)."""

    at: float
    control: float
    hosts: float
    machine: float
    sent_bytes: int


class Meter(threading.Thread):
    """Looks at what is used, twice a second."""

    def __init__(self, control: Path, hosts: Path, interface: str) -> None:
        super().__init__(daemon=True)
        self.control, self.hosts, self.interface = control, hosts, interface
        self.own, self.ended, self.samples = Own(), threading.Event(), [self.now()]

    def now(self) -> Usage:
        sent = int(Path("/sys/class/net", self.interface, "statistics/rx_bytes").read_text())
        return Usage(time.time(), processor_seconds(self.control), processor_seconds(self.hosts), busy_seconds(), sent)

    def run(self) -> None:
        while not self.ended.wait(SAMPLE_SECONDS):
            self.samples.append(self.now())
            self.own.look(self.control)

    def at(self, moment: float) -> Usage:
        return next((sample for sample in self.samples if sample.at >= moment), self.samples[-1])


def run_drp(group: Path, workspace: Path, *arguments: str, allowed: tuple[int, ...] = (0,)) -> str:
    """Run drp to its end in a control group, and give what it printed."""
    output = workspace / "bench.out"
    process = start_in(group, [str(BIN / "drp"), "-w", str(workspace), *arguments], output)
    code = process.wait()
    if code not in allowed:
        sys.exit(f"drp {' '.join(arguments)} ended with {code}:\n{output.with_suffix('.err').read_text()[-3000:]}")
    return output.read_text()


def events_of(group: Path, workspace: Path, run: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run_drp(group, workspace, "run", "show", run, "--json"))
    return found


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@dataclass(frozen=True)
class Drill:
    """A drill that has ended: its result, its events, and the end of its last verification."""

    result: dict[str, Any]
    events: list[dict[str, Any]]
    started: float

    @property
    def run(self) -> str:
        return str(self.result["run"])

    @property
    def ends(self) -> dict[str, float]:
        """Seconds from the start to the end of each step that ended well."""
        return {
            event["body"]["step"]: moment(event["at"]) - self.started
            for event in self.events
            if event["type"] == "step.ended" and event["body"]["outcome"] == "ok"
        }

    @property
    def durations(self) -> dict[str, float]:
        ended = [event["body"] for event in self.events if event["type"] == "step.ended"]
        return {body["step"]: body["duration_ms"] / 1000 for body in ended}

    @property
    def makespan(self) -> float:
        return max(end for step, end in self.ends.items() if step.endswith("/verify"))

    @property
    def not_measured(self) -> list[str]:
        return [item["service"] for item in self.result["services"] if item["rta_ms"] is None or item["rpa_ms"] is None]


def drill(group: Path, workspace: Path, *names: str) -> Drill:
    started = time.time()
    options = ["--hold", HOLD, "--json"]
    result = json.loads(run_drp(group, workspace, "drill", "run", *names, *options, allowed=(0, 4)))
    return Drill(result, events_of(group, workspace, result["run"]), started)


def longest_chain(needs: dict[str, list[str]]) -> int:
    """How many services the longest chain of dependencies has."""
    length: dict[str, int] = {}

    def of(name: str) -> int:
        if name not in length:
            length[name] = 1 + max((of(other) for other in needs[name] if other in needs), default=0)
        return length[name]

    return max(map(of, needs))


def critical_path(alone: Drill, chain: int) -> float:
    """Seconds from drp's start to the last verification if every stage took as long as in a drill of one service, and
    nothing ever waited for a processor."""
    stages = {stage: alone.durations[f"{ALONE}/{stage}"] for stage in STAGES}
    before = alone.ends[f"{ALONE}/restore"] - stages["restore"]
    return before + stages["restore"] + chain * (stages["activate"] + stages["verify"])


def measure(workspace: Path, names: Sequence[str]) -> None:
    with control_group("hosts") as hosts, control_group("control") as control:
        try:
            progress("building the city")
            built = time.monotonic()
            run_drp(hosts, workspace, "lab", "up", *(names or ("--all",)))
            built = time.monotonic() - built
            state = load(names_of(workspace))
            assert state is not None
            services = {service.id: list(service.declared["depends_on"]) for service in state.plan.services}
            progress(f"{len(services)} services on {len(state.plan.hosts)} hosts in {built:.0f} s; backing them up")
            backed_up = time.monotonic()
            run_drp(control, workspace, "backup", "run", *services)
            backed_up = time.monotonic() - backed_up
            progress(f"backed up in {backed_up:.0f} s; a drill of {ALONE} alone")
            alone = drill(control, workspace, ALONE)
            progress(f"restored, activated and verified in {alone.makespan:.1f} s; a drill of all")
            meter = Meter(control, hosts, names_of(workspace).interface(state.plan.dr_centre().role))
            meter.start()
            whole = drill(control, workspace, *services)
            meter.ended.set()
            meter.join()
            progress(f"drp: {whole.makespan:.1f} s; the same by hand")
            by_hand = play_by_hand(workspace, services)
            progress(f"by hand: {by_hand:.1f} s")
        finally:
            run_drp(control, workspace, "lab", "down", "--purge")
    tell(whole, alone, meter, by_hand, services, built, backed_up, len(state.plan.hosts))


def tell(
    whole: Drill,
    alone: Drill,
    meter: Meter,
    by_hand: float,
    services: dict[str, list[str]],
    built: float,
    backed_up: float,
    hosts: int,
) -> None:
    processors = os.cpu_count() or 1
    before, after = meter.samples[0], meter.at(whole.started + whole.makespan)
    control, on_hosts = after.control - before.control, after.hosts - before.hosts
    used = control + on_hosts
    machine = after.machine - before.machine
    sent = after.sent_bytes - before.sent_bytes
    chain = longest_chain(services)
    bounds = {
        "critical path": critical_path(alone, chain),
        "processor time ÷ processors": used / processors,
        "bytes ÷ line": sent * 8 / 1e9,
    }
    last_use = max((end for step, end in whole.ends.items() if step.endswith("/usable")), default=0.0)
    lasted = meter.samples[-1].at - before.at
    own = meter.own
    finish(
        "drill",
        [
            Figure("services", len(services), ""),
            Figure("hosts", hosts, ""),
            Figure("lab up", built, "s"),
            Figure("backup of all", backed_up, "s"),
            Figure("services without measured RTA and RPA", len(whole.not_measured), "", 0),
            Figure("makespan to the last verification", whole.makespan, "s"),
            Figure(f"makespan to the last unbroken use of {HOLD}", last_use, "s"),
            *(Figure(f"lower bound: {name}", value, "s") for name, value in bounds.items()),
            Figure("processor time on the control node", control, "s"),
            Figure("processor time on the hosts", on_hosts, "s"),
            Figure("makespan / lower bound", whole.makespan / max(bounds.values()), "×", TARGET_BOUND),
            Figure("ordered playbook by hand", by_hand, "s"),
            Figure("makespan / by hand", whole.makespan / by_hand, "×", TARGET_HAND),
            Figure("drp itself, of one processor", 100 * sum(own.seconds.values()) / lasted, "%", TARGET_CORE_PERCENT),
            Figure("drp itself, memory", own.most_bytes / 1e6, "MB", TARGET_MEMORY_MB),
            Figure("others on this machine meanwhile", 100 * (machine - used) / (machine or 1), "%"),
        ],
        notes=[
            f"The longest chain of dependencies has {chain} services. Processor time: of control node and hosts.",
            f"Memory is that with {len(services)} services, shared pages counted once; Ansible's is not drp's.",
            *(["Not measured: " + ", ".join(whole.not_measured)] if whole.not_measured else []),
            "What others use of this machine makes the makespan longer, and the lower bound not.",
        ],
    )


def main() -> None:
    with workspace_copy() as workspace:
        # Nobody is here for the steps that people do.
        runbook = workspace / "runbooks" / "site-loss.yaml"
        runbook.write_text(runbook.read_text().partition("# Whatever follows")[0])
        measure(workspace, SMALL if "--small" in sys.argv[1:] else ())


if __name__ == "__main__":
    main()
