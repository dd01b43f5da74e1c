"""drp notify"""

from __future__ import annotations

import click

from drp.cli.common import count_of, epilog, json_option, print_json, world_of
from drp.errors import ExitCode


@click.group()
def notify() -> None:
    """Tell people, by the addresses in drp.yaml."""


@notify.command(short_help="Send a test message to everybody in notifications:.", epilog=epilog("drp notify test"))
@json_option
@click.pass_context
def test(ctx: click.Context, as_json: bool) -> int:
    """Send a test message to everybody that `notifications:` of drp.yaml names.

    Ends with 12 where no address took it, and with 3 where only some did.
    """
    from drp.workflows.notify import send_test

    delivery = send_test(world_of(ctx))
    if as_json:
        print_json({"reached": delivery.reached, "failures": list(delivery.failures)})
    else:
        click.echo(f"told: {count_of(delivery.reached, 'address', 'addresses')}")
    return ExitCode.INCOMPLETE if delivery.failures else ExitCode.DONE
