#!/usr/bin/python3
"""The Ansible module `drp_ask`: asks the applications on a host, from that host, until they answer well."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.drp_traffic.ask import carry_out
from ansible.module_utils.drp_traffic.process import Trouble

DOCUMENTATION = """
module: drp_ask
short_description: Wait until applications answer on their own host
description: Asks for pages and connects to ports, as drp compiled it from the checks, until each has answered well.
options:
  asks: {description: What to ask, type: list, elements: dict, required: true}
  seconds: {description: How long each may take, type: float, default: 60}
author: [drp]
"""


def main():
    """Be the Ansible module `drp_ask`."""
    module = AnsibleModule(
        argument_spec={
            "asks": {"type": "list", "elements": "dict", "required": True},
            "seconds": {"type": "float", "default": 60},
        }
    )
    try:
        carry_out(module.params["asks"], module.params["seconds"])
    except Trouble as trouble:
        module.fail_json(msg=trouble.text, drp_kind=trouble.kind)
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
