"""After everything that changes how well services are protected: figures for Prometheus, and messages for people."""

from __future__ import annotations

from collections.abc import Sequence

from drp.domain.backups.record import Notice
from drp.domain.events import Body, hash_of
from drp.domain.protection.notices import Message, Moment, decide, most_critical_services
from drp.domain.protection.problems import problems_of
from drp.domain.protection.status import ProtectionStatus
from drp.domain.values import to_stamp
from drp.errors import BusyError, DrpError, ExitCode, UnreachableError, UsageError
from drp.ports import Delivery, World
from drp.workflows.backup_status import backup_status, protected_services
from drp.workflows.naming import new_run

LOCK = "notify"


def note_state(world: World) -> None:
    """Reckon how all services are protected, publish the figures, and tell people what changed.

    Never raises but for a person's wish to stop: a backup is as good as it was, whatever becomes of its figures. What
    went wrong is said in a line each.
    """
    settings = world.city.workspace.notifications
    if settings is None and not world.figures.is_wanted():
        return
    try:
        statuses = backup_status(world, protected_services(world))
        for failure in world.figures.publish(statuses):
            world.say(failure)
        if settings is not None:
            _tell_changes(world, statuses)
    except DrpError as error:
        world.say(f"notifications: {error}")


def _tell_changes(world: World, statuses: Sequence[ProtectionStatus]) -> None:
    try:
        world.locks.acquire(LOCK, "drp, telling people,")
    except BusyError:
        return  # another drp is at it, and sees the same
    try:
        _decide_and_tell(world, statuses)
    finally:
        world.locks.release(LOCK)


def _decide_and_tell(world: World, statuses: Sequence[ProtectionStatus]) -> None:
    settings = world.city.workspace.notifications
    assert settings is not None, "somebody is to be told"
    outcome = decide(
        [problem for status in statuses for problem in problems_of(status)],
        [status.service for status in statuses],
        world.ledger.notices(),
        settings,
        Moment(world.clock.now(), world.city.workspace.organisation.time_zone),
        most_critical_services(
            world.city.workspace.tiers, {name: service.tier for name, service in world.city.services.items()}
        ),
    )
    book = _Book(world)
    try:
        book.note(outcome.noticed)
        for message in outcome.messages:
            if _send(world, message):
                book.note(message.told)
    finally:
        book.close()


def _send(world: World, message: Message) -> bool:
    """Whether anybody was reached."""
    delivery = world.messenger.send(message.title, message.body, is_bad=message.is_bad)
    for failure in delivery.failures:
        world.say(f"notifications: {failure}")
    return delivery.reached > 0


class _Book:
    """Writes changes into a run of kind `notify`, which is opened by the first of them: most of the time, there are
    none."""

    def __init__(self, world: World) -> None:
        self.world, self.run = world, ""

    def note(self, notices: Sequence[Notice]) -> None:
        for notice in notices:
            if not self.run:
                self.run = new_run("notify", self.world.clock.now())
                plan: Body = {"by": self.world.operator}
                self.world.ledger.open_run(self.run, "notify", hash_of(plan), [], plan)
            body: Body = {
                "key": notice.key,
                "state": str(notice.state),
                "since": to_stamp(notice.since),
                "told_at": None if notice.told_at is None else to_stamp(notice.told_at),
            }
            self.world.ledger.append(self.run, "notice.changed", body)

    def close(self) -> None:
        if self.run:
            body: Body = {"outcome": "done", "exit_code": int(ExitCode.DONE)}
            self.world.ledger.append(self.run, "run.closed", body)


def send_test(world: World) -> Delivery:
    """Send a message that says it is a test. UnreachableError where no address took it."""
    if world.city.workspace.notifications is None:
        hint = "add to drp.yaml: notifications: {urls: [{file: secrets/notify}]}, one apprise address per line"
        raise UsageError("drp.yaml says nobody to tell", where="notifications", hint=hint)
    now = to_stamp(world.clock.now())
    title = f"drp: a test from {world.city.workspace.organisation.name}"
    body = f"Sent {now} by {world.operator}. Messages from drp will reach you like this one. Nothing to do."
    delivery = world.messenger.send(title, body, is_bad=False)
    for failure in delivery.failures:
        world.say(failure)
    if not delivery.reached:
        hint = "see the lines above; addresses are written as apprise wants them: https://github.com/caronc/apprise"
        raise UnreachableError("nobody could be told", where="notifications", hint=hint)
    return delivery
