"""Where a plan cannot keep its promises, and what stands in the way: people, data and lines, the chain of
dependencies, or the schedule of the backups. Said before the disaster, when something can still be done about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from drp.domain.forecasts.data_loss import DAY, daily_times
from drp.domain.forecasts.estimates import Estimate, History
from drp.domain.forecasts.forecast import ExpectedService, ExpectedStep, Forecast, Outlook
from drp.domain.forecasts.transfer import Channel
from drp.domain.inventory import City
from drp.domain.protection.gaps import backup_of
from drp.domain.values import show_expected, show_size

LARGEST_NAMED = 3

_HINTS = {
    "recovery-host-missing": "add the host to inventories/hosts.yaml, or name another one under recovers_on",
    "no-line": "declare or repair the line in inventories/network.yaml",
}

Promise = Literal["recovery", "rto", "rpo", "capacity"]


@dataclass(frozen=True, slots=True)
class Shortfall:
    """One promise that cannot be kept, or about which nobody can know (`outlook`). `services` are those it hits;
    `code` is a stable name for programs."""

    code: str
    promise: Promise
    outlook: Outlook
    services: tuple[str, ...]
    message: str
    hint: str


def shortfalls_of(city: City, expected: Forecast, history: History) -> list[Shortfall]:
    """Everything that stands in the way: first what cannot be recovered at all, then RTOs, RPOs, capacities."""
    found = list(_nothing_planned(expected))
    found += _unrecoverable(expected)
    found += _people(expected)
    sharing = _sharing(expected)
    for service in expected.services.values():
        found += _rto(expected, service, sharing)
    daily = {part: needed for part, needed in daily_times(city, expected.channels).items() if needed > DAY}
    for service in expected.services.values():
        found += _rpo(city, expected, service, daily)
    found += _overloaded_uplinks(city, expected, daily)
    found += _contracts(city, expected, history)
    return found


def _nothing_planned(expected: Forecast) -> Iterator[Shortfall]:
    if not expected.services and not expected.cannot:
        text = "nothing of it stands at the primary site, so nothing here brings it back"
        hint = "ask those who run it how they recover it; or name a service of the primary site"
        yield Shortfall("nothing-planned", "recovery", Outlook.UNKNOWN, expected.elsewhere, text, hint)


def _unrecoverable(expected: Forecast) -> Iterator[Shortfall]:
    for name, gaps in expected.cannot.items():
        for gap in gaps:
            hint = _HINTS.get(
                gap.code, "complete their files in inventories/services; until then a site loss ends them"
            )
            yield Shortfall(gap.code, "recovery", Outlook.NOT_FEASIBLE, (name,), gap.text, hint)
    for service in expected.services.values():
        if service.lost_dependencies:
            names = ", ".join(service.lost_dependencies)
            yield Shortfall(
                "needs-unrecoverable",
                "rto",
                Outlook.NOT_FEASIBLE,
                (service.service,),
                f"it needs {names}, which cannot be recovered",
                "protect what it needs, or remove the dependency if it works without",
            )


def _people(expected: Forecast) -> Iterator[Shortfall]:
    if not expected.people.certain and expected.services:
        yield Shortfall(
            "people-time-unknown",
            "rto",
            Outlook.UNKNOWN,
            tuple(expected.services),
            f"runbook {expected.runbook} does not say how long people need to decide and to mobilise",
            "add `people: {decide: 15m, mobilise: 30m}` to the runbook; RTA counts from the disruption",
        )


def _rto(expected: Forecast, service: ExpectedService, sharing: str) -> Iterator[Shortfall]:
    name, rto = service.service, service.objectives.rto
    if service.rta <= rto:
        unknown = _unknown_step(expected, name)
        if unknown:
            yield Shortfall(
                "step-unknown",
                "rto",
                Outlook.UNKNOWN,
                (name,),
                f"{_why_unknown(expected, unknown)}: the recovery takes at least {show_expected(service.rta)}",
                "declare sizes and estimates in the service's file, or measure it: drp drill run " + name,
            )
        return
    code, cause, hint = _cause(expected, service, sharing)
    people = expected.people.total
    parts = f"people {show_expected(people)}, machines {show_expected(service.rta - people)}"
    over = f"expected {show_expected(service.rta)} ({parts}), RTO {show_expected(rto)}"
    yield Shortfall(code, "rto", Outlook.NOT_FEASIBLE, (name,), f"{over}: {cause}", hint)


def _unknown_step(expected: Forecast, service: str) -> str:
    """The first step without an estimate on the way of a service; empty if people are all that is unknown."""
    step = expected.steps[f"{service}/usable"]
    if step.certain:
        return ""
    while uncertain := [need for need in step.step.needs if not expected.steps[need].certain]:
        step = expected.steps[uncertain[0]]
    return step.step.id


def _why_unknown(expected: Forecast, step: str) -> str:
    if expected.steps[step].estimate.duration is None:
        return f"nobody knows how long {step} takes"
    silent = [name for name in expected.services if expected.steps[f"{name}/restore"].estimate.duration is None]
    return f"it shares the line with restores about which nothing is known: {', '.join(silent[:LARGEST_NAMED])}"


def _cause(expected: Forecast, service: ExpectedService, sharing: str) -> tuple[str, str, str]:
    """What makes a service late, the simplest explanation first: (code, cause, what to do)."""
    name, rto = service.service, service.objectives.rto
    people = expected.people.total
    if people >= rto:
        text = f"people alone need {show_expected(people)} to detect, decide and mobilise"
        return "people-too-slow", text, "decide faster (who may declare, and when), or agree on another RTO"
    own = expected.steps_of(name)
    restore = expected.steps[f"{name}/restore"].estimate
    alone = sum((step.estimate.duration or timedelta() for step in own), timedelta())
    if people + (restore.duration or timedelta()) > rto:
        text = f"its restore alone takes {show_expected(restore.duration or timedelta())} ({restore.text})"
        return "data-too-large", text, "widen the line, keep less data in the service, or agree on another RTO"
    if people + alone > rto:
        text = f"its own steps take {show_expected(alone)}: {_parts(own)}"
        return "steps-too-long", text, "shorten the longest of these steps, or agree on another RTO"
    last = expected.steps[f"{name}/usable"]
    chain = " → ".join(dict.fromkeys(step.step.service for step in expected.critical_path(last.step.id)))
    if people + last.alone_end > rto:
        text = f"the chain of what it waits for takes {show_expected(last.alone_end)}: {chain}"
        return "critical-path", text, "give what it depends on a shorter recovery, or remove a dependency"
    through = f" (through {chain})" if chain != name else ""
    text = f"{sharing}; with the line for itself it would be {show_expected(people + last.alone_end)}{through}"
    return "shared-line", text, "widen that line, restore less at once, or agree on another RTO"


def _parts(own: Sequence[ExpectedStep]) -> str:
    return ", ".join(f"{step.step.stage} {show_expected(step.estimate.duration or timedelta())}" for step in own)


def _sharing(expected: Forecast) -> str:
    if not expected.line_times:
        return "all restores run at once"
    part, needed = max(expected.line_times.items(), key=lambda item: item[1])
    sized = sorted(expected.services.values(), key=lambda item: -(item.size or 0))[:LARGEST_NAMED]
    largest = ", ".join(f"{item.service} {show_size(item.size or 0)}" for item in sized)
    total = sum(item.size or 0 for item in expected.services.values())
    return (
        f"{len(expected.services)} restores share {part}, which needs {show_expected(needed)} for {show_size(total)}"
        f" (largest: {largest})"
    )


def _rpo(
    city: City, expected: Forecast, service: ExpectedService, overloaded: Mapping[str, timedelta]
) -> Iterator[Shortfall]:
    name, rpo, loss = service.service, service.objectives.rpo, service.loss
    backup = backup_of(city.services[name])
    uplink = expected.channels[backup.dr_centre, "primary"]

    def shortfall(code: str, outlook: Outlook, message: str, hint: str) -> Shortfall:
        return Shortfall(code, "rpo", outlook, (name,), message, hint)

    if not uplink.exists:
        text = f"no line connects the primary site with DR centre {backup.dr_centre}: no backup can arrive"
        yield shortfall(
            "no-uplink", Outlook.NOT_FEASIBLE, text, "declare or repair the line in inventories/network.yaml"
        )
    elif loss.gap is None:
        text = "no schedule is declared, so nobody knows how old the newest backup would be"
        yield shortfall("no-schedule", Outlook.UNKNOWN, text, "add schedule: under backup:, such as `every 15m`")
    elif loss.gap > rpo:
        text = f"RPO {show_expected(rpo)}, but the schedule `{backup.schedule}` leaves up to {show_expected(loss.gap)}"
        yield shortfall("schedule-too-rare", Outlook.NOT_FEASIBLE, text, "back up more often, or agree on another RPO")
    elif loss.arrival.duration is None:
        text = f"nobody knows how long a backup takes to arrive; the schedule alone leaves {show_expected(loss.gap)}"
        yield shortfall("arrival-unknown", Outlook.UNKNOWN, text, "declare daily_change and the line, or back up once")
    elif loss.arrival.duration > loss.gap and loss.gap + loss.arrival.duration <= rpo:
        if any(part in overloaded for part, _ in uplink.parts):
            return  # that is told of the line
        text = (
            f"a backup needs {show_expected(loss.arrival.duration)} to arrive, and the next one starts after"
            f" {show_expected(loss.gap)} ({loss.arrival.text})"
        )
        yield shortfall("slower-than-schedule", Outlook.NOT_FEASIBLE, text, "widen the line, or start backups apart")
    elif loss.gap + loss.arrival.duration > rpo:
        yield _late_arrival(service, loss.gap, loss.arrival.duration, loss.arrival, uplink, backup.schedule or "")


def _late_arrival(
    service: ExpectedService, gap: timedelta, arrival: timedelta, estimate: Estimate, uplink: Channel, schedule: str
) -> Shortfall:
    rpo, alone = service.objectives.rpo, service.loss.alone
    together = alone is not None and gap + alone <= rpo and arrival > alone
    text = (
        f"expected loss up to {show_expected(gap + arrival)}, RPO {show_expected(rpo)}: schedule `{schedule}` leaves"
        f" {show_expected(gap)}, and a backup needs {show_expected(arrival)} to arrive ({estimate.text})"
    )
    hint = "start backups at different times, " if together else "back up more often, "
    hint += f"widen {uplink.narrowest}, or agree on another RPO" if uplink.parts else "or agree on another RPO"
    code = "shared-uplink" if together else "schedule-and-transfer"
    return Shortfall(code, "rpo", Outlook.NOT_FEASIBLE, (service.service,), text, hint)


def _overloaded_uplinks(city: City, expected: Forecast, overloaded: Mapping[str, timedelta]) -> Iterator[Shortfall]:
    """A line that cannot carry in a day what changes in a day falls behind for ever."""
    for part, needed in overloaded.items():
        users = [name for name in expected.services if _sends_over(city, expected, name, part)]
        text = f"{part} needs {show_expected(needed)} for what all backups send over it in a day"
        hint = "widen the line, or back up less: the backups fall behind a little more every day"
        yield Shortfall("uplink-overloaded", "capacity", Outlook.NOT_FEASIBLE, tuple(users), text, hint)


def _sends_over(city: City, expected: Forecast, name: str, part: str) -> bool:
    uplink = expected.channels[backup_of(city.services[name]).dr_centre, "primary"]
    return any(other == part for other, _ in uplink.parts)


def _contracts(city: City, expected: Forecast, history: History) -> Iterator[Shortfall]:
    totals: Mapping[str, int] = _stored(city, expected, history)
    for name, total in totals.items():
        contract = city.workspace.dr_centres[name].contract
        if contract is not None and contract.capacity is not None and total > contract.capacity:
            users = tuple(item for item in expected.services if backup_of(city.services[item]).dr_centre == name)
            text = (
                f"one copy of all data is {show_size(total)}; the contract has room for {show_size(contract.capacity)}"
            )
            hint = "agree on more room with the provider; older restore points need room too"
            yield Shortfall("contract-capacity", "capacity", Outlook.NOT_FEASIBLE, users, text, hint)


def _stored(city: City, expected: Forecast, history: History) -> dict[str, int]:
    totals: dict[str, int] = {}
    for name in expected.services:
        centre = backup_of(city.services[name]).dr_centre
        totals[centre] = totals.get(centre, 0) + (history.size_of(city.services[name]) or 0)
    return totals
