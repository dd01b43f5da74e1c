"""What is known of a DR centre after a look at it, and whether that is as it should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from drp.domain.values import show_duration

State = Literal["good", "bad", "unknown"]
"""`unknown`: it could not be found out, as where the keys may not ask. It never counts as good."""

LARGEST_CLOCK_DIFFERENCE = timedelta(seconds=60)
CERTIFICATE_LEFT = timedelta(days=30)
OLD_UPLOAD = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Look:
    """One thing that was looked at: its name, what it is, and in words why."""

    what: str
    state: State
    text: str

    def record(self) -> dict[str, Any]:
        return {"what": self.what, "state": self.state, "text": self.text}


@dataclass(frozen=True, slots=True)
class CentreFacts:
    """What a DR centre answered. None where it did not answer that, or the keys may not ask."""

    is_tls: bool
    certificate_left: timedelta | None
    clock_ahead: timedelta | None
    clock_uncertainty: timedelta
    is_versioned: bool | None
    lock_mode: str | None
    lock_time: timedelta | None
    knows_locks: bool
    may: dict[str, bool | None]
    old_uploads: int | None


def looks_of(facts: CentreFacts, promised_lock: timedelta | None) -> list[Look]:
    """Judge what was found; `promised_lock` is how long the contract says that objects are locked."""
    return [
        *_line(facts),
        _clock(facts),
        _versions(facts),
        _lock(facts, promised_lock),
        *_rights(facts),
        _uploads(facts),
    ]


def worst_state(looks: Sequence[Look]) -> State:
    states = {look.state for look in looks}
    return "bad" if "bad" in states else "unknown" if "unknown" in states or not looks else "good"


def _line(facts: CentreFacts) -> list[Look]:
    found = [Look("reachable", "good", "it answers, and the bucket is there")]
    if not facts.is_tls:
        text = "plain HTTP: keys are signed, not sent, but others can see which objects travel"
        return [*found, Look("TLS", "bad", text)]
    left = facts.certificate_left
    if left is None:
        return [*found, Look("TLS", "unknown", "trusted; its certificate does not say how long it is valid")]
    state: State = "good" if left >= CERTIFICATE_LEFT else "bad"
    return [*found, Look("TLS", state, f"trusted; the certificate is valid for {left.days} more days")]


def _clock(facts: CentreFacts) -> Look:
    ahead = facts.clock_ahead
    if ahead is None:
        return Look("clock", "unknown", "it does not say what time it has")
    state: State = "good" if abs(ahead) <= LARGEST_CLOCK_DIFFERENCE + facts.clock_uncertainty else "bad"
    direction = "ahead of" if ahead >= timedelta() else "behind"
    text = f"{show_duration(abs(ahead))} {direction} ours, to about {show_duration(facts.clock_uncertainty)}"
    return Look("clock", state, text)


def _versions(facts: CentreFacts) -> Look:
    if facts.is_versioned is None:
        return Look("versioning", "unknown", "it does not say; ask the DR centre, or allow s3:GetBucketVersioning")
    if facts.is_versioned:
        return Look("versioning", "good", "on: what is overwritten or deleted stays below")
    return Look("versioning", "bad", "off: whoever has these keys can destroy every backup")


def _lock(facts: CentreFacts, promised: timedelta | None) -> Look:
    if not facts.knows_locks:
        return Look("object lock", "unknown", "it does not say; allow s3:GetBucketObjectLockConfiguration")
    if facts.lock_mode is None or facts.lock_time is None:
        return Look("object lock", "bad", "off: versions can be deleted at any time")
    text = f"{facts.lock_mode.lower()}, {show_duration(facts.lock_time)}"
    if promised is not None and facts.lock_time < promised:
        return Look("object lock", "bad", f"{text}; the contract says {show_duration(promised)}")
    if facts.lock_mode != "COMPLIANCE":
        return Look("object lock", "good", f"{text}: an administrator there can still lift it")
    return Look("object lock", "good", text)


_WANTED = {"list": True, "store": True, "read": True, "delete": True, "delete versions": False}


def _rights(facts: CentreFacts) -> list[Look]:
    found = []
    for what, wanted in _WANTED.items():
        may = facts.may.get(what)
        if may is None:
            found.append(Look(f"keys may {what}", "unknown", "it could not be tried"))
        else:
            text = "yes" if may else "no"
            if may and not wanted:
                text = "yes: whoever has these keys can destroy every backup"
            elif wanted and not may:
                text = "no: backups, copies or locks will fail"
            found.append(Look(f"keys may {what}", "good" if may == wanted else "bad", text))
    return found


def _uploads(facts: CentreFacts) -> Look:
    if facts.old_uploads is None:
        return Look("old uploads", "unknown", "it does not list uploads that were never ended")
    if facts.old_uploads:
        text = f"{facts.old_uploads} were begun over a day ago and never ended: they take space that nobody sees"
        return Look("old uploads", "bad", text)
    return Look("old uploads", "good", "none that was never ended")
