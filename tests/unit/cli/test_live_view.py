"""The picture of a recovery, as text: what stands where, what is left out first, and that it fits any window."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from drp.cli.live import Screen
from drp.cli.live_view import draw
from drp.domain.progress.run import Progress
from drp.domain.runbooks.model import Runbook
from tests.fakes.city import runbook_record
from tests.fakes.planned import ESTIMATES, LINES, city_with, sized_record
from tests.fakes.world import make_stage
from tests.unit.domain.test_progress import Bench


def picture(progress: Progress, width: int = 80, lines: int = 19, **environment: Any) -> list[str]:
    output = io.StringIO()
    console = Console(file=output, width=width, **environment)
    console.print(draw(progress, width, lines), end="")
    return output.getvalue().splitlines()


@pytest.fixture
def small() -> Bench:
    """`a` is in use and must hold; `b` waits for nothing but its own restore."""
    bench = Bench().begun()
    bench.run.did(0, 100, "a/restore", "a/activate", "a/verify")
    bench.run.begin(100, "a/usable")
    bench.look("a", (99, True), (100, True), (101, True))
    bench.look("b", (99, False), (100, False), (101, False))
    return bench


def test_a_whole_picture(small: Bench) -> None:
    assert picture(small.at(101.2)) == [
        "── drill-20261120-070000-0001 1m41s since the first step ───────────────────────",
        "0 of 2 usable, 2 at work",
        "ends in at least 8m21s: b/restore 19s → b/activate 5m → b/verify 2m → b/usable …",
        "a at work  usable 1s of 1m02s declared · 1m41s of RTO 4h",
        "  probe: works for 1s, must hold for 1s more",
        "b at work  restore 1m41s of 2m measured · 1m41s of RTO 4h",
        "  back in about 8m19s · probe: path fails for 2s: connection refused",
    ]


def test_a_wide_window_has_one_line_for_each_service(small: Bench) -> None:
    rows = picture(small.at(101.2), 160)
    assert len(rows) == 5
    assert rows[4].startswith("b at work  restore 1m41s of 2m measured · 1m41s of RTO 4h · back in about 8m19s · probe")


def thirty(standing: str = "restore") -> Bench:
    names = [f"service-{number:02}" for number in range(30)]
    bench = Bench(city_with(LINES, *map(sized_record, names), estimates=ESTIMATES), runbook=_asking()).begun()
    if standing == "mixed":
        bench.run.end(10, "service-17/restore", "failed", "host drc-17: no space left on device")
        bench.run.begin(10, "go")
        bench.run.end(20, "service-23/restore")
        bench.run.did(5, 30, "service-09/restore", "service-09/activate", "service-09/verify", "service-09/usable")
        bench.run.mark(29, "service-09", "T5")
    return bench


def _asking() -> Runbook:
    text = {"en": "Is the water gone?", "id": "Air surut?"}
    step = {"id": "go", "kind": "approval", "title": text, "question": text, "who": ["approves"]}
    return Runbook.model_validate(runbook_record() | {"steps": [step | {"before": "service-23/activate"}]})


def test_of_many_services_those_that_matter_stand_first_and_the_rest_is_summed_up() -> None:
    rows = picture(thirty("mixed").at(31))
    assert len(rows) == 19
    assert rows[1] == "1 of 30 usable, 1 failed, 1 waiting for people, 27 at work"
    assert rows[3:5] == [
        "? Is the water gone?: approves, asked 21s ago",
        '  drp run approve drill-20261120-070000-0001 go --by "NAME"',
    ]
    assert rows[5] == "service-17 FAILED   will not be back · 31s of RTO 4h"
    assert rows[6] == "           service-17/restore failed: host drc-17: no space left on device"
    assert rows[7] == "service-23 ASKS     next activate, waits for approves (go) · 31s of RTO 4h"
    assert rows[-1] == "… and 19 more: 18 slow, 1 usable"
    assert sum(row.startswith("service-") for row in rows) == 11
    assert not any("service-09" in row for row in rows)


@pytest.mark.parametrize("standing", ["restore", "mixed"])
def test_it_fits_any_window(standing: str) -> None:
    progress = thirty(standing).at(31)
    for width in (1, 8, 20, 40, 80, 129, 130, 200):
        for lines in (1, 2, 3, 4, 5, 7, 12, 19, 60, 100):
            rows = picture(progress, width, lines)
            assert 1 <= len(rows) <= lines, (width, lines)
            assert all(cell_len(row) <= width for row in rows), (width, lines)


def test_a_command_that_is_too_long_for_the_window_keeps_what_must_be_typed() -> None:
    rows = picture(thirty("mixed").at(31), 55)
    assert "  drp run approve drill-20261120-070000-0001 go --by …" in rows


def test_many_questions_leave_room_for_the_services() -> None:
    text = {"en": "Ask", "id": "Tanya"}
    steps = [{"id": f"ask-{n}", "kind": "manual", "title": text, "instructions": text} for n in range(12)]
    steps = [step | {"expected": "5m", "after": "start", "before": "end"} for step in steps]
    bench = Bench(runbook=Runbook.model_validate(runbook_record() | {"steps": steps})).begun()
    for number in range(12):
        bench.run.begin(1, f"ask-{number}")
    rows = picture(bench.at(30))
    assert len([row for row in rows if row.startswith("? Ask")]) == 4
    assert len([row for row in rows if row.startswith("  drp run approve")]) == 4
    assert "… and 8 more steps wait for people" in rows
    assert any(row.startswith("a ") for row in rows)
    assert any(row.startswith("b ") for row in rows)


def test_without_colour_every_state_is_a_word(small: Bench) -> None:
    coloured = picture(small.at(101.2), force_terminal=True, color_system="standard")
    plain = picture(small.at(101.2), force_terminal=True, color_system="standard", no_color=True)
    assert any("\x1b[36m" in row for row in coloured)
    assert not any("\x1b[36m" in row for row in plain)


def test_what_a_probe_or_a_host_says_cannot_steer_the_terminal() -> None:
    bench = Bench().begun()
    bench.run.end(10, "a/restore", "failed", "\x1b[2J\x1b]0;owned\x07\r\nnext")
    text = "".join(picture(bench.at(30)))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "failed:  [2J ]0;owned   next" in text


@pytest.mark.parametrize("trouble", ["no such run", "a fault of the view itself"])
def test_a_view_that_fails_ends_no_recovery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str) -> None:
    stage = make_stage(tmp_path)
    run = next(row.run for row in stage.ledger.runs())  # a backup: it cannot be looked at as a recovery
    name = "drill-none" if trouble == "no such run" else run
    said: list[str] = []
    screen = Screen(plain=True)
    monkeypatch.setattr(screen, "say", said.append)
    went_on = False
    with screen.follow(stage.world, name):
        end = time.monotonic() + 60
        while not said and time.monotonic() < end:
            time.sleep(0.02)
        went_on = True
    assert went_on
    assert len(said) == 1
    assert said[0].startswith("the live view has ended, the run goes on: ")
    assert ("no run drill-none" in said[0]) == (trouble == "no such run")
