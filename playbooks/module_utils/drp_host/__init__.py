"""What drp does on a host: back datasets up, restore them, look after repositories, and answer what is there.

One package for two ways in, so that there is one truth about datasets on a host:
- drp sends it over SSH to a host's Python (`main.main_ssh`): first the job as one line of JSON, then its standard
  input stays open; when it closes, drp is gone, and the work ends cleanly without leaving a snapshot;
- Ansible runs it as the module `drp_host` (`playbooks/library/drp_host.py`) in the recovery playbooks.

It knows no dataset type: a job says in argument lists how to dump, restore, count, and mark a dataset
(`drp/domain/datasets/`). Secrets live in memory files that restic reads by number and that vanish with the process;
they are never in an argument or an environment variable. Standard library only, Python 3.8 or newer.

A job's verb is a module of this package with a function of the same name (`main.VERBS`).
"""
