#!/usr/bin/python3
"""The Ansible module `drp_units`: starts, stops or looks at all units that a stage wants something of, at once."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

# They are named so that Ansible takes them along.
from ansible.module_utils.drp_traffic import (  # noqa: F401
    floating_address,
    isolation,
    isolation_names,
    isolation_rules,
    service_manager,
)
from ansible.module_utils.drp_traffic.process import Trouble
from ansible.module_utils.drp_traffic.units import carry_out

DOCUMENTATION = """
module: drp_units
short_description: Start, stop or look at units
description: >-
  Does for systemd's units and init scripts what ansible.builtin.service does for one at a time, all in one go, for that
  is what a recovery waits for. The first thing that cannot be done ends it.
options:
  isolation: {description: 'What drp compiled for drp_isolation, done first', type: dict, default: {}}
  tests: {description: 'Configurations to pass before anything is started: unit, argv', type: list, default: []}
  start: {description: Units that must run, type: list, default: []}
  restart: {description: Units that must have read what was restored, type: list, default: []}
  reload: {description: Those of `restart` that can read it while they run, type: list, default: []}
  stop: {description: 'Units that must not run, the last first', type: list, default: []}
  enabled: {description: Whether the units come up with the host; left alone where it is not said, type: bool}
  running: {description: Units that are only looked at, type: list, default: []}
  stopped: {description: Units that are only looked at, type: list, default: []}
author: [drp]
"""
UNITS = ("start", "restart", "reload", "stop", "running", "stopped")


def main():
    """Be the Ansible module `drp_units`."""
    module = AnsibleModule(
        argument_spec={
            "isolation": {"type": "dict", "default": {}},
            "tests": {"type": "list", "elements": "dict", "default": []},
            "enabled": {"type": "bool"},
            **{name: {"type": "list", "elements": "str", "default": []} for name in UNITS},
        }
    )
    try:
        told = carry_out(module.params)
    except Trouble as trouble:
        module.fail_json(msg=trouble.text, drp_kind=trouble.kind)
    module.exit_json(changed=bool(module.params["restart"] or module.params["stop"]), result=told)


if __name__ == "__main__":
    main()
