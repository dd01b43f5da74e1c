"""Jobs of drp's program on hosts, as actions of a run: started once, followed, adopted after a crash."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from drp.domain.events import Body
from drp.domain.inventory import DrCentre
from drp.domain.protection.gaps import backup_of
from drp.domain.service import Service
from drp.domain.trouble import error_of
from drp.domain.values import from_stamp
from drp.ports import ActionState, World
from drp.workflows.naming import action_folder
from drp.workflows.repository import ca_certificate, centre_of, repository_url, secrets_of

POLL_SECONDS = 0.05
STOP_LIMIT_SECONDS = 45

OnMessage = Callable[[Body], None]


@dataclass(slots=True)
class HostJob:
    """A job that was started on a host. `where` is how an error names it."""

    world: World
    folder: Path
    where: str
    on_message: OnMessage | None = None
    messages: list[Body] = field(default_factory=list)

    @property
    def is_lost(self) -> bool:
        """Whether it is gone without having told its end, as after a power cut. One whose supervisor was killed after
        the host had told its result is not."""
        was_begun = self.world.actions.state(self.folder) is not ActionState.ABSENT
        return was_begun and self.has_ended() and not self._newest("result", "trouble")

    @property
    def was_stopped(self) -> bool:
        """Whether it ended because drp, or somebody, wanted it to, or because drp was gone."""
        end = self._newest("result", "trouble")
        return end is not None and end.get("kind") in ("cancelled", "control_gone")

    @property
    def is_at_work(self) -> bool:
        return self.world.actions.state(self.folder) is ActionState.RUNNING

    def has_ended(self) -> bool:
        """Read what it has told since the last look; whether it has ended."""
        state = self.world.actions.state(self.folder)
        for message in self.world.actions.messages(self.folder, len(self.messages)):
            self.messages.append(message)
            if self.on_message is not None:
                with suppress(LookupError, TypeError, ValueError):  # a host may tell anything; this only shows it
                    self.on_message(message)
        return state is not ActionState.RUNNING

    def result(self) -> Body:
        """What an ended job found. Raises the DrpError that its trouble means."""
        result = self._newest("result")
        if result is not None:
            return dict(result["result"])
        trouble = self._newest("trouble")
        if trouble is None:
            raise error_of("lost", "", self.where)
        dataset = f", dataset {trouble['dataset']}" if trouble["dataset"] else ""
        raise error_of(trouble["kind"], trouble["text"], self.where + dataset)

    @property
    def clock(self) -> Body:
        """How far the host's clock is from the control node's, and how sure that is (half the time of the exchange)."""
        hello = self._newest("hello")
        assert hello is not None, "a job that has a result has greeted"
        asked, answered = hello["asked_at_us"], hello["answered_at_us"]
        host_us = int(from_stamp(hello["host_time"]).timestamp() * 1_000_000)
        return {"offset_ms": (host_us - (asked + answered) // 2) // 1000, "uncertainty_ms": (answered - asked) // 2000}

    def wait(self) -> Body:
        """Follow it to its end and give its result."""
        while not self.has_ended():
            self.world.clock.sleep(POLL_SECONDS)
        return self.result()

    def stop(self) -> None:
        """Have it end cleanly, and wait for that."""
        self.ask_to_stop()
        limit = self.world.clock.monotonic() + STOP_LIMIT_SECONDS
        while not self.has_ended() and self.world.clock.monotonic() < limit:
            self.world.clock.sleep(POLL_SECONDS)

    def ask_to_stop(self) -> None:
        """Have it end cleanly, without waiting for that."""
        self.world.actions.stop(self.folder)

    def _newest(self, *events: str) -> Body | None:
        return next((message for message in reversed(self.messages) if message["event"] in events), None)


def start_or_adopt(
    world: World,
    run: str,
    action: str,
    host: str,
    job: Callable[[], Body],
    *,
    secrets: Callable[[], Body],
    certificate: str,
    where: str = "",
    on_message: OnMessage | None = None,
    noted: Body | None = None,
) -> HostJob:
    """The job of an action of a run: one that was started before drp was killed is taken up, not started again.

    `job` and `secrets` are only asked for where it has to be started; `noted` is what the ledger keeps of the start.
    """
    folder = action_folder(world, run, action)
    if world.actions.state(folder) is ActionState.ABSENT:
        world.actions.start_remote(folder, world.city.hosts[host], job(), secrets(), certificate)
        world.ledger.append(run, "action.started", {"action": action, "host": host, **(noted or {})})
    return HostJob(world, folder, where or f"{run} on {host}", on_message)


def repository_job(
    world: World, service: Service, host: str, run: str, verb: str, centre: DrCentre | None = None
) -> Body:
    """What every job on a service's repository says. `host` is the one that the repository belongs to, wherever the
    job is carried out; `centre` is another DR centre than the service's own."""
    centre = centre or centre_of(world, service)
    return {
        "verb": verb,
        "run": run,
        "service": service.id,
        "restic_host": host,
        "repository": {"url": repository_url(centre, service, host), "region": centre.region},
        "stall_seconds": int(backup_of(service).stall_timeout / timedelta(seconds=1)),
        "requires": ["restic"],
    }


def run_on_repository(world: World, service: Service, host: str, run: str, executor: str, job: Body) -> HostJob:
    """Start (or adopt) a job on the repository of a service on a `host`, carried out by the host `executor`."""
    centre = centre_of(world, service)
    return start_or_adopt(
        world,
        run,
        f"{job['verb']}-{host}",
        executor,
        lambda: job,
        secrets=lambda: secrets_of(world, service, executor),
        certificate=ca_certificate(world.workspace, centre),
        where=f"{service.id} on {executor}",
    )


def keeper_of(service: Service, host: str) -> str:
    """The host that looks after the repository of a service on a host: its stand-in at the recovery site, which is near
    the DR centre and still there when the primary site is not; else the host itself."""
    return service.recovers_on.get(host, host)
