"""drp inventory coverage"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from drp.cli.common import count_of, epilog, json_option, print_json, print_table, print_wrapped, world_of
from drp.errors import ExitCode

if TYPE_CHECKING:
    from drp.domain.dossiers.exercises import Cadence
    from drp.workflows.coverage import Coverage, ServiceCoverage

_MOST_SHOWN = 20


@click.command(
    short_help="Show who is protected and who is not, worst first.",
    epilog=epilog("drp inventory coverage", "drp inventory coverage --strict --json"),
)
@click.option("--strict", is_flag=True, help="End with 4 if a central service is unprotected or an exercise is late.")
@json_option
@click.pass_context
def coverage(ctx: click.Context, strict: bool, as_json: bool) -> int:
    """Show who is protected and who is not, worst first: every service, every agency, every figure with its whole.

    Protected means: the newest data at the DR centre is younger than the RPO. Proved means: a drill or a failover met
    the objectives, or named people accepted its exceptions. The exercise programme of drp.yaml says how often a tier
    is to be exercised; a full recovery counts for the levels functional and restore-test too. Aborted and unfinished
    recoveries count for nothing.

    Ends with 0; with --strict with 4 if a service at the city's own sites is not protected or an exercise is overdue
    or was never held; with 13 if the record of a recovery was changed, which then is not counted.
    """
    from drp.workflows.coverage import coverage as read_coverage

    found = read_coverage(world_of(ctx, whole=True))
    if as_json:
        print_json(found.record())
    else:
        _print_services(found)
        _print_agencies(found)
        _print_totals(found)
    if found.tampered:
        return ExitCode.INTEGRITY
    return ExitCode.NOT_MET if strict and found.wanting else ExitCode.DONE


def _print_services(found: Coverage) -> None:
    from drp.domain.dossiers.exercises import Standing

    extra = {
        Standing.NOT_BACKED_UP: ["why"],
        Standing.NOTHING_STORED: [],
        Standing.TOO_OLD: ["why"],
        Standing.NEVER_PROVED: ["data at risk", "why"],
        Standing.EXERCISE_LATE: ["data at risk"],
        Standing.COVERED: ["data at risk"],
    }
    for standing in Standing:
        rows = [service for service in found.services if service.standing is standing]
        if rows:
            columns = ["service", "agency", *extra[standing], "last proof"]
            columns += [] if standing is Standing.NOT_BACKED_UP else ["exercises"]
            title = f"{standing[0].upper()}{standing[1:]}: {len(rows)} of {len(found.services)}"
            print_table(title, columns, [[_cells(service)[column] for column in columns] for service in rows])


def _cells(service: ServiceCoverage) -> dict[str, str]:
    proof = service.last_proof
    return {
        "service": service.service,
        "agency": service.agency,
        "why": "; ".join(service.reasons),
        "data at risk": service.age_shown,
        "last proof": "never" if proof is None else f"{proof.kind} {proof.at:%Y-%m-%d}\n{proof.verdict}",
        "exercises": _exercises(service.cadences),
    }


def _exercises(cadences: Sequence[Cadence]) -> str:
    """A line for each kind of exercise, and one for all that were never held."""
    if not cadences:
        return "no programme"
    never = [cadence.level for cadence in cadences if cadence.state == "never"]
    lines = [
        f"{cadence.level} {_STATES[cadence.state]} {cadence.due_at:%Y-%m-%d}" for cadence in cadences if cadence.due_at
    ]
    if len(never) == len(cadences):
        return "never"
    return "\n".join([*lines, *([f"never: {', '.join(never)}"] if never else [])])


_STATES = {"overdue": "overdue since", "due": "due by", "current": "again by"}


def _print_agencies(found: Coverage) -> None:
    from drp.domain.findings import listed

    active = sorted(
        (agency for agency in found.agencies if agency.services), key=lambda agency: (agency.best, agency.protected)
    )
    rows = [
        [agency.agency, str(agency.services), str(agency.protected), str(agency.proved), str(agency.best)]
        for agency in active
    ]
    print_table("Agencies with services", ["agency", "services", "protected", "proved", "protected and proved"], rows)
    idle = [agency.agency for agency in found.agencies if not agency.services]
    if idle:
        print_wrapped(
            f"agencies without a registered service: {len(idle)} of {len(found.agencies)}: {listed(idle, 12)}"
        )


def _print_totals(found: Coverage) -> None:
    click.echo()
    for name, share in found.totals.items():
        click.echo(f"  {name:<48}{share.shown}")
    services = count_of(len(found.services), "registered service")
    click.echo(f"\nCounted: {services}, wherever they are hosted; not counted: none.")
    if found.not_counted:
        click.echo(f"Recoveries that count for nothing: {len(found.not_counted)}")
        for item in found.not_counted[:_MOST_SHOWN]:
            click.echo(f"  {item.run}: {click.style(item.reason, fg='red') if item.tampered else item.reason}")
        if len(found.not_counted) > _MOST_SHOWN:
            click.echo(f"  … and {len(found.not_counted) - _MOST_SHOWN} more (all: --json)")
