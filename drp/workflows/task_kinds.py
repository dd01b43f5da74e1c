"""How each kind of scheduled task is carried out. Their modules are imported when one is due: most of the time none is.

A new kind is a function here and its entry in `TASK_KINDS`; a kind without an entry is not scheduled.
"""

from __future__ import annotations

from drp.ports import World
from drp.workflows.schedule import Due, TaskResult, TaskRunner


def _back_up(world: World, due: Due) -> list[TaskResult]:
    from drp.workflows.backup import back_up

    return [
        TaskResult(row.service, row.error, f"restore point {row.restore_point.id}" if row.restore_point else "")
        for row in back_up(world, list(due), due)
    ]


def _copy(world: World, due: Due) -> list[TaskResult]:
    from drp.workflows.copy import copy

    return [
        TaskResult(row.service, row.error, f"{len(row.restore_points)} more restore points at {row.dr_centre}")
        for row in copy(world, list(due), due, centres=[due.dr_centre])
    ]


def _forget(world: World, due: Due) -> list[TaskResult]:
    from drp.workflows.retention import forget

    return [
        TaskResult(row.service, row.error, f"forgot {len(row.body.get('forgotten', []))}")
        for row in forget(world, list(due), due=due)
    ]


def _check(world: World, due: Due) -> list[TaskResult]:
    from drp.workflows.check import check

    return [
        TaskResult(row.service, row.error, "" if row.run else "nothing: there is no restore point")
        for row in check(world, list(due), due=due)
    ]


def _restore_test(world: World, due: Due) -> list[TaskResult]:
    from drp.workflows.restore_test import restore_test

    return [
        TaskResult(row.service, row.error, f"proved {', '.join(row.proved)} of {row.restore_point}")
        for row in restore_test(world, list(due), due=dict(due))
    ]


def _prune(world: World, due: Due) -> list[TaskResult]:
    from drp.workflows.retention import prune

    return [TaskResult(row.service, row.error) for row in prune(world, list(due), due=due)]


def _preflight(world: World, due: Due) -> list[TaskResult]:
    from drp.workflows.preflight import BOTH, preflight

    # What is wrong is told by the status and by notices; the task itself was done.
    return [
        TaskResult(row.service, None, "all is ready" if row.is_good else "something stands in the way")
        for row in preflight(world, list(due), BOTH, due)
    ]


TASK_KINDS: dict[str, TaskRunner] = {
    "backup": _back_up,
    "copy": _copy,
    "forget": _forget,
    "preflight": _preflight,
    "check": _check,
    "restore-test": _restore_test,
    "prune": _prune,
}
