"""drp init, drp validate"""

from __future__ import annotations

from pathlib import Path

import click

from drp.cli.common import count_of, epilog, json_option, print_json
from drp.errors import ExitCode, InvalidInventoryError


@click.command(epilog=epilog("drp init /srv/dr-kota-kami"))
@click.argument("folder", type=click.Path(path_type=Path))
def init(folder: Path) -> None:
    """Make a new workspace in FOLDER: a commented file of each kind, to fill in.

    Files that exist are never changed.
    """
    from drp.wiring import new_workspace

    for path in new_workspace(folder):
        click.echo(f"wrote {path}")
    click.echo(f"next: fill in these files, then: drp -w {folder} validate")


@click.command(epilog=epilog("drp validate", "drp validate --json"))
@json_option
@click.pass_context
def validate(ctx: click.Context, as_json: bool) -> int:
    """Check all files of the workspace. Every fault is told at once, with file and line."""
    from drp.wiring import city_of, workspace_at

    workspace = workspace_at(Path(ctx.find_root().obj))
    try:
        city = city_of(workspace)
    except InvalidInventoryError as error:
        if not as_json:
            raise
        faults = [
            {"file": fault.file, "line": fault.line, "message": fault.message, "hint": fault.hint}
            for fault in error.faults
        ]
        print_json({"valid": False, "faults": faults})
        return ExitCode.INVALID_INVENTORY
    if as_json:
        print_json({"valid": True, "faults": [], "services": sorted(city.services), "hosts": sorted(city.hosts)})
    else:
        counted = ", ".join(
            count_of(len(found), word)
            for found, word in ((city.services, "service"), (city.hosts, "host"), (city.runbooks, "runbook"))
        )
        click.echo(f"valid: {counted} in {workspace}")
    return ExitCode.DONE
