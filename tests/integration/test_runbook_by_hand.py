"""The printed runbook is enough: with the control node gone, its commands bring the service back."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.workbench import ADDRESS, PRIMARY, RECOVERY, SERVICE, Workbench, eventually

pytestmark = pytest.mark.integration
IS_WATCHED = False


def commands_in(paper: str) -> list[tuple[str, str]]:
    """What the paper says to type, in its order: (where, commands)."""
    return re.findall(r"^```sh title=\"([^\"]*)\"\n(.*?)^```$", paper, re.DOTALL | re.MULTILINE)


def typed(bench: Workbench, blocks: list[str], answers: str) -> str:
    """Type blocks of commands into one shell on the recovery host; it must not complain once."""
    script = "set -e\n" + "\n".join(blocks)
    bench.ssh(RECOVERY, "cat >/root/typed", stdin=script)
    return bench.ssh(RECOVERY, "bash /root/typed", stdin=answers)


def test_the_printed_commands_bring_the_service_back_without_drp(bench: Workbench) -> None:
    bench.back_up()
    eventually(lambda: len(bench.acknowledged()) > 20, "citizens write")
    with bench.quiet():
        bench.back_up()
        told = bench.acknowledged()
        rows = bench.sql(PRIMARY, "SELECT count(*) FROM complaints")
    newest = bench.points()[0]
    paper = Path(bench.folder / "paper.md")
    bench.drp("runbook", "render", "site-loss", "--service", SERVICE, "--output", str(paper))
    text = paper.read_text(encoding="utf-8")
    secrets = {
        name: (bench.folder / "var/lab/secrets" / name).read_text().strip()
        for name in ("pengaduan-repository-password", "s3-access-key-id", "s3-secret-access-key")
    }
    assert not [name for name, secret in secrets.items() if secret in text], "no secret is printed"

    bench.drp("lab", "disaster", "site-loss")
    # From here on there is no drp: only the paper, the secrets from the safe, and a shell.
    blocks = commands_in(text)
    assert blocks[0][1].strip() == f"ssh root@{RECOVERY}"
    on_host = [commands for where, commands in blocks if where == "drc-app-1"]
    outside = [commands for where, commands in blocks if where != "drc-app-1"][1:]
    choose = next(number for number, commands in enumerate(on_host) if " snapshots " in commands)
    answers = "\n".join(secrets.values()) + "\n"
    listed = typed(bench, on_host[: choose + 1], answers)
    runs = re.findall(r"run:([^,\s]+)", listed)
    assert newest in runs, listed
    assert runs.count(newest) == 3, "its three parts are listed"

    said = typed(bench, on_host[:choose] + on_host[choose + 1 :], f"{answers}run:{newest}\n")
    assert f'"token" : "{newest}' in said or f'"token": "{newest}' in said, said
    for commands in outside:
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", commands], capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stdout + done.stderr
    # What citizens were told is stored is there, and the application serves it at the service's own address.
    assert int(bench.sql(RECOVERY, "SELECT count(*) FROM complaints")) > int(rows), "a new one was taken as well"
    stored = bench.sql(RECOVERY, "SELECT id FROM complaints").split()
    assert {str(item["id"]) for item in told} <= set(stored)
    assert ADDRESS in bench.ssh(RECOVERY, "ip -o address")
