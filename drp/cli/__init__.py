"""The command line: parse, call a workflow, print. Commands are imported when they are used, so help comes at once."""

from __future__ import annotations

import gc
import importlib
import io
import sys
from typing import Any

import click

from drp.errors import CancelledError, DrpError, ExitCode, InvalidInventoryError

EXIT_CODES = """\b
Exit codes:
  0 done · 1 failed · 2 usage · 3 incomplete (some of it failed)
  4 verdict other than MET or an accepted exception
  10 invalid inventory · 11 busy · 12 tool or site unreachable
  13 integrity (tampered or damaged) · 130 cancelled or aborted"""

# Name, module, and what `drp --help` says: kept here so that help needs none of the modules.
_COMMANDS = {
    "init": ("workspace", "Make a new workspace to fill in."),
    "validate": ("workspace", "Check all files of the workspace; every fault at once."),
    "plan": ("plan", "Show what a recovery would do, how long it would take, and whether that is in time."),
    "graph": ("graph", "Draw what depends on what; what goes down with a service, host, link or site."),
    "inventory": ("inventory", "List, show, compare and import what is declared."),
    "status": ("status", "Show what would be lost now, and what was proved."),
    "backup": ("backup", "Back services up to the DR centre; list restore points."),
    "schedule": ("schedule", "Show and do what is due; set up what calls drp."),
    "restore": ("restore", "Bring data back: a service, a dataset, a file; and prove that it can be done."),
    "daemon": ("daemon", "Do what is due, all the time, in the foreground."),
    "notify": ("notify", "Tell people, by the addresses in drp.yaml."),
    "dr-centre": ("dr_centre", "Check a DR centre; print what its keys may do."),
    "watch": ("watch", "Look at the services from outside, all the time."),
    "drill": ("recovery", "Rehearse a recovery while production runs."),
    "failover": ("recovery", "Recover services at the recovery site, for real."),
    "switchover": ("moves", "Move services to the recovery site as planned; nothing is lost."),
    "failback": ("moves", "Bring services home to the primary site; nothing is lost."),
    "run": ("runs", "List, show, resume or abort runs; answer steps that wait for a person."),
    "runbook": ("runbook", "List runbooks, and print them for people."),
    "report": ("report", "Write and verify reports of recoveries."),
    "lab": ("lab", "Run the workspace's hosts on this machine, to try things out."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"drp.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.command(cls=LazyGroup, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--workspace", "-w", default=".", metavar="FOLDER", help="The workspace; default: the nearest drp.yaml upwards."
)
@click.version_option(package_name="drp", message="drp %(version)s")
@click.pass_context
def drp(ctx: click.Context, workspace: str) -> None:
    """Business continuity and disaster recovery: backed up, rehearsed, measured, proved.

    \b
    Example, a first look in the lab:
      drp lab up && drp backup run pengaduan && drp drill run pengaduan
    """
    ctx.obj = workspace


def main(arguments: list[str] | None = None) -> None:
    """Run drp. Every DrpError becomes a message and its exit code; nothing else is caught."""
    gc.set_threshold(50_000)  # what is imported stays; looking through it for garbage took a twentieth of the time
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal or a name that is no UTF-8 ends nothing
    try:
        code = drp.main(args=arguments, prog_name="drp", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("cancelled", err=True)
        sys.exit(ExitCode.CANCELLED)
    except InvalidInventoryError as error:
        show_faults(error)
        sys.exit(error.exit_code)
    except DrpError as error:
        show_error(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away, as with `| head`
        sys.exit(ExitCode.FAILED)
    sys.exit(_as_code(code))


def show_error(error: DrpError) -> None:
    """What failed, where, and what to do next, on standard error."""
    word = "cancelled" if isinstance(error, CancelledError) else "error"
    click.echo(f"{click.style(word, fg='red', bold=True)}: {error}", err=True)
    if error.hint:
        click.echo(f"next: {error.hint}", err=True)


def show_faults(error: InvalidInventoryError) -> None:
    """All faults of an inventory, one paragraph each."""
    for fault in error.faults:
        click.echo(f"{click.style(fault.where, bold=True)}: {fault.message}", err=True)
        if fault.hint:
            click.echo(f"    → {fault.hint}", err=True)
    show_error(error)


def _as_code(value: Any) -> int:
    return int(value) if isinstance(value, int) else int(ExitCode.DONE)
