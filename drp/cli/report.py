"""drp report"""

from __future__ import annotations

from pathlib import Path

import click

from drp.cli.common import epilog, world_of
from drp.errors import IntegrityError


@click.group()
def report() -> None:
    """Write and verify reports of recoveries."""


@report.command(
    short_help="Write the HTML and JSON report of a run.",
    epilog=epilog("drp report build", "drp report build drill-20261122-054750-3fa2"),
)
@click.argument("run", required=False)
@click.pass_context
def build(ctx: click.Context, run: str | None) -> None:
    """Write the HTML and JSON report of RUN (default: the newest failover or drill) from the ledger."""
    from drp.wiring import newest_recovery, write_report

    world = world_of(ctx)
    for path in write_report(world, run or newest_recovery(world)):
        click.echo(str(path))


@report.command(
    short_help="Recompute a JSON report from its own events.",
    epilog=epilog("drp report verify report.json", "drp report verify report.json --head 3fa2…"),
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--head", metavar="HASH", help="The last event hash, as printed when the run ended: finds a rewritten chain."
)
def verify(file: Path, head: str | None) -> None:
    """Recompute a JSON report from the events in it: chain, marks, figures and verdicts. Needs no workspace."""
    from drp.wiring import verify_report

    problems = verify_report(file, head)
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise IntegrityError(
            f"the report is not what drp wrote ({len(problems)} differences)",
            where=str(file),
            hint="ask for the original, and for the head hash that was printed when the run ended",
        )
    click.echo("the report agrees with its events, and their chain is whole")
    if head is None:
        click.echo(
            "to find a chain that was written anew as a whole, give the last event hash printed then: --head HASH"
        )
