"""drp runbook"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal, get_args

import click

from drp.cli.common import epilog, json_option, print_json, world_of
from drp.errors import UsageError

Form = Literal["markdown", "html", "pdf"]
_BY_ENDING: dict[str, Form] = {".md": "markdown", ".html": "html", ".htm": "html", ".pdf": "pdf"}


@click.group()
def runbook() -> None:
    """List runbooks, and print them for people."""


@runbook.command("list", short_help="List the runbooks.", epilog=epilog("drp runbook list"))
@json_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List the runbooks: those that come with drp, and those of the workspace (runbooks/*.yaml)."""
    from drp.cli.common import print_table
    from drp.workflows.runbook import list_runbooks

    world = world_of(ctx)
    found = list_runbooks(world)
    if as_json:
        print_json(
            [
                {
                    "id": item.id,
                    "title": item.title.model_dump(),
                    "kind": item.kind,
                    "operation": item.operation,
                    "services": count,
                    "steps": len(item.all_steps),
                }
                for item, count in found
            ]
        )
        return
    rows = [[item.id, item.title.en, item.kind, item.operation, str(count)] for item, count in found]
    print_table("", ["runbook", "title", "exercise", "drp does", "services"], rows)


@runbook.command(
    short_help="Write a runbook as a document to print, with the commands for when drp is gone.",
    epilog=epilog(
        "drp runbook render site-loss --lang id --output site-loss.pdf",
        "drp runbook render single-service --service pengaduan",
        "drp runbook render line-cut --lost link:drc-utama --format html --output line-cut.html",
    ),
)
@click.argument("name", metavar="RUNBOOK")
@click.option(
    "--format", "form", type=click.Choice(get_args(Form)), help="Default: by the ending of --output, else markdown."
)
@click.option("--lang", "language", type=click.Choice(["en", "id"]), default="en", show_default=True)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write there instead.")
@click.option("--service", "services", multiple=True, metavar="NAME", help="Print it for these services only.")
@click.option("--lost", multiple=True, metavar="THING", help="Print it for what goes down with these; see drp graph.")
@click.pass_context
def render(
    ctx: click.Context,
    name: str,
    form: Form | None,
    language: Literal["en", "id"],
    output: Path | None,
    services: tuple[str, ...],
    lost: tuple[str, ...],
) -> None:
    """Write RUNBOOK as a document to print: who decides, the steps with room for times and initials, and for every
    service the commands to type where there is no drp.

    It asks no host and no DR centre. Print it while all is well, and keep it on paper outside the primary site; it
    holds no secret, but says where they are kept.
    """
    from drp.wiring import render_runbook
    from drp.workflows.runbook import PaperRequest

    if services and lost:
        raise UsageError("--service and --lost both say which services are meant", hint="leave one of them out")
    form = form or (_BY_ENDING.get(output.suffix.lower(), "markdown") if output else "markdown")
    if form == "pdf" and output is None and sys.stdout.isatty():
        raise UsageError("a PDF is nothing for a terminal", hint="name a file: --output FILE.pdf")
    content = render_runbook(world_of(ctx), PaperRequest(name, services, lost, language), form)
    if output is None:
        click.echo(content, nl=False)
        return
    try:
        output.touch(mode=0o600)  # it shows where the city is weak
        output.write_bytes(content)
    except OSError as error:
        raise UsageError(f"cannot write: {error.strerror}", where=str(output), hint="name a file elsewhere") from error
    click.echo(f"wrote {output}")
