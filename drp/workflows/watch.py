"""Look at services from outside, all the time, and write down when one goes and when it comes back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from drp.domain.events import Body, hash_of
from drp.domain.recovery.probing import Sample
from drp.domain.recovery.watching import Watched
from drp.errors import ExitCode
from drp.ports import World
from drp.workflows.naming import new_run


class Prober(Protocol):
    """Tries all checks of the services until told to stop, yielding each service's sample after it is on disk."""

    def __call__(self, stop: threading.Event, /) -> Iterator[tuple[str, Sample]]: ...


def watch(world: World, services: Sequence[str], probe: Prober, stop: threading.Event) -> None:
    """Watch until `stop` is set. Only transitions go into the ledger."""
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

    states = {name: Watched([check.id for check in world.city.services[name].checks]) for name in services}
    # A daemon: an attempt that hangs must not keep drp from ending.
    looking = threading.Thread(target=_follow, args=(states, probe, stop, tell), daemon=True)
    looking.start()
    try:
        ended = False
        while not ended:
            ended = stop.is_set() and not looking.is_alive()
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


def _follow(
    states: Mapping[str, Watched], probe: Prober, stop: threading.Event, tell: Callable[[str, str, Body], None]
) -> None:
    for service, sample in probe(stop):
        change = states[service].see(sample)
        if change is not None:
            tell(service, *change)


def _told(type_: str, body: Body) -> str:
    match type_:
        case "service.up":
            return "usable from outside"
        case "service.down":
            return f"NOT usable since {body['at']} (check {body['check']}: {body['detail']})"
        case "check.down":
            return f"check {body['check']} fails too since {body['at']} ({body['detail']})"
        case _:
            return f"check {body['check']} succeeds again; still failing: {', '.join(body['failing'])}"
