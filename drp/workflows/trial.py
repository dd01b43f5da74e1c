"""The user path is tried at the recovery host itself, before users are led there: while nobody else has put anything
there, a restore point whose data proves bad can still be turned down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from drp.domain.events import Body
from drp.domain.recovery.compiling import user_address
from drp.domain.recovery.plan import Step
from drp.domain.recovery.probing import failing_now, usable_again
from drp.domain.recovery.run import Recovery
from drp.domain.recovery.verification import DataCheck, proof_of, proved_datasets
from drp.domain.values import show_duration
from drp.ports import ActionState, World
from drp.workflows.stages import probe_target

_COMPARED = ("dataset", "check", "expected", "actual")


@dataclass(frozen=True, slots=True)
class TrialEnding:
    """How a trial has ended; `error` is empty where every check has succeeded. `data_is_bad`: it did not, and somebody
    looked."""

    error: str = ""
    data_is_bad: bool = False


def start_trial(world: World, recovery: Recovery, step: Step, folder: Path) -> None:
    """Begin to try all checks of the service at the host that it comes back on."""
    address = user_address(world.city, world.city.services[step.service], "drill")
    target = probe_target(world, recovery, step.service, folder, address)
    world.actions.start_probe(folder, {step.service: target})


def follow_trial(world: World, recovery: Recovery, step: Step, folder: Path) -> TrialEnding | None:
    """Look once; how it has ended, if it has: when all checks have succeeded, or when patience is at its end."""
    ending = _ending(world, recovery, step, folder)
    state = world.actions.state(folder)
    if ending is None and state is not ActionState.RUNNING:
        world.say(f"{step.service}: the trial was lost; starting it again")
        start_trial(world, recovery, step, folder)
    elif ending is not None and state is ActionState.RUNNING:
        world.actions.stop(folder)  # each time: one that has only just started does not hear it yet
        return None
    return ending


def proofs_of(recovery: Recovery, service: str) -> list[Body]:
    """What a trial that went well proves of the restore point: that it can be restored, and is good."""
    point = recovery.point_of(service)
    if point is None:
        return []
    found = [DataCheck(*(body[key] for key in _COMPARED)) for body in recovery.checks.get(service, ())]
    return [proof_of(point, dataset, recovery.plan.kind) for dataset in proved_datasets(point, found)]


def _ending(world: World, recovery: Recovery, step: Step, folder: Path) -> TrialEnding | None:
    started = recovery.steps[step.id].started_at or recovery.opened_at
    gaps = world.city.services[step.service].check_gaps
    samples = world.watch.run_samples(folder)
    if usable_again(samples, gaps, after=started, hold=timedelta()) is not None:
        return TrialEnding()
    patience = recovery.plan.patience
    if patience is None or world.clock.now() <= started + patience:
        return None
    if not samples:
        return TrialEnding(f"{step.id}: nobody could try it: the probe has told nothing")
    why = "; ".join(f"check {name}: {detail}" for name, detail in failing_now(samples, gaps).items())
    text = f"{step.id}: the user path did not work at the recovery host within {show_duration(patience)}"
    return TrialEnding(f"{text} ({why or 'its checks never succeeded together'})", data_is_bad=True)
