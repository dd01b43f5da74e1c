"""Which data a `drp restore` command means: the options that say so, and how they are read."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from drp.errors import UsageError

if TYPE_CHECKING:
    from drp.ports import World


def choice_options(command: Any) -> Any:
    """The options that choose a restore point or a snapshot, on a command."""
    for option in reversed(
        [
            click.option("--at", metavar="TIME", help='The newest data that is not younger: "2026-11-20 14:00".'),
            click.option("--restore-point", metavar="ID", help="This one; see drp backup list."),
            click.option("--snapshot", metavar="ID", help="The dataset and restore point of this restic snapshot."),
            click.option("--from", "from_centre", metavar="CENTRE", help="Take the copy at this DR centre."),
        ]
    ):
        command = option(command)
    return command


def known_service(world: World, service: str) -> str:
    """A service that is backed up, by its name; UsageError where it is none."""
    from drp.workflows.selection import services_for

    return services_for(world, [service], "backup")[0]


def moment_of(world: World, text: str | None, option: str = "--at") -> datetime | None:
    """What an option says of a time in the past, in the organisation's time zone."""
    from zoneinfo import ZoneInfo

    from drp.domain.recovery.restore_choice import parse_moment

    if text is None:
        return None
    try:
        return parse_moment(text, world.clock.now(), ZoneInfo(world.city.workspace.organisation.time_zone))
    except ValueError as error:
        raise UsageError(str(error), where=option) from error
