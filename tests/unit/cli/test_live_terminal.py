"""`drp run show RUN --follow` on a terminal, while another process carries the run out: what stands on the screen, what
scrolls above it, and how the terminal is left."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from drp.adapters.inventory import read_city
from drp.adapters.ledger import SqliteLedger
from drp.adapters.template import write_template
from drp.domain.events import Body
from drp.domain.recovery.timeline import Mark
from drp.domain.runbooks.model import Runbook
from drp.domain.values import to_stamp
from tests.fakes.city import runbook_record
from tests.fakes.synthetic_run import RUN, plan_for
from tests.fakes.terminal import Screen, TerminalCommand

REPOSITORY = Path(__file__).parents[3]
DRP = Path(sys.executable).with_name("drp")


class OpenRun:
    """A workspace with a run of its service `example` that this process carries out, as far as its events go."""

    def __init__(self, folder: Path, ledger: SqliteLedger) -> None:
        self.folder, self.ledger = folder, ledger
        city, _ = read_city(folder, REPOSITORY / "runbooks")
        text = {"en": "Is the power on?", "id": "Listrik menyala?"}
        step = {"id": "power", "kind": "approval", "title": text, "question": text, "who": ["approves"]}
        scenario = Runbook.model_validate(runbook_record() | {"steps": [step | {"before": "example/activate"}]})
        self.plan = plan_for(city, runbook=scenario)
        self.check = city.services["example"].checks[0].id
        self.samples = folder / "var/runs" / RUN / "example-probe" / "samples.jsonl"
        self.samples.parent.mkdir(parents=True)
        opened: Body = {"plan": self.plan.record(), "by": "siti", "reason": "test", "unfenced": False}
        ledger.open_run(RUN, "drill", self.plan.hash, ["example"], opened)
        went = Mark("T0", datetime.now(UTC) - timedelta(minutes=5), "simulated", "test")
        self.add("mark", {"service": "example", **went.record()})
        file = str(self.samples.relative_to(folder))
        self.add("probe.started", {"service": "example", "address": "x", "checks": [self.check], "file": file})
        self.begin("example/restore")
        self.look(succeeded=False)

    def add(self, type_: str, body: Body) -> None:
        self.ledger.append(RUN, type_, body)

    def begin(self, step: str) -> None:
        self.add("step.started", {"step": step, "action": step.replace("/", "-")})

    def finish(self, step: str) -> None:
        self.add("step.ended", {"step": step, "outcome": "ok", "error": "", "duration_ms": 1, "evidence": []})

    def look(self, *, succeeded: bool) -> None:
        now = to_stamp(datetime.now(UTC))
        sample = {"check": self.check, "started_at": now, "ended_at": now, "succeeded": succeeded}
        with self.samples.open("a") as file:
            file.write(json.dumps(sample | {"detail": "connection refused"}) + "\n")

    def close(self, code: int = 0, verdict: str = "MET") -> None:
        self.add("run.closed", {"outcome": "done", "exit_code": code, "verdict": verdict})

    def show(self, *arguments: str, **environment: str) -> TerminalCommand:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        argv = [str(DRP), "-w", str(self.folder), "run", "show", RUN, "--follow", *arguments]
        return TerminalCommand(argv, {**kept, **environment})


@pytest.fixture
def run(tmp_path: Path) -> Iterator[OpenRun]:
    write_template(tmp_path / "city")
    path = tmp_path / "city/var/ledger.sqlite3"
    with closing(SqliteLedger(path, lambda: datetime.now(UTC))) as ledger:
        yield OpenRun(tmp_path / "city", ledger)


def test_progress_stands_below_the_lines_in_a_window_of_any_size_and_leaves_the_terminal_clean(run: OpenRun) -> None:
    shown = run.show()
    shown.until(f"── {RUN}")
    shown.until("example at work  restore")
    shown.until(f"probe: {run.check} fails for")
    assert len([line for line in shown.screen.shown if line.startswith("── ")]) == 1
    assert shown.screen.cursor_visible, "who is killed now leaves a terminal without a cursor"
    run.finish("example/restore")
    run.begin("power")
    shown.until("? Is the power on?")
    shown.until(f'drp run approve {RUN} power --by "NAME"')
    for columns, rows in ((40, 8), (12, 3), (200, 60), (1, 1), (80, 24)):
        shown.resize(columns, rows)
        run.add("task.ended", _task(f"{columns} times {rows}"))
        shown.until_sent(f"{columns} times {rows}")
    shown.until("example ASKS")
    run.close()
    assert shown.end() == 0
    assert shown.screen.cursor_visible
    assert "\x1b[?1049h" not in shown.raw, "what was said must stay when the picture goes"
    last = shown.screen.shown
    assert not any(line.startswith(("── ", "example ")) for line in last[-4:])
    assert "run.closed" in shown.screen.text
    for event in run.ledger.events(RUN):
        assert f"{event.sequence:4}  {event.at}"[:10] in shown.raw
    assert "Traceback" not in shown.raw


def _task(name: str) -> Body:
    body: Body = {"step": "example/restore", "host": "h", "task": name, "outcome": "ok", "duration_ms": 1}
    return body | {"started_at": to_stamp(datetime.now(UTC)), "changed": True}


def test_ctrl_c_ends_it_at_once_and_leaves_the_terminal_clean(run: OpenRun) -> None:
    shown = run.show()
    shown.until("example at work")
    shown.press(b"\x03")
    assert shown.end() == 130
    assert shown.screen.cursor_visible
    assert "cancelled" in shown.screen.text
    assert not any(line.startswith("── ") for line in shown.screen.shown)
    assert "Traceback" not in shown.raw


def test_who_is_killed_leaves_a_cursor(run: OpenRun) -> None:
    shown = run.show()
    shown.until("example at work")
    shown.process.send_signal(signal.SIGKILL)
    assert shown.end() == -signal.SIGKILL
    assert (shown.screen.cursor_visible, shown.screen.alternate) == (True, False)


@pytest.mark.parametrize(("arguments", "environment"), [(["--plain"], {}), ([], {"TERM": "dumb"}), (["--json"], {})])
def test_lines_can_be_asked_for(run: OpenRun, arguments: list[str], environment: dict[str, str]) -> None:
    shown = run.show(*arguments, **environment)
    shown.until("step.started")
    run.close()
    assert shown.end() == 0
    assert "── " not in shown.screen.text
    assert "\x1b[1A" not in shown.raw


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_a_script_that_waits_for_a_run_gets_the_exit_code_of_the_run(run: OpenRun, arguments: list[str]) -> None:
    shown = run.show(*arguments)
    shown.until("step.started")
    run.close(4, "NOT_MET")
    assert shown.end() == 4
    assert run.show(*arguments).end() == 4, "also one that had ended before"
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    without = TerminalCommand([str(DRP), "-w", str(run.folder), "run", "show", RUN, *arguments], kept)
    assert without.end() == 0, "who only looks has seen what there was to see"


def test_without_colours_nothing_is_coloured(run: OpenRun) -> None:
    shown = run.show(NO_COLOR="1")
    shown.until("example at work")
    run.close()
    assert shown.end() == 0
    assert not [code for code in ("31", "32", "33", "35", "36") if f"\x1b[{code}m" in shown.raw]


def test_the_screen_of_these_tests_knows_what_a_terminal_does() -> None:
    screen = Screen(5, 3)
    screen.feed("one\r\ntwo\r\nabcdefg\r\x1b[2K\x1b[1A\x1b[2Kx\x1b[?25")
    screen.feed("l")
    assert screen.text == "one\ntwo\nx\n"
    assert not screen.cursor_visible
    with pytest.raises(AssertionError, match="unknown sequence"):
        screen.feed("\x1b[2J")
