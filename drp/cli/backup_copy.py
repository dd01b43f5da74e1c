"""drp backup copy"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from drp.cli import show_error
from drp.cli.common import epilog, json_option, plain_time, print_json, print_table, world_of, zone_of
from drp.domain.values import show_size
from drp.errors import ExitCode

if TYPE_CHECKING:
    from drp.ports import World
    from drp.workflows.copy import CopyResult


@click.command(
    short_help="Copy repositories to other DR centres; list the copies.",
    epilog=epilog("drp backup copy", "drp backup copy pengaduan --to kedua", "drp backup copy --list"),
)
@click.argument("services", nargs=-1)
@click.option("--to", "centres", multiple=True, metavar="DR-CENTRE", help="Only to this one; default: all declared.")
@click.option("--list", "list_only", is_flag=True, help="Copy nothing: list the restore points that have a copy.")
@json_option
@click.pass_context
def copy(
    ctx: click.Context, services: tuple[str, ...], centres: tuple[str, ...], list_only: bool, as_json: bool
) -> int:
    """Copy the repositories of SERVICES (default: all that declare it) to other DR centres.

    Objects are copied as they are, over the control node: nothing is decrypted, only what is new travels, and each is
    checked by its name on the way. A copy that was cut off goes on where it ended. What was forgotten at the source
    stays at the copy for 7 days more.
    """
    from drp.errors import UsageError
    from drp.workflows.copy import copied_services
    from drp.workflows.copy import copy as copy_services

    world = world_of(ctx)
    names = copied_services(world, services)
    for centre in centres:
        if centre not in world.city.workspace.dr_centres:
            known = ", ".join(sorted(world.city.workspace.dr_centres))
            raise UsageError(f"no DR centre {centre!r}", hint=f"known: {known}")
    if list_only:
        _list(world, names, centres, as_json=as_json)
        return ExitCode.DONE
    results = copy_services(world, names, centres=centres)
    if not results:
        raise UsageError("none of these services is copied there", hint="see copies in the services' files")
    if as_json:
        print_json([_record(result) for result in results])
    else:
        for result in results:
            _tell(result)
    return exit_code(results)


def copy_done(world: World, services: Sequence[str], *, quietly: bool) -> bool:
    """Copy what has just been backed up where no schedule does; whether all of that went well."""
    from drp.workflows.copy import copy_after_backup

    results = copy_after_backup(world, services)
    for result in results:
        if not quietly or result.error is not None:
            _tell(result)
    return all(result.error is None for result in results)


def _tell(result: CopyResult) -> None:
    if result.error is not None:
        show_error(result.error)
        return
    points = len(result.restore_points)
    text = (
        f"{result.objects} objects, {show_size(result.bytes)}; {points} more restore point{'s' * (points != 1)} there"
    )
    click.echo(f"{result.service}: copied to {result.dr_centre}: {text}")


def exit_code(results: Sequence[CopyResult]) -> int:
    """0 where all went well, 3 where some did; else what failed, if all failed alike."""
    errors = [result.error for result in results if result.error is not None]
    if not errors:
        return ExitCode.DONE
    if len(errors) < len(results):
        return ExitCode.INCOMPLETE
    codes = {error.exit_code for error in errors}
    return codes.pop() if len(codes) == 1 else ExitCode.FAILED


def _record(result: CopyResult) -> dict[str, Any]:
    return {
        "service": result.service,
        "dr_centre": result.dr_centre,
        "run": result.run,
        "objects": result.objects,
        "bytes": result.bytes,
        "removed": result.removed,
        "restore_points": result.restore_points,
        "error": None if result.error is None else str(result.error),
        "exit_code": 0 if result.error is None else int(result.error.exit_code),
    }


def _list(world: World, names: Sequence[str], centres: Sequence[str], *, as_json: bool) -> None:
    copies = [item for name in names for item in world.ledger.copies(name) if not centres or item.dr_centre in centres]
    if as_json:
        print_json(copies)
        return
    zone = zone_of(world)
    rows = [
        [item.service, item.restore_point, item.dr_centre, plain_time(item.arrived_at, zone)]
        for item in sorted(copies, key=lambda item: (item.service, item.arrived_at), reverse=True)
    ]
    print_table("Restore points with a copy", ["service", "restore point", "copy at", f"arrived ({zone})"], rows)
