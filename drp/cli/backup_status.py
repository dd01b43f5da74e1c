"""drp backup status"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from drp.cli.common import count_of, epilog, json_option, print_json, world_of, zone_of
from drp.cli.plain_table import print_plain_table
from drp.domain.values import milliseconds, show_size, to_stamp
from drp.errors import ExitCode

if TYPE_CHECKING:
    from drp.domain.protection.facts import Answer
    from drp.domain.protection.problems import Problem
    from drp.domain.protection.status import CentreStatus, CheckStatus, ProofStatus, ProtectionStatus
    from drp.ports import World

Show = Callable[[datetime], str]
MOST_PROBLEMS_SAID = 20
_STATUS_STYLES = {"MET": "green", "NOT_TESTED": "yellow"}


@click.command(
    short_help="Show how well services are protected: age, gaps, proof.",
    epilog=epilog("drp backup status", "drp backup status pengaduan", "drp backup status --json"),
)
@click.argument("services", nargs=-1)
@click.option("--details", is_flag=True, help="Everything of each service; as for one SERVICE alone.")
@click.option("--ask", is_flag=True, help="Ask the DR centres whether the newest restore points are still there.")
@json_option
@click.pass_context
def status(ctx: click.Context, services: tuple[str, ...], details: bool, ask: bool, as_json: bool) -> int:
    """Show how well SERVICES (default: all) are protected: the age of the newest data that has arrived at the DR
    centre, the worst gap of the last 30 days, size, repositories read back, restores proved.

    All of it is what the ledger knows; the daily preflight asks the DR centres themselves, and so does --ask, now: one
    that does not answer, or lacks a part of the newest restore point, is a breach too.

    Ends with 4 where anything is in breach: data at the DR centre or a copy older than it may be, a repository found
    bad or not read back within backups.proof.everything_within, a dataset not proved within
    backups.proof.restored_within, or one that is suddenly much smaller than it used to be
    (backups.least_size_percent). What was never proved is NOT_TESTED until that time is over, and ends with 0.
    """
    from drp.domain.protection.problems import problems_of
    from drp.workflows.backup_status import backup_status
    from drp.workflows.selection import services_for

    world = world_of(ctx)
    statuses = backup_status(world, services_for(world, services, "backup"))
    if ask:
        from drp.domain.protection.status import with_answers
        from drp.workflows.asking import ask as ask_centres

        answers = ask_centres(world, statuses)
        statuses = [with_answers(found, answers[found.service]) for found in statuses]
    show = _clock_of(world)
    problems = {found.service: problems_of(found) for found in statuses}
    if as_json:
        print_json([_record(found, problems[found.service]) for found in statuses])
    elif details or len(statuses) == 1:
        for found in statuses:
            _print_details(found, problems[found.service], show)
    else:
        _print_overview(statuses, problems, show)
    return ExitCode.NOT_MET if any(found.is_breached for found in statuses) else ExitCode.DONE


# -- overview --------------------------------------------------------------------------------------------------------


def _print_overview(statuses: Sequence[ProtectionStatus], problems: dict[str, list[Problem]], show: Show) -> None:
    from drp.domain.protection.problems import grouped

    rows = []
    for found in statuses:
        size = "–" if found.size is None else show_size(found.size)
        gap = "–" if found.gap is None else _roughly(found.gap.between)
        rpo = "–" if found.rpo is None else _roughly(found.rpo)
        row = [found.service, str(found.verdict), _age(found.main), rpo, gap, size, _read_back(found), _proved(found)]
        rows.append(row)
        rows += [
            [f"  at {copy.dr_centre}", str(copy.overall), _age(copy), *[""] * 5]
            for copy in found.centres
            if copy.is_copy
        ]
    columns = ["service", "status", "data age", "RPO", "gap in 30 d", "size", "read back", "proved"]
    print_plain_table(columns, rows, _styled)
    click.echo()
    groups = grouped(
        (problem for found in statuses for problem in problems[found.service]),
        lambda one: one.since and show(one.since),
    )
    for group in groups[:MOST_PROBLEMS_SAID]:
        _print_problem(f"{group.who}: ", group.first, show, group.hint)
    if len(groups) > MOST_PROBLEMS_SAID:
        click.echo(f"… and {count_of(len(groups) - MOST_PROBLEMS_SAID, 'more problem')}: drp backup status --details")


def _styled(column: int, cell: str) -> str:
    word = cell.strip()
    if column == 1:
        return click.style(cell, fg=_STATUS_STYLES.get(word, "red"), bold=True)
    return click.style(cell, fg="red", bold=True) if word in ("nothing", "never", "BAD") else cell


def _print_problem(before: str, problem: Problem, show: Show, hint: str = "") -> None:
    since = "" if problem.since is None else f" (since {show(problem.since)})"
    click.echo(f"{before}{_plain(problem.text)}{since}")
    click.echo(f"    → {_plain(hint or problem.hint)}")


def _plain(text: str) -> str:
    """What came from outside must not steer the terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def _age(centre: CentreStatus) -> str:
    return "nothing" if centre.age is None else _roughly(centre.age)


