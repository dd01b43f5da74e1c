"""What keeps a drill from the primary hosts: nothing that it is told leads there, and nothing that it sends arrives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from drp.domain.events import Body
from drp.domain.recovery.guard import forbidden_addresses, touches
from drp.errors import UsageError
from drp.ports import World


def kept_from(world: World, kind: str) -> list[str]:
    """The addresses that a run's playbooks must be kept from (`Actions.start_playbook`); none unless it is a drill."""
    return forbidden_addresses(world.city, world.reachability.addresses) if kind == "drill" else []


def refuse_touching(world: World, kind: str, step: str, variables: Body, hosts: Sequence[str]) -> None:
    """Raise UsageError where a drill's step is told of anything that leads to a primary host."""
    if kind != "drill":
        return
    found = touches(variables, hosts, world.city.hosts, world.reachability.addresses)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise UsageError(
            f"the drill's step could touch a primary host: {found[0]}{more}",
            where=step,
            hint="correct the service's file or inventories/hosts.yaml; a drill leaves the primary site alone",
        )


def doubts(messages: Iterable[Body]) -> list[str]:
    """What keeps a drill's step from being beyond doubt: that nothing held it back, or that it tried."""
    found = []
    for message in messages:
        if message.get("event") == "guard" and not message["in_force"]:
            found.append(f"nothing kept the playbook from the primary hosts but itself: {message['reason']}")
        elif message.get("event") == "guard.ended" and message["refused"]:
            tried = ", ".join(f"{address} ({count} packets)" for address, count in sorted(message["refused"].items()))
            found.append(f"the playbook tried to reach the primary site, and was refused: {tried}")
    return found
