"""The Ansible action `drp_fence_here`: what became of closing (or opening) a host, told for the ledger.

Where the host did not do it itself, the inventory's command for it runs here, on the control node; where that must be
seen to have worked, its check does too. What nobody confirmed is told as not confirmed, and no failure of a task.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ansible.plugins.action import ActionBase

sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
from drp_traffic.process import Trouble, run


class ActionModule(ActionBase):
    """Be the Ansible action `drp_fence_here`."""

    _requires_connection = False
    _VALID_ARGS = frozenset({"verb", "job", "host", "answer"})

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        del tmp
        arguments = self._task.args
        told = outcome(arguments["verb"], arguments["job"], arguments.get("answer") or {})
        return dict(result, changed=told["how"] == "command", result={"fence": dict(told, host=arguments["host"])})


def outcome(verb, job, answer):
    """{confirmed, how, reasons, details} of a host, with its command run if it is needed."""
    own = answer.get("told")
    reasons = list(own["reasons"]) if own else [why_not(answer)]
    if own and own["confirmed"]:
        return {"confirmed": True, "how": "host", "reasons": [], "details": own["details"]}
    details = {"on_host": own["details"]} if own else {}
    if verb == "open":
        return {"confirmed": False, "how": "nothing", "reasons": reasons, "details": details}
    if not job["command"]:
        reasons.append(job["command_refused"] or "the inventory has no drp_fence_command for it")
        return {"confirmed": False, "how": "nothing", "reasons": reasons, "details": details}
    try:
        details["command"] = "%s ended with 0: %s" % (job["command"][0], by(job["command"], job)[-300:])
        if job["check"]:
            details["check"] = "%s ended with 0: %s" % (job["check"][0], by(job["check"], job)[-300:])
    except Trouble as trouble:
        return {"confirmed": False, "how": "nothing", "reasons": [*reasons, trouble.text], "details": details}
    details["instead_of"] = reasons
    return {"confirmed": True, "how": "command", "reasons": [], "details": details}


def by(argv, job):
    return run(argv, job["timeout_seconds"])[1]


def why_not(answer):
    """Why the host did not do it itself."""
    if answer.get("unreachable"):
        return "the host cannot be reached: %s" % str(answer.get("msg", "no reason told")).strip()[:500]
    return str(answer.get("msg") or "the host did not answer").strip()[:500]
