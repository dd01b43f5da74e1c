"""drp inventory import"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drp.cli.common import count_of, epilog, json_option, print_json, print_table, print_wrapped
from drp.domain.importing.columns import FIELDS
from drp.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from drp.domain.importing.sheet import Import, Row

_MOST_SHOWN = 500
_MOST_AGENCIES = 50


def _columns(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for value in values:
        name, sign, header = value.partition("=")
        if not sign:
            raise click.BadParameter(f"{value!r} is not FIELD=HEADER")
        if name.strip() not in FIELDS:
            raise click.BadParameter(f"no field {name.strip()!r}; known: {', '.join(FIELDS)}")
        found[name.strip()] = header.strip()
    return found


@click.command(
    short_help="Make service files from a list that an agency keeps.",
    name="import",
    epilog=epilog(
        "drp inventory import aplikasi.xlsx --dry-run",
        'drp inventory import daftar.csv --agency dinkes --column name="Nama Sistem"',
    ),
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--sheet", metavar="NAME", help="The sheet of a workbook; default: the first that holds something.")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="FIELD=HEADER",
    callback=_columns,
    help="Which column a field has, where its header is not understood; an empty HEADER: none.",
)
@click.option("--agency", metavar="AGENCY", help="Whose the services are whose row names no agency.")
@click.option("--into", type=click.Path(path_type=Path), metavar="FOLDER", help="[inventories/services]")
@click.option("--skip-faulty", is_flag=True, help="Write the good rows even if others are faulty.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and write nothing.")
@json_option
@click.pass_context
def import_(
    ctx: click.Context,
    file: Path,
    sheet: str | None,
    columns: dict[str, str],
    agency: str | None,
    into: Path | None,
    skip_faulty: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Register the services of an agency's list: a service file for each row, to be filled in.

    FILE is a CSV file or a workbook (xlsx, xls, ods) with a header somewhere in its first rows. Header names in
    English and Indonesian are understood. Fields that have a place of their own: name, name_en, id, agency, cluster,
    owner, deputy, contact, server, rto, rpo, mtpd, tier, hosting, depends_on, description. All other columns, and what
    fits nothing that drp.yaml or hosts.yaml declares, are kept in the notes of the service.

    A file that exists is never changed. If any row is faulty nothing at all is written, unless --skip-faulty is given.
    Ends with 1 if nothing was written because of faulty rows, with 3 if faulty rows were left out.
    """
    from drp.domain.importing.sheet import Settings
    from drp.domain.importing.spreadsheet import map_sheet
    from drp.wiring import (
        city_of,
        read_sheet,
        services_folder_of,
        services_with_files,
        workspace_at,
        write_service_files,
    )

    workspace = workspace_at(Path(ctx.find_root().obj))
    city = city_of(workspace)
    folder = into or services_folder_of(workspace)
    found = map_sheet(read_sheet(file, sheet), city, Settings(columns, agency, services_with_files(folder)))
    if not found.rows:
        raise UsageError("no row below the header holds anything", where=file.name, hint="choose another --sheet")
    faulty = found.of("faulty")
    writes = not dry_run and (skip_faulty or not faulty)
    written = write_service_files(folder, found.of("new")) if writes else []
    outcomes = {row.number: _outcome(row, {path.stem for path in written}, dry_run=dry_run) for row in found.rows}
    if as_json:
        print_json(_record(found, outcomes, [str(path) for path in written]))
    else:
        _print(found, outcomes, folder, hinted=bool(faulty) and not skip_faulty and not dry_run)
    if not faulty:
        return ExitCode.DONE
    return ExitCode.INCOMPLETE if skip_faulty else ExitCode.FAILED


def _outcome(row: Row, written: set[str], *, dry_run: bool) -> str:
    if row.outcome != "new":
        return row.outcome
    return "would be written" if dry_run else "written" if row.id in written else "not written"


def _print(found: Import, outcomes: dict[int, str], folder: Path, *, hinted: bool) -> None:
    """`hinted`: say what to do about the faulty rows."""
    understood = ", ".join(f"{name} = {header!r}" for name, header in found.columns.items())
    print_wrapped(f"columns: {understood}", indent="  ", first="")
    if found.noted:
        print_wrapped(f"into the notes: {', '.join(found.noted)}", indent="  ", first="")
    rows = sorted(found.rows, key=lambda row: row.outcome != "faulty")[:_MOST_SHOWN]
    rows.sort(key=lambda row: row.number)
    print_table(
        "Rows",
        ["row", "name", "service", "outcome"],
        [[str(row.number), row.name[:60], row.id or "-", outcomes[row.number]] for row in rows],
    )
    if len(found.rows) > len(rows):
        click.echo(f"… and {len(found.rows) - len(rows)} more rows (all of them: --json)")
    for row in rows:
        for text in (*row.faults, *row.remarks):
            print_wrapped(text, indent="    ", first=f"row {row.number}: ")
    _print_agencies(found)
    counts = {word: list(outcomes.values()).count(word) for word in dict.fromkeys(outcomes.values())}
    click.echo(
        f"{count_of(len(found.rows), 'row')}: {', '.join(f'{number} {word}' for word, number in counts.items())}"
    )
    if counts.get("written"):
        print_wrapped(
            f"next: fill in what is marked in the files in {folder}, then: drp validate", indent="  ", first=""
        )
    if hinted:
        click.echo("nothing was written; correct the faulty rows, or leave them out: --skip-faulty", err=True)


def _print_agencies(found: Import) -> None:
    if not found.unknown_agencies:
        return
    text = "agencies that drp.yaml does not declare; if they are right, add these lines below `agencies:`"
    print_wrapped(text, indent="  ", first="")
    for name, title in list(found.unknown_agencies.items())[:_MOST_AGENCIES]:
        click.echo(f"  {name}: {json.dumps(title, ensure_ascii=False)}")
    if len(found.unknown_agencies) > _MOST_AGENCIES:
        click.echo(f"  … and {len(found.unknown_agencies) - _MOST_AGENCIES} more (all of them: --json)")


def _record(found: Import, outcomes: dict[int, str], written: list[str]) -> dict[str, Any]:
    return {
        "columns": dict(found.columns),
        "noted": list(found.noted),
        "rows": [
            {
                "row": row.number,
                "name": row.name,
                "service": row.id or None,
                "outcome": outcomes[row.number],
                "faults": row.faults,
                "remarks": row.remarks,
            }
            for row in found.rows
        ],
        "unknown_agencies": dict(found.unknown_agencies),
        "files": written,
    }
