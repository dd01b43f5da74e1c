"""drp graph"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import click

from drp.cli.common import epilog, json_option
from drp.errors import UsageError

Form = Literal["text", "mermaid", "svg", "json"]

_EXAMPLES = (
    "drp graph --format svg --output services.svg",
    'drp graph "Mainhole Jalan Baru"',
    "drp graph host:balaikota-db-1 link:r09 --json",
    "drp graph --single-points",
)


@click.command(epilog=epilog(*_EXAMPLES))
@click.argument("things", nargs=-1, metavar="[THING]...")
@click.option("--format", "form", type=click.Choice(get_args(Form)), help="Default: text.")
@json_option
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write there instead.")
@click.option("--network", is_flag=True, help="Draw the locations and links instead of the services.")
@click.option("--single-points", is_flag=True, help="Show the locations and links that cut others off.")
@click.pass_context
def graph(
    ctx: click.Context,
    things: tuple[str, ...],
    form: Form | None,
    as_json: bool,
    output: Path | None,
    network: bool,
    single_points: bool,
) -> None:
    """Draw what depends on what; with THING, show what goes down with it.

    THING is a service, host, link, location, site (primary, recovery), DR centre, agency or asset, by its id or its
    title; link:r09 where an id means several. Several are lost at once. It is read from what is declared, with every
    service at the primary site: what nobody has declared is said as not known.
    """
    from drp.wiring import draw_graph

    if as_json and form not in (None, "json"):
        raise UsageError(f"--json and --format {form} contradict each other", hint="take one of them")
    if things and single_points:
        raise UsageError("--single-points looks at the whole network; it takes no THING", hint="leave one of them out")
    text = draw_graph(
        Path(ctx.find_root().obj),
        things,
        "json" if as_json else form or "text",
        network=network,
        single_points=single_points,
    )
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.touch(mode=0o600)  # it shows where the city is weak
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write: {error.strerror}", where=str(output), hint="name a file elsewhere") from error
    click.echo(f"wrote {output}")
