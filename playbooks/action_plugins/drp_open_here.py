"""The Ansible action `drp_open_here`: runs the inventory's drp_unfence_command of a host on the control node."""

from __future__ import annotations

import sys
from pathlib import Path

from ansible.plugins.action import ActionBase

sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
from drp_traffic.process import Trouble, run


class ActionModule(ActionBase):
    """Be the Ansible action `drp_open_here`."""

    _requires_connection = False
    _VALID_ARGS = frozenset({"job"})

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        del tmp
        job = self._task.args["job"]
        try:
            said = run(job["open_command"], job["timeout_seconds"])[1]
        except Trouble as trouble:
            return dict(result, failed=True, msg=trouble.text, drp_kind=trouble.kind)
        return dict(result, changed=True, said=said[-300:])
