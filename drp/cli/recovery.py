"""drp failover, drp drill"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import click

from drp.cli.common import (
    DURATION,
    INSTANT,
    authority_options,
    confirm_production,
    epilog,
    json_option,
    print_json,
    world_of,
)
from drp.cli.live import followed_world, plain_option
from drp.cli.selftest import run_with_fault, selftest
from drp.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from drp.domain.recovery.plan import RecoveryKind

Command = Callable[..., Any]


def _options(command: Command) -> Command:
    for option in reversed(
        [
            click.argument("services", nargs=-1),
            click.option("--runbook", default="site-loss", metavar="NAME", help="The scenario. [site-loss]"),
            click.option("--by", metavar="NAME", help="Who declares or leads it; default: the operating-system user."),
            click.option("--reason", metavar="TEXT", help="Why; printed in the report."),
            click.option("--hold", type=DURATION, help="How long the user path must hold; default: the runbook's."),
            click.option("--rto", type=DURATION, help="Judge by this RTO in this run; the report says so."),
            click.option("--rpo", type=DURATION, help="Judge by this RPO in this run; the report says so."),
            click.option("--restore-point", metavar="ID", help="Just this one. Default: the newest that has arrived."),
            click.option("--before", metavar="TIME", help='Nothing in the data is younger: "2026-11-20 14:00".'),
            click.option("--from", "from_centre", metavar="DR-CENTRE", help="Restore from the copy there."),
            click.option("--replace-existing", is_flag=True, help="Overwrite data found on the recovery host."),
            plain_option,
            json_option,
        ]
    ):
        command = option(command)
    return command


@click.command(
    epilog=epilog(
        "drp failover pengaduan",
        'drp failover pengaduan --yes --by "Ratna Kusumah" --reason "flood in the data centre"',
        'drp failover pengaduan --runbook database-corruption --before "2026-11-20 14:00" --fence --by "Ratna Kusumah"',
    )
)
@_options
@click.option("--disrupted-at", type=INSTANT, help="When it went, if no drp watch saw it.")
@click.option("--fence", is_flag=True, help="Close the primary hosts first, so that they stay closed.")
@click.option("--accept-unfenced", is_flag=True, help="Go on although primary hosts may still serve; in --by's name.")
@authority_options
@click.option("--yes", is_flag=True, help="Do not ask; needs --reason.")
@click.pass_context
def failover(ctx: click.Context, /, yes: bool, **options: Any) -> int:
    """Recover SERVICES (default: all) at the recovery site, for real, and measure it.

    Restores the newest restore point, activates, verifies, switches users' traffic, and waits until a probe from
    outside sees a working user path. A drill that has the recovery hosts is ended first, which is in the measured time.
    Where the runbook walks back (database-corruption, ransomware), a restore point whose data proves bad before users
    come is taken away again, and the next older one is tried. Ends with 0 if the objectives were met, with 4 otherwise.

    Whoever declares it (--by) must be entitled by the runbook, and whoever must agree to it must have. On a terminal
    it shows how far each service is beside its estimate and its RTO; --plain leaves lines alone.
    """
    return _recover(ctx, "failover", yes=yes, **options)


@click.group()
def drill() -> None:
    """Rehearse a recovery while production runs."""


drill.add_command(selftest)


@drill.command(
    short_help="Rehearse the recovery of services; production runs on.",
    epilog=epilog(
        "drp drill run pengaduan",
        "drp drill run pengaduan --hold 10s --rto 30s",
        "drp drill run --tabletop key-person-absent --lang id",
    ),
)
@_options
@click.option("--accept-unisolated", is_flag=True, help="Go on where a host cannot be isolated; in --by's name.")
@click.option("--tabletop", metavar="RUNBOOK", help="Walk people through its steps instead, and time them.")
@click.option("--lang", "language", type=click.Choice(["en", "id"]), default="en", help="Of the tabletop. [en]")
@click.option("--inject", metavar="FAULT", help="In the lab: break this meanwhile (drp lab fault lists what).")
@click.pass_context
def run(
    ctx: click.Context, /, tabletop: str | None, language: Literal["en", "id"], inject: str | None, **options: Any
) -> int:
    """Rehearse the recovery of SERVICES (default: all) at the recovery site; production is not touched.

    The recovery hosts are isolated meanwhile: what is restored there reaches neither production nor mail, and what it
    tries is counted. The disruption is simulated at the start; users' traffic stays where it is; what the drill built
    is removed at its end. A failover that needs its hosts ends it.

    Ends with 0 if the objectives were met, with 4 otherwise.

    On a terminal it shows how far each service is beside its estimate and its RTO; --plain leaves lines alone.

    A tabletop touches nothing: people say what they would do, step by step; times and remarks go into the ledger. It
    can be broken off and resumed. It proves no recovery, so that it ends with 4 (NOT_TESTED).

    With --inject the lab breaks something before the drill and mends it after. The drill is not told what. It must end
    with 4, and name the cause; where it does not, this command ends with 1.
    """
    if tabletop is not None:
        if inject is not None:
            raise UsageError("a tabletop touches nothing, so that nothing can be broken for it")
        return _talk(ctx, tabletop, language, options)
    nobody_asked: dict[str, Any] = {"approved_by": (), "accept_unauthorised": False}
    for_real = {"disrupted_at": None, "accept_unfenced": False, "fence": False, **nobody_asked}
    ordinary = {"yes": True, **for_real, **options}
    if inject is not None:
        return run_with_fault(ctx, inject, options["services"], lambda told: _recover(ctx, "drill", told, **ordinary))
    return _recover(ctx, "drill", **ordinary)


def _talk(ctx: click.Context, runbook: str, language: Literal["en", "id"], options: dict[str, Any]) -> int:
    from drp.cli.tabletop import Terminal
    from drp.cli.tabletop import finish as finish_tabletop
    from drp.workflows.tabletop import TalkRequest, hold

    world = world_of(ctx)
    leader = options["by"] or world.operator
    request = TalkRequest(runbook, options["services"], leader, options["reason"] or "tabletop exercise", language)
    return finish_tabletop(hold(world, request, Terminal(world, leader, language)), as_json=options["as_json"])


def _recover(
    ctx: click.Context,
    kind: RecoveryKind,
    told: Callable[[Any], None] | None = None,
    *,
    yes: bool,
    services: tuple[str, ...],
    runbook: str,
    by: str | None,
    reason: str | None,
    hold: timedelta | None,
    rto: timedelta | None,
    rpo: timedelta | None,
    restore_point: str | None,
    from_centre: str | None,
    replace_existing: bool,
    disrupted_at: datetime | None,
    accept_unfenced: bool,
    fence: bool,
    plain: bool,
    before: str | None,
    approved_by: tuple[str, ...],
    accept_unauthorised: bool,
    accept_unisolated: bool = False,
    as_json: bool,
) -> int:
    from drp.cli.restore_choice import moment_of
    from drp.workflows.recover import RecoveryRequest, recover
    from drp.workflows.selection import services_for

    world = followed_world(ctx, plain=plain)
    moment = moment_of(world, before, "--before")
    names = services_for(world, services, "recovery")
    if accept_unauthorised and not reason:
        raise UsageError("--accept-unauthorised needs --reason: the report must say why", hint='add --reason "…"')
    if kind == "failover":
        confirm_production(names, "failover", yes=yes, reason=reason)
    request = RecoveryRequest(
        kind=kind,
        services=names,
        runbook=runbook,
        by=by or world.operator,
        reason=reason or ("rehearsal" if kind == "drill" else "declared at the terminal"),
        hold=hold,
        rto=rto,
        rpo=rpo,
        disrupted_at=disrupted_at,
        restore_point=restore_point,
        from_centre=from_centre,
        replace_existing=replace_existing,
        accept_unfenced=accept_unfenced,
        fence=fence,
        before=moment,
        approved_by=approved_by,
        accept_unauthorised=accept_unauthorised,
        accept_unisolated=accept_unisolated,
    )
    recovery = recover(world, request)
    if told is not None:
        told(recovery)
    _report_ended(world, recovery, as_json=as_json)
    return finish(world, recovery, as_json=as_json)


def _report_ended(world: Any, recovery: Any, *, as_json: bool) -> None:
    """Write the reports of the drills that a failover has ended: nobody else may be left to do it."""
    from drp.wiring import write_report

    for body in recovery.ended_drills:
        paths = write_report(world, body["run"])
        if not as_json:
            click.echo(f"ended {body['run']}: {body['duration_ms'] / 1000:.1f} s, which is in RTA; report: {paths[0]}")


def finish(world: Any, recovery: Any, *, as_json: bool) -> int:
    """Write the report of an ended recovery, print its verdicts, and give the exit code."""
    from drp.cli.common import print_table
    from drp.domain.recovery.causes import causes_of, slow_restores
    from drp.domain.values import milliseconds, show_duration
    from drp.wiring import write_report

    rows, records = [], []
    for name, planned in recovery.plan.services.items():
        measured = recovery.measurement(name)
        at_least = measured.rta_at_least
        rta = _with_uncertainty(measured.rta, measured.rta_uncertainty)
        rta = f"≥ {show_duration(at_least)}, not recovered" if at_least is not None else rta
        rpa = _with_uncertainty(measured.rpa, measured.rpa_uncertainty)
        objectives = planned.objectives
        rows += [
            [name, "recovery time (RTA)", rta, f"RTO {show_duration(objectives.rto)}", str(measured.rto_verdict)],
            ["", "data loss (RPA)", rpa, f"RPO {show_duration(objectives.rpo)}", str(measured.rpo_verdict)],
            ["", "recovered data", _data_text(recovery, name), "as backed up", str(measured.data_verdict)],
            ["", "verdict", "", "", str(measured.verdict)],
        ]
        records.append(
            {
                "service": name,
                "verdict": str(measured.verdict),
                "rta_ms": None if measured.rta is None else milliseconds(measured.rta),
                "rta_uncertainty_ms": _whole(measured.rta_uncertainty),
                "rpa_uncertainty_ms": _whole(measured.rpa_uncertainty),
                "rta_at_least_ms": None if at_least is None else milliseconds(at_least),
                "rpa_ms": None if measured.rpa is None else milliseconds(measured.rpa),
                "rto_ms": milliseconds(objectives.rto),
                "rpo_ms": milliseconds(objectives.rpo),
                "restore_point": None if (point := recovery.point_of(name)) is None else point.id,
                "turned_down": [
                    {"restore_point": item.restore_point, "step": item.step, "reason": item.reason}
                    for item in recovery.turned_down.get(name, ())
                ],
                "exceptions": [{"text": item.text, "accepted_by": item.accepted_by} for item in measured.exceptions],
            }
        )
    code = recovery.closed.body["exit_code"]
    causes = causes_of(recovery)
    if as_json:
        paths = write_report(world, recovery.run)
        print_json(
            {
                "run": recovery.run,
                "verdict": str(recovery.verdict()),
                "exit_code": code,
                "services": records,
                "causes": [cause.record() for cause in causes],
                "findings": [cause.record() for cause in slow_restores(recovery)],
                "report": [str(path) for path in paths],
            }
        )
        return int(code)
    print_table(f"{recovery.run}", ["service", "what", "measured", "objective", "verdict"], rows)
    for cause in causes:
        click.echo(f"cause: {cause.service}: {cause.text}")
    for finding in slow_restores(recovery):
        if finding not in causes:
            click.echo(f"finding: {finding.service}: {finding.text}")
    for record in records:
        for item in record["turned_down"]:
            click.echo(f"turned down: {record['service']}: {item['restore_point']}: {item['reason']}")
        for item in record["exceptions"]:
            accepted = f"accepted by {item['accepted_by']}" if item["accepted_by"] else "accepted by nobody"
            click.echo(f"exception: {record['service']}: {item['text']} ({accepted})")
    for path in write_report(world, recovery.run):
        click.echo(f"report: {path}")
    click.echo(f"last event hash: {recovery.events[-1].hash}")
    sys.stdout.flush()
    return int(code) if code is not None else int(ExitCode.FAILED)


def _with_uncertainty(measured: Any, uncertainty: Any) -> str:
    from drp.domain.values import show_measured

    if measured is None:
        return "not measured"
    return f"{show_measured(measured)} ± {'not measured' if uncertainty is None else show_measured(uncertainty)}"


def _whole(uncertainty: Any) -> int | None:
    """Whole milliseconds, rounded up."""
    from drp.domain.values import milliseconds

    return None if uncertainty is None else -milliseconds(-uncertainty)


def _data_text(recovery: Any, name: str) -> str:
    checks = recovery.checks.get(name, [])
    good = sum(check["ok"] for check in checks)
    return f"{good} of {len(checks)} checks agree" if checks else "not checked"
