"""What each stage of a recovery does: how it is started, and what its result means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.events import Body
from drp.domain.recovery.fencing import HostFence, unconfirmed
from drp.domain.recovery.plan import Site, Stage, Step
from drp.domain.recovery.run import Recovery
from drp.domain.recovery.shared_hosts import services_beside, stopped_before_backup
from drp.domain.recovery.technologies import CommandStage, commands_of, configuration_tests, own_playbooks, reloading
from drp.domain.recovery.timeline import Mark
from drp.domain.recovery.verification import check_restored, newest_transaction, proof_of, proved_datasets
from drp.domain.service import Service
from drp.domain.trouble import of_kind
from drp.domain.values import to_stamp
from drp.errors import DrpError
from drp.ports import ProbeTarget, World
from drp.workflows.drill_guard import doubts, kept_from, refuse_touching
from drp.workflows.fencing import finish_fence, finish_unfence, plan_fences, start_fence, start_unfence
from drp.workflows.isolation import isolation_variables, refuse_unisolated, start_ending
from drp.workflows.own_playbooks import start_own_playbook
from drp.workflows.repository import ca_certificate, centre_named, secrets_of
from drp.workflows.restore_pace import record_pace, recovery_hosts
from drp.workflows.stage_jobs import datasets_of, hosts_of, jobs_of, turned_down
from drp.workflows.traffic import (
    connection_variables,
    finish_rehearsal,
    finish_switch,
    start_rehearsal,
    start_switch,
)
from drp.workflows.withdrawal import finish_withdrawal, withdrawn_units

Record = Callable[[str, Body], None]

FENCING: tuple[Stage, ...] = ("fence", "unfence", "close-again")
_COMMAND_STAGES: tuple[CommandStage, ...] = ("activate", "verify")

NAMES = {
    "unfence": "opening the old primary again",
    "look": "looking what lies at the old primary",
    "keep": "keeping what lies at the old primary",
    "stop": "stopping",
    "backup": "backing up what users wrote last",
    "restore": "restoring",
    "after-restore": "running the workspace's own playbook after the restore",
    "activate": "activating",
    "after-activate": "running the workspace's own playbook after the start",
    "verify": "verifying",
    "rehearse": "proving that traffic could be switched, without doing it",
    "after-verify": "running the workspace's own playbook after the verification",
    "trial": "using it at the recovery host, before users come",
    "withdraw": "stopping the copy that proved bad; its data is kept",
    "stopped": "making sure that nothing runs where it was",
    "fence": "closing the hosts that are left",
    "cutover": "switching traffic",
    "usable": "waiting until users can work again",
    "protect": "backing up at the new site",
    "reopen": "going back: starting it again where it was",
    "return": "going back: leading users there",
    "close-again": "going back: closing the old primary again",
    "cleanup": "cleaning up",
    "unisolate": "connecting the recovery hosts again",
}


def start(world: World, recovery: Recovery, step: Step, folder: Path) -> None:
    """Start a stage's outside action."""
    plan = recovery.plan
    if step.stage in ("cutover", "return"):
        site = plan.site if step.stage == "cutover" else plan.site_left
        start_switch(world, folder, step.service, site, run=recovery.run, kind=plan.kind, release=plan.is_planned)
        return
    if step.stage == "rehearse":
        start_rehearsal(world, folder, step.service, run=recovery.run, kind=plan.kind, step=step.id)
        return
    if step.stage in FENCING:
        _start_fencing(world, recovery, step, folder)
        return
    if step.stage == "unisolate":
        start_ending(world, folder, hosts_of(recovery, step), run=recovery.run, kind=plan.kind)
        return
    if step.stage.startswith("after-"):
        _start_own(world, recovery, step, folder)
        return
    service = world.city.services[step.service]
    hosts = hosts_of(recovery, step)
    secrets: Body = {}
    certificate = ""
    if step.stage == "restore":
        centre = centre_named(world, _point(recovery, step).dr_centre)
        # Each host's own; a playbook gives a host no other's.
        secrets = {host: secrets_of(world, service, host, centre) for host in hosts}
        certificate = ca_certificate(world.workspace, centre)
    variables = _variables(world, recovery, step)
    kept = kept_from(world, plan.kind)
    refuse_touching(world, plan.kind, step.id, variables, hosts)
    variables |= isolation_variables(world, recovery, step, hosts)  # names production, to keep from it
    playbook = "stop" if step.stage == "withdraw" else step.stage
    world.actions.start_playbook(folder, playbook, hosts, variables, secrets, certificate, kept_from=kept)


def _start_own(world: World, recovery: Recovery, step: Step, folder: Path) -> None:
    """The workspace's own playbook behind a stage."""
    declared = {f"after-{own.after}": own for own in own_playbooks(world.city.services[step.service])}
    start_own_playbook(
        world,
        folder,
        step.service,
        declared[step.stage],
        recovery.plan.services[step.service].hosts,
        run=recovery.run,
        kind=recovery.plan.kind,
        kept_from=kept_from(world, recovery.plan.kind),
    )


