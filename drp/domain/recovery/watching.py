"""What `drp watch` makes of samples as they come: only what changed is worth an entry in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from drp.domain.recovery.probing import FAILURES_TO_DETECT, Sample
from drp.domain.values import to_stamp

Change = tuple[str, dict[str, Any]]
"""An event's type and body:

    service.up    {at, detail}                           all checks succeed
    service.down  {at, detected_at, check, detail}       the first check that failed twice in a row
    check.down    {at, detected_at, check, detail}       another one, while the service is down
    check.up      {at, check, failing: […]}              it succeeds again, and others do not yet
"""


@dataclass
class Watched:
    """A service and the state of its checks; one that was not tried yet is neither up nor down."""

    checks: Sequence[str]
    up: set[str] = field(default_factory=set)
    down: set[str] = field(default_factory=set)
    failures: dict[str, list[Sample]] = field(default_factory=dict)
    state: str = ""

    def see(self, sample: Sample) -> Change | None:
        """What changed with this attempt."""
        name = sample.check or self.checks[0]
        return self._see_success(name, sample) if sample.succeeded else self._see_failure(name, sample)

    def _see_success(self, name: str, sample: Sample) -> Change | None:
        was_down = name in self.down
        self.failures.pop(name, None)
        self.down.discard(name)
        self.up.add(name)
        if self.state != "up" and set(self.checks) <= self.up:
            self.state = "up"
            return "service.up", {"at": to_stamp(sample.ended_at), "detail": sample.detail}
        if was_down:
            failing = [other for other in self.checks if other not in self.up]
            return "check.up", {"at": to_stamp(sample.ended_at), "check": name, "failing": failing}
        return None

    def _see_failure(self, name: str, sample: Sample) -> Change | None:
        failures = self.failures.setdefault(name, [])
        failures.append(sample)
        if name in self.down or len(failures) < FAILURES_TO_DETECT:
            del failures[FAILURES_TO_DETECT:]
            return None
        self.down.add(name)
        self.up.discard(name)
        first = failures[0]
        body = {
            "at": to_stamp(first.started_at),
            "detected_at": to_stamp(sample.ended_at),
            "check": name,
            "detail": first.detail,
        }
        kind = "check.down" if self.state == "down" else "service.down"
        self.state = "down"
        return kind, body
