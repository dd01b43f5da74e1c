"""drp init, drp validate"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Sized
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drp.cli.common import count_of, epilog, json_option, print_json
from drp.errors import ExitCode, Fault, InvalidInventoryError

if TYPE_CHECKING:
    from drp.domain.inventory import City

SCHEMAS_FOLDER = "schemas"

_COUNTED = {
    "services": ("service", "services"),
    "hosts": ("host", "hosts"),
    "runbooks": ("runbook", "runbooks"),
    "locations": ("location", "locations"),
    "links": ("link", "links"),
    "people": ("person", "people"),
    "documents": ("document", "documents"),
    "assets": ("asset", "assets"),
}
_ALWAYS_SHOWN = ("services", "hosts", "runbooks")


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


@click.command(
    epilog=epilog("drp validate", "drp validate --strict", "drp validate --json", "drp validate --schema"),
)
@click.option("--strict", is_flag=True, help="End with 4 where there are warnings.")
@click.option(
    "--schema",
    "schemas",
    is_flag=False,
    flag_value=SCHEMAS_FOLDER,
    metavar="[FOLDER]",
    help="Check nothing; write a JSON Schema of each kind of file into FOLDER of the workspace (default: "
    f"{SCHEMAS_FOLDER}), for editors that complete and check what is typed.",
)
@json_option
@click.pass_context
def validate(ctx: click.Context, strict: bool, schemas: str | None, as_json: bool) -> int:
    """Check all files of the workspace.

    Faults are told all at once, with file and line, and end with 10: nothing works until they are mended. Warnings
    stop nothing: they say what would hurt on the worst day, and what to do about it.
    """
    from drp.wiring import workspace_at

    workspace = workspace_at(Path(ctx.find_root().obj))
    if schemas is not None:
        _write_schemas(workspace, Path(schemas), as_json=as_json)
        return ExitCode.DONE
    try:
        city, warnings = _read(workspace)
    except InvalidInventoryError as error:
        if not as_json:
            raise
        faults = [_record(fault) for fault in error.faults]
        print_json({"valid": False, "faults": faults, "warnings": [], "counts": {}})
        return ExitCode.INVALID_INVENTORY
    counts = _counts(city) | {"warnings": len(warnings)}
    if as_json:
        told = [_record(warning) | {"services": list(warning.services)} for warning in warnings]
        print_json({"valid": True, "faults": [], "warnings": told, "counts": counts})
    else:
        _show_warnings(warnings)
        _show_summary(workspace, counts)
    return ExitCode.NOT_MET if strict and warnings else ExitCode.DONE


def _read(workspace: Path) -> tuple[City, list[Fault]]:
    """The city and its warnings, each with its file and line."""
    from drp.domain.review import review
    from drp.wiring import city_with_files, faults_of_named_files, today_of

    city, files = city_with_files(workspace)
    faults = faults_of_named_files(workspace, city, files)
    if faults:
        raise InvalidInventoryError(faults)
    return city, files.locate([*files.loose_ends, *review(city, today_of(city))])


def _counts(city: City) -> dict[str, int]:
    from drp.domain.dossiers.assumptions import assumptions_of

    counted: dict[str, Sized] = {
        "services": city.services,
        "hosts": city.hosts,
        "runbooks": city.runbooks,
        "locations": city.network.locations,
        "links": city.network.links,
        "people": city.people.people,
        "documents": city.documents.documents,
        "assets": city.assets.assets,
        "assumptions": assumptions_of(city),
    }
    return {name: len(found) for name, found in counted.items()}


def _record(fault: Fault) -> dict[str, Any]:
    """A fault or a warning for programs."""
    return {
        "file": fault.file,
        "line": fault.line,
        "code": fault.code,
        "message": fault.message,
        "hint": fault.hint,
    }


def _show_warnings(warnings: Sequence[Fault]) -> None:
    """Every place once, by file and line; then what to do, once for each kind, the most frequent first."""
    for file, in_file in groupby(warnings, key=lambda warning: warning.file):
        click.secho(file, bold=True)
        for (line, code), here in groupby(in_file, key=lambda warning: (warning.line, warning.code)):
            messages = "; ".join(dict.fromkeys(warning.message for warning in here))
            place = click.style(f"{line or '':>6}", dim=True)
            click.echo(f"{place}  {messages}  {click.style(f'[{code}]', fg='yellow')}")
        click.echo()
    if not warnings:
        return
    hints = {warning.code: warning.hint for warning in warnings}
    counts = Counter(warning.code for warning in warnings).most_common()
    width = max(len(f"{code} ({count})") for code, count in counts)
    click.secho("What to do", bold=True)
    for code, count in counts:
        label = f"{code} ({count})".ljust(width)
        click.echo(f"  {click.style(label, fg='yellow')}  → {hints[code]}")
    click.echo()


def _show_summary(workspace: Path, counts: dict[str, int]) -> None:
    shown = ", ".join(
        count_of(counts[name], *words) for name, words in _COUNTED.items() if counts[name] or name in _ALWAYS_SHOWN
    )
    click.echo(f"{click.style('valid', fg='green', bold=True)}: {shown} in {workspace}")
    warnings = count_of(counts["warnings"], "warning") if counts["warnings"] else "no warnings"
    assumed = counts["assumptions"]
    to_confirm = f"; {count_of(assumed, 'assumption')} to confirm: drp inventory list --assumed" if assumed else ""
    click.echo(f"{warnings}{to_confirm}")


def _write_schemas(workspace: Path, folder: Path, *, as_json: bool) -> None:
    from drp.wiring import write_schemas

    written = write_schemas(workspace, folder)
    if as_json:
        print_json({"schemas": [{"file": str(schema.path), "for": schema.files} for schema in written]})
        return
    for schema in written:
        click.echo(f"wrote {schema.path}")
    click.echo("\nAn editor with a YAML language server checks and completes a file that begins with its line:")
    width = max(len(schema.files) for schema in written)
    for schema in written:
        click.echo(f"  {schema.files:{width}}  # yaml-language-server: $schema={schema.reference}")
