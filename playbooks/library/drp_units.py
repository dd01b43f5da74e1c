#!/usr/bin/python3
"""The Ansible module `drp_units`: accounts and units of a service, as a stage wants them, all at once."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.drp_traffic.process import Trouble
from ansible.module_utils.drp_traffic.units import ARGUMENTS, carry_out

DOCUMENTATION = """
module: drp_units
short_description: Have a service's accounts and units as they should be
description: >-
  Does in one go what ansible.builtin.group, user, service and uri do for one thing at a time: each of these takes a
  third of a second of a host's processor, and a recovery waits for all of them. The first thing that cannot be done
  ends it.
options:
  isolation: {description: 'What drp compiled for drp_isolation, done first', type: dict, default: {}}
  accounts: {description: 'Accounts to have: name, uid, home', type: list, default: []}
  tests: {description: 'Configurations to pass before anything is started: unit, argv', type: list, default: []}
  start: {description: Units that must run, type: list, default: []}
  restart: {description: Units that must have read what was restored, type: list, default: []}
  reload: {description: Those of `restart` that can read it while they run, type: list, default: []}
  stop: {description: 'Units that must not run, the last first', type: list, default: []}
  enabled: {description: Whether the units come up with the host; left alone where it is not said, type: bool}
  running: {description: Units that are only looked at, type: list, default: []}
  stopped: {description: Units that are only looked at, type: list, default: []}
  asks: {description: 'What the host then asks its applications, until they answer well', type: list, default: []}
  seconds: {description: How long each answer may take, type: float, default: 60}
author: [drp]
"""


def main():
    """Be the Ansible module `drp_units`."""
    module = AnsibleModule(argument_spec=ARGUMENTS)
    try:
        told = carry_out(module.params)
    except Trouble as trouble:
        module.fail_json(msg=trouble.text, drp_kind=trouble.kind)
    module.exit_json(changed=bool(module.params["restart"] or module.params["stop"]), result=told)


if __name__ == "__main__":
    main()
