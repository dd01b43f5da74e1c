"""drp lab"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from drp.cli.common import epilog, json_option, print_json, print_table, say, world_of
from drp.errors import ExitCode


@click.group()
def lab() -> None:
    """Run the workspace's hosts on this machine, to try things out. Needs root."""


@lab.command(
    short_help="Build the lab on this machine.",
    epilog=epilog("drp lab up", "drp lab up perizinan website", "drp lab up --all"),
)
@click.argument("services", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="The whole city: every service that the inventory declares.")
@click.pass_context
def up(ctx: click.Context, services: tuple[str, ...], everything: bool) -> None:
    """Build SERVICES with all that they need (default: those under lab: in drp.yaml), on the hosts of both sites.

    With the DR centres' S3 servers, and citizens who keep writing to all services that take entries. What the lab has
    already stays; what of it is down comes back.
    """
    from drp.wiring import lab_up

    lab_up(Path(ctx.find_root().obj), say, services, everything=everything)


@lab.command(epilog=epilog("drp lab status --json"))
@json_option
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show what of the lab runs."""
    from drp.lab.status import status as read_status
    from drp.wiring import workspace_at

    found = asdict(read_status(workspace_at(Path(ctx.find_root().obj))))
    if as_json:
        print_json(found)
        return
    rows = []
    for kind, value in found.items():
        for item in value if isinstance(value, list | tuple) else [value]:
            if isinstance(item, dict):
                rows.append([kind, ", ".join(f"{key} {text}" for key, text in item.items() if text is not None)])
            else:
                rows.append([kind, str(item)])
    print_table("Lab", ["part", "state"], rows)


@lab.command(short_help="Let a disaster happen in the lab.", epilog=epilog("drp lab disaster site-loss"))
@click.argument("scenario", type=click.Choice(["site-loss"]))
@click.option("--site", type=click.Choice(["primary", "recovery"]), default="primary", show_default=True)
@click.pass_context
def disaster(ctx: click.Context, scenario: str, site: str) -> None:
    """Let a disaster happen: site-loss kills all hosts of a site at once, without a warning."""
    from drp.lab.city import disaster as strike
    from drp.wiring import workspace_at

    strike(workspace_at(Path(ctx.find_root().obj)), scenario, site=site, say=say)


@lab.command(short_help="Remove the lab.", epilog=epilog("drp lab down"))
@click.option("--purge", is_flag=True, help="Also remove the DR centre's data and the lab's keys.")
@click.pass_context
def down(ctx: click.Context, purge: bool) -> int:
    """Remove the lab: no namespace, mount, process or bridge stays, also after a crash of `drp lab up`."""
    from drp.wiring import lab_down

    lab_down(Path(ctx.find_root().obj), say, purge=purge)
    return ExitCode.DONE


@lab.command(short_help="Break something of the lab on purpose.", epilog=epilog("drp lab fault recovery-host-full"))
@click.argument("name", metavar="[FAULT]", required=False)
@click.argument("services", nargs=-1)
@click.pass_context
def fault(ctx: click.Context, name: str | None, services: tuple[str, ...]) -> None:
    """Break something of the lab, and leave it broken until `drp lab mend`; without FAULT: list what can be broken.

    It strikes the first of SERVICES (default: all) that has what the fault needs. What was broken before is mended.
    """
    from drp.lab.faults.catalogue import FAULTS
    from drp.lab.faults.injection import fault_named, strike
    from drp.wiring import fault_targets

    if name is None:
        print_table("Faults", ["fault", "what it does"], [[item.name, item.title] for item in FAULTS.values()])
        return
    fault_named(name)
    world = world_of(ctx)
    strike(world.workspace, name, fault_targets(world, services), say=say)


@lab.command(short_help="Undo what was broken on purpose.", epilog=epilog("drp lab mend"))
@click.pass_context
def mend(ctx: click.Context) -> None:
    """Undo what `drp lab fault` broke, or what a drill with `--inject` left when it was killed."""
    from drp.lab.faults.injection import mend as undo
    from drp.wiring import workspace_at

    if undo(workspace_at(Path(ctx.find_root().obj)), say=say) is None:
        say("nothing is broken on purpose")
