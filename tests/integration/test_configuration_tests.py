"""The test of each server's configuration, by its own program: the packages' configuration passes, a broken one not."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from drp.domain.recovery.technologies import CONFIGURATION_TESTS

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="putting a broken file over a good one needs root"),
]

PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
FILES = {
    "nginx": "/etc/nginx/nginx.conf",
    "apache2": "/etc/apache2/apache2.conf",
    "haproxy": "/etc/haproxy/haproxy.cfg",
    "slapd": "/etc/ldap/slapd.d/cn=config.ldif",
    "named": "/etc/bind/named.conf",
}


@pytest.fixture
def broken() -> Iterator[Path]:
    with tempfile.NamedTemporaryFile(dir="/var/tmp", prefix="drp-broken-") as file:
        Path(file.name).write_text("what is this {\n")
        os.chmod(file.name, 0o644)
        yield Path(file.name)


@pytest.mark.parametrize("unit", FILES)
def test_a_good_configuration_passes_and_a_broken_one_does_not(unit: str, broken: Path) -> None:
    argv = CONFIGURATION_TESTS[unit]
    if shutil.which(argv[0], path=PATH) is None or not Path(FILES[unit]).exists():
        pytest.skip(f"{unit} is not installed")
    environment = {"PATH": PATH, "LC_ALL": "C.UTF-8"}
    good = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert good.returncode == 0, good.stderr
    script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
    over = ["unshare", "--mount", "sh", "-c", script, "sh", str(broken), FILES[unit], *argv]
    bad = subprocess.run(over, env=environment, capture_output=True, text=True, check=False)
    assert bad.returncode != 0
    assert bad.stderr + bad.stdout != ""
