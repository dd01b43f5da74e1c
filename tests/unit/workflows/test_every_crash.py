"""One run of every kind that is killed at every event, before and after it is written, time and again to its end; the
actions work on meanwhile, and time passes. It ends as if nothing had happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from drp.domain.events import Body
from drp.domain.recovery.run import Recovery, replay
from drp.domain.runbooks.model import Runbook
from drp.workflows.planned_move import MoveRequest, move
from drp.workflows.recover import RecoveryRequest, recover, resume
from tests.fakes.actions import Ending
from tests.fakes.city import make_city, runbook_record, service_record
from tests.fakes.moving import Moving
from tests.fakes.world import Crash, Stage, make_stage

SERVICE = "pengaduan"
TAKES = timedelta(seconds=2)
DEAD = 7.0
"""How many seconds drp is dead each time: longer than any action takes."""


def request_of(kind: str) -> RecoveryRequest | MoveRequest:
    said = {"services": (SERVICE,), "runbook": "site-loss", "by": "siti", "reason": "why"}
    if kind in ("drill", "failover"):
        return RecoveryRequest(kind=kind, **said)  # type: ignore[arg-type]
    return MoveRequest(kind=kind, **said)  # type: ignore[arg-type]


TEXT = {"en": "x", "id": "x"}
STEPS: list[dict[str, Any]] = [
    {"id": "may-begin", "kind": "approval", "question": TEXT, "who": ["approves"], "before": "start"},
    {"id": "pause", "kind": "wait", "duration": "3s", "after": "restore", "before": "activate"},
    {"id": "own", "kind": "playbook", "playbook": "our-own", "timeout": "5m", "after": "restore", "before": "verify"},
    {"id": "say", "kind": "command", "host": f"drc-{SERVICE}-1", "argv": ["true"], "timeout": "1m", "after": "verify"},
    {"id": "look", "kind": "manual", "instructions": TEXT, "expected": "1m", "after": "verify", "before": "usable"},
]


def slow(script: Callable[[str, Body], Ending]) -> Callable[[str, Body], Ending]:
    """The same script; everything but a probe takes a while."""

    def answer(name: str, spec: Body) -> Ending:
        ending = script(name, spec)
        if not ending.running:
            ending.takes = TAKES
        return ending

    return answer


@dataclass
class Bench:
    """A stage, and a run on it."""

    stage: Stage
    begin: Callable[[], Recovery]

    @property
    def run(self) -> str | None:
        rows = self.stage.ledger.runs(kinds=("drill", "failover", "switchover", "failback"))
        return next((row.run for row in rows if row.run != "failover-before"), None)


def bench_of(folder: Path, name: str) -> Bench:
    kind = name.split()[0]
    record = service_record(
        SERVICE, address="192.0.2.80", rto="4h", rpo="4h", recovery={"start": ["postgresql", "pengaduan"]}
    )
    city = make_city(record)
    operation = kind if kind in ("switchover", "failback") else "failover"
    steps = [{"title": TEXT, **step} for step in STEPS] if name.endswith("steps") else []
    runbook = Runbook.model_validate(runbook_record() | {"operation": operation, "steps": steps})
    city = city.model_copy(update={"runbooks": {"site-loss": runbook}})
    stage = make_stage(folder, city)
    request = request_of(kind)
    if isinstance(request, MoveRequest):
        stage.reachability.alive = set(city.hosts)
        stage.actions.script = Moving(stage.clock, stage.watch, TAKES)
        if kind == "failback":
            body = {"service": SERVICE, "site": "recovery", "reason": ""}
            stage.ledger.open_run("failover-before", "failover", "0" * 64, [SERVICE], {})
            stage.ledger.append("failover-before", "site.activated", body)
            stage.ledger.append("failover-before", "run.closed", {"outcome": "done", "exit_code": 0})
        return Bench(stage, lambda: move(stage.world, request))
    stage.see_outage(SERVICE)
    if name.endswith("steps"):
        stage.actions.script = slow(lambda name, spec: with_own_steps(stage, name, spec))
        let_people_answer(stage)
    else:
        stage.actions.script = slow(stage.script)
    return Bench(stage, lambda: recover(stage.world, request))


def with_own_steps(stage: Stage, name: str, spec: Body) -> Ending:
    own = name in ("own", "say")
    return Ending(0, [{"event": "runner.ended", "status": "successful", "rc": 0}]) if own else stage.script(name, spec)


def let_people_answer(stage: Stage) -> None:
    """From another terminal, whether drp is alive or not."""
    sleep = stage.clock.sleep

    def answer(seconds: float) -> None:
        sleep(seconds)
        run = next((row.run for row in stage.ledger.runs(kinds=("drill",))), None)
        events = [] if run is None else stage.ledger.events(run)
        begun = {event.body["step"] for event in events if event.type == "step.started"}
        answered = {event.body["step"] for event in events if event.type == "step.answered"}
        hook, stage.ledger.on_append = stage.ledger.on_append, lambda _type, _body, _is_written: None
        for step, said in (("may-begin", "yes"), ("look", "done")):
            if run is not None and step in begun - answered:
                body = {"step": step, "by": "Siti", "answer": said, "comment": ""}
                stage.ledger.append(run, "step.answered", body)
        stage.ledger.on_append = hook

    stage.clock.sleep = answer  # type: ignore[method-assign]


def kill_at_every_event(bench: Bench, *, is_written: bool) -> tuple[Recovery, int]:
    """Carry the run out; die at each event, as often as it comes to a new one. Gives how often it died."""
    seen: set[str] = set()

    def die(type_: str, body: Body, written: bool) -> None:
        if type_ == "run.resumed" or written != is_written:
            return
        # A clock is read anew each time: the same event, with another time in it.
        words = ("step", "mark", "service", "task", "check", "dataset", "clock", "host", "text")
        key = " ".join([type_, *(str(body.get(word)) for word in words)])
        if key not in seen:
            seen.add(key)
            raise Crash

    bench.stage.ledger.on_append = die
    go_on: Callable[[], Recovery] = bench.begin
    for deaths in range(500):
        try:
            return go_on(), deaths
        except Crash:
            bench.stage.locks.held.clear()
            bench.stage.clock.at += timedelta(seconds=DEAD)
            run = bench.run
            if run is None:
                go_on = bench.begin
            elif bench.stage.ledger.run(run).closed_at is None:
                go_on = partial(resume, bench.stage.world, run)
            else:
                row = bench.stage.ledger.run(run)
                return replay(run, row.genesis, bench.stage.ledger.events(run)), deaths + 1
    raise AssertionError("it never ended")


def truth_of(bench: Bench) -> dict[str, datetime]:
    """When it was so, as nobody but this world knows."""
    ended = {folder.name: started.ended_at for folder, started in bench.stage.actions.known.items()}
    verified, usable = ended[f"{SERVICE}-verify"], bench.stage.watch.open_since[SERVICE]
    return {"T4": verified, "T5": max(usable, verified)}


KINDS = ["drill", "failover", "switchover", "failback", "drill with steps"]


@pytest.mark.parametrize("is_written", [False, True], ids=["before it is written", "after it is written"])
@pytest.mark.parametrize("name", KINDS)
def test_a_run_that_is_killed_at_every_event_ends_as_if_nothing_had_happened(
    tmp_path: Path, name: str, is_written: bool
) -> None:
    undisturbed = bench_of(tmp_path / "undisturbed", name)
    expected = undisturbed.begin()
    bench = bench_of(tmp_path / "killed", name)
    recovery, deaths = kill_at_every_event(bench, is_written=is_written)

    assert deaths > len({event.type for event in expected.events}) + len(expected.plan.steps)
    assert recovery.verdict() == expected.verdict()
    assert recovery.closed is not None
    assert expected.closed is not None
    assert recovery.closed.body == expected.closed.body
    assert {step: state.outcome for step, state in recovery.steps.items()} == {
        step: state.outcome for step, state in expected.steps.items()
    }
    assert recovery.reservations == expected.reservations
    assert {name: len(checks) for name, checks in recovery.checks.items()} == {
        name: len(checks) for name, checks in expected.checks.items()
    }
    ended = Counter(event.body["step"] for event in recovery.events if event.type == "step.ended")
    assert ended == Counter(list(recovery.steps)), "each step ends once"
    actions = Counter(bench.stage.actions.started)
    assert actions == Counter(undisturbed.stage.actions.started), "nothing is begun that was not needed, or twice"
    assert not [event for event in recovery.events if event.type == "step.repeated"]

    assert set(recovery.marks[SERVICE]) == set(expected.marks[SERVICE])
    marks = recovery.marks[SERVICE]
    for mark, at in truth_of(bench).items():
        assert abs(marks[mark].at - at) <= timedelta(seconds=1), (mark, marks[mark].at, at)
    for step, state in recovery.steps.items():
        folders = [known for folder, known in bench.stage.actions.known.items() if folder.name == state.action]
        if folders and state.outcome == "ok":
            assert state.ended_at is not None
            assert abs(state.ended_at - folders[0].ended_at) <= timedelta(seconds=1), step
    bench.stage.ledger.verify(recovery.run)
    assert bench.stage.locks.held == {}
