"""What each stage of a recovery does: how it is started, and what its result means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.checks import CheckType
from drp.domain.datasets import DatasetType, Procedure, read_dataset, with_snapshots
from drp.domain.events import Body
from drp.domain.protection.gaps import backup_of
from drp.domain.recovery.plan import Step
from drp.domain.recovery.probing import Sample, by_check, usable_again
from drp.domain.recovery.run import Recovery
from drp.domain.recovery.timeline import Mark
from drp.domain.recovery.verification import check_restored, newest_transaction, proved_datasets
from drp.domain.service import Service
from drp.domain.values import show_duration, to_stamp
from drp.errors import DrpError
from drp.ports import World
from drp.workflows.repository import ca_certificate, centre_named, secrets_of

Record = Callable[[str, Body], None]

NAMES = {
    "restore": "restoring",
    "activate": "activating",
    "verify": "verifying",
    "cutover": "switching traffic",
    "usable": "waiting until users can work again",
    "cleanup": "cleaning up",
}


def start(world: World, recovery: Recovery, step: Step, folder: Path) -> None:
    """Start a stage's outside action."""
    service = world.city.services[step.service]
    planned = recovery.plan.services[step.service]
    centre = centre_named(world, planned.restore_point.dr_centre)
    needs_secrets = step.stage == "restore"
    world.actions.start_playbook(
        folder,
        step.stage,
        planned.hosts,
        _variables(world, recovery, step),
        # Each host's own; a playbook gives a host no other's.
        {host: secrets_of(world, service, host, centre) for host in planned.hosts} if needs_secrets else {},
        ca_certificate(world.workspace, centre) if needs_secrets else "",
    )


def start_probe(world: World, recovery: Recovery, name: str, folder: Path) -> None:
    """Start trying a service's checks from outside, where its users will find it."""
    checks = world.city.services[name].checks
    world.actions.start_probe(
        folder,
        recovery.plan.services[name].address,
        [check.model_dump(mode="json") for check in checks],
        recovery.opened.body["baselines"].get(name, {}),
        check_secrets(world, name),
    )


def check_secrets(world: World, name: str) -> dict[str, str]:
    """What the checks of a service must know, by check."""
    return {
        check.id: world.secrets.read(check.secret, f"the password of check {check.id} of {name}")
        for check in world.city.services[name].checks
        if check.secret is not None
    }


def finish(recovery: Recovery, step: Step, messages: list[Body], record: Record) -> None:
    """Take down what an ended stage found. DrpError where it must count as failed although its process ended well."""
    if step.stage == "restore":
        _finish_restore(recovery, step, messages, record)
    elif step.stage == "cutover":
        record("site.activated", {"service": step.service, "site": "recovery", "reason": recovery.run})


def note_absence(recovery: Recovery, step: Step, messages: list[Body], record: Record) -> None:
    """Take down what the hosts held before anything was restored, as soon as all of them have told."""
    if step.stage != "restore" or step.service in recovery.absences:
        return
    results = [
        message["result"]
        for message in messages
        if message["event"] == "task" and "looked_for" in message.get("result", {})
    ]
    point = recovery.plan.services[step.service].restore_point
    if len(results) < len(datasets_of(point)):
        return
    looked_for = [f"{what} on {result['host']}" for result in results for what in result["looked_for"]]
    found = [f"{what} on {result['host']}" for result in results for what in result["found"]]
    record("absence.proved", {"service": step.service, "looked_for": looked_for, "found": found})
    if found and recovery.opened.body["replace_existing"]:
        text = f"the recovery host already held {', '.join(found)}; it was replaced"
        record("reservation", {"service": step.service, "text": text, "accepted_by": recovery.opened.body["by"]})


def _finish_restore(recovery: Recovery, step: Step, messages: list[Body], record: Record) -> None:
    point = recovery.plan.services[step.service].restore_point
    datasets = datasets_of(point)
    result: dict[str, Any] = {"parts": [], "datasets": {}}
    for message in messages:
        if message["event"] == "task" and "result" in message and "parts" in message["result"]:
            result["parts"] += message["result"]["parts"]
            result["datasets"] |= message["result"]["datasets"]
    checks = check_restored(point, [dataset.id for dataset in datasets], result)
    for check in checks:
        record("data.verified", check.record(step.service))
    newest = newest_transaction(point, result)
    if newest is not None:
        dated = sorted({dataset.dated_by for dataset in datasets})
        what = {"sentinel": f"sentinel, token {point.sentinel}", "freshness": "newest record, by its own query"}
        told = "; ".join(what[kind] for kind in dated if kind in what)
        evidence = f"the oldest of what dates the {len(datasets)} restored datasets ({told})"
        record(
            "mark",
            {"service": step.service, **Mark("Tb", newest, "automatic", evidence, point.clock_uncertainty).record()},
        )
    service = recovery.plan.services[step.service].service
    for name in proved_datasets(point, checks):
        body = {"service": service, "dataset": name, "how": recovery.plan.kind, "restore_point": point.id}
        record("proof.recorded", body)
    wrong = [check for check in checks if not check.ok]
    if wrong:
        first = wrong[0]
        text = f"dataset {first.dataset}: {first.check} is {first.actual} instead of {first.expected}"
        hint = "recover from an older restore point: drp backup list, then --restore-point"
        raise DrpError(text, where=step.id, hint=hint)


@dataclass(frozen=True, slots=True)
class FoundUse:
    """The user path works again: T5, and what keeps the finding from being beyond doubt."""

    marks: tuple[Mark, ...]
    reservations: tuple[str, ...]


