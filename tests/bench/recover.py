"""`./dev bench recover`: drp's recovery beside the same playbooks run by hand, and beside the bare commands.

All three restore the same restore point to the same recovery host, in turn, the host emptied between them:
- drp: `drp drill run`, from the start of the process until its verify step has ended;
- by hand: restore.yml, activate.yml and verify.yml with ansible-playbook, Ansible's own defaults, variables at hand;
- bare: one ssh with restic restore, psql, pg_restore, service start, curl.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.common import Figure, finish, median, progress

ROUNDS = 3
REPOSITORY = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
STAGES = ("restore", "activate", "verify")
SERVICE = "pengaduan"


def main() -> None:
    with city() as workspace:
        drp(workspace, "backup", "run", SERVICE)
        drp_times, hand_times, bare_times = [], [], []
        spent: list[dict[str, float]] = []
        for number in range(1, ROUNDS + 1):
            seconds, run = by_drp(workspace)
            drp_times.append(seconds)
            spent.append(spent_on(workspace, run, seconds))
            hand_times.append(by_hand(workspace, run))
            bare_times.append(bare(workspace, run))
            progress(
                f"round {number}: drp {seconds:.1f} s, by hand {hand_times[-1]:.1f} s, bare {bare_times[-1]:.1f} s"
            )
    by_name = {name: median([part[name] for part in spent]) for name in spent[0]}
    pairs = list(zip(drp_times, hand_times, bare_times, strict=True))
    finish(
        "recover",
        [
            Figure("drp", median(drp_times), "s"),
            Figure("ansible-playbook by hand", median(hand_times), "s"),
            Figure("bare commands over ssh", median(bare_times), "s"),
            Figure("drp / by hand", median([ours / hand for ours, hand, _ in pairs]), "×", 1.1),
            Figure("drp / bare", median([ours / bare_ for ours, _, bare_ in pairs]), "×"),
            *(Figure(f"of drp's time: {name}", value, "s") for name, value in by_name.items()),
        ],
        notes=[
            "drp also proves before that the host is empty, checks files, rows and sentinels, and writes the ledger.",
            f"Medians of {ROUNDS} rounds; ratios are taken within each round.",
        ],
    )


@contextmanager
def workspace_copy() -> Iterator[Path]:
    """A copy of the default workspace, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="drp-bench-") as folder:
        workspace = Path(folder)
        shutil.copy(REPOSITORY / "drp.yaml", workspace)
        for name in ("inventories", "runbooks", "playbooks"):
            shutil.copytree(REPOSITORY / name, workspace / name)
        yield workspace


@contextmanager
def city() -> Iterator[Path]:
    """A lab of its own with the demo's service, gone afterwards."""
    with workspace_copy() as workspace:
        try:
            drp(workspace, "lab", "up")
            yield workspace
        finally:
            drp(workspace, "lab", "down", "--purge")


