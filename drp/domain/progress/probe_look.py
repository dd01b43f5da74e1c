"""What the probe of a service says at this moment, from its samples as they come: each is looked at once only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from drp.domain.recovery.probing import Gaps, Sample


@dataclass(frozen=True, slots=True)
class Spell:
    """Attempts of one check in a row with the same result and without a silence; `detail` is the newest one's."""

    succeeded: bool
    since: datetime
    newest_at: datetime
    detail: str


class Spells:
    """The newest spell of each check of a service."""

    def __init__(self, gaps: Gaps) -> None:
        self.gaps = gaps
        self.of_check: dict[str, Spell] = {}

    def take(self, samples: Iterable[Sample]) -> None:
        """Take in samples that have come since; those of one check in the order of their beginnings."""
        first = next(iter(self.gaps), "")
        for sample in samples:
            name = sample.check or first
            if name not in self.gaps:
                continue
            before = self.of_check.get(name)
            goes_on = (
                before is not None
                and before.succeeded == sample.succeeded
                and sample.started_at - before.newest_at <= self.gaps[name]
            )
            since = before.since if before is not None and goes_on else sample.started_at
            self.of_check[name] = Spell(sample.succeeded, since, sample.started_at, sample.detail)


@dataclass(frozen=True, slots=True)
class FailingCheck:
    """A check that fails, since when, and how."""

    check: str
    since: datetime
    detail: str


@dataclass(frozen=True, slots=True)
class ProbeLook:
    """How a service looks from outside. Only what all checks agree on is good.

    `silent_since`: nobody has looked since then, for longer than a check may be silent. `good_since`: all checks
    succeed since then, and it counts; `held` is for how long that was seen.
    """

    failing: tuple[FailingCheck, ...]
    untried: tuple[str, ...]
    silent_since: datetime | None
    good_since: datetime | None
    held: timedelta

    @property
    def is_good(self) -> bool:
        return self.good_since is not None


def look_of(spells: Spells, counts_from: datetime | None, now: datetime) -> ProbeLook | None:
    """What the newest spells say; None where nothing was tried yet. Success counts from `counts_from` on, as for T5:
    what answered before was not the recovered service. None: nothing counts yet."""
    found = spells.of_check
    if not found:
        return None
    failing = [FailingCheck(name, spell.since, spell.detail) for name, spell in found.items() if not spell.succeeded]
    untried = tuple(name for name in spells.gaps if name not in found)
    silent = [spell.newest_at for name, spell in found.items() if now - spell.newest_at > spells.gaps[name]]
    good_since: datetime | None = None
    held = timedelta()
    if not failing and not untried and not silent and counts_from is not None:
        seen_until = min(spell.newest_at for spell in found.values())
        since = max(counts_from, *(spell.since for spell in found.values()))
        if seen_until >= since:
            good_since, held = since, seen_until - since
    return ProbeLook(
        failing=tuple(sorted(failing, key=lambda item: item.since)),
        untried=untried,
        silent_since=min(silent, default=None),
        good_since=good_since,
        held=held,
    )
