#!/usr/bin/python3
"""The Ansible module `drp_isolation`: keeps a drill's copies on a host away from production, or ends that."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

# They are named so that Ansible takes them along.
from ansible.module_utils.drp_traffic import (  # noqa: F401
    floating_address,
    isolation_names,
    isolation_rules,
    service_manager,
)
from ansible.module_utils.drp_traffic.isolation import carry_out
from ansible.module_utils.drp_traffic.process import Trouble

DOCUMENTATION = """
module: drp_isolation
short_description: Isolate a recovery host during a drill, or end that
description: Sets up rules of the packet filter and names that drp compiled, and proves that they hold.
options:
  job: {description: What drp compiled for this host, type: dict, required: true}
author: [drp]
"""


def main():
    """Be the Ansible module `drp_isolation`."""
    module = AnsibleModule(argument_spec={"job": {"type": "dict", "required": True}})
    try:
        told = carry_out(module.params["job"])
    except Trouble as trouble:
        module.fail_json(msg=trouble.text, drp_kind=trouble.kind)
    module.exit_json(changed=bool(told.get("is_new", told.get("was_there"))), result={"isolation": told})


if __name__ == "__main__":
    main()
