#!/usr/bin/python3
"""The Ansible module `drp_traffic`: leads users to a site, on the host that does so, or tells where it leads them."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

# They are named so that Ansible takes them along: the way says which one is used.
from ansible.module_utils.drp_traffic import command, floating_address, haproxy  # noqa: F401
from ansible.module_utils.drp_traffic.main import switch
from ansible.module_utils.drp_traffic.process import Trouble

DOCUMENTATION = """
module: drp_traffic
short_description: Switch a service's traffic to a site, or tell where it goes
description: Carries out one way that drp compiled from a service's `traffic`, and reads back what became of it.
options:
  way: {description: The way as drp compiled it, type: dict, required: true}
author: [drp]
"""


def main():
    """Be the Ansible module `drp_traffic`."""
    module = AnsibleModule(argument_spec={"way": {"type": "dict", "required": True}})
    way = module.params["way"]
    try:
        told = switch(way)
    except Trouble as trouble:
        module.fail_json(msg="%s: %s" % (way["label"], trouble.text), drp_kind=trouble.kind)
    module.exit_json(changed=told["changed"], result={"traffic": told})


if __name__ == "__main__":
    main()
