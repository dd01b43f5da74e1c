"""The backups of a planned move: of what had stranded at the old primary, of the service once it is stopped, and of the
service at the site to which it has moved. Each is a run of its own, which goes on by itself after a crash."""

from __future__ import annotations

from datetime import datetime

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.recovery.plan import Step
from drp.domain.recovery.run import Recovery
from drp.domain.values import show_size
from drp.errors import BusyError, DrpError, ExitCode
from drp.ports import World
from drp.workflows.backup_run import BackupKind, BackupRun


class MoveBackup:
    """The backup of one step of a planned move. To be followed until it has given a restore point, or an error."""

    def __init__(self, world: World, recovery: Recovery, step: Step) -> None:
        self.world, self.step = world, step
        self.service = world.city.services[step.service]
        self.kind: BackupKind = "keep" if step.stage == "keep" else "backup"
        leaves = "primary" if recovery.plan.site == "recovery" else "recovery"
        self.site = leaves if step.stage == "backup" else recovery.plan.site
        self.not_before = _not_before(recovery, step)
        self.run: BackupRun | None = None
        self.told = ""
        self.trouble = ""
        """What a person must still do although the data is good."""

    def follow(self) -> RestorePoint | None:
        """Look once, without waiting. DrpError where the backup has failed."""
        made = self._made()
        if made is not None:
            self.let_go()
            return made
        if self.run is None and not self._begin():
            return None
        assert self.run is not None
        result = self.run.follow(lambda _host: None)
        if result is None:
            return None
        was_taken_up = self.run.was_taken_up
        self.let_go()
        if result.restore_point is not None and result.error is not None:
            self.trouble = str(result.error)
        # One that a schedule had begun may be older than the stop, or have failed meanwhile: the next look begins anew.
        if result.restore_point is None and result.error is not None and not was_taken_up:
            raise result.error
        return self._made()

    def let_go(self) -> None:
        if self.run is not None:
            self.run.let_go()
            self.run = None

    def has_stopped(self) -> bool:
        """End it, for the move was given up; to be asked until it is so."""
        if self.run is None:
            return True
        self.run.ask_to_stop()
        if not self.run.has_stopped():
            return False
        self.run.close_as_cancelled()
        self.let_go()
        return True

    def _begin(self) -> bool:
        try:
            self.run = BackupRun(
                self.world,
                self.service,
                None,
                may_be_locked=True,
                kind=self.kind,
                site=self.site,
                is_of_move=True,
                # What is stopped must not be started again by the commands that hold it still for a backup.
                quiesce=self.step.stage == "protect",
            )
        except BusyError as error:
            if self.told != str(error):
                self.told = str(error)
                self.world.say(f"{self.service.id}: waiting: {error}")
            return False
        return True

    def _made(self) -> RestorePoint | None:
        """What the ledger holds already: also after a crash between the backup's end and the step's."""
        ledger = self.world.ledger
        points = ledger.stranded(self.service.id) if self.kind == "keep" else ledger.restore_points(self.service.id, 50)
        found = next((point for point in points if point.site == self.site and self._is_new(point)), None)
        if found is not None and ledger.run(found.id).closed_at is None and self.run is None:
            ledger.append(found.id, "run.closed", {"outcome": "done", "exit_code": int(ExitCode.DONE)})
        return found

    def _is_new(self, point: RestorePoint) -> bool:
        return point.sentinel_at - point.clock_uncertainty >= self.not_before


def _not_before(recovery: Recovery, step: Step) -> datetime:
    """Data from before this moment does not hold all that it should."""
    own = recovery.steps[step.id].started_at
    if step.stage == "keep":
        before = own
    elif step.stage == "backup":
        before = recovery.steps[f"{step.service}/stop"].ended_at
    else:
        before = recovery.steps[f"{step.service}/cutover"].ended_at
    if before is None:
        raise DrpError("a step that must come before it has not ended", where=step.id)
    return before


def told_of(point: RestorePoint) -> list[str]:
    """What a restore point holds, a line for each dataset, for people."""
    lines = []
    for dataset in point.datasets:
        parts = [item for item in point.snapshots if item.dataset == dataset]
        size = show_size(sum(item.bytes for item in parts))
        rows = point.content.get(dataset, {}).get("rows")
        if rows is None:
            lines.append(f"{dataset}: {sum(item.files for item in parts)} files, {size}")
        else:
            counted = ", ".join(f"{table} {count}" for table, count in sorted(rows.items()))
            lines.append(f"{dataset}: {size}; rows: {counted or 'none'}")
    return lines
