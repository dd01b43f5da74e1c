"""The picture of a recovery that is under way, for a terminal: what matters most stands first, what has no room is
summed up. It never has more lines than it is given."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta

from rich.cells import cell_len
from rich.text import Text

from drp.cli.common import printable
from drp.domain.progress.run import Asked, Progress, RtoClock, ServiceProgress, Standing
from drp.domain.progress.steps import StepProgress
from drp.domain.progress.telling import (
    back_told,
    counts_told,
    end_told,
    probe_told,
    show_left,
    show_passed,
    waits_told,
)
from drp.domain.values import show_duration, show_expected

WIDE = 130
"""From so many columns on, notes stand beside their service instead of below it."""

_BEFORE_UNIT = re.compile(r"(?<=\d) (?=(ms|s|m|h|d)\b)")
_BEFORE_NEXT = re.compile(r"(?<=\d[smhd]) (?=\d\d)")
_WORDS = {
    Standing.FAILED: ("FAILED", "bold red"),
    Standing.ASKS: ("ASKS", "bold magenta"),
    Standing.LATE: ("OVER RTO", "bold red"),
    Standing.SLOW: ("SLOW", "yellow"),
    Standing.RUNNING: ("at work", "cyan"),
    Standing.WAITING: ("waits", "dim"),
    Standing.USABLE: ("USABLE", "green"),
}


def draw(progress: Progress, width: int, lines: int) -> Text:
    """The picture, at most so many columns wide and lines high."""
    head = _head(progress, width)
    room = max(lines - len(head), 1)
    questions = _questions(progress, width, room)
    shown = [*head, *questions, *_services(progress, width, room - len(questions))][: max(lines, 1)]
    for line in shown:
        line.truncate(width, overflow="ellipsis")
    picture = Text("\n").join(shown)
    picture.no_wrap, picture.overflow = True, "crop"
    return picture


def _questions(progress: Progress, width: int, room: int) -> list[Text]:
    """Whom the run waits for; in about half of the room at most, since failures must be seen too."""
    fitting = max(room // 4, 1)
    lines = [line for asks in progress.asked[:fitting] for line in _asked(asks, progress, width)]
    left = len(progress.asked) - fitting
    return [*lines, Text(f"… and {left} more steps wait for people", style="magenta")] if left > 0 else lines


def _head(progress: Progress, width: int) -> list[Text]:
    passed = f"{_short(show_passed(progress.since_first))} since the first step "
    title = Text.assemble((f"── {progress.run} ", "bold"), passed, ("─" * width, "dim"))
    title.truncate(width)
    return [title, Text(counts_told(progress)), _end(progress)]


def _end(progress: Progress) -> Text:
    """When it should end, and what decides that: the critical path of what is left, from now on."""
    told = _short(end_told(progress))
    if not progress.path:
        return Text(told)
    return Text(f"{told}: {' → '.join(f'{item.step.id}{_left(item)}' for item in progress.path)}")


def _short(duration: str) -> str:
    """A duration with no blanks before its units: `4m19s` for `4 m 19 s`."""
    return _BEFORE_NEXT.sub("", _BEFORE_UNIT.sub("", duration))


def _left(item: StepProgress) -> str:
    if item.estimate.duration is None:
        return " ?"
    if item.over:
        return " late"
    return f" {_short(show_left(max(item.estimate.duration - item.elapsed, timedelta())))}"


def _asked(asks: Asked, progress: Progress, width: int) -> list[Text]:
    blocks = f", {len(asks.blocks)} services wait for it" if len(asks.blocks) > 1 else ""
    since = _short(show_passed(max(progress.at - asks.since, timedelta())))
    told = printable(f"{asks.title}: {asks.who}")
    first = Text.assemble(("? ", "bold magenta"), f"{told}, asked {since} ago{blocks}")
    command = f"  {asks.command}"
    # A command that is cut cannot be copied: where there is no room for all of it, what is needed to type it stays.
    if cell_len(command) > width:
        command = f"  {asks.command.partition(' --by')[0]} --by …"
    return [first, Text(command, style="bold")]


def _services(progress: Progress, width: int, room: int) -> list[Text]:
    """As many services as there is room for, the first ones first, and a line about those left out."""
    name_width = min(max((cell_len(item.service) for item in progress.services), default=8), 20, max(width // 5, 8))
    blocks = [_service(item, progress, width, name_width) for item in progress.services]
    if sum(map(len, blocks)) > room:
        # The important ones keep their notes; the others are a line each.
        blocks = [
            block if _is_urgent(item) else block[:1] for block, item in zip(blocks, progress.services, strict=True)
        ]
    lines: list[Text] = []
    for number, block in enumerate(blocks):
        is_last = number == len(blocks) - 1
        if len(lines) + len(block) > room - (0 if is_last else 1):
            lines.append(_left_out(progress.services[number:]))
            break
        lines += block
    return lines[: max(room, 0)]


def _is_urgent(item: ServiceProgress) -> bool:
    return item.standing <= Standing.LATE


def _left_out(services: Sequence[ServiceProgress]) -> Text:
    counts: dict[str, int] = {}
    for item in services:
        word = _WORDS[item.standing][0].lower()
        counts[word] = counts.get(word, 0) + 1
    told = ", ".join(f"{number} {word}" for word, number in counts.items())
    return Text(f"… and {len(services)} more: {told}", style="dim")


def _service(item: ServiceProgress, progress: Progress, width: int, name_width: int) -> list[Text]:
    word, style = _WORDS[item.standing]
    name = Text(item.service)
    name.truncate(name_width, overflow="ellipsis", pad=True)
    line = Text.assemble(name, " ", (f"{word:<8}", style), " ", _step_told(item, progress), " · ", _clock(item.clock))
    notes = _notes(item, progress)
    together = " · ".join(notes)
    if not notes:
        return [line]
    if width >= WIDE:
        return [line.append(f" · {together}", style="dim")]
    below = [together] if name_width + 1 + cell_len(together) <= width else notes
    return [line, *(Text(f"{'':<{name_width}} {note}", style="" if _is_urgent(item) else "dim") for note in below)]


def _step_told(item: ServiceProgress, progress: Progress) -> tuple[str, str]:
    """What it is at: `restore 12s of 15s measured`, `restore 20s > 15s measured`, `next activate, waits for db`."""
    step = item.step
    if step is None:
        return ("nothing is left" if item.standing is Standing.USABLE else "will not be back"), "dim"
    if not step.is_running:
        if item.standing is Standing.FAILED and step.step.is_clean_up:
            return "will not be back", "dim"  # what is left for it only tidies up
        waits = waits_told(item, progress)
        return f"next {step.step.stage}{', ' if waits else ''}{waits}", "dim"
    duration, passed = step.estimate.duration, _short(show_passed(step.elapsed))
    if duration is None:
        return f"{step.step.stage} {passed}, estimate unknown", ""
    sign = ">" if step.over else "of"
    told = f"{step.step.stage} {passed} {sign} {_short(show_expected(duration))} {step.estimate.basis}"
    return told, "yellow" if step.over else ""


def _clock(clock: RtoClock | None) -> tuple[str, str]:
    """`4m20s of RTO 4h`, `6m20s > RTO 5m`; after T5 `RTA 4m20s of RTO 4h`."""
    if clock is None:
        return "T0 unknown", "dim"
    word, sign = ("RTA " if clock.has_stopped else ""), (">" if clock.over else "of")
    told = f"{word}{_short(show_passed(clock.passed))} {sign} RTO {_short(show_duration(clock.rto))}"
    if clock.over:
        return told, "bold red"
    is_late = clock.expected is not None and clock.expected > clock.rto
    return told, "yellow" if is_late else ""


def _notes(item: ServiceProgress, progress: Progress) -> list[str]:
    """What is to be said of a service beside its figures, the most urgent first."""
    notes = [f"{step} {reason}" for step, reason in item.failed]
    notes += [f"{', '.join(item.lost_hosts)} was lost, and is waited for"] if item.lost_hosts else []
    if item.clock is not None and not item.clock.has_stopped and not item.failed and item.hold_left is None:
        notes.append(_short(back_told(item.clock)))
    notes += [f"also {other.step.id}" for other in item.others]
    if item.probe is not None and item.step is not None:
        notes.append(_short(probe_told(item.probe, item.hold_left, progress)))
    return [printable(note) for note in notes]
