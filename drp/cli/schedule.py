"""drp schedule"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drp.cli import show_error
from drp.cli.common import count_of, epilog, json_option, print_json, print_table, world_of
from drp.domain.backups.record import SCHEDULED_KINDS
from drp.errors import BusyError, DrpError, ExitCode, UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from drp.domain.schedules.due import Decision
    from drp.ports import World
    from drp.workflows.schedule import TaskOutcome


@click.group()
def schedule() -> None:
    """Show and do what is due; set up what calls drp."""


@schedule.command(
    short_help="Show the last and next run of each task, and why.",
    epilog=epilog("drp schedule show", "drp schedule show pengaduan --json"),
)
@click.argument("services", nargs=-1)
@json_option
@click.pass_context
def show(ctx: click.Context, services: tuple[str, ...], as_json: bool) -> None:
    """Show the last and the next run of each task of SERVICES (default: all), and why it is then.

    What is due comes first, in the order in which it would run. Times are those of the organisation's time zone.
    """
    from drp.domain.schedules.due_text import notes_of, reason_of, told
    from drp.workflows.schedule import decisions_of, last_run_of
    from drp.workflows.selection import services_for

    world = world_of(ctx)
    decisions = decisions_of(world, services_for(world, services, "show") if services else ())
    now = world.clock.now()
    if as_json:
        print_json([_record(found, now) for found in decisions])
        return
    rows = []
    for found in decisions:
        next_at = "" if found.next_at is None else told(found.task, found.next_at)
        why = "\n".join([reason_of(found), *notes_of(found, now)])
        rows.append([found.task.service, found.task.name, last_run_of(found), "now" if found.is_due else next_at, why])
    zone = world.city.workspace.organisation.time_zone
    print_table(f"Schedule ({zone})", ["service", "task", "last run", "next run", "why"], rows)
    scheduled = {found.task.service for found in decisions if found.task.kind == "backup"}
    unscheduled = [name for name in services or world.city.services if name not in scheduled]
    if unscheduled:
        named = ", ".join(unscheduled[:5]) + (", …" if len(unscheduled) > 5 else "")
        click.echo(f"Without a scheduled backup: {count_of(len(unscheduled), 'service')} ({named})")


def _record(found: Decision, now: datetime) -> dict[str, object]:
    from drp.domain.schedules.due_text import notes_of, reason_of
    from drp.domain.values import to_stamp

    def stamp(at: datetime | None) -> str | None:
        return None if at is None else to_stamp(at)

    state = found.state
    return {
        "service": found.task.service,
        "kind": found.task.kind,
        "dr_centre": found.task.dr_centre or None,
        "schedules": [each.text for each in found.task.schedules],
        "offset_s": int(found.task.offset.total_seconds()),
        "is_due": found.is_due,
        "moment": stamp(found.moment),
        "next_at": stamp(found.next_at),
        "why": None if found.why is None else str(found.why),
        "waits_for": None if found.waits is None else str(found.waits),
        "held_until": stamp(found.held_until),
        "missed": stamp(found.missed),
        "rpo_breach_at": stamp(found.breach_at),
        "reason": reason_of(found),
        "notes": notes_of(found, now),
        "last_run": None
        if state is None
        else {
            "run": state.last_run,
            "opened_at": stamp(state.opened_at),
            "outcome": "running" if state.is_open else state.outcome,
            "due_at": stamp(state.due_at),
            "last_good_at": stamp(state.done_at),
            "failures": state.failures,
        },
    }


@schedule.command(
    short_help="Do everything that is due now, once.",
    epilog=epilog("drp schedule run", "drp schedule run --kind check --kind prune"),
)
@click.argument("services", nargs=-1)
@click.option(
    "--kind", "kinds", multiple=True, type=click.Choice(SCHEDULED_KINDS), help="Only this kind; may be repeated."
)
@json_option
@click.pass_context
def run(ctx: click.Context, services: tuple[str, ...], kinds: tuple[str, ...], as_json: bool) -> int:
    """Do everything that is due now of SERVICES (default: all): backups, copies, retention, checks, restore tests.

    What is meant to be called every minute by a timer or cron. Ends with 0 where nothing is due, and with 11 where
    another drp is doing all of this already.
    """
    return do_due(world_of(ctx), kinds or SCHEDULED_KINDS, services, as_json=as_json)


def do_due(world: World, kinds: Sequence[str], services: Sequence[str], *, as_json: bool) -> int:
    """Do what is due of these kinds, say what became of it, and give the exit code."""
    from drp.workflows.notify import note_state
    from drp.workflows.schedule import LANES, run_lane
    from drp.workflows.selection import services_for
    from drp.workflows.task_kinds import TASK_KINDS

    if services:
        services = services_for(world, services, "backup")
    runners = {kind: runner for kind, runner in TASK_KINDS.items() if kind in kinds}
    lanes = [lane for lane, of_lane in LANES.items() if any(kind in runners for kind in of_lane)]
    outcomes: list[TaskOutcome] = []
    busy: list[BusyError] = []
    for lane in lanes:
        try:
            outcomes += run_lane(world, lane, runners, services)
        except BusyError as error:
            busy.append(error)
            click.echo(f"{error}; nothing was started", err=True)
    note_state(world)
    if as_json:
        print_json([_outcome_record(outcome) for outcome in outcomes])
    else:
        for outcome in outcomes:
            if outcome.error is None:
                done = f"{outcome.decision.task.name} done"
                click.echo(f"{outcome.decision.task.service}: {done}{outcome.text and ': ' + outcome.text}")
        if not outcomes and len(busy) < len(lanes):
            click.echo("nothing is due")
    for outcome in outcomes:
        if outcome.is_busy:
            click.echo(f"{outcome.decision.task.service}: {outcome.error}", err=True)
        elif outcome.error is not None:
            show_error(outcome.error)
    return _exit_code(outcomes, all_busy=bool(lanes) and len(busy) == len(lanes))


def _outcome_record(outcome: TaskOutcome) -> dict[str, object]:
    from drp.domain.values import to_stamp

    found = outcome.decision
    return {
        "service": found.task.service,
        "kind": found.task.kind,
        "dr_centre": found.task.dr_centre or None,
        "moment": None if found.moment is None else to_stamp(found.moment),
        "why": None if found.why is None else str(found.why),
        "outcome": "done" if outcome.error is None else ("busy" if outcome.is_busy else "failed"),
        "text": outcome.text,
        "error": None if outcome.error is None else str(outcome.error),
    }


def _exit_code(outcomes: Sequence[TaskOutcome], *, all_busy: bool) -> int:
    """Of several tasks: done, incomplete, or the code that all of their errors share. What another drp is doing counts
    as neither good nor bad, unless there is nothing else."""
    errors: list[DrpError] = [outcome.error for outcome in outcomes if outcome.error is not None]
    failed = [error for error in errors if not isinstance(error, BusyError)]
    if all_busy or (errors and len(errors) == len(outcomes) and not failed):
        return ExitCode.BUSY
    if not failed:
        return ExitCode.DONE
    if len(errors) < len(outcomes):
        return ExitCode.INCOMPLETE
    codes = {error.exit_code for error in failed}
    return codes.pop() if len(codes) == 1 else ExitCode.FAILED


_user_option = click.option("--user", "for_user", is_flag=True, help="For your own manager, not the system's.")
_crontab_option = click.option(
    "--crontab", "in_crontab", is_flag=True, help="Lines in your crontab, in place of units."
)
_folder_option = click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), help="Another folder than systemd's own for units."
)


@schedule.command(
    short_help="Write systemd units that call drp each minute.",
    epilog=epilog("drp schedule install --print", "sudo drp schedule install --start", "drp schedule install --user"),
)
@_user_option
@_crontab_option
@_folder_option
@click.option("--print", "only_print", is_flag=True, help="Print what would be written; write nothing.")
@click.option("--start", is_flag=True, help="Also enable and start the units now.")
@click.pass_context
def install(
    ctx: click.Context, for_user: bool, in_crontab: bool, folder: Path | None, only_print: bool, start: bool
) -> None:
    """Write systemd units that call drp each minute and keep `drp watch` running; or lines for cron.

    The units run as the owner of the workspace and may write to nothing but its var/. Without --start they are written
    and not started; the commands for that are printed. A unit for `drp daemon` is there too, for who prefers it.
    """
    from drp.wiring import callers_of

    if in_crontab and (for_user or folder or start):
        raise UsageError("--crontab stands alone", hint="lines in a crontab need no --user, --folder or --start")
    if folder and start:
        raise UsageError("units in another folder cannot be started", hint="leave out --folder or --start")
    callers = callers_of(Path(ctx.find_root().obj), for_system=not for_user)
    if in_crontab:
        if only_print:
            click.echo(callers.crontab(), nl=False)
            return
        callers.install_crontab()
        click.echo("drp's lines are in your crontab (crontab -l); away with them: drp schedule remove --crontab")
        return
    if only_print:
        for name, text in callers.units().items():
            click.echo(f"# --- {name}\n{text}")
        return
    for path in callers.write(folder or callers.folder):
        click.echo(f"wrote {path}")
    if start:
        callers.start()
        click.echo(f"started {', '.join(callers.to_start)}")
        return
    manager = "systemctl --user" if for_user else "systemctl"
    click.echo(f"Nothing was started. Start them:\n  {manager} daemon-reload")
    click.echo(f"  {manager} enable --now {' '.join(callers.to_start)}")
    if for_user:
        click.echo("So that they run when you are not logged in:  loginctl enable-linger")
    click.echo(f"In place of the timers, one process:  {manager} enable --now {callers.settings.prefix}-daemon.service")


@schedule.command(epilog=epilog("sudo drp schedule remove", "drp schedule remove --crontab"))
@_user_option
@_crontab_option
@_folder_option
@click.pass_context
def remove(ctx: click.Context, for_user: bool, in_crontab: bool, folder: Path | None) -> None:
    """Stop and remove what `drp schedule install` has written. What drp is doing now goes on."""
    from drp.wiring import callers_of

    if in_crontab and (for_user or folder):
        raise UsageError("--crontab stands alone", hint="lines in a crontab need no --user and no --folder")
    callers = callers_of(Path(ctx.find_root().obj), for_system=not for_user)
    if in_crontab:
        there = callers.remove_crontab()
        click.echo("drp's lines are out of your crontab" if there else "your crontab has no lines of drp")
        return
    removed = callers.remove(folder or callers.folder)
    for path in removed:
        click.echo(f"removed {path}")
    if not removed:
        click.echo(f"no units of this workspace in {folder or callers.folder}")
