"""drp restore list, drp restore download"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drp.cli.common import epilog, json_option, local_time, print_json, print_table, print_wrapped, world_of
from drp.cli.restore_choice import choice_options, known_service, moment_of
from drp.domain.values import show_size
from drp.errors import UsageError

if TYPE_CHECKING:
    from drp.ports import NewFile, World
    from drp.workflows.restore_browse import Entry
    from drp.workflows.restore_request import RestoreRequest


def _request(world: World, service: str, options: dict[str, Any]) -> RestoreRequest:
    from drp.workflows.restore_request import RestoreRequest

    return RestoreRequest(
        service=known_service(world, service),
        datasets=options["datasets"],
        at=moment_of(world, options["at"]),
        restore_point=options["restore_point"],
        snapshot=options["snapshot"],
        from_centre=options["from_centre"],
    )


_dataset_option = click.option("--dataset", "datasets", multiple=True, metavar="ID", help="Look only into this one.")


@click.command(
    short_help="List what a restore point holds.",
    name="list",
    epilog=epilog(
        "drp restore list pengaduan",
        'drp restore list pengaduan /srv/pengaduan/uploads --at "yesterday 14:00"',
    ),
)
@click.argument("service")
@click.argument("path", default="")
@_dataset_option
@choice_options
@click.option("--recursive", is_flag=True, help="Everything below, not only the folder itself.")
@json_option
@click.pass_context
def list_(ctx: click.Context, /, service: str, path: str, recursive: bool, as_json: bool, **options: Any) -> None:
    """List what a restore point of SERVICE holds (default: the newest), or what lies in the folder PATH of it."""
    from drp.workflows.restore_browse import list_content
    from drp.workflows.restore_request import normal

    world = world_of(ctx)
    found = list_content(world, _request(world, service, options), normal(path) if path else "", recursive=recursive)
    zone = world.city.workspace.organisation.time_zone
    if as_json:
        print_json(
            {
                "restore_point": found.point.id,
                "entries": [_entry_record(entry) for entry in found.entries],
                "left_off": found.left_off,
            }
        )
        return
    rows = [
        [
            entry.dataset,
            _name(entry),
            _kind(entry),
            show_size(entry.bytes) if entry.type in ("file", "stream") else "",
            _time(entry.modified_at, zone),
            entry.owner,
        ]
        for entry in found.entries
    ]
    columns = ["dataset", "path", "what", "size", f"modified ({zone})", "owner"]
    print_table(f"{found.point.id}, data of {local_time(found.point.sentinel_at, zone)}", columns, rows)
    if found.left_off:
        print_wrapped(f"… and {found.left_off} more; name a folder of it")
    if any(not entry.is_exact for entry in found.entries):
        print_wrapped("Names with � hold bytes that are no UTF-8: download the folder that they are in.")


def _entry_record(entry: Entry) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(entry)


def _name(entry: Entry) -> str:
    return json.dumps(entry.path, ensure_ascii=False) if not entry.path.isprintable() else entry.path


def _kind(entry: Entry) -> str:
    if entry.type == "stream":
        return f"dump of {entry.target}"
    return {"dir": "folder", "symlink": "link"}.get(entry.type, entry.type)


def _time(stamp: str, zone: str) -> str:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    return f"{datetime.fromisoformat(stamp).astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}" if stamp else ""


@click.command(
    short_help="Get one file, or a folder as a tar archive.",
    epilog=epilog(
        "drp restore download pengaduan /srv/pengaduan/uploads/17.jpg",
        "drp restore download pengaduan /srv/pengaduan/uploads -o uploads.tar",
        "drp restore download pengaduan /pengaduan.database.pgdump -o - | pg_restore -l",
    ),
)
@click.argument("service")
@click.argument("path")
@_dataset_option
@choice_options
@click.option("-o", "--output", metavar="FILE", help="Where to; - for standard output. Default: its name, here.")
@json_option
@click.pass_context
def download(ctx: click.Context, /, service: str, path: str, output: str | None, as_json: bool, **options: Any) -> None:
    """Get the file PATH as it was; a folder comes as a tar archive, a dump as what the database's program wrote.

    Nothing is written on any host. What arrives is checked by size and SHA-256; a file that is cut short leaves
    nothing, and no file is overwritten. The ledger keeps who took what.
    """
    from drp.workflows.restore_browse import download as get
    from drp.workflows.restore_request import normal, printable

    if output == "-" and as_json:
        raise UsageError("--json and -o - would both write to standard output")
    world = world_of(ctx)
    names: list[str] = []

    def open_file(kind: str) -> NewFile:
        from drp.wiring import whole_file

        if output == "-":
            return whole_file(None)
        target = Path(output) if output else Path.cwd()
        if target.is_dir():
            target /= os.path.basename(normal(path)) + (".tar" if kind == "dir" else "")
        names.append(str(target))
        return whole_file(target)

    found = get(world, _request(world, service, options), normal(path), open_file)
    if as_json:
        print_json(
            {
                "run": found.run,
                "restore_point": found.point.id,
                "file": printable(names[0]),
                "bytes": found.bytes,
                "sha256": found.sha256,
            }
        )
        return
    where = printable(names[0]) if names else "standard output"
    zone = world.city.workspace.organisation.time_zone
    of = f"{found.point.id}, data of {local_time(found.point.sentinel_at, zone)}"
    click.echo(f"{where}: {show_size(found.bytes)} from {of}; sha256 {found.sha256}", err=output == "-")
    sys.stdout.flush()
