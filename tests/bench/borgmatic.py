"""borgmatic on the same data as drp: what an administrator might use instead.

Its engine, borg, knows no S3: its repositories lie on a lab host of their own, over ssh. Each host has a configuration
file per service; nothing but `create` is timed, as drp and the scripts beside it also only back up.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

from tests.bench.backup_lab import Lab, address

CONFIGURATIONS, PASSPHRASE = "/etc/borgmatic-bench", "benchmark-password"


def prepare(lab: Lab, store: str, services: dict[int, list[str]], database: str | None = None) -> None:
    """Give each host a key for the store, and a configuration and an empty repository for each of its services.

    `services`: by host, their names; their files lie in /srv/NAME. `database`: a service that also has the PostgreSQL
    database of its name. Making the repositories is part of no figure of borgmatic's, to its advantage.
    """
    keys = [lab.told(address(host), KEY) for host in services]
    lab.told(store, "cat >>/etc/ssh/authorized_keys <<'KEYS'\n" + "".join(keys) + "KEYS\nmkdir -p /srv/borg\n")
    for host, names in services.items():
        lines = [f"set -euo pipefail\nmkdir -p -m 700 {CONFIGURATIONS}"]
        for name in names:
            settings = json.dumps(configuration(name, store, name == database))
            lines.append(f"install -m 600 /dev/stdin {CONFIGURATIONS}/{name}.yaml <<'YAML'\n{settings}\nYAML")
        lines.append(f"borgmatic -v -1 -c {CONFIGURATIONS} rcreate --encryption repokey")
        lab.ssh(host, "\n".join(lines))


KEY = """set -euo pipefail
[ -e /root/.ssh/borg ] || { mkdir -p -m 700 /root/.ssh; ssh-keygen -q -t ed25519 -N '' -C '' -f /root/.ssh/borg; }
cat /root/.ssh/borg.pub
"""


def configuration(name: str, store: str, with_database: bool) -> dict[str, object]:
    """A service's configuration file, in the sections of borgmatic 1.7 (Debian 12)."""
    database = {
        "name": name,
        "format": "custom",
        "options": "--compress=0",
        "pg_dump_command": "runuser -u postgres -- pg_dump",
        "psql_command": "runuser -u postgres -- psql",
    }
    return {
        "location": {
            "source_directories": [f"/srv/{name}"],
            "repositories": [f"ssh://root@{store}/srv/borg/{name}"],
        },
        "storage": {
            "encryption_passphrase": PASSPHRASE,
            "ssh_command": "ssh -i /root/.ssh/borg -o StrictHostKeyChecking=accept-new",
        },
        **({"hooks": {"postgresql_databases": [database]}} if with_database else {}),
    }


def one(lab: Lab, host: int, name: str) -> float:
    """The seconds of a service's backup."""
    return lab.ssh(host, f"borgmatic -v -1 -c {CONFIGURATIONS}/{name}.yaml create")


def all_of(lab: Lab, hosts: int, at_once: int) -> float:
    """The seconds of the backups of all services of the hosts, so many hosts at once."""
    started = time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(lambda host: lab.ssh(host, f"borgmatic -v -1 -c {CONFIGURATIONS} create"), range(hosts)))
    return time.monotonic() - started
