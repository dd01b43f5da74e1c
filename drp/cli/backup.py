"""drp backup"""

from __future__ import annotations

import click

from drp.cli import show_error
from drp.cli.backup_copy import copy, copy_done
from drp.cli.backup_status import preflight, status
from drp.cli.backup_upkeep import accept, check, distrust, forget, hold, locks, prune, release, trust
from drp.cli.common import epilog, json_option, local_time, plain_time, print_json, print_table, world_of, zone_of
from drp.domain.values import show_duration
from drp.errors import ExitCode


@click.group()
def backup() -> None:
    """Back services up to the DR centre; list restore points."""


for _command in (status, preflight, copy, forget, prune, check, locks, hold, release, distrust, trust, accept):
    backup.add_command(_command)


@backup.command(
    short_help="Back services up now, each to one restore point.",
    epilog=epilog("drp backup run", "drp backup run pengaduan", "drp backup run --due"),
)
@click.argument("services", nargs=-1)
@click.option("--due", is_flag=True, help="Only what is due now by its schedule, the most urgent first.")
@click.option("--no-copy", is_flag=True, help="Leave copies at other DR centres to a later drp backup copy.")
@json_option
@click.pass_context
def run(ctx: click.Context, services: tuple[str, ...], due: bool, no_copy: bool, as_json: bool) -> int:
    """Back up SERVICES (default: all), each to one restore point over all its datasets.

    A service with one failed dataset gets no restore point. What was sent already is used again by the next run. What
    arrived is copied to other DR centres, where the service declares copies without a schedule of their own.

    Many run at once, within backups.limits of drp.yaml; the shortest RPO goes first, then what breaks its RPO first.
    Ctrl-C ends all of them cleanly; a drp that was killed is gone on with by the next `drp backup run`.

    With --due, a missed backup is caught up once however often it was missed, and one that failed is tried again, later
    each time. Ends with 11 where another drp does this already.
    """
    if due:
        from drp.cli.schedule import do_due

        return do_due(world_of(ctx), ("backup",), services, as_json=as_json)
    from drp.workflows.backup import back_up, most_urgent_first
    from drp.workflows.notify import note_state
    from drp.workflows.selection import services_for

    world = world_of(ctx)
    results = back_up(world, most_urgent_first(world, services_for(world, services, "backup")))
    failed = [result for result in results if result.error is not None]
    if as_json:
        print_json(
            [
                {
                    "service": result.service,
                    "run": result.run,
                    "restore_point": result.restore_point.record() if result.restore_point else None,
                    "error": str(result.error) if result.error else None,
                }
                for result in results
            ]
        )
    else:
        for result in results:
            if result.restore_point is not None:
                point = result.restore_point
                took = show_duration(point.arrived_at - point.sentinel_at)
                text = f"restore point {point.id} at the DR centre since {local_time(point.arrived_at, zone_of(world))}"
                click.echo(f"{result.service}: {text} ({took} after its data's time)")
    for result in failed:
        if result.error is not None:
            show_error(result.error)
    done = [result.service for result in results if result.restore_point is not None]
    copied = True if no_copy else copy_done(world, done, quietly=as_json)
    note_state(world)
    if not failed:
        return ExitCode.DONE if copied else ExitCode.INCOMPLETE
    if any(result.restore_point is not None for result in results):
        return ExitCode.INCOMPLETE
    codes = {result.error.exit_code for result in failed if result.error is not None}
    return codes.pop() if len(codes) == 1 else ExitCode.FAILED


@backup.command(
    short_help="List restore points, newest first.", name="list", epilog=epilog("drp backup list pengaduan")
)
@click.argument("services", nargs=-1)
@click.option("--stranded", is_flag=True, help="What failbacks have kept of what lay at the old primary.")
@json_option
@click.pass_context
def list_(ctx: click.Context, services: tuple[str, ...], stranded: bool, as_json: bool) -> None:
    """List the restore points of SERVICES (default: all), newest first."""
    from drp.workflows.selection import services_for

    world = world_of(ctx)
    listed = world.ledger.stranded if stranded else world.ledger.restore_points
    points = [point for name in services_for(world, services, "show") for point in listed(name)]
    if as_json:
        print_json([point.record() for point in points])
        return
    marks, zone = world.ledger.marks(), zone_of(world)
    rows = [
        [
            point.service,
            point.id,
            plain_time(point.sentinel_at, zone),
            plain_time(point.arrived_at, zone),
            str(sum(part.files for part in point.snapshots)),
            f"{sum(part.bytes for part in point.snapshots) / 1e6:.1f} MB",
            f"{sum(part.duration_ms for part in point.snapshots) / 1000:.1f} s",
            "\n".join(f"{mark.mark}: {mark.reason}" for mark in marks if mark.restore_point == point.id),
        ]
        for point in points
    ]
    columns = ["service", "restore point", f"data of ({zone})", f"arrived ({zone})", "files", "size", "took", "state"]
    print_table("Kept by failbacks" if stranded else "Restore points at the DR centre", columns, rows)
