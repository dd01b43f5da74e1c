"""drp switchover, drp failback"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from drp.cli.common import DURATION, authority_options, confirm_production, epilog, json_option
from drp.cli.live import followed_world, plain_option
from drp.errors import UsageError

if TYPE_CHECKING:
    from drp.workflows.planned_move import MoveKind

Command = Callable[..., Any]


def _options(runbook: str) -> Callable[[Command], Command]:
    def add(command: Command) -> Command:
        for option in reversed(_all_options(runbook)):
            command = option(command)
        return command

    return add


def _all_options(runbook: str) -> list[Command]:
    return [
        click.argument("services", nargs=-1, required=True),
        click.option("--runbook", default=runbook, metavar="NAME", help=f"The scenario. [{runbook}]"),
        click.option("--by", metavar="NAME", help="Who decides it; default: the operating-system user."),
        click.option("--reason", metavar="TEXT", help="Why; printed in the report."),
        click.option("--hold", type=DURATION, help="How long the user path must hold; default: the runbook's."),
        authority_options,
        click.option("--yes", is_flag=True, help="Do not ask; needs --reason."),
        plain_option,
        json_option,
    ]


@click.command(
    short_help="Move services to the recovery site as planned; nothing is lost.",
    epilog=epilog("drp switchover pengaduan", 'drp switchover pengaduan --yes --reason "power works in the hall"'),
)
@_options("planned-switchover")
@click.pass_context
def switchover(ctx: click.Context, /, **options: Any) -> int:
    """Move SERVICES from the living primary site to the recovery site.

    Stops each service, backs it up, restores, starts and verifies it at the recovery site, and sends users there.
    Where something fails before that, the service is started again where it was. Ends with the first backup from the
    new site; with 0 if the objectives were met, with 4 otherwise.
    """
    return _move(ctx, "switchover", discard_stranded=False, **options)


@click.command(
    short_help="Bring services home to the primary site; nothing is lost.",
    epilog=epilog("drp failback pengaduan", 'drp failback pengaduan --yes --reason "the data centre is repaired"'),
)
@_options("failback")
@click.option("--discard-stranded", is_flag=True, help="Overwrite what lies at the old primary unkept; in --by's name.")
@click.pass_context
def failback(ctx: click.Context, /, **options: Any) -> int:
    """Bring SERVICES home from the recovery site to the primary site.

    What still lies at the old primary (writes that never reached a backup) is backed up and kept first, while users
    work on: drp backup list --stranded. Then each service is stopped, backed up, restored and started at the primary
    site, and users are sent there. Where something fails before that, it is started again where it was. When the first
    backup from the primary site has arrived, the recovery site's copy is removed.
    """
    return _move(ctx, "failback", **options)


def _move(
    ctx: click.Context,
    kind: MoveKind,
    *,
    services: tuple[str, ...],
    runbook: str,
    by: str | None,
    reason: str | None,
    hold: timedelta | None,
    yes: bool,
    discard_stranded: bool,
    plain: bool,
    approved_by: tuple[str, ...],
    accept_unauthorised: bool,
    as_json: bool,
) -> int:
    from drp.cli.recovery import finish
    from drp.workflows.planned_move import MoveRequest, move
    from drp.workflows.selection import services_for

    world = followed_world(ctx, plain=plain)
    names = services_for(world, services, "recovery")
    if accept_unauthorised and not reason:
        raise UsageError("--accept-unauthorised needs --reason: the report must say why", hint='add --reason "…"')
    confirm_production(names, kind, yes=yes, reason=reason)
    request = MoveRequest(
        kind=kind,
        services=names,
        runbook=runbook,
        by=by or world.operator,
        reason=reason or "decided at the terminal",
        hold=hold,
        discard_stranded=discard_stranded,
        approved_by=approved_by,
        accept_unauthorised=accept_unauthorised,
    )
    return finish(world, move(world, request), as_json=as_json)
