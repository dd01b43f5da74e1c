"""How long a stage may take before drp ends it: something that hangs must not hold a recovery up for ever."""

from __future__ import annotations

from datetime import timedelta

from drp.domain.recovery.plan import Stage
from drp.domain.service import Service

RESTORE_LIMIT = timedelta(hours=24)
"""A restore that makes no headway is ended by itself much earlier (backup.stall_timeout)."""
STAGE_LIMIT = timedelta(minutes=30)
AWAY_LIMIT = timedelta(minutes=2)


def timeout_of(service: Service, stage: Stage) -> timedelta:
    """The limit of one try of a stage: the service's own, or what drp takes where its file says nothing. Commands that
    may take long by their own limits are counted on top of that."""
    declared = service.recovery.timeouts
    match stage:
        case "restore":
            return declared.restore or RESTORE_LIMIT
        case "activate" | "reopen":
            own = declared.activate
        case "verify":
            own = declared.verify
        case "cutover" | "return":
            own = declared.cutover
        case "after-restore" | "after-activate" | "after-verify":
            own = declared.playbooks
        case _:
            own = None
    commands = [command.timeout for command in service.recovery.commands if command.on == stage]
    return own or sum(commands, STAGE_LIMIT)


def name_of_timeout(stage: Stage) -> str | None:
    """What the service's file calls the limit; None where it has no word for it."""
    if stage.startswith("after-"):
        return "playbooks"
    named = {"reopen": "activate", "return": "cutover"}.get(stage, stage)
    return named if named in ("restore", "activate", "verify", "cutover") else None


def away_limit(service: Service) -> timedelta:
    """How long a host that was lost in the middle of a stage is waited for; then the stage has failed."""
    return service.recovery.timeouts.host_away or AWAY_LIMIT
