"""Look at services from outside, all the time, and write down when one goes and when it comes back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from drp.domain.events import Body, hash_of
from drp.domain.recovery.probing import FAILURES_TO_DETECT, Sample
from drp.domain.values import to_stamp
from drp.errors import ExitCode
from drp.ports import World
from drp.workflows.naming import new_run


class Prober(Protocol):
    """Probes one service until told to stop, yielding each sample after it is on disk."""

    def __call__(self, service: str, stop: threading.Event, /) -> Iterator[Sample]: ...


def watch(world: World, services: Sequence[str], probe: Prober, stop: threading.Event) -> None:
    """Watch until `stop` is set. One thread a service; only transitions go into the ledger."""
    for service in services:
        world.locks.acquire(f"watch-{service}", "drp watch")
    run = new_run("watch", world.clock.now())
    plan: Body = {"services": list(services)}
    world.ledger.open_run(run, "watch", hash_of(plan), list(services), {"plan": plan, "by": world.operator})
    changes: list[tuple[str, str, Body]] = []
    ready = threading.Condition()

    def tell(service: str, type_: str, body: Body) -> None:
        with ready:
            changes.append((service, type_, body))
            ready.notify()

    threads = [threading.Thread(target=_follow, args=(service, probe, stop, tell), daemon=True) for service in services]
    for thread in threads:
        thread.start()
    try:
        ended = False
        while not ended:
            ended = stop.is_set() and not any(thread.is_alive() for thread in threads)
            with ready:
                if not ended and not changes:
                    ready.wait(timeout=0.2)
                taken, changes[:] = changes[:], []
            # The ledger belongs to this thread; SQLite connections do not wander.
            for service, type_, body in taken:
                world.ledger.append(run, type_, {"service": service, **body})
                world.say(f"{service}: {_told(type_, body)}")
    finally:
        stop.set()
        world.ledger.append(run, "run.closed", {"outcome": "done", "exit_code": int(ExitCode.DONE)})


def _follow(service: str, probe: Prober, stop: threading.Event, tell: Callable[[str, str, Body], None]) -> None:
    failures: list[Sample] = []
    state = ""
    for sample in probe(service, stop):
        if sample.succeeded:
            if state != "up":
                tell(service, "service.up", {"at": to_stamp(sample.ended_at), "detail": sample.detail})
            state, failures = "up", []
            continue
        failures.append(sample)
        if len(failures) == FAILURES_TO_DETECT and state != "down":
            state = "down"
            first = failures[0]
            body = {"at": to_stamp(first.started_at), "detected_at": to_stamp(sample.ended_at), "detail": first.detail}
            tell(service, "service.down", body)
        del failures[FAILURES_TO_DETECT:]


def _told(type_: str, body: Body) -> str:
    if type_ == "service.up":
        return "usable from outside"
    return f"NOT usable since {body['at']} ({body['detail']})"
