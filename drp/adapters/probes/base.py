"""What all probes share: one attempt that ends in time whatever comes back, and the sample that it leaves."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from drp.adapters.clock import reading
from drp.domain.values import to_stamp

TIMED_OUT = "timed out"


class AttemptFailed(Exception):
    """The service did not do what the check needs. The text is for people, and quotes nothing that came back."""


@dataclass
class Target:
    """What a check is tried against: where, and with what that its declaration only refers to.

    `baseline` is what old content looked like before a disruption. With `learn`, as in `drp watch`, each good attempt
    renews it; without, as in a recovery, content that differs is a failure.
    """

    address: str
    workspace: Path = field(default_factory=Path)
    secret: str = ""
    baseline: dict[str, str] = field(default_factory=dict)
    learn: bool = False

    def file(self, name: str | None) -> str | None:
        """A file of the workspace."""
        return str(self.workspace / name) if name else None


class Deadline:
    """When an attempt must have ended. What it waits for is cut off then: what drips for ever ends as well.

    The timer is a thread of its own, since a peer that always sends a little more lets no time limit of a socket pass.
    """

    def __init__(self, seconds: float) -> None:
        self.at = time.monotonic() + seconds
        self.is_over = False
        self._cuts: list[Callable[[], object]] = []
        self._lines: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            for line in self._lines:
                line.close()
            self._lines.clear()
            self._cuts.clear()

    def left(self) -> float:
        """Seconds; TimeoutError where none is left."""
        left = self.at - time.monotonic()
        if self.is_over or left <= 0:
            raise TimeoutError(TIMED_OUT)
        return left

    def guard(self, line: socket.socket) -> None:
        """Cut a connection off at the end. A second descriptor keeps it in reach when TLS takes the first one over."""
        second = line.dup()
        with self._lock:
            self._lines.append(second)
        self.at_the_end(lambda: second.shutdown(socket.SHUT_RDWR))

    def at_the_end(self, cut: Callable[[], object]) -> None:
        """Do this when the time is over, or at once if it is."""
        with self._lock:
            self._cuts.append(cut)
        if self.is_over:
            self._cut()

    def _cut(self) -> None:
        with self._lock:
            self.is_over = True
            cuts, self._cuts = self._cuts, []
            for cut in cuts:
                try:
                    cut()
                except OSError:
                    pass  # it has ended already


class Probe(Protocol):
    """One kind of check against one target."""

    def attempt(self, deadline: Deadline) -> str:
        """Try once, from the first byte to the last, with nothing kept from the time before: what was seen.

        AttemptFailed, TimeoutError or OSError where the service cannot be used.
        """
        ...


def try_once(check: str, probe: Probe, timeout: float, now: Callable[[], datetime]) -> dict[str, Any]:
    """One attempt as a sample: {check, started_at, ended_at, succeeded, detail, clock}. Never raises."""
    started_at, started = now(), time.monotonic()
    clock = reading(started_at)
    succeeded = False
    with Deadline(timeout) as deadline:
        try:
            detail = probe.attempt(deadline)
            succeeded = not deadline.is_over
            detail = detail if succeeded else TIMED_OUT
        except AttemptFailed as failure:
            detail = str(failure)
        except Exception as error:  # noqa: BLE001 - whatever an answer makes of us, the probe looks again
            detail = TIMED_OUT if deadline.is_over else reason(error)
    # The wall clock may be set meanwhile: how long it took is told by one that never jumps.
    ended_at = started_at + timedelta(seconds=time.monotonic() - started)
    return {
        "check": check,
        "started_at": to_stamp(started_at),
        "ended_at": to_stamp(ended_at),
        "succeeded": succeeded,
        "detail": detail,
        "clock": clock.record(),
    }


def reason(error: BaseException) -> str:
    """A short reason without addresses of objects and nested class names."""
    text = str(error)
    for known in (TIMED_OUT, "Connection refused", "No route to host", "Network is unreachable", "reset by peer"):
        if known in text:
            return known.lower()
    if "certificate verify failed" in text:
        return "the server's certificate does not prove its name"
    return type(error).__name__
