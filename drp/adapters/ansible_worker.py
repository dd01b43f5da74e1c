"""Worker: one ansible-runner run of one playbook. Step timings come from the runner's events.

Secrets reach Ansible as a file in memory that is read once at the start and removed before the first task. Whatever a
playbook prints of the secrets that drp knows is taken out before it is written anywhere.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from drp.adapters.redaction import Redactor
from drp.adapters.ssh_options import pinned
from drp.adapters.warm_ansible import use, warm_up
from drp.adapters.worker import Worker, in_child

__all__ = ["literal", "main", "warm_up"]

if TYPE_CHECKING:
    from drp.adapters.drill_guard import Guard

_OUTCOMES = {
    "runner_on_ok": "ok",
    "runner_on_failed": "failed",
    "runner_on_unreachable": "unreachable",
    "runner_on_skipped": "skipped",
    "runner_item_on_ok": "item ok",
    "runner_item_on_failed": "item failed",
}


END_LIMIT_SECONDS = 20
_END = """for number in TERM KILL; do for file in /proc/[0-9]*/environ; do
if grep -qsz '^LC_DRP_ACTION={action}$' $file; then process=${{file%/environ}}; kill -$number ${{process#/proc/}}; fi
done; sleep 1; done"""


class _Cancelling:
    """Whether this process was interrupted: from its first moment on, and in a child that it becomes."""

    def __init__(self) -> None:
        self.came = False
        signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self.came = True


def main() -> None:
    cancelling = _Cancelling()
    worker = Worker()
    kept_from = worker.spec.get("kept_from", [])
    if kept_from:
        sys.exit(_under_guard(worker, kept_from, cancelling))
    _run(worker, cancelling)


def _under_guard(worker: Worker, addresses: list[str], cancelling: _Cancelling) -> int:
    """Run the playbook where nothing can be sent to these addresses. Where that is impossible it is told, and the
    playbook runs all the same only if nobody wants it otherwise (`must_be_kept`)."""
    from drp.adapters import drill_guard

    try:
        guard = drill_guard.set_up(worker.folder, addresses, worker.spec["guard_tag"])
        trial = drill_guard.listen_for_trial()
    except (drill_guard.NotInForceError, OSError) as error:
        return _without_guard(worker, str(error), cancelling)
    sys.stdout.flush()
    heard, told = os.pipe()
    child = os.fork()
    if child == 0:
        in_child(lambda: _enter_and_run(worker, guard, trial, told, cancelling))
    os.close(told)
    is_in_force = os.read(heard, 1) != b""  # nothing where the child ended before it was under guard
    os.close(heard)
    # An interrupt reaches the child too, which ends in its own way; this process only waits for it.
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    trial.close()
    if not is_in_force and not cancelling.came:
        guard.remove()
        return _without_guard(worker, "the kernel does not apply the rules to a group of its own", cancelling)
    try:
        worker.emit({"event": "guard.ended", "refused": guard.refused()})
    except drill_guard.NotInForceError as error:
        worker.emit({"event": "guard", "in_force": False, "reason": f"its rules are gone: {error}"})
    guard.remove()
    return code if code >= 0 else 128 - code


def _enter_and_run(worker: Worker, guard: Guard, trial: socket.socket, told: int, cancelling: _Cancelling) -> None:
    guard.enter(trial.getsockname()[1])
    trial.close()
    os.write(told, b"1")
    os.close(told)
    worker.emit({"event": "guard", "in_force": True, "addresses": worker.spec["kept_from"]})
    _run(worker, cancelling)


def _without_guard(worker: Worker, reason: str, cancelling: _Cancelling) -> int:
    worker.emit({"event": "guard", "in_force": False, "reason": reason})
    if worker.spec.get("must_be_kept"):
        worker.emit({"event": "trouble", "kind": "guard", "text": reason, "dataset": ""})
        return 1
    _run(worker, cancelling)
    return 0


def _run(worker: Worker, cancelling: _Cancelling) -> None:
    # ansible-playbook is in the same environment as drp, which need not be on the operator's path.
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    import ansible_runner

    redactor = Redactor(worker.secrets.get("hidden", ()))
    secrets_file = _secrets_file(worker.spec, {"drp_secrets": worker.secrets.get("drp_secrets", {})})
    private = worker.folder / "runner"
    was_begun_before = private.exists()
    shutil.rmtree(private, ignore_errors=True)  # of one that was killed here
    private.mkdir(mode=0o700)

    explained = False

    def on_event(event: dict[str, Any]) -> bool:
        nonlocal explained
        if event["event"] == "playbook_on_start":
            secrets_file.unlink(missing_ok=True)
        if event.get("stdout"):
            print(redactor.text(event["stdout"]), flush=True)
        message = _message(event, redactor)
        if message is not None:
            worker.emit(message)
            explained = explained or "error" in message
        return False  # no copy of each event as a file of its own: `messages.jsonl` and `stdout` are the evidence

    variables = private / "variables.json"
    variables.write_text(json.dumps(_as_told(worker.spec["variables"])))
    if was_begun_before:
        _end_on_hosts(worker.spec, variables)
    use(Path(worker.spec["playbook"]).parent)
    try:
        done = ansible_runner.run(
            private_data_dir=str(private),
            ident="run",
            playbook=worker.spec["playbook"],
            inventory=worker.spec["inventory"],
            limit=worker.spec["limit"],
            cmdline=shlex.join(["-e", f"@{variables}", "-e", f"@{secrets_file}"]),
            envvars=_environment(worker.spec),
            settings={
                "suppress_env_files": True,
                "suppress_output_file": True,  # it would hold all that is printed, secrets too
                "fact_cache": worker.spec["facts_folder"],
            },
            event_handler=on_event,
            cancel_callback=lambda: cancelling.came,
            quiet=True,
        )
    finally:
        if cancelling.came:
            _end_forks(variables)
            _end_on_hosts(worker.spec, variables)
        secrets_file.unlink(missing_ok=True)
        _scrub(private / "artifacts" / "run" / "command")
        shutil.rmtree(private / "artifacts" / "run" / "job_events", ignore_errors=True)
    if done.status == "failed" and not explained:
        text = _last_words(worker.folder / "stdout")
        worker.emit({"event": "trouble", "kind": "playbook", "text": text, "dataset": ""})
    worker.emit({"event": "runner.ended", "status": done.status, "rc": done.rc})
    sys.exit(130 if cancelling.came else (done.rc or (0 if done.status == "successful" else 1)))


def _end_on_hosts(spec: dict[str, Any], variables: Path) -> None:
    """End what this action has begun on hosts: it outlives the connection. It is known by a variable of its
    environment, which sshd takes over where it accepts LC_*, as Debian's and Red Hat's do by default."""
    environment = {**os.environ, **_environment(spec), "LC_DRP_ACTION": "none", "ANSIBLE_SSH_RETRIES": "0"}
    argv = ["ansible", "-i", spec["inventory"], "-m", "ansible.builtin.raw", "-a", _END.format(action=spec["action"])]
    argv += ["-e", f"@{variables}", "-o", "-T", "5", spec["limit"]]
    with suppress(OSError, subprocess.TimeoutExpired):  # a host that does not answer cannot be told
        subprocess.run(argv, env=environment, capture_output=True, timeout=END_LIMIT_SECONDS, check=False)


def _end_forks(variables: Path) -> None:
    """Ansible's workers are in sessions of their own, and outlive what ansible-runner ends. They have its arguments;
    what they started (ssh) is theirs by parentage."""
    ended: set[int] = set()
    while fresh := _family_of(str(variables).encode()) - ended:
        for process in fresh:
            ended.add(process)
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def _family_of(argument: bytes) -> set[int]:
    """The processes with this argument, and their children, but this one."""
    parents: dict[int, int] = {}
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            if not entry.name.isdecimal() or int(entry.name) == os.getpid():
                continue
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if argument in (entry / "cmdline").read_bytes():
                found.add(int(entry.name))
    return found | {child for child, parent in parents.items() if parent in found}


def _secrets_file(spec: dict[str, Any], secrets: dict[str, Any]) -> Path:
    """A file in memory, of a name that tells whose it is: one that was killed before it had removed its own leaves it
    to the next try, or to whoever closes the connections."""
    folder = Path(spec["control_path_folder"])
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{spec['action']}.json"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(literal(secrets), file)
    return path


def _as_told(variables: dict[str, Any]) -> dict[str, Any]:
    """Variables with all that comes from a person's files as it stands there. Only Ansible's own settings are drp's
    templates."""
    return {name: value if name.startswith("ansible_") else literal(value) for name, value in variables.items()}


def literal(value: Any) -> Any:
    """A value in which Ansible sees no templates: it would carry them out on the control node."""
    if isinstance(value, dict):
        return {name: literal(item) for name, item in value.items()}
    if isinstance(value, list):
        return [literal(item) for item in value]
    if isinstance(value, str) and any(mark in value for mark in ("{{", "{%", "{#")):
        return {"__ansible_unsafe": value}
    return value


def _environment(spec: dict[str, Any]) -> dict[str, str]:
    Path(spec["control_path_folder"]).mkdir(mode=0o700, exist_ok=True)
    ssh = [
        *("-F", "none", "-C"),  # a user's own settings could lead to another machine than the one that drp checked
        *("-o", "ControlMaster=auto", "-o", "ControlPersist=30s"),
        *pinned(spec["known_hosts"]),
        *("-o", "SendEnv=LC_DRP_ACTION"),
    ]
    return {
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_HOST_KEY_CHECKING": "1",
        # A connection that broke, on a bad line or between two tasks, is no failed recovery.
        "ANSIBLE_SSH_RETRIES": "2",
        "ANSIBLE_PRIVATE_KEY_FILE": spec["private_key"].replace("%", "%%"),  # ssh expands it
        "ANSIBLE_SSH_ARGS": shlex.join(ssh),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": spec["control_path_folder"],
        "ANSIBLE_SSH_CONTROL_PATH": "%(directory)s/%%C",
        # Facts are gathered by the first stage that needs them and kept for the run's other stages.
        "ANSIBLE_GATHERING": "smart",
        "ANSIBLE_RETRY_FILES_ENABLED": "0",
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "ANSIBLE_NOCOLOR": "1",
        "LC_DRP_ACTION": spec["action"],
    }


def _last_words(output: Path) -> str:
    """Why Ansible ended before any task did: its last complaint, else the last line it wrote."""
    try:
        lines = [line.strip() for line in output.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return "it wrote nothing"
    said = [line for line in lines if line]
    complaints = [line for line in said if line.startswith(("ERROR", "[ERROR]", "fatal:")) or " error: " in line]
    return (complaints or said or ["it wrote nothing"])[-1][:2000]


def _message(event: dict[str, Any], redactor: Redactor) -> dict[str, Any] | None:
    """What of a runner event is worth keeping: who did what, when, how long, with what result."""
    data = event.get("event_data", {})
    if event["event"] == "runner_on_start":
        return {"event": "task.begun", "host": data.get("host", ""), "task": redactor.text(str(data.get("task", "")))}
    outcome = _OUTCOMES.get(event["event"])
    if outcome is None:
        return None
    result = data.get("res") or {}
    if outcome == "item failed" and result.get("unreachable"):
        outcome = "item unreachable"
    message: dict[str, Any] = {
        "event": "task",
        "host": data.get("host", ""),
        "task": redactor.text(str(data.get("task", ""))),
        "outcome": "ignored" if outcome == "failed" and data.get("ignore_errors") else outcome,
        "started_at": data.get("start", ""),
        "duration_ms": int(float(data.get("duration") or 0) * 1000),
        "changed": bool(result.get("changed", False)),
    }
    if outcome.endswith(("failed", "unreachable")):
        # Before it is made shorter: half of a secret would be left.
        message["error"] = redactor.text(str(result.get("msg") or result.get("stderr") or "no reason given"))[:2000]
        message["kind"] = str(result.get("drp_kind", ""))
        message["dataset"] = str(result.get("drp_dataset", ""))
    if "result" in result and outcome in ("ok", "item ok"):
        message["result"] = redactor.value(result["result"])
    return message


def _scrub(command_file: Path) -> None:
    """Take the environment out of ansible-runner's record of its command."""
    try:
        record = json.loads(command_file.read_text())
    except (OSError, ValueError):
        return
    record.pop("env", None)
    command_file.write_text(json.dumps(record))


if __name__ == "__main__":
    main()
