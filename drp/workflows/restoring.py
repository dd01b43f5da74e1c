"""What restores, test restores and looks into snapshots share: jobs on hosts that read a repository, and what they
found, compared and kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

from drp.domain.events import Body
from drp.domain.recovery.restore_plan import PlannedJob, RestorePlan
from drp.domain.recovery.verification import DataCheck, check_parts, check_restored, proof_of, proved_datasets
from drp.errors import BusyError
from drp.ports import ActionState, World
from drp.workflows.host_jobs import POLL_SECONDS, HostJob, OnMessage, repository_job, start_or_adopt
from drp.workflows.naming import action_folder, new_run, run_folder
from drp.workflows.repository import ca_certificate, centre_named, secrets_of, starting_to_read

MOST_ATTEMPTS = 100


def job_on(world: World, plan: RestorePlan, job: PlannedJob, run: str, verb: str, **more: Any) -> Body:
    """A job on the datasets of one of the plan's repositories."""
    service, centre = world.city.services[plan.service], centre_named(world, plan.dr_centre)
    procedures = plan.procedures(job)
    body = repository_job(world, service, job.repository_host, run, verb, centre)
    body["repository"] = {**body["repository"], "url": job.repository_url}
    requires = ["restic", *(name for procedure in procedures for name in procedure["requires"])]
    return body | {"requires": list(dict.fromkeys(requires)), "datasets": procedures} | more


def start_job(
    world: World,
    plan: RestorePlan,
    job: PlannedJob,
    run: str,
    action: str,
    body: Callable[[], Body],
    on_message: OnMessage | None = None,
    *,
    again_if_lost: bool = True,
    reads: bool = True,
) -> HostJob:
    """Start a job of the plan on its host, or adopt it. One that was lost may be started anew, under another name. One
    that `reads` a repository is not started while something is removed there: BusyError."""
    service, centre = world.city.services[plan.service], centre_named(world, plan.dr_centre)
    name = f"{action}-{job.name}"
    if again_if_lost:
        name = newest_attempt(world, run, name)
    is_new = world.actions.state(action_folder(world, run, name)) is ActionState.ABSENT
    with starting_to_read(world, service, plan.dr_centre, f"drp {action}") if reads and is_new else nullcontext():
        return start_or_adopt(
            world,
            run,
            name,
            job.host,
            body,
            secrets=lambda: secrets_of(world, service, job.host, centre),
            certificate=ca_certificate(world.workspace, centre),
            where=f"{plan.service} on {job.host}",
            on_message=on_message,
        )


def newest_attempt(world: World, run: str, action: str) -> str:
    """The name of an action's newest attempt that was not lost with its machine; a new one where all were."""
    names = [action, *(f"{action}+{number}" for number in range(2, MOST_ATTEMPTS))]  # as no host is named
    return next(name for name in names if world.actions.state(action_folder(world, run, name)) is not ActionState.LOST)


def wait_for_all(world: World, jobs: Sequence[HostJob]) -> None:
    """Follow jobs that run side by side until all have ended, well or not."""
    waiting = list(jobs)
    while waiting := [job for job in waiting if not job.has_ended()]:
        world.clock.sleep(POLL_SECONDS)


def look_on(world: World, plan: RestorePlan, bodies: dict[PlannedJob, Body]) -> list[Body]:
    """Carry out jobs that only look, side by side, and give their results. They are no events of any run."""
    run = new_run("look", world.clock.now())
    service, centre = world.city.services[plan.service], centre_named(world, plan.dr_centre)
    jobs = []
    try:
        for job, body in bodies.items():
            folder = action_folder(world, run, job.name)
            secret, certificate = secrets_of(world, service, job.host, centre), ca_certificate(world.workspace, centre)
            with starting_to_read(world, service, plan.dr_centre, "drp, looking into a restore point,"):
                world.actions.start_remote(folder, world.city.hosts[job.host], body | {"run": run}, secret, certificate)
            jobs.append(HostJob(world, folder, f"{plan.service} on {job.host}"))
        wait_for_all(world, jobs)
        results = [job.result() for job in jobs]
    except (KeyboardInterrupt, BusyError):
        for started in jobs:
            started.stop()
        raise
    shutil.rmtree(run_folder(world, run), ignore_errors=True)  # what went wrong would stay, to be looked into
    return results


def joined(results: Sequence[Body]) -> Body:
    """What all jobs of a restore found."""
    found: Body = {"parts": [], "datasets": {}}
    for result in results:
        found["parts"] += result["parts"]
        found["datasets"] |= result["datasets"]
    return found


def record_findings(world: World, run: str, plan: RestorePlan, result: Body, how: str) -> list[DataCheck]:
    """Compare what was restored with the restore point, and keep each comparison and each proof, once."""
    if plan.paths:
        # Some files of a dataset say nothing of the whole, so they prove nothing.
        checks = check_parts(result)
        proved: list[str] = []
    else:
        checks = check_restored(plan.point, list(plan.datasets), result)
        proved = proved_datasets(plan.point, checks)
    events = [("data.verified", check.record(plan.service)) for check in checks]
    events += [("proof.recorded", proof_of(plan.point, dataset, how)) for dataset in proved]
    written = sum(event.type in ("data.verified", "proof.recorded") for event in world.ledger.events(run))
    for type_, body in events[written:]:
        world.ledger.append(run, type_, body)
    return checks


def first_wrong(checks: Sequence[DataCheck]) -> str:
    """The first comparison that failed, in words; empty where all agree."""
    wrong = next((check for check in checks if not check.ok), None)
    return (
        "" if wrong is None else f"dataset {wrong.dataset}: {wrong.check} is {wrong.actual} instead of {wrong.expected}"
    )
