"""drp plan"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from drp.cli.common import count_of, epilog, json_option, print_json, print_table, world_of
from drp.domain.values import milliseconds, show_duration, show_expected, show_rate, show_size
from drp.errors import ExitCode

if TYPE_CHECKING:
    from drp.domain.forecasts.estimates import Estimate
    from drp.domain.forecasts.feasibility import Shortfall
    from drp.domain.forecasts.forecast import ExpectedService, ExpectedStep, Forecast
    from drp.workflows.plan import PlanReport

MOST_ROWS = 100
_SIGNS = {"measured": "", "computed": " c", "declared": " d", "unknown": "?"}
_STAGES = ("restore", "activate", "verify", "trial", "cutover", "usable")


@click.command(epilog=epilog("drp plan", "drp plan pengaduan --scenario site-loss --steps", "drp plan --json"))
@click.argument("services", nargs=-1)
@click.option("--scenario", "--runbook", "runbook", default="site-loss", metavar="RUNBOOK", help="[site-loss]")
@click.option("--drill", is_flag=True, help="Plan the rehearsal instead of the failover: without the traffic switch.")
@click.option("--steps", is_flag=True, help="Show every step with its estimate and where that comes from.")
@click.option("--all", "all_rows", is_flag=True, help=f"Show all services, also where there are over {MOST_ROWS}.")
@json_option
@click.pass_context
def plan(
    ctx: click.Context, services: tuple[str, ...], runbook: str, drill: bool, steps: bool, all_rows: bool, as_json: bool
) -> int:
    """Show what the recovery of SERVICES (default: all) would do, and whether it would be in time. Starts nothing.

    Every estimate says where it comes from: measured in a run, computed from sizes and lines, or declared. Ends with
    4 if an RTO or an RPO cannot be kept, if something cannot be recovered, or if nobody can know.
    """
    from drp.workflows.plan import plan as make_plan

    report = make_plan(world_of(ctx, whole=True), services, runbook, "drill" if drill else "failover")
    if as_json:
        print_json(_record(report))
    else:
        _print(report, steps=steps, all_rows=all_rows)
    return ExitCode.DONE if report.feasible else ExitCode.NOT_MET


def _print(report: PlanReport, *, steps: bool, all_rows: bool) -> None:
    expected = report.forecast
    people = expected.people
    parts = (("detect", people.detect), ("decide", people.decide), ("mobilise", people.mobilise))
    told = ", ".join(f"{name} {_shown(part, signed=False)} ({part.basis})" for name, part in parts)
    click.echo(f"{expected.kind} of {count_of(len(expected.services), 'service')} by runbook {expected.runbook}")
    click.echo(f"people first: {told}\n")
    rows = list(expected.services.values())
    if len(rows) > MOST_ROWS and not all_rows:
        late = {name for item in report.shortfalls for name in item.services}
        rows = [row for row in rows if row.service in late][:MOST_ROWS]
        click.echo(f"{len(expected.services)} services are too many to show; here those with a shortfall (--all: all)")
    rows.sort(key=lambda row: (row.wave, row.service))
    _print_waves(expected, rows)
    if steps:
        _print_steps(expected, rows)
    _print_objectives(rows)
    _print_path(expected)
    if expected.elsewhere:
        click.echo(f"run by others, not in this plan: {', '.join(expected.elsewhere)}")
    _print_shortfalls(report)


def _print_waves(expected: Forecast, rows: Iterable[ExpectedService]) -> None:
    table = []
    stages = [stage for stage in _STAGES if stage != "trial" or expected.attempts > 1]
    for row in rows:
        own = {step.step.stage: step for step in expected.steps_of(row.service)}
        needs = [need.rpartition("/")[0] for need in own["activate"].step.needs]
        needs = [need for need in needs if need != row.service]
        size = "?" if row.size is None else show_size(row.size)
        cells = [_shown(own[stage].estimate) if stage in own else "" for stage in stages]
        alone, shared = own["restore"].estimate.duration, own["restore"].end
        if alone is not None and shared > alone:
            cells[0] = f"{show_expected(shared)} shared"
        table.append([str(row.wave), row.service, ", ".join([*needs, *row.elsewhere]), size, *cells])
    print_table("Steps by wave", ["wave", "service", "waits for", "data", *stages], table)
    click.echo("shared: with all restores on the line at once · c computed · d declared · ? unknown · else measured\n")
    if expected.attempts > 1:
        click.echo(
            "counted is the first restore point, with its trial; each one whose data proves bad costs restore, start"
            f" and trial once more (up to {expected.attempts} are tried)\n"
        )


def _print_steps(expected: Forecast, rows: Sequence[ExpectedService]) -> None:
    table = [
        [
            step.step.id,
            ", ".join(step.step.needs),
            show_expected(step.start),
            ("" if step.certain else "≥ ") + show_expected(step.end),
            _shown(step.estimate, signed=False),
            f"{step.estimate.basis}: {step.estimate.text}",
        ]
        for row in rows
        for step in expected.steps_of(row.service)
    ]
    columns = ["step", "needs", "starts after", "ends after", "alone", "estimate"]
    print_table("Steps, counted from the first", columns, table)
    orders = [f"{row.service}: {', '.join(row.datasets)}" for row in rows if len(row.datasets) > 1]
    if orders:
        click.echo(f"each host restores its datasets in the declared order: {'; '.join(orders)}\n")


def _print_objectives(rows: Iterable[ExpectedService]) -> None:
    table = []
    for row in rows:
        loss = row.loss.rpa
        rpa = "unknown" if loss is None else show_expected(loss)
        rta = ("" if row.certain else "≥ ") + show_expected(row.rta)
        objectives = row.objectives
        table.append(
            [
                row.service,
                rta,
                show_duration(objectives.rto),
                str(row.rto_outlook),
                rpa,
                show_duration(objectives.rpo),
                str(row.rpo_outlook),
            ]
        )
    columns = ["service", "expected RTA", "RTO", "outlook", "worst RPA", "RPO", "outlook"]
    print_table("Expected against promised, from the disruption on", columns, table)


def _print_path(expected: Forecast) -> None:
    chain = expected.critical_path()
    if not chain:
        return
    shown = " → ".join(f"{step.step.id} {_took(step)}" for step in chain)
    click.echo(f"\ncritical path: {shown}")
    bound, makespan = expected.lower_bound, expected.makespan
    ratio = f" ({makespan / bound:.2f} times the lower bound of {show_expected(bound)})" if bound else ""
    least = "" if all(step.certain for step in expected.steps.values()) else "at least "
    click.echo(f"all usable {least}{show_expected(makespan)} after the first step{ratio}")
    for (centre, site), channel in expected.channels.items():
        if site == "recovery" and channel.capacity is not None:
            time = max((expected.line_times.get(name, timedelta()) for name, _ in channel.parts), default=timedelta())
            click.echo(
                f"line from {centre} to the recovery site: {show_rate(channel.capacity)} ({channel.narrowest});"
                f" all data over it: {show_expected(time)}"
            )


def _print_shortfalls(report: PlanReport) -> None:
    if report.feasible:
        click.echo(click.style("feasible: every RTO and RPO can be kept, if the estimates hold", fg="green"))
        return
    certain = any(item.outlook == "NOT_FEASIBLE" for item in report.shortfalls)
    word = "Not feasible" if certain else "Not known to be feasible"
    click.echo(click.style(f"\n{word}: {count_of(len(report.shortfalls), 'shortfall')}", fg="red", bold=True))
    for (code, hint), items in _grouped(report.shortfalls).items():
        click.echo(click.style(f"{code}", bold=True))
        for item in items[:MOST_ROWS]:
            names = ", ".join(item.services[:5]) + (f" … ({len(item.services)})" if len(item.services) > 5 else "")
            click.echo(f"  {names}: {item.message}")
        if len(items) > MOST_ROWS:
            click.echo(f"  … and {len(items) - MOST_ROWS} more (--json lists all)")
        click.echo(f"    → {hint}")


def _grouped(shortfalls: Iterable[Shortfall]) -> dict[tuple[str, str], list[Shortfall]]:
    """Shortfalls with the same code and the same way out, together."""
    grouped: dict[tuple[str, str], list[Shortfall]] = {}
    for item in shortfalls:
        grouped.setdefault((item.code, item.hint), []).append(item)
    return grouped


def _took(step: ExpectedStep) -> str:
    known = step.estimate.duration is not None
    return show_expected(step.end - step.start) if known else "?"


def _shown(estimate: Estimate, *, signed: bool = True) -> str:
    sign = _SIGNS[estimate.basis] if signed else ""
    return "?" if estimate.duration is None else show_expected(estimate.duration) + sign


def _ms(duration: timedelta | None) -> int | None:
    return None if duration is None else milliseconds(duration)


def _record(report: PlanReport) -> dict[str, Any]:
    expected = report.forecast
    return {
        "kind": expected.kind,
        "runbook": expected.runbook,
        "feasible": report.feasible,
        "people": {name: _estimate_record(getattr(expected.people, name)) for name in ("detect", "decide", "mobilise")},
        "makespan_ms": _ms(expected.makespan),
        "lower_bound_ms": _ms(expected.lower_bound),
        "restore_points_tried_at_most": expected.attempts,
        "critical_path": [step.step.id for step in expected.critical_path()],
        "services": [_service_record(row) for row in expected.services.values()],
        "steps": [_step_record(step) for step in expected.steps.values()],
        "cannot_recover": {name: [gap.text for gap in gaps] for name, gaps in expected.cannot.items()},
        "elsewhere": list(expected.elsewhere),
        "shortfalls": [
            {
                "code": item.code,
                "promise": item.promise,
                "outlook": str(item.outlook),
                "services": list(item.services),
                "message": item.message,
                "hint": item.hint,
            }
            for item in report.shortfalls
        ],
    }


def _estimate_record(estimate: Estimate) -> dict[str, Any]:
    return {"duration_ms": _ms(estimate.duration), "basis": str(estimate.basis), "text": estimate.text}


def _service_record(row: ExpectedService) -> dict[str, Any]:
    return {
        "service": row.service,
        "wave": row.wave,
        "bytes": row.size,
        "datasets_in_order": list(row.datasets),
        "expected_rta_ms": _ms(row.rta),
        "expected_rta_is_lower_bound": not row.certain,
        "rto_ms": _ms(row.objectives.rto),
        "rto_outlook": str(row.rto_outlook),
        "schedule_gap_ms": _ms(row.loss.gap),
        "arrival": _estimate_record(row.loss.arrival),
        "worst_rpa_ms": _ms(row.loss.rpa),
        "rpo_ms": _ms(row.objectives.rpo),
        "rpo_outlook": str(row.rpo_outlook),
        "lost_dependencies": list(row.lost_dependencies),
        "dependencies_elsewhere": list(row.elsewhere),
    }


def _step_record(step: ExpectedStep) -> dict[str, Any]:
    return {
        "step": step.step.id,
        "needs": list(step.step.needs),
        "starts_after_ms": _ms(step.start),
        "ends_after_ms": _ms(step.end),
        "alone_ends_after_ms": _ms(step.alone_end),
        "certain": step.certain,
        "waits_for": step.waits_for,
        "estimate": _estimate_record(step.estimate),
    }
