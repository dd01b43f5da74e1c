"""drp run"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from drp.cli.common import epilog, json_option, plain_time, print_json, print_table, world_of, zone_of
from drp.cli.live import Screen, followed_world, plain_option
from drp.domain.events import Event, canonical_json
from drp.domain.values import from_stamp, show_duration
from drp.errors import ExitCode

if TYPE_CHECKING:
    from drp.ports import World

FOLLOW_SECONDS = 0.5


@click.group()
def run() -> None:
    """List, show, resume or abort runs; answer steps that wait."""


@run.command(name="list", epilog=epilog("drp run list"))
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True)
@json_option
@click.pass_context
def list_(ctx: click.Context, limit: int, as_json: bool) -> None:
    """List runs of every kind, newest first."""
    from dataclasses import asdict

    world = world_of(ctx)
    rows, zone = world.ledger.runs(limit=limit), zone_of(world)
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    table = [
        [
            row.run,
            ", ".join(row.services),
            plain_time(from_stamp(row.opened_at), zone),
            show_duration(from_stamp(row.closed_at) - from_stamp(row.opened_at)) if row.closed_at else "",
            row.outcome or "not ended",
            row.verdict or "",
        ]
        for row in rows
    ]
    print_table("Runs", ["run", "services", f"started ({zone})", "took", "outcome", "verdict"], table)


@run.command(
    short_help="Show the events of a run, as the ledger holds them.",
    epilog=epilog("drp run show failover-20261122-054750-3fa2", "drp run show drill-20261122-054750-3fa2 --follow"),
)
@click.argument("name", metavar="RUN")
@click.option("--follow", is_flag=True, help="Go on with what happens, from any terminal, until the run has ended.")
@plain_option
@json_option
@click.pass_context
def show(ctx: click.Context, name: str, follow: bool, plain: bool, as_json: bool) -> int:
    """Show the events of a run, as the ledger holds them; its chain is verified first.

    With --follow, on a terminal, a recovery's progress stands below them: estimates, RTO, probes, who is waited for. It
    ends with the run, and with the exit code that the run itself gave, so that a script can wait for it.
    """
    from dataclasses import asdict

    from drp.domain.recovery.plan import RECOVERY_KINDS

    screen = Screen(plain=plain or as_json)
    world = world_of(ctx)
    world.ledger.verify(name)
    if as_json and not follow:
        print_json([asdict(event) for event in world.ledger.events(name)])
        return ExitCode.DONE
    row = world.ledger.run(name)
    is_shown = follow and row.kind in RECOVERY_KINDS and row.closed_at is None
    with screen.follow(world, name) if is_shown else nullcontext():
        closed = _print_events(world, name, screen, follow=follow, as_json=as_json)
    return int(closed.body["exit_code"]) if follow and closed is not None else ExitCode.DONE


def _print_events(world: World, name: str, screen: Screen, *, follow: bool, as_json: bool) -> Event | None:
    """Print them; gives the one that closed the run, if it has ended."""
    from dataclasses import asdict

    last = 0
    while True:
        events = world.ledger.events(name, after=last)
        for event in events:
            screen.print(canonical_json(asdict(event)) if as_json else _line(event))
        closed = next((event for event in events if event.type == "run.closed"), None)
        if not follow or closed is not None:
            return closed
        last = events[-1].sequence if events else last
        world.clock.sleep(FOLLOW_SECONDS)


def _line(event: Event) -> str:
    body = {key: value for key, value in event.body.items() if key not in ("plan", "evidence")}
    text = canonical_json(body)
    return f"{event.sequence:4}  {event.at}  {event.type:<18}  {text if len(text) < 300 else text[:297] + '…'}"


@run.command(
    short_help="Go on with a run that was cut off.", epilog=epilog("drp run resume failover-20261122-054750-3fa2")
)
@click.argument("name", metavar="RUN")
@plain_option
@json_option
@click.pass_context
def resume(ctx: click.Context, name: str, plain: bool, as_json: bool) -> int:
    """Go on with a failover, drill, tabletop or restore that was cut off. What ended is not done again; what runs is
    adopted."""
    from drp.cli.recovery import finish
    from drp.workflows.recover import resume as go_on

    world = followed_world(ctx, plain=plain)
    if world.ledger.run(name).kind == "restore":
        from drp.cli.restore import finish as finish_restore
        from drp.workflows.restore import resume as restore_on

        return finish_restore(restore_on(world, name), as_json=as_json)
    if world.ledger.run(name).kind == "tabletop":
        from drp.cli.tabletop import Terminal
        from drp.cli.tabletop import finish as finish_tabletop
        from drp.workflows.tabletop import walk

        language = world.ledger.events(name)[0].body["plan"]["language"]
        return finish_tabletop(walk(world, name, Terminal(world, world.operator, language)), as_json=as_json)
    return finish(world, go_on(world, name), as_json=as_json)


@run.command(
    short_help="Answer a step that waits for a person.",
    epilog=epilog(
        'drp run approve failover-20261122-054750-3fa2 primary-off --by "Budi Santoso" --comment "racks are off"',
        'drp run approve failover-20261122-054750-3fa2 go-live --by "Sekretaris Daerah" --no --comment "data is old"',
    ),
)
@click.argument("name", metavar="RUN")
@click.argument("step")
@click.option("--by", required=True, metavar="NAME", help="Who answers.")
@click.option("--comment", default="", metavar="TEXT", help="Printed in the report.")
@click.option("--no", "answer", flag_value="no", help="An approval is refused: the run ends as ABORTED.")
@click.option("--failed", "answer", flag_value="failed", help="It was tried and did not succeed.")
@click.option("--skip", "answer", flag_value="skip", help="Go on without it: MET_WITH_EXCEPTION at best.")
@click.option("--again", "answer", flag_value="again", help="Begin a step again that was cut off.")
@plain_option
@click.pass_context
def approve(ctx: click.Context, name: str, step: str, by: str, comment: str, answer: Any, plain: bool) -> int:
    """Answer STEP of RUN: yes to an approval, done of people's work. From any terminal, also before its turn."""
    from drp.workflows.runs import approve as answer_step

    said = answer_step(followed_world(ctx, plain=plain), name, step, by, comment, answer)
    click.echo(f"{step}: {said}, by {by}")
    return ExitCode.CANCELLED if said == "no" else ExitCode.DONE


@run.command(
    short_help="Give a failover or drill up, and clean up.",
    epilog=epilog('drp run abort drill-20261122-054750-3fa2 --reason "wrong service"'),
)
@click.argument("name", metavar="RUN")
@click.option("--reason", required=True, metavar="TEXT", help="Why; printed in the report.")
@plain_option
@click.pass_context
def abort(ctx: click.Context, name: str, reason: str, plain: bool) -> int:
    """Give a failover or drill up: end what it started and close it as ABORTED."""
    from drp.wiring import write_report
    from drp.workflows.runs import abort as give_up

    world = followed_world(ctx, plain=plain)
    give_up(world, name, reason)
    if world.ledger.run(name).kind == "tabletop":
        return ExitCode.CANCELLED  # it has no report
    for path in write_report(world, name):
        click.echo(f"report: {path}")
    return ExitCode.CANCELLED
