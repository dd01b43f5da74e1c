"""Outages of a service whose true length is known, measured as drp measures them: by its own probe worker, and by the
functions that a recovery takes its figures from."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from drp.adapters.actions import SupervisedActions
from drp.adapters.probing import read_samples
from drp.domain.checks import read_check
from drp.domain.inventory import SshAccess
from drp.domain.objectives import Objectives, Verdict
from drp.domain.recovery.probing import Sample, last_outage, usable_again
from drp.domain.recovery.timeline import Mark, measure
from drp.ports import ActionState, ProbeTarget
from tests.e2e.workbench import free_port

TIMEOUT = 1.0
HOLD = timedelta(seconds=1.5)
PROGRAM = Path(__file__).with_name("known_service.py")
BUSY = "while True: sum(range(10_000))"
NONE = Objectives(rto=timedelta(hours=1), rpo=timedelta(hours=1), mtpd=None)


@dataclass(frozen=True, slots=True)
class Case:
    """One outage. `flaps`: how often the service is back for less than the hold before it really is; `phase`: how long
    after an attempt it goes."""

    interval: float
    down: float
    how: str
    takes: float = 0.0
    flaps: int = 0
    kinds: tuple[str, ...] = ("http",)
    phase: float = 0.0
    loaded: bool = False

    @property
    def script(self) -> list[tuple[float, str]]:
        """When the service changes."""
        found, at = [(self.phase, self.how)], self.phase + self.down
        for _ in range(self.flaps):
            found += [(at, "up"), (at + 0.8, self.how)]
            # Long enough for an attempt to fall into it and fail: what every attempt survives is no outage to a check.
            at += 0.8 + self.interval + TIMEOUT + 0.3
        return [*found, (at, "up")]

    @property
    def seconds(self) -> float:
        return self.script[-1][0] + HOLD.total_seconds() + 2 * (self.interval + TIMEOUT)

    def checks(self, port: int) -> list[dict[str, Any]]:
        common = {"port": port, "interval": f"{int(self.interval * 1000)}ms", "timeout": f"{int(TIMEOUT * 1000)}ms"}
        kinds: dict[str, dict[str, Any]] = {
            "http": {"type": "http", "id": "web", "steps": [{"request": "GET /", "expect_text": "fine"}]},
            "tcp": {"type": "tcp", "id": "port", "send": "GET / HTTP/1.0\r\n\r\n", "expect_text": "200 OK"},
        }
        return [kinds[kind] | common for kind in self.kinds]


@dataclass(frozen=True, slots=True)
class Result:
    """Seconds: `error` is measured less true; `uncertainty` is what drp says of it. `by_starts` and `by_ends` are the
    errors if the starts of the first failed and first good attempt counted, or the end of the good one."""

    case: Case
    truth: float
    error: float
    uncertainty: float
    by_starts: float
    by_ends: float

    @property
    def beyond(self) -> float:
        """How far the error exceeds the probe's interval."""
        return abs(self.error) - self.case.interval

    @property
    def is_within(self) -> bool:
        return abs(self.error) <= self.uncertainty


def run_cases(folder: Path, cases: Sequence[Case], at_once: int, tell: Callable[[str], None]) -> list[Result]:
    """Measure all of them, several at once. The loaded ones run last, beside twice as many busy processes as needed to
    keep two cores busy."""

    def one(item: tuple[int, Case]) -> Result:
        number, case = item
        result = run_case(folder / f"case-{number}", case)
        tell(f"{number}: {case.how}, every {case.interval:g} s: error {result.error * 1000:+.0f} ms")
        return result

    numbered = list(enumerate(cases, 1))
    with ThreadPoolExecutor(at_once) as pool:
        results = list(pool.map(one, [item for item in numbered if not item[1].loaded]))
        busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(4)]
        try:
            results += pool.map(one, [item for item in numbered if item[1].loaded])
        finally:
            for process in busy:
                process.kill()
                process.wait()
    return results