def _read_back(found: ProtectionStatus) -> str:
    """`BAD`; within what time everything was read back; or how far that has come."""
    if any(check.bad for check in found.checks):
        return "BAD"
    since = [check.covered_since for check in found.checks if check.covered_since is not None]
    if since and len(since) == len(found.checks):
        return f"all in {_roughly(found.at - min(since))}"
    good, parts = sum(check.good_parts for check in found.checks), sum(check.parts for check in found.checks)
    return f"{good} of {parts} parts" if parts else "never"


def _proved(found: ProtectionStatus) -> str:
    ages = [proof.age for proof in found.proofs if proof.age is not None]
    if not ages:
        return "never"
    return f"{_roughly(max(ages))} ago" if len(ages) == len(found.proofs) else f"{len(ages)} of {len(found.proofs)}"


def _roughly(duration: timedelta) -> str:
    from drp.domain.protection.problems import roughly

    return roughly(duration)


def _clock_of(world: World) -> Show:
    """Shows times in the organisation's time zone: `2026-11-20 14:00 WIB`."""
    zone = ZoneInfo(zone_of(world))
    return lambda instant: f"{instant.astimezone(zone):%Y-%m-%d %H:%M %Z}"


# -- details ---------------------------------------------------------------------------------------------------------


def _print_details(found: ProtectionStatus, problems: Sequence[Problem], show: Show) -> None:
    verdict = click.style(str(found.verdict), fg=_STATUS_STYLES.get(found.verdict, "red"), bold=True)
    click.echo(f"{click.style(found.service, bold=True)}: {verdict}, active at the {found.site} site")
    for name, text in _details(found, show):
        click.echo(f"  {name:<12}{_plain(text)}")
    for problem in problems:
        _print_problem("  ! ", problem, show)
    click.echo()


def _details(found: ProtectionStatus, show: Show) -> Iterator[tuple[str, str]]:
    for centre in found.centres:
        limit = f", RPO {_roughly(found.rpo)}" if found.rpo is not None and not centre.is_copy else ""
        old = "nothing" if centre.age is None else f"{_age(centre)} old"
        yield "copy" if centre.is_copy else "data", f"{old} at {centre.dr_centre}{limit}: {centre.verdict}"
        if centre.answer is not None:
            yield "", _answer(centre.answer)
        if centre.held is not None:
            times = f"data of {show(centre.held.sentinel_at)}, arrived {show(centre.held.arrived_at)}"
            yield "", f"{centre.held.restore_point}, {times}"
    if found.gap is not None:
        least = f"{_roughly(found.gap.between)} between data times; at worst {_roughly(found.gap.loss)} would be lost"
        yield "worst gap", f"{least}; known since {show(found.gap.since)}"
    if found.size is not None:
        growth = "growth is known after a week" if found.growth_per_week is None else _growth(found.growth_per_week)
        yield "size", f"{show_size(found.size)}, {growth}"
    yield "attempts", _attempts(found, show)
    for check in found.checks:
        yield "read back", _check(check, show)
    for proof in found.proofs:
        yield "proved", _proof(proof)
    for shrunk in found.shrunk:
        yield "smaller", f"{shrunk.size.dataset}: {shrunk.now} {shrunk.unit}, usually {shrunk.usual}"
    for level, text in found.preflight:
        yield "preflight", f"{level}: {text}"


