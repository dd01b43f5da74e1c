"""drp status"""

from __future__ import annotations

import click

from drp.cli.common import epilog, json_option, print_json, print_table, world_of
from drp.domain.values import from_stamp, show_duration
from drp.errors import ExitCode


@click.command(epilog=epilog("drp status", "drp status pengaduan --json"))
@click.argument("services", nargs=-1)
@json_option
@click.pass_context
def status(ctx: click.Context, services: tuple[str, ...], as_json: bool) -> int:
    """Show where each service runs, what a disaster now would cost, and when its recovery was last proved.

    Ends with 4 if a service's newest data at the DR centre is older than its RPO.
    """
    from drp.workflows.selection import services_for
    from drp.workflows.status import status as read_status

    world = world_of(ctx)
    rows = read_status(world, services_for(world, services, "show"))
    if as_json:
        print_json([row.record() for row in rows])
    else:
        table = []
        for row in rows:
            last = row.last_recovery
            proved = f"{last.kind} {from_stamp(last.opened_at):%Y-%m-%d}: {last.verdict}" if last else "never"
            seen = {True: "usable", False: "NOT usable", None: "nobody watches"}[row.usable]
            age = "nothing backed up" if row.data_age is None else show_duration(row.data_age)
            table.append(
                [
                    row.service,
                    row.active_site,
                    seen,
                    age,
                    "" if row.rpo is None else show_duration(row.rpo),
                    str(row.rpo_verdict),
                    proved,
                ]
            )
        columns = ["service", "runs at", "from outside", "data at risk", "RPO", "RPO now", "last recovery"]
        print_table("Services", columns, table)
    return ExitCode.DONE if all(row.rpo_verdict == "MET" for row in rows) else ExitCode.NOT_MET
