"""What the messages of a failed action say: the error that a person gets to read."""

from __future__ import annotations

from collections.abc import Sequence

from drp.domain.events import Body
from drp.domain.recovery.plan import Step
from drp.domain.trouble import error_of
from drp.errors import DrpError
from drp.workflows.lost_hosts import hosts_away

_KINDS = {"Stop where something is here already": "not_empty"}
"""What the failure of one of Ansible's own tasks in playbooks/roles means."""
_FULL = ("No space left on device", "No usable temporary directory")
"""Where a host's disk is full, Ansible itself fails, in whatever task is the first."""


def failure_of(step: Step, messages: Sequence[Body]) -> DrpError | None:
    """The first failure that an action's worker told of; None where it told of none."""
    away = hosts_away(messages)
    for message in messages:
        is_summary = message.get("error") == "One or more items failed"  # the items before it say why
        if message["event"] == "task" and message["outcome"].endswith(("failed", "unreachable")) and not is_summary:
            where = f"{step.id}, host {message['host']}, task {message['task']!r}"
            kind = "ssh" if message["host"] in away else _kind(message)
            return error_of(kind, message["error"], where, message["host"])
        if message["event"] == "trouble":
            return error_of(message["kind"], message["text"], step.id)
    return None


def _kind(message: Body) -> str:
    """The kind of trouble of a failed task: what drp's own modules say, or what its name tells."""
    if message["outcome"] == "unreachable":
        return "ssh"
    if any(words in message["error"] for words in _FULL):
        return "no_space"
    known = next((kind for task, kind in _KINDS.items() if message["task"].endswith(task)), "task")
    return message.get("kind") or known
