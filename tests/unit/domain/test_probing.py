"""When a service went, and when it was really back."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from drp.domain.recovery.probing import Outage, Sample, UsableAgain, failing_now, last_outage, usable_again
from tests.fakes.city import NOW

TOOK = timedelta(milliseconds=100)
ONE = {"path": timedelta(seconds=1.5)}


def seconds(amount: float) -> timedelta:
    return timedelta(seconds=amount)


def samples(pattern: str, *, start: float = 0, step: float = 1, check: str = "") -> list[Sample]:
    """One sample a step: `+` succeeded after 0.1 s, `-` was refused at once, a blank: nobody looked."""
    return [
        Sample(NOW + seconds(at), NOW + seconds(at) + TOOK, True, "fine", check)
        if sign == "+"
        else Sample(NOW + seconds(at), NOW + seconds(at), False, f"refused {at:g}", check)
        for number, sign in enumerate(pattern)
        if sign != " "
        for at in (start + number * step,)
    ]


@pytest.mark.parametrize("pattern", ["", "+++", "++-+++-+", "-+", "+-"])
def test_a_single_failure_is_no_outage(pattern: str) -> None:
    assert last_outage(samples(pattern), ONE) is None


def test_an_outage_begins_with_its_first_failure_and_is_detected_by_the_second() -> None:
    outage = last_outage(samples("++---"), ONE)
    assert outage is not None
    assert outage.disrupted_at == NOW + seconds(2)
    assert outage.detected_at == NOW + seconds(3)
    assert outage.last_good_at == NOW + seconds(1)  # that attempt may have been answered at its very start
    assert outage.uncertainty == seconds(1)
    assert outage.detail == "refused 2"
    assert not outage.is_over


def test_the_newest_outage_counts_also_when_it_has_ended() -> None:
    outage = last_outage(samples("+--++---++"), ONE)
    assert outage is not None
    assert outage.disrupted_at == NOW + seconds(5)
    assert outage.is_over


def test_without_a_good_attempt_before_nobody_knows_how_uncertain_the_time_is() -> None:
    outage = last_outage(samples("--"), ONE)
    assert outage is not None
    assert outage.last_good_at is None
    assert outage.uncertainty is None


def test_a_failure_that_was_still_waited_for_leaves_open_when_it_went() -> None:
    """The request was sent at 2 s and timed out at 4 s; the service may have gone at any moment in between."""
    slow = replace(samples("-", start=2)[0], ended_at=NOW + seconds(4))
    slower = replace(slow, started_at=NOW + seconds(3), ended_at=NOW + seconds(5))
    outage = last_outage([*samples("++"), slow, slower], ONE)
    assert outage is not None
    assert (outage.disrupted_at, outage.latest) == (NOW + seconds(2) + TOOK, NOW + seconds(4))
    assert outage.uncertainty == seconds(2) - TOOK


def test_what_was_answered_later_than_the_first_lost_request_was_sent_puts_the_outage_later() -> None:
    """Answers take 0.8 s. The one of 0 s came back; what was asked at 0.5 s was lost when the server broke off."""
    good = replace(samples("+")[0], ended_at=NOW + seconds(0.8))
    lost = replace(samples("-", start=0.5)[0], ended_at=NOW + seconds(0.9))
    outage = last_outage([good, lost, *samples("--", start=1)], ONE)
    assert outage is not None
    assert outage.disrupted_at == NOW + seconds(0.9)


def usable(found: Sequence[Sample], after: float = 0, hold: float = 3) -> float | None:
    again = usable_again(found, ONE, after=NOW + seconds(after), hold=seconds(hold))
    return None if again is None else (again.usable_at - NOW).total_seconds()


@pytest.mark.parametrize(
    ("pattern", "after", "at"),
    [
        ("++++", 0, 0),
        ("+++", 0, None),
        ("--++++", 0, 2),
        ("--+-++++", 0, 4),
        ("--+++-++++", 0, 6),
        ("--+++-+++", 0, None),
        ("+++ ++++", 0, 4),
        ("+++ +++", 0, None),
        ("++++++", 1.5, 2),
        ("++++++", 1.05, 2),  # what began before the moment does not count, also when it ended after it
        ("+++++", 1.5, None),
        ("", 0, None),
        ("----", 0, None),
    ],
)
def test_use_begins_with_the_first_success_that_held(pattern: str, after: float, at: float | None) -> None:
    assert usable(samples(pattern), after) == at


def test_a_failure_before_the_moment_does_not_make_it_less_certain() -> None:
    again = usable_again(samples("-+++++"), ONE, after=NOW + seconds(1), hold=seconds(3))
    assert again is not None
    assert again.usable_at == NOW + seconds(1)
    assert again.uncertainty == TOOK


def test_what_was_found_tells_its_grounds() -> None:
    again = usable_again(samples("--+++++++"), ONE, after=NOW, hold=seconds(3))
    assert again is not None
    assert again.usable_at == NOW + seconds(2)
    assert again.held_until == NOW + seconds(5) + TOOK
    assert again.attempts == 4
    assert again.uncertainty == seconds(1)


def test_a_request_that_waited_for_the_service_is_not_use_from_its_start() -> None:
    """Sent at 1 s to a server that hangs, answered at 3 s. The one of 0 s was given up at 2.5 s: not usable until then.
    To count from 1 s would make the recovery look faster than it was."""
    lost = replace(samples("-")[0], ended_at=NOW + seconds(2.5))
    waited = replace(samples("+", start=1)[0], ended_at=NOW + seconds(3))
    again = usable_again([lost, waited, *samples("+++++", start=2)], ONE, after=NOW, hold=seconds(2))
    assert again is not None
    # The attempt of 2 s was answered at 2.1 s, and no answer took less than that: it worked at 2 s.
    assert again.usable_at == NOW + seconds(2)


def test_a_slow_first_answer_is_use_from_its_start() -> None:
    slow = replace(samples("+", start=1)[0], ended_at=NOW + seconds(1.9))
    assert usable([*samples("-"), slow, *samples("++++", start=2)]) == 1


TWO = {"web": seconds(1.5), "database": seconds(15)}


def both(web: str, database: str) -> list[Sample]:
    """Samples of a check each second, and of another one each five seconds."""
    return [*samples(web, check="web"), *samples(database, step=5, check="database")]


@pytest.mark.parametrize(
    ("web", "database", "at"),
    [
        ("+++++++++++", "+++", 0),
        ("--+++++++++", "+++", 2),
        ("--+++++++++++++++++", "-+++", 5),
        ("--+++++-+++++++++++", "-+++", 8),  # a relapse of one voids the success of both
        ("+++++++++++", "", None),  # one that was never tried proves nothing
        ("+++++++++++", "---", None),
        ("", "+++", None),
        ("+++++++++++", "+  ", None),  # the hold is not proved where one did not look
    ],
)
def test_use_needs_every_check(web: str, database: str, at: float | None) -> None:
    again = usable_again(both(web, database), TWO, after=NOW, hold=seconds(5))
    assert (None if again is None else (again.usable_at - NOW).total_seconds()) == at


def test_the_last_check_to_succeed_is_named() -> None:
    again = usable_again(both("--++++++++++++++", "-+++"), TWO, after=NOW, hold=seconds(5))
    assert again is not None
    assert again.check == "database"
    assert again.uncertainty == seconds(4)  # the web failed at 1 s


@pytest.mark.parametrize(
    ("web", "database", "check", "at"),
    [
        ("+++++++++---", "+++", "web", 9),
        ("++++++++++++", "+--", "database", 5),
        ("++++++++---+", "+--", "database", 5),  # since the database went, something always failed
        ("++++++++++++++++++--", "--+++", "web", 18),  # that one was over
    ],
)
def test_an_outage_begins_with_the_first_check_that_went(web: str, database: str, check: str, at: float) -> None:
    outage = last_outage(both(web, database), TWO)
    assert outage is not None
    assert (outage.check, (outage.disrupted_at - NOW).total_seconds()) == (check, at)
    assert not outage.is_over


def test_checks_that_fail_are_told_by_name() -> None:
    assert failing_now(both("++-", "+"), TWO) == {"web": "refused 2"}
    assert failing_now(both("+", ""), TWO) == {"database": "not tried yet"}
    assert failing_now(both("+", "+"), TWO) == {}


def test_samples_of_an_older_drp_are_of_the_first_check_and_those_of_unknown_checks_of_none() -> None:
    old = samples("++--")
    outage = last_outage([*old, *samples("+++", check="database"), *samples("---", check="removed")], TWO)
    assert outage is not None
    assert outage.disrupted_at == NOW + seconds(2)


def test_a_sample_reads_what_the_probe_wrote() -> None:
    record = {"started_at": "2026-11-20T07:00:00.250000Z", "ended_at": "2026-11-20T14:00:01.250000+07:00"}
    sample = Sample.from_record(record | {"succeeded": False, "detail": "timed out"})
    assert sample == Sample(NOW, NOW + seconds(1), False, "timed out")
    assert Sample.from_record(record | {"succeeded": True, "detail": "", "check": "web"}).check == "web"


# -- properties -------------------------------------------------------------------------------------------------------

PATTERNS = st.text("+-", max_size=40)


@st.composite
def several(draw: st.DrawFn) -> dict[str, str]:
    return {name: draw(PATTERNS) for name in ("a", "b", "c")[: draw(st.integers(1, 3))]}


def all_samples(patterns: dict[str, str]) -> list[Sample]:
    return [sample for name, pattern in patterns.items() for sample in samples(pattern, check=name)]


def gaps(patterns: dict[str, str]) -> dict[str, timedelta]:
    return {name: seconds(1.5) for name in patterns}


def again_of(patterns: dict[str, str], hold: float = 4) -> UsableAgain | None:
    return usable_again(all_samples(patterns), gaps(patterns), after=NOW, hold=seconds(hold))


@given(several())
def test_use_means_that_no_check_failed_from_then_until_the_hold_was_over(patterns: dict[str, str]) -> None:
    found = again_of(patterns)
    if found is None:
        shortest = min(map(len, patterns.values()))
        for start in range(shortest - 4):
            assert any("-" in pattern[start : start + 5] for pattern in patterns.values())
        return
    for name in patterns:
        held = [s for s in samples(patterns[name]) if found.usable_at <= s.started_at <= found.held_until]
        assert len(held) >= 5
        assert all(sample.succeeded for sample in held)


@given(several(), PATTERNS)
def test_one_more_check_never_makes_a_recovery_faster(patterns: dict[str, str], more: str) -> None:
    fewer, all_ = again_of(patterns), again_of(patterns | {"more": more})
    assert all_ is None or (fewer is not None and fewer.usable_at <= all_.usable_at)


@given(several(), st.data())
def test_one_more_failure_never_makes_a_recovery_faster(patterns: dict[str, str], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(patterns)))
    assume(patterns[name])
    position = data.draw(st.integers(0, len(patterns[name]) - 1))
    worse = patterns | {name: patterns[name][:position] + "-" + patterns[name][position + 1 :]}
    before, after = again_of(patterns), again_of(worse)
    assert after is None or (before is not None and before.usable_at <= after.usable_at)


@given(several(), st.integers(0, 40))
def test_what_was_once_found_stays_what_more_samples_say(patterns: dict[str, str], known: int) -> None:
    sooner = again_of({name: pattern[:known] for name, pattern in patterns.items()})
    if sooner is not None:
        assert again_of(patterns) == sooner


@given(several(), st.randoms())
def test_the_order_in_which_checks_and_samples_come_does_not_matter(
    patterns: dict[str, str], source: random.Random
) -> None:
    found = all_samples(patterns)
    mixed, names = list(found), list(patterns)
    source.shuffle(mixed)
    source.shuffle(names)
    gaps_mixed = {name: seconds(1.5) for name in names}
    one = usable_again(found, gaps(patterns), after=NOW, hold=seconds(4))
    other = usable_again(mixed, gaps_mixed, after=NOW, hold=seconds(4))
    assert (one and (one.usable_at, one.held_until, one.attempts)) == (
        other and (other.usable_at, other.held_until, other.attempts)
    )
    here, there = last_outage(found, gaps(patterns)), last_outage(mixed, gaps_mixed)
    assert (here and (here.disrupted_at, here.is_over)) == (there and (there.disrupted_at, there.is_over))


@given(several())
def test_a_service_is_never_down_and_back_at_once(patterns: dict[str, str]) -> None:
    outage, again = last_outage(all_samples(patterns), gaps(patterns)), again_of(patterns)
    if outage is not None and again is not None and not outage.is_over:
        assert not outage.disrupted_at <= again.usable_at


# -- against a service whose true times are known ---------------------------------------------------------------------

How = Literal["refused", "lost", "answered at the end"]


@dataclass(frozen=True)
class Truth:
    """A service that is down between two moments (seconds), how it takes requests meanwhile, how long answers take."""

    went: float
    back: float
    how: How
    takes: float
    timeout: float = 2.0

    def attempt(self, start: float) -> Sample:
        """What an attempt that begins at `start` sees."""
        end, good = start + self.takes, True
        if self.went <= start < self.back:
            if self.how == "refused":
                end, good = start + 0.001, False
            elif self.how == "lost" or start + self.timeout <= self.back + self.takes:
                end, good = start + self.timeout, False
            else:
                end = self.back + self.takes
        elif start < self.went < end:
            end, good = (self.went, False) if self.how == "refused" else (start + self.timeout, False)
        return Sample(NOW + seconds(start), NOW + seconds(end), good, "")


@st.composite
def truths(draw: st.DrawFn) -> tuple[Truth, float]:
    went, interval = draw(st.floats(3, 6)), draw(st.floats(0.2, 2.0))
    truth = Truth(
        went=went,
        back=went + 2 + 3 * interval + draw(st.floats(0, 8)),
        how=draw(st.sampled_from(["refused", "lost", "answered at the end"])),
        takes=draw(st.sampled_from([0.001, 0.02, 0.3, 1.2])),
    )
    return truth, interval


def seen(truth: Truth, interval: float) -> tuple[Outage | None, UsableAgain | None]:
    found = [truth.attempt(number * interval) for number in range(int(40 / interval))]
    timing = {"path": seconds(3 * (interval + truth.timeout) + 2)}
    outage = last_outage(found, timing)
    after = NOW if outage is None else outage.disrupted_at
    return outage, usable_again(found, timing, after=after, hold=seconds(5))


@given(truths())
def test_the_measured_time_is_as_close_to_the_truth_as_it_says(case: tuple[Truth, float]) -> None:
    truth, interval = case
    outage, again = seen(truth, interval)
    assert outage is not None
    assert again is not None
    assert outage.uncertainty is not None
    slack = seconds(0.001)
    assert abs(outage.disrupted_at - NOW - seconds(truth.went)) <= outage.uncertainty + slack
    assert abs(again.usable_at - NOW - seconds(truth.back)) <= again.uncertainty + slack
    rta = again.usable_at - outage.disrupted_at
    assert abs(rta - seconds(truth.back - truth.went)) <= seconds(interval + 0.2)
