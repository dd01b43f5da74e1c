#!/usr/bin/python3
"""The Ansible module `drp_host`: carries out jobs of drp on a host, as the recovery playbooks ask for it."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

# They are named so that Ansible takes them along: the job says which ones are used.
from ansible.module_utils.drp_host import (  # noqa: F401
    carried,
    content,
    copies,
    program_git_refs,
    program_ldap_mark,
    program_ldap_scratch,
    program_mariadb_drop,
    program_redis_load,
    program_server,
    program_sqlite,
    program_with_password,
    restore,
)
from ansible.module_utils.drp_host.alone import be_alone
from ansible.module_utils.drp_host.main import carry_out
from ansible.module_utils.drp_host.trouble import Trouble
from ansible.module_utils.drp_traffic import process, units

DOCUMENTATION = """
module: drp_host
short_description: Restore drp's datasets on a host, and tell what is there
description: Carries out jobs that drp compiled from a service's declaration, one after the other.
options:
  job: {description: What to do, type: dict}
  jobs: {description: 'Several of one service at once; the result has `jobs`, one of each', type: list, elements: dict}
  verb: {description: 'Another thing to do with the jobs than they say, which needs no repository', type: str}
  first: {description: 'What drp_units is to do before, in the same go', type: dict, default: {}}
  secrets: {description: The repository's password and the S3 keys, type: dict, default: {}}
  ca_pem: {description: The certificate authority of the DR centre, type: str, default: ''}
author: [drp]
"""
CHANGING = ("restore", "remove")


def main():
    """Be the Ansible module `drp_host`."""
    module = AnsibleModule(
        argument_spec={
            "job": {"type": "dict"},
            "jobs": {"type": "list", "elements": "dict"},
            "verb": {"type": "str"},
            "first": {"type": "dict", "default": {}, "options": units.ARGUMENTS},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "ca_pem": {"type": "str", "default": ""},
        },
        required_one_of=[["job", "jobs"]],
        mutually_exclusive=[["job", "jobs"]],
    )
    jobs = [module.params["job"]] if module.params["jobs"] is None else module.params["jobs"]
    if module.params["verb"]:
        jobs = [dict(job, verb=module.params["verb"], repository=None) for job in jobs]
    result = {}
    if module.params["first"]:
        try:
            result.update(units.carry_out(module.params["first"]))
        except process.Trouble as trouble:
            module.fail_json(msg=trouble.text, drp_kind=trouble.kind)
    results = carry_out_all(module, jobs)
    left = [what for told in results for what in told.get("found", ())]
    if left and jobs[0]["verb"] == "remove":
        module.fail_json(msg="it was removed, and is still there: %s" % ", ".join(left))
    result.update(results[0] if module.params["jobs"] is None else {"jobs": results})
    module.exit_json(changed=any(job["verb"] in CHANGING for job in jobs), result=result)


def carry_out_all(module, jobs):
    """The result of each job; the first that fails is the module's failure."""
    results = []
    try:
        if any(job["verb"] in CHANGING for job in jobs):
            be_alone(jobs[0]["service"])
        for job in jobs:
            results.append(carry_out(job, module.params["secrets"], module.params["ca_pem"], say_nothing, False))
    except Trouble as trouble:
        where = " of dataset %s" % trouble.dataset if trouble.dataset else ""
        module.fail_json(
            msg="%s%s failed: %s" % (jobs[len(results)]["verb"], where, trouble.text),
            drp_kind=trouble.kind,
            drp_dataset=trouble.dataset,
        )
    return results


def say_nothing(_message):
    """Ansible tells nothing of a module before it has ended."""


if __name__ == "__main__":
    main()
