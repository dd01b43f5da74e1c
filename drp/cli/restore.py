"""drp restore"""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from drp.cli import show_error
from drp.cli.common import (
    DURATION,
    confirm_production,
    count_of,
    epilog,
    json_option,
    local_time,
    print_json,
    print_table,
    print_wrapped,
    world_of,
)
from drp.cli.restore_choice import choice_options, known_service, moment_of
from drp.cli.restore_files import download, list_
from drp.domain.values import show_duration, show_size, to_stamp
from drp.errors import DrpError, ExitCode, UsageError

if TYPE_CHECKING:
    from drp.domain.recovery.restore_choice import Choice
    from drp.domain.recovery.restore_plan import RestorePlan
    from drp.ports import World
    from drp.workflows.restore import Look, RestoreResult
    from drp.workflows.restore_test import TestResult


class RestoreGroup(click.Group):
    """`drp restore SERVICE` means `drp restore run SERVICE`, and `drp restore --test` means `drp restore test`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--test" in args:
            args = ["test", *(word for word in args if word != "--test")]
        elif args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=RestoreGroup)
def restore() -> None:
    """Bring data back: a service, a dataset, a file; and prove that it can be done.

    \b
    drp restore SERVICE …            restore datasets (the same as drp restore run)
    drp restore list SERVICE …       see what a restore point holds
    drp restore download SERVICE …   get one file, or a folder as a tar archive
    drp restore test …               restore to a place apart, compare, remove again
    """


restore.add_command(list_)
restore.add_command(download)


@restore.command(
    short_help="Restore datasets to their host, or to another place.",
    epilog=epilog(
        "drp restore run pengaduan --preview",
        'drp restore pengaduan --dataset files --at "2026-11-20 14:00" --preview',
        "drp restore pengaduan --path /srv/pengaduan/uploads/17.jpg",
        "drp restore pengaduan --dataset database --to drc-app-1",
        "drp restore pengaduan --dataset files --scratch /var/tmp/look",
    ),
)
@click.argument("service")
@click.option("--dataset", "datasets", multiple=True, metavar="ID", help="Only this one; may be repeated.")
@click.option("--path", "paths", multiple=True, metavar="PATH", help="Only this file or folder; may be repeated.")
@choice_options
@click.option("--to", metavar="HOST", help="Another host; default: where the service runs now.")
@click.option(
    "--scratch", metavar="FOLDER", help="A new folder on the recovery host (or --to); databases beside theirs."
)
@click.option("--preview", is_flag=True, help="Only show what would be done.")
@click.option("--replace-existing", is_flag=True, help="Replace data that is in the place already.")
@click.option("--backup-first", is_flag=True, help="Back up what is there before it is replaced.")
@click.option("--by", metavar="NAME", help="Who wants it; default: the operating-system user.")
@click.option("--reason", metavar="TEXT", help="Why; kept in the ledger.")
@click.option("--yes", is_flag=True, help="Do not ask; over production it needs --reason and --by.")
@json_option
@click.pass_context
def run(ctx: click.Context, /, service: str, **options: Any) -> int:
    """Restore datasets of SERVICE (default: all, the newest) to where they belong, or to another place.

    Shows what it would do, and asks before it replaces anything. What comes back is compared with what was backed up.
    No application is stopped or started: it says which ones to stop before.
    """
    from drp.workflows.restore import Consent, look, prepare
    from drp.workflows.restore import restore as carry_out
    from drp.workflows.restore_request import RestoreRequest, normal

    world = world_of(ctx)
    request = RestoreRequest(
        service=known_service(world, service),
        datasets=options["datasets"],
        at=moment_of(world, options["at"]),
        restore_point=options["restore_point"],
        snapshot=options["snapshot"],
        to=options["to"],
        scratch=options["scratch"],
        from_centre=options["from_centre"],
        paths=tuple(normal(path) for path in options["paths"]),
    )
    if sum(value is not None for value in (request.at, request.restore_point, request.snapshot)) > 1:
        raise UsageError("--at, --restore-point and --snapshot exclude each other")
    plan, choice = prepare(world, request)
    seen = look(world, plan)
    record = _preview_record(world, plan, choice, seen)
    if options["as_json"] and options["preview"]:
        print_json(record)
        return ExitCode.DONE
    if not options["as_json"]:
        _show_preview(record)
    if options["preview"]:
        return ExitCode.DONE
    consent = Consent(
        by=options["by"] or world.operator,
        reason=options["reason"] or "asked for at the terminal",
        replace_existing=_agree(plan, seen, options),
        backup_first=options["backup_first"],
    )
    return finish(carry_out(world, plan, consent), as_json=options["as_json"])


def _agree(plan: RestorePlan, seen: Look, options: dict[str, Any]) -> bool:
    """Whether what is in the places may be replaced. UsageError where nobody said so."""
    from drp.domain.recovery.restore_plan import SPACE_FACTOR_PERCENT

    if plan.production:
        if options["yes"] and not options["by"]:
            raise UsageError("--yes over production needs --by: the ledger must say who", hint='add --by "…"')
        confirm_production([plan.service], "restore", yes=options["yes"], reason=options["reason"])
        return True
    # Where a server is down and cannot say what it holds, the host looks again once it has started it.
    taken = seen.found
    if taken and not options["replace_existing"]:
        hint = "to have it replaced, add --replace-existing; or name another place: --to, --scratch"
        raise UsageError(f"already there: {', '.join(taken)}", where=plan.service, hint=hint)
    for disk in seen.space:
        if not taken and disk["coming"] * SPACE_FACTOR_PERCENT > disk["free"] * 100:
            text = f"{show_size(disk['free'])} are free below {disk['folder']}, {show_size(disk['coming'])} will come"
            raise DrpError(f"space is short: {text}", where=disk["host"], hint="make room, or name another place")
    return bool(options["replace_existing"])


def _preview_record(world: World, plan: RestorePlan, choice: Choice, seen: Look) -> dict[str, Any]:
    from drp.workflows.restore import undo_hint, units_to_stop

    point = plan.point
    rows = []
    for job in plan.jobs:
        for dataset in job.datasets:
            parts = [part for part in point.snapshots if part.dataset == dataset]
            rows.append(
                {
                    "dataset": dataset,
                    "type": point.datasets[dataset]["type"],
                    "snapshots": [part.snapshot for part in parts],
                    "files": seen.amounts.get(dataset, {}).get("files", sum(part.files for part in parts)),
                    "bytes": seen.amounts.get(dataset, {}).get("bytes", plan.bytes_of(dataset)),
                    "host": job.host,
                    "places": list(plan.places(dataset)),
                }
            )
    return {
        "service": plan.service,
        "restore_point": point.id,
        "dr_centre": plan.dr_centre,
        "data_of": to_stamp(point.sentinel_at),
        "arrived_at": to_stamp(point.arrived_at),
        "asked_for": None if choice.asked is None else to_stamp(choice.asked),
        "older_than_asked": None if choice.distance is None else show_duration(choice.distance),
        "next_newer": None if choice.next_newer is None else choice.next_newer.id,
        "datasets": rows,
        "production": list(plan.production),
        "replaced": list(seen.found),
        "unknown": list(seen.unknown),
        "space": [
            {"host": disk["host"], "folder": disk["folder"], "free": disk["free"], "coming": disk["coming"]}
            for disk in seen.space
        ],
        "stop_first": units_to_stop(world, plan) if plan.production else [],
        "undo": undo_hint(world, plan) if plan.production and (seen.found or seen.unknown) else "",
        "time_zone": world.city.workspace.organisation.time_zone,
    }


def _show_preview(record: dict[str, Any]) -> None:
    columns = ["dataset", "type", "snapshot", "files", "size", "to host", "place"]
    rows = [
        [
            row["dataset"],
            row["type"],
            "\n".join(snapshot[:8] for snapshot in row["snapshots"]),
            str(row["files"]),
            show_size(row["bytes"]),
            row["host"],
            "\n".join(row["places"]),
        ]
        for row in record["datasets"]
    ]
    print_table(
        f"Restore of {record['service']} from {record['restore_point']} at {record['dr_centre']}", columns, rows
    )
    data_of = _local(record["data_of"], record["time_zone"])
    print_wrapped(
        f"data of {data_of}, complete at the DR centre since {_local(record['arrived_at'], record['time_zone'])}"
    )
    if record["asked_for"]:
        newer = f"; the next newer one is {record['next_newer']}" if record["next_newer"] else ""
        asked = _local(record["asked_for"], record["time_zone"])
        print_wrapped(f"asked for {asked}: the data is {record['older_than_asked']} older{newer}")
    for what in record["replaced"]:
        print_wrapped(f"is replaced: {what}", indent="  ")
    for what in record["unknown"]:
        print_wrapped(f"cannot say what is there: {what}", indent="  ")
    for disk in record["space"]:
        if disk["coming"] * 12 > disk["free"] * 10:
            text = f"{show_size(disk['free'])} free below {disk['folder']} on {disk['host']}"
            print_wrapped(f"space is short: {text}, {show_size(disk['coming'])} will come", indent="  ")
    if record["production"]:
        print_wrapped(f"this writes over production on {', '.join(record['production'])}")
        if record["stop_first"]:
            print_wrapped(f"stop there first, drp does not: {', '.join(record['stop_first'])}")
        if record["undo"]:
            print_wrapped(record["undo"])


def _local(stamp: str, zone: str) -> str:
    from drp.domain.values import from_stamp

    return local_time(from_stamp(stamp), zone)


def finish(result: RestoreResult, *, as_json: bool) -> int:
    """Tell how a restore ended, and give its exit code."""
    code = ExitCode.DONE if result.error is None else result.error.exit_code
    if as_json:
        print_json(
            {
                "run": result.run,
                "checks": [
                    {
                        "dataset": check.dataset,
                        "check": check.check,
                        "expected": check.expected,
                        "actual": check.actual,
                        "ok": check.ok,
                    }
                    for check in result.checks
                ],
                "error": None if result.error is None else str(result.error),
                "exit_code": int(code),
            }
        )
    else:
        rows = [
            [check.dataset, check.check, check.expected, check.actual, "agrees" if check.ok else "DIFFERS"]
            for check in result.checks
        ]
        if rows:
            columns = ["dataset", "what", "backed up", "restored", ""]
            print_table(result.run, columns, rows)
    if result.error is not None:
        show_error(result.error)
    return code


@restore.command(
    short_help="Restore to a place apart, compare, remove: the proof.",
    name="test",
    epilog=epilog("drp restore test pengaduan", "drp restore test --random", "drp restore --test"),
)
@click.argument("services", nargs=-1)
@click.option(
    "--random", "by_chance", is_flag=True, help="One service and restore point by chance, the unproved first."
)
@click.option("--limit", type=DURATION, default="4h", show_default=True, help="How long each may take.")
@json_option
@click.pass_context
def test_(ctx: click.Context, services: tuple[str, ...], by_chance: bool, limit: timedelta, as_json: bool) -> int:
    """Restore the newest restore point of SERVICES (default: all) to a place apart at the recovery site.

    Rows, files and sentinels are compared with what was backed up; then everything is removed again, and that is
    proved. What lives there is not touched. A dataset that agrees counts as proved from then on.
    """
    import random

    from drp.workflows.restore_test import draw, restore_test
    from drp.workflows.selection import services_for

    world = world_of(ctx)
    names = services_for(world, services, "backup")
    if by_chance:
        name, point = draw(world, names, random.SystemRandom())
        world.say(f"{name}: {point.id} was drawn")
        results = restore_test(world, [name], points={name: point}, limit=limit)
    else:
        results = restore_test(world, names, limit=limit)
    return _finish_tests(results, as_json=as_json)


def _finish_tests(results: list[TestResult], *, as_json: bool) -> int:
    failed = [result.error for result in results if result.error is not None]
    codes = {error.exit_code for error in failed}
    if not failed:
        code = ExitCode.DONE
    elif ExitCode.INTEGRITY in codes:
        code = ExitCode.INTEGRITY  # that backups cannot be restored must not hide behind anything else
    elif len(failed) < len(results):
        code = ExitCode.INCOMPLETE
    else:
        code = codes.pop() if len(codes) == 1 else ExitCode.FAILED
    if as_json:
        print_json(
            [
                {
                    "service": result.service,
                    "run": result.run,
                    "restore_point": result.restore_point,
                    "proved": list(result.proved),
                    "duration_ms": result.duration_ms,
                    "notes": list(result.notes),
                    "error": None if result.error is None else str(result.error),
                    "exit_code": 0 if result.error is None else int(result.error.exit_code),
                }
                for result in results
            ]
        )
    else:
        for result in results:
            if result.error is None:
                took = show_duration(timedelta(milliseconds=result.duration_ms))
                what = f"{count_of(len(result.proved), 'dataset')} of {result.restore_point} proved in {took}"
                click.echo(f"{result.service}: {what}: {', '.join(result.proved)}; everything was removed again")
            for note in result.notes:
                click.echo(f"{result.service}: {note}")
    for error in failed:
        show_error(error)
    sys.stdout.flush()
    return code