def drp(workspace: Path, *arguments: str, allowed: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run(
        [str(BIN / "drp"), "-w", str(workspace), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode not in allowed:
        sys.exit(f"drp {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def by_drp(workspace: Path) -> tuple[float, str]:
    """Seconds from the start of `drp drill run` to the end of its verify step, and the run's name."""
    started = datetime.now(UTC)
    result = json.loads(drp(workspace, "drill", "run", SERVICE, "--hold", "1s", "--json", allowed=(0, 4)))
    events = json.loads(drp(workspace, "run", "show", result["run"], "--json"))
    verified = [
        event
        for event in events
        if event["type"] == "step.ended"
        and event["body"]["step"] == f"{SERVICE}/verify"
        and event["body"]["outcome"] == "ok"
    ]
    if not verified:
        sys.exit(f"the drill did not recover the service: {result}")
    ended = datetime.fromisoformat(verified[0]["at"])
    return (ended - started).total_seconds(), result["run"]


def spent_on(workspace: Path, run: str, seconds: float) -> dict[str, float]:
    """Where drp's seconds went: tasks on the host by what they do, Ansible between tasks, and drp itself."""
    events = json.loads(drp(workspace, "run", "show", run, "--json"))
    tasks = [event["body"] for event in events if event["type"] == "task.ended"]
    tasks = [task for task in tasks if task["step"].split("/")[1] in STAGES]
    steps = {
        event["body"]["step"]: event["body"]["duration_ms"] / 1000 for event in events if event["type"] == "step.ended"
    }
    in_tasks = sum(task["duration_ms"] for task in tasks) / 1000
    restoring = sum(task["duration_ms"] for task in tasks if "Restore and check" in task["task"]) / 1000
    in_steps = sum(steps[f"{SERVICE}/{stage}"] for stage in STAGES)
    return {
        "restoring and checking data": restoring,
        "other tasks": in_tasks - restoring,
        "starting Ansible three times": in_steps - in_tasks,
        "drp around the stages": seconds - in_steps,
    }


def specification(workspace: Path, run: str) -> dict[str, Any]:
    path = workspace / "var" / "runs" / run / f"{SERVICE}-restore" / "spec.json"
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def secrets(workspace: Path) -> dict[str, str]:
    folder = workspace / "var" / "lab" / "secrets"
    return {
        "password": (folder / f"{SERVICE}-repository-password").read_text().strip(),
        "access_key_id": (folder / "s3-access-key-id").read_text().strip(),
        "secret_access_key": (folder / "s3-secret-access-key").read_text().strip(),
    }


def by_hand(workspace: Path, run: str) -> float:
    """Seconds that the same playbooks take with ansible-playbook as it comes."""
    spec = specification(workspace, run)
    variables = workspace / "variables.json"
    by_host = {host: secrets(workspace) for host in spec["variables"]["drp_hosts"]}
    variables.write_text(json.dumps({**spec["variables"], "drp_secrets": by_host}))
    command = [
        *(str(BIN / "ansible-playbook"), "-i", spec["inventory"], "-l", spec["limit"], "-e", f"@{variables}"),
        *("--private-key", spec["private_key"], "--ssh-common-args", f"-o UserKnownHostsFile={spec['known_hosts']}"),
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    started = time.monotonic()
    for stage in STAGES:
        run_quietly([*command, str(workspace / "playbooks" / f"{stage}.yml")], environment)
    seconds = time.monotonic() - started
    run_quietly([*command, str(workspace / "playbooks" / "cleanup.yml")], environment)
    return seconds


def run_quietly(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        sys.exit(f"{shlex.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def bare(workspace: Path, run: str) -> float:
    """Seconds of the commands alone, as one script over one ssh."""
    spec = specification(workspace, run)
    jobs = spec["variables"]["drp_jobs"]
    parts = {part["name"]: part for job in jobs for part in job["datasets"][0]["parts"]}
    keys = secrets(workspace)
    restic = shlex.join(["restic", "-q", "--no-lock", "--cacert", "/tmp/ca.pem", "-r", jobs[0]["repository"]["url"]])
    certificate = spec["variables"]["drp_ca_pem"]
    dump = {
        name: shlex.join(["dump", parts[name]["snapshot"], "/" + parts[name]["file"]]) for name in ("roles", "database")
    }
    script = f"""set -euo pipefail
export RESTIC_PASSWORD={keys["password"]} AWS_ACCESS_KEY_ID={keys["access_key_id"]}
export AWS_SECRET_ACCESS_KEY={keys["secret_access_key"]}
cat >/tmp/ca.pem <<'PEM'
{certificate}
PEM
service postgresql start >/dev/null
id {SERVICE} >/dev/null 2>&1 || useradd --system --uid 812 --user-group --no-create-home {SERVICE}
{restic} {dump["roles"]} | runuser -u postgres -- psql -q -X -v ON_ERROR_STOP=1
{restic} {dump["database"]} | runuser -u postgres -- pg_restore --create --exit-on-error -d postgres
{restic} restore {parts["files"]["snapshot"]} --target /
service {SERVICE} restart >/dev/null
service nginx restart >/dev/null
curl -fsS --retry 20 --retry-delay 1 --retry-all-errors http://127.0.0.1/complaints/1 >/dev/null
rm /tmp/ca.pem
"""
    host = spec["limit"]
    address = json.loads(
        subprocess.run(
            [str(BIN / "ansible-inventory"), "-i", spec["inventory"], "--host", host],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )["ansible_host"]
    command = ["ssh", "-i", spec["private_key"], "-o", f"UserKnownHostsFile={spec['known_hosts']}"]
    started = time.monotonic()
    done = subprocess.run(
        [*command, f"root@{address}", "bash -s"], input=script, capture_output=True, text=True, check=False
    )
    seconds = time.monotonic() - started
    if done.returncode:
        sys.exit(f"the bare commands ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    empty(workspace, spec)
    return seconds


def empty(workspace: Path, spec: dict[str, Any]) -> None:
    """Clean the recovery host with drp's own playbook."""
    run_quietly(
        [
            *(str(BIN / "ansible-playbook"), "-i", spec["inventory"], "-l", spec["limit"]),
            *("-e", f"@{workspace / 'variables.json'}", "--private-key", spec["private_key"]),
            *("--ssh-common-args", f"-o UserKnownHostsFile={spec['known_hosts']}"),
            str(workspace / "playbooks" / "cleanup.yml"),
        ],
        dict(os.environ),
    )


if __name__ == "__main__":
    main()