def _start_fencing(world: World, recovery: Recovery, step: Step, folder: Path) -> None:
    start_it = start_unfence if step.stage == "unfence" else start_fence
    opened = recovery.opened.body
    start_it(
        world,
        folder,
        _fences(world, step),
        by=opened["by"],
        run=recovery.run,
        kind=recovery.plan.kind,
        reason=opened["reason"],
    )


def _fences(world: World, step: Step) -> list[HostFence]:
    return plan_fences(world, [step.service], site="primary")


def _finish_fencing(world: World, recovery: Recovery, step: Step, messages: list[Body], record: Record) -> None:
    """What could not be confirmed is decided by a person: before (`--accept-unfenced`), or the failover stops there."""
    fences = _fences(world, step)
    if step.stage == "unfence":
        finish_unfence(fences, messages, record)
        return
    doubts = unconfirmed(finish_fence(fences, messages, record))
    if not doubts:
        return
    opened = recovery.opened.body
    if recovery.plan.kind == "failover" and not opened.get("accept_unfenced"):
        hint = "close it by hand, or accept the risk in your name: --accept-unfenced"
        raise DrpError("; ".join(doubts), where=step.id, hint=hint)
    accepted_by = opened["by"] if recovery.plan.kind == "failover" else None
    for text in doubts:
        record("reservation", {"service": step.service, "text": text, "accepted_by": accepted_by})


def probe_target(world: World, recovery: Recovery, name: str, folder: Path, address: str | None = None) -> ProbeTarget:
    """A service's checks, to be tried from outside: at an address, else where its users will find it. Samples go to
    `folder`."""
    return ProbeTarget(
        address=address or recovery.plan.services[name].address,
        checks=[check.model_dump(mode="json") for check in world.city.services[name].checks],
        baseline=recovery.opened.body["baselines"].get(name, {}),
        secrets=check_secrets(world, name),
        folder=folder,
    )


def check_secrets(world: World, name: str) -> dict[str, str]:
    """What the checks of a service must know, by check."""
    return {
        check.id: world.secrets.read(check.secret, f"the password of check {check.id} of {name}")
        for check in world.city.services[name].checks
        if check.secret is not None
    }


def finish(world: World, recovery: Recovery, step: Step, messages: list[Body], record: Record) -> None:
    """Take down what an ended stage found. DrpError where it must count as failed although its process ended well."""
    for text in doubts(messages):
        record("reservation", {"service": step.service, "text": text, "accepted_by": None})
    if step.stage == "restore":
        refuse_unisolated(recovery, recovery.plan.services[step.service].hosts, step.id)
        _finish_restore(world, recovery, step, messages, record)
    elif step.stage == "cutover":
        finish_switch(world, step.service, recovery.plan.site, messages, record, release=recovery.plan.is_planned)
        record("site.activated", {"service": step.service, "site": recovery.plan.site, "reason": recovery.run})
    elif step.stage == "rehearse":
        finish_rehearsal(world, step.service, messages, record)
    elif step.stage == "return":
        finish_switch(world, step.service, recovery.plan.site_left, messages, record, release=True)
    elif step.stage == "withdraw":
        finish_withdrawal(world, recovery, step, record)
    elif step.stage in FENCING:
        _finish_fencing(world, recovery, step, messages, record)
    elif step.stage == "look":
        results = _looks(messages)
        found = [f"{what} on {result['host']}" for result in results for what in result["found"]]
        looked_for = [f"{what} on {result['host']}" for result in results for what in result["looked_for"]]
        if not looked_for:
            raise DrpError("nobody said what lies there", where=step.id, hint="see the step's output under var/runs")
        record("stranded.found", {"service": step.service, "looked_for": looked_for, "found": found})


def _looks(messages: list[Body]) -> list[Body]:
    """What hosts told of what lies there: of one job, or of several at once."""
    told = [message["result"] for message in messages if message["event"] == "task" and "result" in message]
    results = [result for one in told for result in one.get("jobs", [one])]
    return [result for result in results if "looked_for" in result]


def _point(recovery: Recovery, step: Step) -> RestorePoint:
    point = recovery.point_of(step.service)
    if point is None:
        raise DrpError("there is no restore point yet", where=step.id, hint="see: drp run show")
    return point


def note_absence(recovery: Recovery, step: Step, messages: list[Body], record: Record) -> None:
    """Take down what the hosts held before anything was restored, as soon as all of them have told."""
    if step.stage != "restore" or step.service in recovery.absences:
        return
    results = _looks(messages)
    if len(results) < len(datasets_of(_point(recovery, step))):
        return
    looked_for = [f"{what} on {result['host']}" for result in results for what in result["looked_for"]]
    foreign = [result for result in results if not result.get("copy_of")]
    found = [f"{what} on {result['host']}" for result in foreign for what in result["found"]]
    copies = sorted({result["copy_of"] for result in results if result.get("copy_of")})
    body = {"service": step.service, "looked_for": looked_for, "found": found}
    record("absence.proved", {**body, "copies_of": copies} if copies else body)
    # A failback replaces what it has kept first; that is no exception.
    if found and recovery.opened.body["replace_existing"] and recovery.plan.kind != "failback":
        text = f"the recovery host already held {', '.join(found)}; it was replaced"
        record("reservation", {"service": step.service, "text": text, "accepted_by": recovery.opened.body["by"]})


