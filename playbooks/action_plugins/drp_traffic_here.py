"""The Ansible action `drp_traffic_here`: a way of leading users that the control node itself carries out.

It runs where Ansible runs, connects to no host of the play, and takes a way's secret from drp_secrets.traffic by
itself, so that it stands in no task's arguments.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ansible.plugins.action import ActionBase

sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
from drp_traffic.main import answer, switch
from drp_traffic.process import Trouble


class ActionModule(ActionBase):
    """Be the Ansible action `drp_traffic_here`."""

    _requires_connection = False
    _VALID_ARGS = frozenset({"way"})

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        del tmp
        way = self._task.args["way"]
        secrets = (task_vars or {}).get("drp_secrets", {}).get("traffic", {})
        try:
            told = in_zone(way, str(secrets.get(str(way["way"]), ""))) if way["type"] == "dns" else switch(way)
        except Trouble as trouble:
            return dict(result, failed=True, msg="%s: %s" % (way["label"], trouble.text), drp_kind=trouble.kind)
        return dict(result, changed=told["changed"], result={"traffic": told})


def in_zone(way, secret):
    """Only this needs drp's own packages, which Ansible's Python has where drp started it."""
    from drp.adapters import dns_zone

    try:
        found = dns_zone.switch(way, secret)
    except dns_zone.DnsTrouble as trouble:
        raise Trouble(trouble.kind, trouble.text)
    return dict(answer(way, found["before"], found["after"], found["details"]), changed=found["changed"])
