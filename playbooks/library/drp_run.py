#!/usr/bin/python3
"""The Ansible module `drp_run`: runs a command to its end within a limit, and tells what it said when it failed."""

from __future__ import annotations

import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.drp_traffic.process import Trouble, run

DOCUMENTATION = """
module: drp_run
short_description: Run a command within a limit
description: Runs an argument list, which no shell reads. The end of what it said is in the message of its failure.
options:
  argv: {description: The program and its arguments, type: list, elements: str, required: true}
  seconds: {description: How long it may take, type: float, default: 60}
  what: {description: What it is for, as the message says it, type: str, default: ''}
author: [drp]
"""


def main():
    """Be the Ansible module `drp_run`."""
    module = AnsibleModule(
        argument_spec={
            "argv": {"type": "list", "elements": "str", "required": True},
            "seconds": {"type": "float", "default": 60},
            "what": {"type": "str", "default": ""},
        }
    )
    started = time.monotonic()
    try:
        run(module.params["argv"], module.params["seconds"])
    except Trouble as trouble:
        what = module.params["what"]
        module.fail_json(msg="%s: %s" % (what, trouble.text) if what else trouble.text, drp_kind=trouble.kind)
    module.exit_json(changed=True, seconds=round(time.monotonic() - started, 1))


if __name__ == "__main__":
    main()
