"""Whom to tell what, and when: once when something goes wrong, once when it is over, and a digest each day.

What was noticed is kept in the ledger as a `Notice` per problem. Its state:

    wrong    it lasts; `told_at` is when people were told, None as long as they were not
    passed   it came and went before anybody was told; they are told of both
    ended    it is over, and people, who were told of it, do not know that yet; `told_at` is when they were told of it
    over     people know that it is over, or never had to know; the next time is a new problem

In quiet hours only a breach of the RPO of a service of the most critical tier is told; all else is told when they are
over. A message that nobody could be reached with changes no state: it is tried again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time
from enum import StrEnum
from zoneinfo import ZoneInfo

from drp.domain.backups.record import Notice
from drp.domain.backups.settings import Notifications
from drp.domain.inventory import Tier
from drp.domain.protection.problems import Problem, ended, grouped
from drp.domain.schedules.timetable import window_end

DIGEST = "digest"
"""The key of the digest's notice; no service can be called so and have a problem."""
MOST_LINES = 40


class State(StrEnum):
    WRONG = "wrong"
    PASSED = "passed"
    ENDED = "ended"
    OVER = "over"
    SENT = "sent"


@dataclass(frozen=True, slots=True)
class Message:
    """Something to tell. `told` are the notices as they stand once somebody was reached."""

    title: str
    body: str
    is_bad: bool
    told: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`noticed` are the notices that changed whether or not anybody is told."""

    noticed: tuple[Notice, ...]
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Moment:
    """The present, and whose it is."""

    now: datetime
    zone: str


def decide(
    problems: Iterable[Problem],
    services: Collection[str],
    known: Mapping[str, Notice],
    settings: Notifications,
    moment: Moment,
    most_critical: Collection[str] = (),
) -> Outcome:
    """What changed, and what to tell now.

    Args:
        problems: all there are now, of all `services` that were looked at.
        most_critical: the services whose breaches are told in quiet hours too.
    """
    present = {problem.key: problem for problem in problems}
    notices = {key: notice for key, notice in known.items() if key != DIGEST}
    noticed = [_notice(present.get(key), notices.get(key), key, moment.now) for key in {**notices, **present}]
    changed = tuple(notice for notice in noticed if notice != notices.get(notice.key))
    untold = [notice for notice in noticed if _is_to_tell(notice)]
    if settings.quiet is not None and window_end(settings.quiet, moment.zone, moment.now) is not None:
        urgent = {key for key, problem in present.items() if problem.is_breach and problem.service in most_critical}
        untold = [notice for notice in untold if notice.state == State.WRONG and notice.key in urgent]
    messages = []
    if untold:
        messages.append(_message(untold, present, services, moment))
    digest = _digest(list(present.values()), services, known.get(DIGEST), settings, moment)
    if digest is not None:
        messages.append(digest)
    return Outcome(changed, tuple(messages))


def _notice(problem: Problem | None, known: Notice | None, key: str, now: datetime) -> Notice:
    """The notice of a problem that is there, or of one that is there no more, before anybody is told."""
    state = State.OVER if known is None else State(known.state)
    if problem is not None:
        if known is None or state is State.OVER:
            return Notice(key, State.WRONG, problem.since or now, None)
        if state is State.WRONG:
            return known
        return replace(known, state=State.WRONG)  # it is back before anybody heard that it had gone
    assert known is not None, "a key comes from a problem or from a notice"
    if state is State.WRONG:
        return replace(known, state=State.PASSED if known.told_at is None else State.ENDED)
    return known


def _is_to_tell(notice: Notice) -> bool:
    return notice.state in (State.PASSED, State.ENDED) or (notice.state == State.WRONG and notice.told_at is None)


def _message(
    untold: Sequence[Notice], present: Mapping[str, Problem], services: Collection[str], moment: Moment
) -> Message:
    """One message for all that there is to tell now: what is wrong first."""
    wrong = sorted((notice for notice in untold if notice.state == State.WRONG), key=lambda notice: notice.key)
    gone = sorted((notice for notice in untold if notice.state != State.WRONG), key=lambda notice: notice.key)
    since = {notice.key: _local(notice.since, moment) for notice in wrong}
    groups = grouped((present[notice.key] for notice in wrong), lambda problem: since[problem.key])
    paragraphs = [f"{group.who}: {group.text}. Since {since[group.first.key]}.\nNext: {group.hint}" for group in groups]
    paragraphs += [_of_gone(notice, services, moment) for notice in gone]
    told = [replace(notice, told_at=moment.now) for notice in wrong]
    told += [replace(notice, state=State.OVER, told_at=moment.now) for notice in gone]
    names = {notice.key.split("/", 1)[0] for notice in untold}
    about = next(iter(names)) if len(names) == 1 else f"{len(names)} services"
    counts = [f"{len(wrong)} wrong" if wrong else "", f"{len(gone)} over" if gone else ""]
    title = f"drp: {about}: {', '.join(filter(None, counts))}"
    return Message(title, _body(paragraphs), bool(wrong), tuple(told))


def _of_gone(notice: Notice, services: Collection[str], moment: Moment) -> str:
    service, text = ended(notice.key)
    if service not in services:
        text = "it is not backed up by drp any more, so nobody looks after it"
    since = _local(notice.since, moment)
    if notice.state == State.PASSED:
        return f"{service}: {text}. It began {since} and nobody was told before."
    return f"{service}: {text}. It had begun {since}."


def _digest(
    problems: Sequence[Problem],
    services: Collection[str],
    known: Notice | None,
    settings: Notifications,
    moment: Moment,
) -> Message | None:
    """The day's digest, where its time has come and it was not sent yet; also in quiet hours, if it is set for then."""
    if settings.digest is None:
        return None
    zone = ZoneInfo(moment.zone)
    today = moment.now.astimezone(zone).date()
    due_at = datetime.combine(today, time.fromisoformat(settings.digest), zone)
    if moment.now < due_at or (known is not None and known.told_at is not None and known.told_at >= due_at):
        return None
    in_trouble = len({problem.service for problem in problems})
    count = f"{len(services)} service{'' if len(services) == 1 else 's'}"
    title = f"drp: {count} backed up, {in_trouble or 'none'} with trouble"
    ordered = sorted(problems, key=lambda problem: (not problem.is_breach, problem.key))
    lines = [f"{group.who}: {group.text}" for group in grouped(ordered)] or ["Nothing is wrong."]
    notice = Notice(DIGEST, State.SENT, due_at, moment.now)
    return Message(title, _body(lines), bool(problems), (notice,))


def _body(paragraphs: Sequence[str]) -> str:
    left = len(paragraphs) - MOST_LINES
    more = [f"… and {left} more: drp backup status"] if left > 0 else []
    return "\n".join([*paragraphs[:MOST_LINES], *more])


def _local(instant: datetime, moment: Moment) -> str:
    return f"{instant.astimezone(ZoneInfo(moment.zone)):%Y-%m-%d %H:%M %Z}"


def most_critical_services(tiers: Mapping[str, Tier], tier_of: Mapping[str, str | None]) -> set[str]:
    """The services of the tier that has to be back first; none where there is but one tier, or none."""
    if len(tiers) < 2:
        return set()
    first = min(tiers, key=lambda name: (tiers[name].rto, tiers[name].rpo, name))
    return {service for service, tier in tier_of.items() if tier == first}
