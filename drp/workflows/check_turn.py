"""Whose turn it is: which parts a check reads of a repository."""

from __future__ import annotations

from datetime import timedelta

from drp.domain.backups.checking import plan_check
from drp.domain.events import Body
from drp.domain.protection.gaps import backup_of
from drp.domain.schedules.schedule import parse_schedule
from drp.domain.service import Service
from drp.ports import World

JITTER = timedelta(minutes=5)
"""How much later than its schedule says a check may start without being missed."""


def turn_of(world: World, service: Service, run: str, host: str, centre: str, *, everything: bool) -> Body:
    """Which parts this run reads of a repository at a DR centre. It is decided once: a run that was cut off goes on
    with the same."""
    own = backup_of(service).dr_centre
    for event in world.ledger.events(run):
        if event.type == "check.planned" and (event.body["host"], event.body.get("dr_centre", own)) == (host, centre):
            return event.body
    proof = world.city.workspace.backups.proof
    checks = [row for row in world.ledger.checks(service.id) if (row.host, row.dr_centre) == (host, centre)]
    gap = parse_schedule(proof.check).longest_gap + JITTER
    turn = plan_check(checks, gap, proof.everything_within, world.clock.now())
    numbers, parts = ((1,), 1) if everything else (turn.numbers, turn.parts)
    body = {
        "service": service.id,
        "host": host,
        "dr_centre": centre,
        "parts": [[number, parts] for number in numbers],
        "is_late": turn.is_late,
    }
    world.ledger.append(run, "check.planned", body)
    return body
