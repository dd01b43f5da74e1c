"""drp backup forget, prune, check, locks, hold, release, distrust, trust, accept"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

import click

from drp.cli import show_error
from drp.cli.common import (
    count_of,
    epilog,
    json_option,
    local_time,
    plain_time,
    print_json,
    print_table,
    world_of,
    zone_of,
)
from drp.errors import ExitCode

if TYPE_CHECKING:
    from drp.workflows.upkeep import UpkeepResult

Line: TypeAlias = "Callable[[UpkeepResult], str]"

_services = click.argument("services", nargs=-1)


@click.command(
    short_help="Forget restore points that are kept no longer.",
    epilog=epilog("drp backup forget --dry-run", "drp backup forget pengaduan"),
)
@_services
@click.option("--dry-run", is_flag=True, help="Only show what would go, and why the rest stays.")
@json_option
@click.pass_context
def forget(ctx: click.Context, services: tuple[str, ...], dry_run: bool, as_json: bool) -> int:
    """Forget restore points of SERVICES (default: all) that their retention lets go.

    What the policy keeps says restic itself. Whatever it says, these stay: the newest and the youngest restore points
    (`minimum_points`, `minimum_age`), those on hold, the newest that a restore has proved, and those that are still to
    be copied. What a failback has kept stays for ever, or for `stranded`. Snapshots of other hosts and services are
    never touched. No space is freed: see drp backup prune.
    """
    from drp.workflows.retention import forget as work
    from drp.workflows.selection import services_for

    world = world_of(ctx)
    results = work(world, services_for(world, services, "backup"), preview=dry_run)
    if not as_json and dry_run:
        rows = [
            [result.service, point["id"], "stays" if point["stays"] else "goes", "; ".join(point["reasons"])]
            for result in results
            for point in result.body.get("points", [])
        ]
        print_table("Restore points", ["service", "restore point", "", "why"], rows)
    return _finish(results, as_json, lambda result: _forget_line(result, dry_run=dry_run))


def _forget_line(result: UpkeepResult, *, dry_run: bool) -> str:
    body = result.body
    if body["policy"] is None:
        return str(body["from"])
    going = sum(not point["stays"] for point in body["points"])
    done = f"{count_of(going, 'restore point')} would go" if dry_run else f"forgot {len(body['forgotten'])}"
    text = f"{done} of {len(body['points'])} by {body['from']}"
    if body["residue"]:
        text += f"; and {count_of(body['residue'], 'snapshot')} of failed runs"
    if body["untouched_in_all"]:
        text += f"; {count_of(body['untouched_in_all'], 'snapshot')} not touched"
        text += "".join(f"\n    {id_[:8]}: {why}" for id_, why in list(body["untouched"].items())[:5])
    return text


@click.command(
    short_help="Free the space of what was forgotten.", epilog=epilog("drp backup prune", "drp backup prune pengaduan")
)
@_services
@json_option
@click.pass_context
def prune(ctx: click.Context, services: tuple[str, ...], as_json: bool) -> int:
    """Free the space that SERVICES (default: all) need no more at their DR centre, then look whether all is whole.

    No backup of a service can run meanwhile.
    """
    from drp.workflows.retention import prune as work
    from drp.workflows.selection import services_for

    world = world_of(ctx)
    results = work(world, services_for(world, services, "backup"))
    return _finish(results, as_json, _prune_line)


def _prune_line(result: UpkeepResult) -> str:
    lines = [f"{item['host']}: {'; '.join(item['said'])}" for item in result.body["repositories"]]
    return "pruned" + "".join(f"\n    {line}" for line in lines)


@click.command(
    short_help="Read repositories back; compare files with the source.",
    epilog=epilog("drp backup check", "drp backup check --all pengaduan", "drp backup check --source"),
)
@_services
@click.option("--all", "everything", is_flag=True, help="Read all data, not only the part whose turn it is.")
@click.option("--source", is_flag=True, help="Compare a random sample of files on their host with the snapshot.")
@click.option("--files", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many, with --source.")
@json_option
@click.pass_context
def check(
    ctx: click.Context, services: tuple[str, ...], everything: bool, source: bool, files: int, as_json: bool
) -> int:
    """Check the repositories of SERVICES (default: all) and their copies at other DR centres: their structure, and the
    part of the data whose turn it is.

    A copy is read by the control node and compared with its source; where that does not answer, with the ledger. All of
    the data is read within `backups.proof.everything_within`. Damage is looked for a second time before it is believed;
    then this ends with 13 and names the restore points that cannot be trusted, or the objects of a copy. Where there
    was nothing to check it ends with 4, or with 3 where that is so of some services.
    """
    from drp.errors import UsageError
    from drp.workflows.check import check as work
    from drp.workflows.selection import services_for
    from drp.workflows.spot_check import spot_check

    if source and everything:
        raise UsageError("--all and --source are two different checks", hint="run one after the other")
    world = world_of(ctx)
    names = services_for(world, services, "backup")
    if source:
        return _finish(spot_check(world, names, files=files), as_json, _spot_line)
    results = work(world, names, everything=everything)
    code = _finish(results, as_json, _check_line)
    nothing = [result for result in results if result.error is None and not result.body["repositories"]]
    if not nothing or code not in (ExitCode.DONE, ExitCode.INCOMPLETE):
        return code  # what failed is worse than what was not there
    return ExitCode.NOT_MET if len(nothing) == len(results) else ExitCode.INCOMPLETE


def _check_line(result: UpkeepResult) -> str:
    lines = []
    for item in result.body["repositories"]:
        read = ", ".join(f"{part}/{of}" for part, of in item["parts"])
        late = "; some of its data had not been read in time" if item["is_late"] else ""
        copy = ""
        if "compared" in item:
            copy = f", compared with the {item['compared']}"
        place = f"{item['host']}, copy at {item['dr_centre']}" if copy else item["host"]
        lines.append(f"{place}: {'good' if item['good'] else 'damaged'}, data read: {read}{copy}{late}")
    if not lines:
        return f"nothing was checked: there is no restore point yet; first: drp backup run {result.service}"
    return "checked" + "".join(f"\n    {line}" for line in lines)


def _spot_line(result: UpkeepResult) -> str:
    lines = [
        f"{part['dataset']} on {part['host']}: {part['compared']} of {count_of(part['candidates'], 'file')} compared,"
        f" {len(part['differing'])} differ; {part['changed']} had been changed, {part['gone']} were gone"
        for part in result.body["parts"]
    ]
    return f"compared with {result.body['restore_point']}" + "".join(f"\n    {line}" for line in lines)


@click.command(
    short_help="Show restic's locks; remove the dead ones.",
    epilog=epilog("drp backup locks", "drp backup locks pengaduan --remove-dead"),
)
@_services
@click.option("--remove-dead", is_flag=True, help="Remove the locks whose owners are proved dead.")
@json_option
@click.pass_context
def locks(ctx: click.Context, services: tuple[str, ...], remove_dead: bool, as_json: bool) -> int:
    """Show restic's locks in the repositories of SERVICES (default: all), and whether their owners live.

    A lock is dead where its own host says that the process is gone, or where it was not renewed for half an hour; and
    no run of drp is at work on the service. What is not proved dead is never removed.
    """
    from drp.workflows.repository_locks import look_at_locks
    from drp.workflows.selection import services_for

    world = world_of(ctx)
    results = look_at_locks(world, services_for(world, services, "backup"), remove_dead=remove_dead)
    if not as_json:
        zone = zone_of(world)
        rows = [
            [
                f"{result.service} {lock['repository']}",
                f"{lock['node']} {lock['pid']}",
                plain_time(datetime.fromisoformat(lock["created_at"]), zone),
                "exclusive" if lock["exclusive"] else "shared",
                ("removed" if lock["removed"] else "dead") if lock["is_dead"] else "living",
                lock["why"],
            ]
            for result in results
            for lock in result.body.get("locks", [])
        ]
        print_table("Locks", ["repository", "host and process", f"made ({zone})", "kind", "state", "why"], rows)
    return _finish(results, as_json, None)


@click.command(
    short_help="Keep a restore point whatever its retention says.",
    epilog=epilog('drp backup hold backup-20261122-054750-3fa2 --reason "audit 2026-14"'),
)
@click.argument("restore_point")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it is shown wherever the hold matters.")
@click.pass_context
def hold(ctx: click.Context, restore_point: str, reason: str) -> None:
    """Keep RESTORE_POINT whatever its retention says, until it is released: a legal hold."""
    from drp.workflows.retention import hold as work

    world = world_of(ctx)
    mark = work(world, restore_point, reason)
    click.echo(f"{mark.service}: {mark.restore_point} is on hold since {local_time(mark.since, zone_of(world))}")


@click.command(
    short_help="End the hold of a restore point.",
    epilog=epilog('drp backup release backup-20261122-054750-3fa2 --reason "audit closed"'),
)
@click.argument("restore_point")
@click.option("--reason", required=True, metavar="TEXT", help="Why it may go from now on.")
@click.pass_context
def release(ctx: click.Context, restore_point: str, reason: str) -> None:
    """End the hold of RESTORE_POINT: from now on the retention decides."""
    from drp.workflows.retention import release as work

    work(world_of(ctx), restore_point, reason)
    click.echo(f"{restore_point} is on hold no longer")


@click.command(
    short_help="Mark a restore point as bad: recoveries pass it over.",
    epilog=epilog('drp backup distrust backup-20261122-054750-3fa2 --reason "made after the first unknown login"'),
)
@click.argument("restore_point")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it is told whenever it is passed over.")
@click.pass_context
def distrust(ctx: click.Context, restore_point: str, reason: str) -> None:
    """Have failovers, drills and restores pass RESTORE_POINT over, as long as there is one that is not known to be bad.

    It stays where it is; --restore-point still takes it.
    """
    from drp.workflows.retention import distrust as work

    world = world_of(ctx)
    mark = work(world, restore_point, reason)
    click.echo(f"{mark.service}: {mark.restore_point} is passed over since {local_time(mark.since, zone_of(world))}")


@click.command(
    short_help="Take back that a restore point is bad.",
    epilog=epilog('drp backup trust backup-20261122-054750-3fa2 --reason "examined: clean"'),
)
@click.argument("restore_point")
@click.option("--reason", required=True, metavar="TEXT", help="Why it may be used again.")
@click.pass_context
def trust(ctx: click.Context, restore_point: str, reason: str) -> None:
    """Take back what drp backup distrust said of RESTORE_POINT."""
    from drp.workflows.retention import trust as work

    work(world_of(ctx), restore_point, reason)
    click.echo(f"{restore_point} is passed over no longer")


@click.command(
    short_help="Accept that a dataset has become much smaller.",
    epilog=epilog('drp backup accept pengaduan --dataset files --reason "photographs of 2019 were archived"'),
)
@click.argument("service")
@click.option("--dataset", "datasets", multiple=True, metavar="ID", help="Only this one; may be given several times.")
@click.option("--reason", required=True, metavar="TEXT", help="Why the new size is right.")
@click.pass_context
def accept(ctx: click.Context, service: str, datasets: tuple[str, ...], reason: str) -> None:
    """Accept the newest size of SERVICE's datasets that suddenly brought much less than before.

    drp backup status shows them, and ends with 4, until this, or until they have been so small for about a day. What
    counts as much less: backups.least_size_percent of drp.yaml, backup.least_size_percent of a service.
    """
    from drp.workflows.retention import accept_size
    from drp.workflows.selection import services_for

    world = world_of(ctx)
    (name,) = services_for(world, (service,), "backup")
    for dataset in accept_size(world, name, datasets, reason):
        click.echo(f"{name}: the new size of {dataset} is accepted")


def _finish(results: Sequence[UpkeepResult], as_json: bool, line: Line | None) -> int:
    """Show results and errors; the exit code: that of the errors where they agree, incomplete where some went well."""
    if as_json:
        print_json(
            [
                {
                    "service": result.service,
                    "run": result.run,
                    "kind": result.kind,
                    "result": result.body,
                    "error": str(result.error) if result.error else None,
                }
                for result in results
            ]
        )
    elif line is not None:
        for result in results:
            if result.body:
                click.echo(f"{result.service}: {line(result)}")
    codes = set()
    for result in results:
        if result.error is not None:
            show_error(result.error)
            codes.add(result.error.exit_code)
    if not codes:
        return ExitCode.DONE
    if ExitCode.INTEGRITY in codes:
        return ExitCode.INTEGRITY  # damage is never hidden behind what went well
    if len(codes) > 1 or any(result.error is None for result in results):
        return ExitCode.INCOMPLETE
    return codes.pop()