def _answer(answer: Answer) -> str:
    if answer.unreachable:
        return "asked now, and it does not answer"
    return f"asked now: {len(answer.gone)} parts are gone" if answer.gone else "asked now: all of it is there"


def _growth(size: int) -> str:
    return f"{'−' if size < 0 else '+'}{show_size(abs(size))} a week"


def _attempts(found: ProtectionStatus, show: Show) -> str:
    attempts = found.attempts
    running = "" if attempts.running_since is None else f"one runs since {show(attempts.running_since)}; "
    missed = "" if found.missed_at is None else f"; missed since {show(found.missed_at)}"
    again = "no schedule makes the next" if attempts.next_try is None else f"next {show(attempts.next_try)}"
    if not attempts.run:
        return f"none yet; {again}{missed}"
    if not attempts.failures:
        return f"{running}the last one that ended was good ({attempts.run}); {again}{missed}"
    return f"{running}{attempts.failures} failed in a row ({attempts.run}); {again}{missed}"


def _check(check: CheckStatus, show: Show) -> str:
    place = f"{check.host} at {check.dr_centre}"
    if check.last is None:
        return f"{place}: never: {check.verdict}"
    what = f"part {check.last.part} of {check.last.parts}" if check.last.parts else "the structure"
    last = f"last {what} on {show(check.last.checked_at)}, {'good' if check.last.is_good else 'BAD'}"
    if check.covered_since is None:
        whole = f"{check.good_parts} of {check.parts} parts so far"
    else:
        whole = f"everything since {show(check.covered_since)}"
    return f"{place}: {last}; {whole}: {check.verdict}"


def _proof(proof: ProofStatus) -> str:
    if proof.proof is None or proof.age is None:
        since = (
            "" if proof.outdated is None else f" since its declaration was changed ({proof.outdated.run} was before)"
        )
        return f"{proof.dataset}: never{since}: {proof.verdict}"
    unbound = "" if proof.proof.declaration else "; of an older drp, so what was declared then is not known"
    how = f"by {proof.proof.how} of {proof.proof.restore_point}, {_roughly(proof.age)} ago"
    return f"{proof.dataset}: {how}{unbound}: {proof.verdict}"


# -- for programs ----------------------------------------------------------------------------------------------------


def _record(found: ProtectionStatus, problems: Sequence[Problem]) -> dict[str, Any]:
    attempts = found.attempts
    return {
        "service": found.service,
        "at": to_stamp(found.at),
        "active_site": found.site,
        "verdict": str(found.verdict),
        "rpo_ms": _ms(found.rpo),
        "dr_centres": [
            {
                "dr_centre": centre.dr_centre,
                "is_copy": centre.is_copy,
                "restore_point": centre.held.restore_point if centre.held else None,
                "data_at": to_stamp(centre.held.sentinel_at) if centre.held else None,
                "arrived_at": to_stamp(centre.held.arrived_at) if centre.held else None,
                "data_age_ms": _ms(centre.age),
                "failed_copies": centre.state.failures if centre.state else 0,
                "verdict": str(centre.overall),
                "asked": None
                if centre.answer is None
                else {"unreachable": centre.answer.unreachable or None, "gone": list(centre.answer.gone)},
            }
            for centre in found.centres
        ],
        "worst_gap_ms": _ms(found.gap.between) if found.gap else None,
        "worst_loss_ms": _ms(found.gap.loss) if found.gap else None,
        "worst_gap_known_since": to_stamp(found.gap.since) if found.gap else None,
        "bytes": found.size,
        "growth_bytes_per_week": found.growth_per_week,
        "checks": [_check_record(check) for check in found.checks],
        "proofs": [
            {
                "dataset": proof.dataset,
                "how": proof.proof.how if proof.proof else None,
                "restore_point": proof.proof.restore_point if proof.proof else None,
                "proved_at": to_stamp(proof.proof.proved_at) if proof.proof else None,
                "is_bound": proof.proof.declaration is not None if proof.proof else None,
                "outdated_run": proof.outdated.run if proof.outdated else None,
                "verdict": str(proof.verdict),
            }
            for proof in found.proofs
        ],
        "shrunk": [
            {"dataset": one.size.dataset, "unit": one.unit, "now": one.now, "usual": one.usual} for one in found.shrunk
        ],
        "failed_attempts": attempts.failures,
        "next_try": _stamp(attempts.next_try),
        "running_since": _stamp(attempts.running_since),
        "missed_at": _stamp(found.missed_at),
        "preflight": [{"level": level, "text": text} for level, text in found.preflight],
        "problems": [problem.record() for problem in problems],
    }


