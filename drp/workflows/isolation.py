"""Keeps a drill's copies on the recovery hosts from production, and takes down what was refused them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from drp.domain.events import Body
from drp.domain.recovery.compiling import hosts_to_connect
from drp.domain.recovery.isolation import ending_jobs, isolation_jobs, production, refused_text
from drp.domain.recovery.plan import Step
from drp.domain.recovery.run import Recovery
from drp.errors import DrpError
from drp.ports import World
from drp.workflows.traffic import connection_variables

Record = Callable[[str, Body], None]


def isolation_variables(world: World, recovery: Recovery, step: Step, hosts: Sequence[str]) -> Body:
    """What a stage's playbook is told of isolation: a drill's restore and activation begin it, and the restore of what
    is to be used there for real ends what an older drill may have left."""
    plan, opened = recovery.plan, recovery.opened.body
    if plan.kind == "drill":
        if not plan.isolates or step.stage not in ("restore", "activate"):
            return {}
        jobs = isolation_jobs(
            world.city,
            plan,
            recovery.run,
            hosts,
            world.reachability.addresses,
            by=opened["by"],
            accepted=opened.get("accept_unisolated", False),
        )
        return {"drp_isolation": jobs}
    if plan.site == "recovery" and step.stage == "restore":
        return {"drp_isolation": ending_jobs(hosts, force=True)}
    return {}


def hosts_connected_by(recovery: Recovery, step: Step) -> tuple[str, ...]:
    """The hosts whose isolation a step ends. The order is that of the steps: a ledger keeps none of services."""
    plan = recovery.plan
    names = [other.service for other in plan.steps if other.stage == "unisolate"]
    return hosts_to_connect((name, plan.services[name].hosts) for name in names)[step.service]


def start_ending(world: World, folder: Path, hosts: Sequence[str], *, run: str, kind: str) -> None:
    """Start connecting hosts again that the drill `run` has isolated."""
    variables = connection_variables(world, hosts)
    variables |= {"drp_run": run, "drp_kind": kind, "drp_isolation": ending_jobs(hosts, run=run)}
    world.actions.start_playbook(folder, "unisolate", hosts, variables, {}, "")


def note_isolation(world: World, recovery: Recovery, messages: Iterable[Body], record: Record) -> None:
    """Take down what hosts have told of their isolation, each once, as soon as they tell it."""
    for message in messages:
        told = message.get("result", {}).get("isolation") if message["event"] == "task" else None
        if told is None or _is_noted(recovery, told["host"], message["started_at"]):
            continue
        if "in_force" not in told:
            _note_end(world, recovery, told, message["started_at"], record)
        elif told["is_new"] or told["host"] not in recovery.isolations:
            if told["ended"] is not None:
                _note_end(world, recovery, told["ended"], "", record)
            _note_beginning(world, recovery, told, message["started_at"], record)


def _is_noted(recovery: Recovery, host: str, told_at: str) -> bool:
    """Whether what a host told then is in the ledger: after a resumption all of it is read again."""
    return any(
        event.type in ("isolation.begun", "isolation.ended")
        and (event.body["host"], event.body["told_at"]) == (host, told_at)
        for event in recovery.events
    )


def _note_beginning(world: World, recovery: Recovery, told: Body, told_at: str, record: Record) -> None:
    host = told["host"]
    known = {key: told[key] for key in ("host", "in_force", "tool", "proof", "reason", "was_gone")}
    record("isolation.begun", {**known, "names": told.get("names", {}), "told_at": told_at})
    if told["in_force"] and not told["was_gone"]:
        world.say(f"{host}: isolated from production ({told['tool']}; {told['proof']})")
        return
    by: str | None = None
    if told["in_force"]:
        text = f"the isolation of {host} was gone and was set up again: meanwhile its copies could reach production"
    else:
        text = f"{host} was not isolated: {told['reason']}; the drill's copies could reach production"
        by = recovery.opened.body["by"]
    world.say(text)
    for name in _services_on(recovery, host):
        record("reservation", {"service": name, "text": text, "accepted_by": by})


def _note_end(world: World, recovery: Recovery, told: Body, told_at: str, record: Record) -> None:
    host = told["host"]
    if not told["was_there"]:
        return
    whose = production(world.city, world.reachability.addresses)
    named = {str(item[0]): whose[str(item[0])] for item in told["refused"] if str(item[0]) in whose}
    body = {key: told[key] for key in ("host", "run", "was_gone", "refused", "led", "stopped", "running")}
    record("isolation.ended", {**body, "whose": named, "told_at": told_at})
    for item in told["refused"]:
        world.say(f"{host}: {refused_text(item, named)}")
    for why in told["running"]:
        world.say(f"{host}: {why}")
    if told["run"] != recovery.run:
        world.say(f"{host}: ended the isolation of {told['run']}")
    elif told["was_gone"]:
        text = f"the isolation of {host} was gone before the drill had ended: its copies could reach production"
        for name in _services_on(recovery, host):
            record("reservation", {"service": name, "text": text, "accepted_by": None})


def aborted_drills(world: World, service: str) -> list[str]:
    """Drills whose copies of a service may still lie somewhere: nobody uses them, so they may be replaced. A mark on
    the host tells whether it is theirs."""
    rows = world.ledger.runs(kinds=("drill",))
    return [row.run for row in rows if row.outcome == "aborted" and service in row.services]


def refuse_unisolated(recovery: Recovery, hosts: Collection[str], where: str) -> None:
    """DrpError unless each host of an ended restore has told that it is isolated, or that somebody has accepted that
    it is not: a workspace's own playbooks may know nothing of it."""
    if not recovery.plan.isolates:
        return
    silent = [host for host in hosts if host not in recovery.isolations]
    if silent and recovery.plan.kind == "drill":
        hint = "take over restore.yml, the roles and the modules from drp's own playbooks"
        raise DrpError(f"nobody has isolated {', '.join(silent)} from production", where=where, hint=hint)


def _services_on(recovery: Recovery, host: str) -> list[str]:
    return [name for name, planned in recovery.plan.services.items() if host in planned.hosts]
