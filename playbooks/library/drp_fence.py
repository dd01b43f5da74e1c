#!/usr/bin/python3
"""The Ansible module `drp_fence`: closes a host for services, also after a restart, or opens it again."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.drp_traffic.fence import carry_out
from ansible.module_utils.drp_traffic.process import Trouble

DOCUMENTATION = """
module: drp_fence
short_description: Close a host for services, or open it again
description: Stops and masks units, removes floating addresses, leaves a mark of who did so, and looks whether it holds.
options:
  job: {description: What drp compiled for this host, type: dict, required: true}
  verb: {description: close or open, type: str, choices: [close, open], required: true}
  manager: {description: The host's service manager as Ansible calls it, type: str, required: true}
author: [drp]
"""


def main():
    """Be the Ansible module `drp_fence`."""
    module = AnsibleModule(
        argument_spec={
            "job": {"type": "dict", "required": True},
            "verb": {"type": "str", "choices": ["close", "open"], "required": True},
            "manager": {"type": "str", "required": True},
        }
    )
    try:
        told, changed = carry_out(dict(module.params["job"], verb=module.params["verb"]), module.params["manager"])
    except Trouble as trouble:
        module.fail_json(msg=trouble.text, drp_kind=trouble.kind)
    module.exit_json(changed=changed, told=told)


if __name__ == "__main__":
    main()