def _finish_restore(world: World, recovery: Recovery, step: Step, messages: list[Body], record: Record) -> None:
    point = _point(recovery, step)
    datasets = datasets_of(point)
    result: dict[str, Any] = {"parts": [], "datasets": {}}
    for message in messages:
        if message["event"] == "task" and "result" in message and "parts" in message["result"]:
            result["parts"] += message["result"]["parts"]
            result["datasets"] |= message["result"]["datasets"]
    record_pace(world, recovery, point, result["parts"], record)
    checks = check_restored(point, [dataset.id for dataset in datasets], result)
    for check in checks:
        record("data.verified", check.record(step.service))
    newest = newest_transaction(point, result)
    if newest is not None:
        dated = sorted({dataset.dated_by for dataset in datasets})
        what = {"sentinel": f"sentinel, token {point.sentinel}", "freshness": "newest record, by its own query"}
        told = "; ".join(what[kind] for kind in dated if kind in what)
        evidence = f"the oldest of what dates the {len(datasets)} restored datasets ({told})"
        stopped = recovery.marks.get(step.service, {}).get("T0") if recovery.plan.is_planned else None
        if stopped is not None and newest >= stopped.at:
            # The sentinel was written after the stop, so everything that users wrote is older, and in the data.
            evidence += f", written at {to_stamp(newest)}, after the service was stopped: nothing newer was written"
            newest = stopped.at
        record(
            "mark",
            {"service": step.service, **Mark("Tb", newest, "automatic", evidence, point.clock_uncertainty).record()},
        )
    if recovery.plan.patience is None:  # else it is proved by its trial: what is turned down is no proof of anything
        for name in proved_datasets(point, checks):
            record("proof.recorded", proof_of(point, name, recovery.plan.kind))
    wrong = [check for check in checks if not check.ok]
    if wrong:
        first = wrong[0]
        text = f"dataset {first.dataset}: {first.check} is {first.actual} instead of {first.expected}"
        hint = "recover from an older restore point: drp backup list, then --restore-point"
        kind = "sentinel" if first.check == "sentinel" else "data"
        host = recovery_hosts(world, recovery, point).get(first.dataset, "")
        raise of_kind(DrpError(text, where=step.id, hint=hint), kind, host)


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


def _variables(world: World, recovery: Recovery, step: Step) -> Body:
    """All that a playbook gets to know: plain data, compiled from the service's file."""
    service = world.city.services[step.service]
    jobs = jobs_of(world, recovery, step, recovery.point_of(service.id))
    units = sorted({unit for job in jobs for unit in job["datasets"][0]["units"]})
    own_units = [unit for unit in service.recovery.start if unit not in units]
    if step.stage == "cleanup":
        own_units = [unit for unit in own_units if unit not in _needed_by_others(world, step)]
    elif step.stage in ("stop", "stopped"):
        own_units = stopped_before_backup(service)
    elif step.stage == "withdraw":
        own_units = withdrawn_units(world, recovery, service)
    return base_variables(world, recovery, hosts_of(recovery, step)) | {
        "drp_service": service.id,
        "drp_jobs": jobs,
        "drp_dataset_units": units,
        "drp_accounts": [account.model_dump() for account in service.recovery.accounts],
        "drp_units": own_units,
        "drp_unit_tests": configuration_tests(own_units),
        "drp_units_that_reload": reloading(own_units),
        "drp_commands": {stage: commands_of(service, stage, recovery.plan.site) for stage in _COMMAND_STAGES},
        # What this very run restored before it was cut off may be replaced; anything else only where a person said so.
        "drp_replace_existing": recovery.opened.body["replace_existing"] or recovery.proved_empty(service.id),
        "drp_local_asks": [ask for check in service.checks for ask in check.asks_of_host()],
        "drp_turned_down": turned_down(world, recovery, step),
    }


def _needed_by_others(world: World, step: Step) -> set[str]:
    """Units on the hosts that are cleared that belong to services in use there, too."""
    site: Site = "recovery"
    in_use = [item for item in world.city.services.values() if world.ledger.active_site(item.id) == site]
    beside = services_beside(world.city.services[step.service], in_use, site)
    return {unit for _, units in beside for unit in units}


def base_variables(world: World, recovery: Recovery, names: Sequence[str]) -> Body:
    """What every playbook of a run gets to know."""
    return connection_variables(world, names) | {"drp_run": recovery.run, "drp_kind": recovery.plan.kind}