def run_case(workspace: Path, case: Case) -> Result:
    workspace.mkdir(parents=True)
    port = free_port()
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), str(port), str(case.takes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as service:
        try:
            assert service.stdin is not None
            assert service.stdout is not None
            assert json.loads(service.stdout.readline())["mode"] == "ready"
            folder = workspace / "var" / "service-probe"
            actions = SupervisedActions(workspace, SshAccess(private_key="k", known_hosts="h"), workspace, workspace)
            checks = case.checks(port)
            actions.start_probe(folder, {"service": ProbeTarget("127.0.0.1", checks, {}, {}, folder)})
            try:
                _wait_for_use(folder, len(checks))
                service.stdin.write(json.dumps(case.script) + "\n")
                service.stdin.flush()
                stamps = [json.loads(service.stdout.readline()) for _ in case.script]
                time.sleep(case.seconds - case.script[-1][0])
            finally:
                _stop(actions, folder)
        finally:
            service.kill()
    return _judge(case, checks, folder, stamps)


def _wait_for_use(folder: Path, count: int) -> None:
    limit = time.monotonic() + 60
    while True:
        good = [sample.check for sample in read_samples(folder / "samples.jsonl") if sample.succeeded]
        if len(set(good)) == count and len(good) >= 3 * count:
            return
        if time.monotonic() > limit:
            raise TimeoutError(f"the probe does not see the service: {folder}")
        time.sleep(0.05)


def _stop(actions: SupervisedActions, folder: Path) -> None:
    limit = time.monotonic() + 60
    while actions.state(folder) is ActionState.RUNNING and time.monotonic() < limit:
        actions.stop(folder)
        time.sleep(0.05)


def _judge(case: Case, checks: list[dict[str, Any]], folder: Path, stamps: list[dict[str, Any]]) -> Result:
    """What drp finds in the samples, beside what the service wrote down. T0 is taken from what was seen until a person
    would have declared, as in a failover; T5 from all of it."""
    gaps = {check.id: check.largest_gap for check in map(read_check, checks)}
    samples = read_samples(folder / "samples.jsonl")
    went = datetime.fromtimestamp(stamps[0]["wall"], UTC)
    declared_at = went + timedelta(seconds=2 * case.interval + TIMEOUT + 0.8)
    outage = last_outage([sample for sample in samples if sample.ended_at <= declared_at], gaps)
    assert outage is not None, f"no outage was seen: {case}"
    assert outage.uncertainty is not None
    again = usable_again(samples, gaps, after=outage.disrupted_at, hold=HOLD)
    assert again is not None, f"no recovery was seen: {case}"
    marks = {
        "T0": Mark("T0", outage.disrupted_at, "automatic", "probe", outage.uncertainty, outage.clock),
        "T5": Mark("T5", again.usable_at, "automatic", "probe", again.uncertainty, again.clock),
    }
    measured = measure(marks, NONE, data_verdict=Verdict.MET, ended_at=again.held_until)
    assert measured.rta is not None
    assert measured.rta_uncertainty is not None
    truth = stamps[-1]["monotonic"] - stamps[0]["monotonic"]
    # The service's two clocks must agree about how long it was, or the case proves nothing.
    assert abs(stamps[-1]["wall"] - stamps[0]["wall"] - truth) < 0.01, stamps
    error = measured.rta.total_seconds() - truth
    failed = first_of(samples, outage.check, outage.earliest, succeeded=False)
    last_failed = max(s.started_at for s in samples if not s.succeeded and s.check == again.check)
    good = first_of(samples, again.check, last_failed, succeeded=True)
    return Result(
        case,
        truth,
        error,
        measured.rta_uncertainty.total_seconds(),
        by_starts=(good.started_at - failed.started_at).total_seconds() - truth,
        by_ends=(good.ended_at - failed.started_at).total_seconds() - truth,
    )


def first_of(samples: Sequence[Sample], check: str, after: datetime | None, *, succeeded: bool) -> Sample:
    """The first attempt of a check after a moment that ended in one way."""
    assert after is not None
    found = [s for s in samples if s.check == check and s.succeeded == succeeded and s.started_at > after]
    return min(found, key=lambda sample: sample.started_at)
