"""The progress of a run in words: single figures, and the lines for where there is no terminal to draw on."""

from __future__ import annotations

from datetime import timedelta

from drp.domain.progress.probe_look import ProbeLook
from drp.domain.progress.run import Progress, RtoClock, ServiceProgress, Standing
from drp.domain.progress.steps import StepProgress
from drp.domain.values import show_duration, show_expected

SUMMARY_EVERY = timedelta(seconds=30)
SECOND = timedelta(seconds=1)
NOTABLE = timedelta(seconds=30)
"""By how much a step must be over its estimate to be worth a line. What is reckoned from size and line knows nothing of
what every step takes to begin."""
MOST_LINES = 4
"""Lines of a kind that are said at one time."""


def show_passed(duration: timedelta) -> str:
    """A time that has passed, in whole seconds, cut."""
    return show_duration(duration - duration % SECOND)


def show_left(duration: timedelta) -> str:
    """A time that is still to come, in whole seconds, rounded up."""
    return show_duration(-(-duration // SECOND) * SECOND)


def against_estimate(item: StepProgress) -> str:
    """`12 s of 15 s measured`, `20 s instead of 15 s measured`, `12 s, estimate unknown`."""
    passed, duration = show_passed(item.elapsed), item.estimate.duration
    if duration is None:
        return f"{passed}, estimate unknown"
    if item.over:
        return f"{passed} instead of {show_expected(duration)} {item.estimate.basis}"
    return f"{passed} of {show_expected(duration)} {item.estimate.basis}"


def probe_told(probe: ProbeLook, hold_left: timedelta | None, progress: Progress) -> str:
    """What the outside probe says, in a few words."""
    if probe.silent_since is not None:
        return f"probe: nobody has looked for {show_passed(progress.at - probe.silent_since)}"
    if probe.failing:
        first = probe.failing[0]
        more = f" (and {len(probe.failing) - 1} more)" if len(probe.failing) > 1 else ""
        return f"probe: {first.check} fails for {show_passed(progress.at - first.since)}{more}: {first.detail}"
    if probe.untried:
        return f"probe: {', '.join(probe.untried)} not tried yet"
    if probe.good_since is not None and hold_left is not None:
        good = show_passed(progress.at - probe.good_since)
        return f"probe: works for {good}, must hold for {show_left(hold_left)} more"
    return "probe: answers, but that does not count yet"


def waits_told(item: ServiceProgress, progress: Progress) -> str:
    """What the next step of a service waits for; empty where it waits for nothing that is not its own."""
    blocking = next((asked for asked in progress.asked if item.service in asked.blocks), None)
    if blocking is not None:
        return f"waits for {blocking.who} ({blocking.step.id})"
    if item.waits_for or item.waits_for_steps:
        return f"waits for {', '.join((*item.waits_for, *item.waits_for_steps))}"
    if not item.is_next:
        return ""
    return f"waits for its turn behind {progress.playbooks}" if progress.playbooks else "could begin; nobody begins it"


def back_told(clock: RtoClock) -> str:
    """When users should be back: `back in about 5 m`, `back in at least 5 m, 1 m after its RTO`."""
    if clock.expected is None:
        return "it will not be back"
    left, late = clock.expected - clock.passed, clock.expected - clock.rto
    too_late = f", {show_left(late)} after its RTO" if late > timedelta() else ""
    if left <= timedelta():
        return f"may be back at any moment{too_late}"
    return f"back in {'about' if clock.certain else 'at least'} {show_left(left)}{too_late}"


def end_told(progress: Progress) -> str:
    """`ends in about 2 m`; `ends in at least 2 m` where not all is known."""
    if progress.is_closed:
        return "has ended"
    left = progress.ends_at - progress.at
    if not left:
        return "may end at any moment"
    return f"ends in {'about' if progress.certain else 'at least'} {show_left(left)}"


def counts_told(progress: Progress) -> str:
    """`3 of 30 usable, 20 at work, 7 waiting`: what there is none of is left out."""
    at_work = progress.count(Standing.RUNNING, Standing.SLOW, Standing.LATE)
    parts = [f"{progress.count(Standing.USABLE)} of {len(progress.services)} usable"]
    for number, word in (
        (progress.count(Standing.FAILED), "failed"),
        (progress.count(Standing.ASKS), "waiting for people"),
        (at_work, "at work"),
        (progress.count(Standing.WAITING), "waiting"),
    ):
        if number:
            parts.append(f"{number} {word}")
    return ", ".join(parts)


def summary_of(progress: Progress) -> str:
    """The whole run in a line."""
    path = f"; decides the end: {progress.path[0].step.id}" if progress.path else ""
    passed = show_passed(progress.since_first)
    return f"{progress.kind}: {passed} since the first step; {counts_told(progress)}; {end_told(progress)}{path}"


class Teller:
    """Says each thing once, at its time: a step that takes longer than it should, an RTO that is half or all used, and
    every half minute how far the run is."""

    def __init__(self) -> None:
        self.told: set[tuple[str, str]] = set()
        self.next_summary = timedelta()

    def lines(self, progress: Progress) -> list[str]:
        """What is to be said now."""
        steps = [step for item in progress.services for step in (item.step, *item.others) if step is not None]
        slow = [
            f"{step.step.id} takes longer than it should: {against_estimate(step)} ({step.estimate.text})"
            for step in (*steps, *progress.runbook_steps)
            if step.over >= NOTABLE and self._is_new(step.step.id, "slow")
        ]
        rto = [line for service in progress.services for line in self._of_rto(service)]
        lines = [*_folded(slow), *_folded(rto)]
        if not progress.is_closed and progress.since_first >= self.next_summary:
            if self.next_summary:
                lines.append(summary_of(progress))
            self.next_summary = progress.since_first + SUMMARY_EVERY
        return lines

    def _is_new(self, what: str, why: str) -> bool:
        if (what, why) in self.told:
            return False
        self.told.add((what, why))
        return True

    def _of_rto(self, service: ServiceProgress) -> list[str]:
        clock = service.clock
        if clock is None or clock.has_stopped:
            return []
        used = "all" if clock.over else "half" if clock.passed * 2 >= clock.rto else ""
        if not used or not self._is_new(service.service, used):
            return []
        self.told.add((service.service, "half"))
        rto = show_duration(clock.rto)
        return [f"{service.service}: {used} of its RTO of {rto} is used; {back_told(clock)}"]


def _folded(lines: list[str]) -> list[str]:
    """Of many lines of a kind at once the first ones, and how many more there are."""
    if len(lines) <= MOST_LINES:
        return lines
    return [*lines[: MOST_LINES - 1], f"… and {len(lines) - MOST_LINES + 1} more like this"]
