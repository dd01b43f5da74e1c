"""Commands that hold a service still during its backup: what a host is told of them, and what it tells."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from drp.domain.events import Body
from drp.domain.protection.gaps import backup_of
from drp.domain.service import Service
from drp.errors import DrpError
from drp.ports import World

EVENTS = ("quiesce.started", "quiesce.resumed", "quiesce.resume_failed")


def orders_of(service: Service, site: str, host: str) -> list[Body]:
    """What the program on a host does before and after it reads the service's data there."""
    return [
        {
            "before": [list(command) for command in order.before],
            "after": [list(command) for command in order.after],
            "limit_seconds": max(1, int(order.limit / timedelta(seconds=1))),
        }
        for order in backup_of(service).quiesce
        if service.stand_in(order.host, site) == host
    ]


def record(world: World, run: str, service: Service, host: str, messages: Sequence[Body]) -> None:
    """Take down when a host's services were held still and went on; each once, also where a backup was taken up again
    or messages are looked at anew."""
    told = [message for message in messages if message["event"] in EVENTS]
    known = (
        sum(event.type in EVENTS and event.body["host"] == host for event in world.ledger.events(run)) if told else 0
    )
    for message in told[known:]:
        body = {name: value for name, value in message.items() if name != "event" and _is_plain(value)}
        world.ledger.append(run, message["event"], {**body, "service": service.id, "host": host})


def _is_plain(value: object) -> bool:
    """Whether the ledger can hold it: a host that is out of its owner's hands may tell anything."""
    return isinstance(value, str | int) or (isinstance(value, list) and all(isinstance(item, str) for item in value))


def not_resumed(world: World, run: str, service: Service) -> DrpError | None:
    """What a person must do now, where services did not go on."""
    found = [event.body for event in world.ledger.events(run) if event.type == "quiesce.resume_failed"]
    if not found:
        return None
    failed = "; ".join(f"{body['host']}: {text}" for body in found for text in body.get("failed", []))
    hint = "run the commands of backup.quiesce, after, on the host now; the next backup tries them first"
    return DrpError(f"after the backup not everything went on: {failed}", where=service.id, hint=hint)