def _check_record(check: CheckStatus) -> dict[str, Any]:
    last = check.last
    return {
        "host": check.host,
        "dr_centre": check.dr_centre,
        "last": None
        if last is None
        else {"part": last.part, "parts": last.parts, "at": to_stamp(last.checked_at), "is_good": last.is_good},
        "good_parts": check.good_parts,
        "parts": check.parts,
        "everything_since": _stamp(check.covered_since),
        "bad": [{"part": bad.part, "parts": bad.parts, "at": to_stamp(bad.checked_at)} for bad in check.bad],
        "verdict": str(check.verdict),
    }


def _ms(duration: timedelta | None) -> int | None:
    return None if duration is None else milliseconds(duration)


def _stamp(instant: datetime | None) -> str | None:
    return None if instant is None else to_stamp(instant)


# -- preflight -------------------------------------------------------------------------------------------------------


@click.command(
    short_help="Look whether backups would find what they need.",
    epilog=epilog("drp backup preflight", "drp backup preflight pengaduan --recovery"),
)
@click.argument("services", nargs=-1)
@click.option("--recovery", is_flag=True, help="Look at the hosts that stand in, whether a recovery would work there.")
@json_option
@click.pass_context
def preflight(ctx: click.Context, services: tuple[str, ...], recovery: bool, as_json: bool) -> int:
    """Look whether backups of SERVICES (default: all) would find what they need: programs and their versions, database
    servers, disk space, repository, keys, certificates, clocks. Nothing is changed.

    With --recovery, whether the newest restore point could be loaded at the recovery site. Ends with 1 where something
    stands in the way, with 12 where a host could not be looked at.
    """
    from drp.workflows.preflight import BACKUP, RECOVERY
    from drp.workflows.preflight import preflight as look
    from drp.workflows.selection import services_for

    world = world_of(ctx)
    names = services_for(world, services, "recovery" if recovery else "backup")
    results = look(world, names, RECOVERY if recovery else BACKUP)
    if as_json:
        print_json(
            [
                {
                    "service": result.service,
                    "run": result.run,
                    "is_good": result.is_good,
                    "findings": [finding.record() for finding in result.all_findings],
                }
                for result in results
            ]
        )
    else:
        for result in results:
            word = click.style("ok", fg="green") if result.is_good else click.style("NOT READY", fg="red", bold=True)
            click.echo(f"{click.style(result.service, bold=True)}: {word}")
            for finding in result.all_findings:
                if finding.level == "ok" and len(results) > 1:
                    continue
                place = f"{finding.host}: " if finding.host else ""
                click.echo(f"  {finding.level:<8} {place}{_plain(finding.text)}")
                if finding.hint:
                    click.echo(f"           → {_plain(finding.hint)}")
    if any(result.unreachable for result in results):
        return ExitCode.UNREACHABLE
    return ExitCode.DONE if all(result.is_good for result in results) else ExitCode.FAILED