def find_use(world: World, recovery: Recovery, service: str, probe: Path) -> FoundUse | None:
    """Look for T5 in the probe's samples; None while the user path has not held for the runbook's hold time.

    Only attempts after the verification count, and after traffic began to be switched: whatever answered before was
    not the recovered service. Where the primary had not been fenced, it may answer until the switch has ended.
    """
    verify, cutover = recovery.steps[f"{service}/verify"], recovery.steps.get(f"{service}/cutover")
    switched_at = (
        None if cutover is None else (cutover.ended_at if recovery.opened.body["unfenced"] else cutover.started_at)
    )
    ready_at = switched_at or verify.ended_at or recovery.opened_at
    checks = world.city.services[service].checks
    gaps = world.city.services[service].check_gaps
    hold = recovery.plan.hold
    samples = world.watch.run_samples(probe)
    found = usable_again(samples, gaps, after=ready_at, hold=hold)
    if found is None:
        return None
    samples_file = probe.relative_to(world.workspace) / "samples.jsonl"
    evidence = (
        f"outside probe, {_checks_named(checks, found.check)}, {samples_file}: {found.attempts} attempts without a"
        f" failure from {to_stamp(found.usable_at)} to {to_stamp(found.held_until)}, hold {show_duration(hold)}"
    )
    reservations = []
    activated_at = recovery.steps[f"{service}/activate"].started_at or ready_at
    blind = [name for name, of_check in by_check(samples, gaps).items() if _succeeded_before(of_check, activated_at)]
    if blind:
        names = ", ".join(blind)
        reservations.append(f"check {names} did not fail before the service was activated: it may not tell an outage")
    if checks[0].compares_old_content and not recovery.opened.body["baselines"].get(service):
        reservations.append("old content was not compared: drp watch had not looked before the disruption")
    mark = Mark("T5", found.usable_at, "automatic", evidence, found.uncertainty, found.clock)
    return FoundUse((mark,), tuple(reservations))


def _succeeded_before(samples: Sequence[Sample], activated_at: datetime) -> bool:
    """Whether the last look at what was not there yet, or else the first look at all, was a good one."""
    before = [sample for sample in samples if sample.ended_at <= activated_at] or samples[:1]
    return before[-1].succeeded


def _checks_named(checks: Sequence[CheckType], last: str) -> str:
    if len(checks) == 1:
        return f"check {checks[0].id}"
    return f"checks {', '.join(check.id for check in checks)} (the last to succeed: {last})"


def datasets_of(point: RestorePoint) -> list[DatasetType]:
    """The datasets as they were declared when they were backed up: what was backed up is what is restored."""
    return [read_dataset(declared) for declared in point.datasets.values()]


def changed_since(service: Service, point: RestorePoint) -> list[str]:
    """What the service's file declares otherwise than the restore point has it, a sentence each."""
    now = {dataset.id: dataset for dataset in service.datasets}
    then = {dataset.id: dataset for dataset in datasets_of(point)}
    return [
        *(f"dataset {name} is not in the restore point: it was not restored" for name in now if name not in then),
        *(f"dataset {name} was restored though it is no longer declared" for name in then if name not in now),
        *(
            f"dataset {name} was declared otherwise when it was backed up; it was restored as it was then"
            for name in now
            if name in then and now[name].mechanics() != then[name].mechanics()
        ),
    ]


def _procedures(service: Service, point: RestorePoint) -> list[Procedure]:
    """The datasets' procedures, with the snapshots of the restore point in their parts."""
    return [
        with_snapshots(dataset.procedure(service.id), point.snapshots_of(dataset.id)) for dataset in datasets_of(point)
    ]


def _variables(world: World, recovery: Recovery, step: Step) -> Body:
    """All that a playbook gets to know: plain data, compiled from the service's file."""
    service = world.city.services[step.service]
    planned = recovery.plan.services[step.service]
    centre = centre_named(world, planned.restore_point.dr_centre)
    procedures = {procedure["id"]: procedure for procedure in _procedures(service, planned.restore_point)}
    jobs = [
        {
            "verb": "restore",
            "run": recovery.run,
            "service": service.id,
            "host": service.recovers_on[dataset.host],
            "repository": {"url": planned.restore_point.repositories[dataset.host], "region": centre.region},
            "stall_seconds": int(backup_of(service).stall_timeout.total_seconds()),
            "requires": ["restic", *procedures[dataset.id]["requires"]],
            "datasets": [procedures[dataset.id]],
        }
        for dataset in datasets_of(planned.restore_point)
    ]
    units = sorted({unit for procedure in procedures.values() for unit in procedure["units"]})
    hosts = {name: world.city.hosts[name] for name in planned.hosts}
    return {
        # Ansible goes to the machines that drp has checked, whatever other variables say.
        "drp_addresses": {name: host.address for name, host in hosts.items()},
        "drp_ports": {name: host.port for name, host in hosts.items()},
        "ansible_host": "{{ drp_addresses[inventory_hostname] }}",
        "ansible_port": "{{ drp_ports[inventory_hostname] }}",
        "ansible_connection": "ssh",
        "drp_run": recovery.run,
        "drp_kind": recovery.plan.kind,
        "drp_service": service.id,
        "drp_jobs": jobs,
        "drp_dataset_units": units,
        "drp_accounts": [account.model_dump() for account in service.recovery.accounts],
        "drp_units": [unit for unit in service.recovery.start if unit not in units],
        # What this very run restored before it was cut off may be replaced; anything else only where a person said so.
        "drp_replace_existing": recovery.opened.body["replace_existing"] or recovery.proved_empty(service.id),
        "drp_service_address": str(service.address) if service.address else "",
        "drp_local_asks": [ask for check in service.checks for ask in check.asks_of_host()],
    }
