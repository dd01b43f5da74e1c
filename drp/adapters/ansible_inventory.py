"""What Ansible itself makes of the inventory: `ansible-inventory --list`, in an environment of its own.

Only the YAML plugin reads the file, and only group_vars and host_vars beside it are looked into: no script runs, no
ansible.cfg and no plugin of a workspace or a home folder is taken up.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from drp.adapters.ansible_hosts import SITES, host_record
from drp.domain.importing.reconcile import ENCRYPTED, ListedHost
from drp.domain.inventory import AnsibleHost
from drp.errors import UnreachableError

PROGRAM = "ansible-inventory"
TIMEOUT_SECONDS = 120

_BOOLEAN: TypeAdapter[bool] = TypeAdapter(bool)
_VAULT_SETTINGS = ("ANSIBLE_VAULT_PASSWORD_FILE", "ANSIBLE_VAULT_IDENTITY_LIST")


def listed_hosts(inventory: Path, *, timeout: float = TIMEOUT_SECONDS) -> dict[str, ListedHost]:
    """Every host that Ansible finds. UnreachableError where it cannot run or does not understand the file."""
    listing = _listing(inventory, timeout)
    variables = listing.get("_meta", {}).get("hostvars", {})
    members = {site: _members(listing, site) for site in SITES}
    names = _members(listing, "all") | set(variables)
    return {name: _listed(name, variables.get(name, {}), members) for name in sorted(names)}


def _listing(inventory: Path, timeout: float) -> dict[str, Any]:
    program = _program()
    with tempfile.TemporaryDirectory(prefix="drp-ansible-") as folder:
        settings = Path(folder) / "ansible.cfg"
        settings.touch()
        try:
            done = subprocess.run(
                [program, "-i", str(inventory.resolve()), "--list"],
                cwd=folder,
                env=_environment(folder, settings),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="replace",
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise _unusable(f"it did not end within {timeout:g} s") from error
        except OSError as error:
            raise _unusable(f"it does not start: {error.strerror}") from error
    if done.returncode != 0:
        raise _unusable(_last_words(done.stderr))
    try:
        listing = json.loads(done.stdout)
    except ValueError as error:
        raise _unusable("its output is not JSON") from error
    if not isinstance(listing, dict):
        raise _unusable("its output is not a list of groups")
    return listing


def _program() -> str:
    """The one that came with drp; else the one on the path."""
    beside = Path(sys.executable).parent / PROGRAM
    found = str(beside) if beside.is_file() else shutil.which(PROGRAM)
    if found is None:
        raise _unusable("it is not installed")
    return found


def _environment(folder: str, settings: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _VAULT_SETTINGS if name in os.environ}
    return {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))),
        "HOME": folder,
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_CONFIG": str(settings),
        "ANSIBLE_HOME": folder,
        "ANSIBLE_COLLECTIONS_PATH": folder,
        "ANSIBLE_INVENTORY_ENABLED": "yaml",
        "ANSIBLE_VARS_ENABLED": "host_group_vars",
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1",
        "ANSIBLE_NOCOLOR": "1",
        **kept,
    }


def _unusable(why: str) -> UnreachableError:
    hint = f"run it by hand: {PROGRAM} -i inventories/hosts.yaml --list"
    return UnreachableError(why, where=PROGRAM, hint=hint)


def _last_words(complaint: str) -> str:
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    said = [line for line in lines if "ERROR" in line] or lines or ["it failed and did not say why"]
    return said[0][:500]


def _members(listing: Mapping[str, Any], group: str) -> set[str]:
    """The hosts of a group and of all groups within it."""
    found: set[str] = set()
    seen: set[str] = set()
    pending = [group]
    while pending:
        name = pending.pop()
        content = listing.get(name, {})
        if name not in seen:
            seen.add(name)
            found.update(content.get("hosts", []))
            pending += content.get("children", [])
    return found


def _listed(name: str, variables: Mapping[str, Any], members: Mapping[str, set[str]]) -> ListedHost:
    sites = tuple(site for site in SITES if name in members[site])
    record = host_record(name, variables, None)
    words = ("address", "port", "user", "become", "python")
    values = {word: _text(record.get(word, AnsibleHost.model_fields[word].default)) for word in words}
    values["become"] = _as_boolean(values["become"])
    return ListedHost(name=name, sites=sites, **values)


def _text(value: Any) -> str:
    return ENCRYPTED if isinstance(value, dict) else str(value)


def _as_boolean(text: str) -> str:
    """`True` for yes, on and 1, so that two ways to write the same do not differ; other text as it is."""
    try:
        return str(_BOOLEAN.validate_python(text))
    except ValidationError:
        return text
