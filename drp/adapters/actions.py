"""Starts outside actions under `drp.adapters.supervisor`, and reads what they left."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from drp.adapters.data_files import IncomingPipe
from drp.adapters.drill_guard import remove_left
from drp.adapters.host_program import folder_of, packed_file
from drp.adapters.ssh_options import proxy_through
from drp.adapters.starter import PLAYBOOK_WORKERS, Starter
from drp.adapters.supervisor import kept_environment
from drp.adapters.worker import DATA_PIPE, MESSAGES_FILE
from drp.domain.backups.settings import ResticProgram
from drp.domain.datasets.streamed import through_control_node
from drp.domain.events import Body
from drp.domain.inventory import AnsibleHost, SshAccess, jumps_to
from drp.errors import BusyError, DrpError
from drp.ports import ActionState, Evidence, IncomingData, ProbeTarget

CLOSE_LIMIT_SECONDS = 15
"""An ssh that was cut off as it connected tries on for ten seconds."""
LEAST_PLAYBOOKS, PLAYBOOKS_PER_PROCESSOR = 6, 3
EVIDENCE_FILES = ("stdout", "stderr", MESSAGES_FILE, "samples.jsonl")


class SupervisedActions:
    """Implements `drp.ports.Actions` for one workspace."""

    def __init__(
        self,
        workspace: Path,
        ssh: SshAccess,
        playbooks: Path,
        inventory: Path,
        hosts: Mapping[str, AnsibleHost] | None = None,
        carried_restic: ResticProgram | None = None,
        known_secrets: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self.workspace, self.ssh, self.playbooks, self.inventory = workspace, ssh, playbooks, inventory
        self.hosts = hosts or {}
        self._told: dict[str, tuple[int, int, int]] = {}
        """Of each file of messages: which file it was, its size and its messages, as they were read last."""
        self.carried_restic = carried_restic
        self.known_secrets = known_secrets
        self.starter = Starter(workspace)
        self.playbook_starter = Starter(workspace, PLAYBOOK_WORKERS, with_packages=True)
        self._program: Path | None = None

    @property
    def playbooks_at_once(self) -> int:
        # Each keeps a processor busy for most of its time; the rest of it is waiting for hosts.
        return max(LEAST_PLAYBOOKS, PLAYBOOKS_PER_PROCESSOR * (os.cpu_count() or 1))

    def start_remote(self, folder: Path, host: AnsibleHost, job: Body, secrets: Body, ca_certificate: str) -> None:
        """Run a job of playbooks/module_utils/drp_host on a host."""
        if self._program is None:
            self._program = packed_file(folder_of(self.playbooks), self.workspace / "var" / "cache")
        is_here = host.restic == "control-node"
        if is_here:
            procedures = [through_control_node(procedure, host.python) for procedure in job.get("datasets", [])]
            needed = [name for procedure in procedures for name in procedure["requires"]]
            requires = list(dict.fromkeys([*job.get("requires", []), *needed]))
            job = {**job, "datasets": procedures, "requires": requires}
        spec = {
            "host": host.model_dump(),
            "jumps": [jump.model_dump() for jump in jumps_to(host, self.hosts)],
            "private_key": str(self.workspace / self.ssh.private_key),
            "known_hosts": str(self.workspace / self.ssh.known_hosts),
            "program": str(self._program),
            "job": job,
            **self._with_restic(job),
            "ca_pem": ca_certificate,
        }
        self._start(folder, "drp.adapters.local_worker" if is_here else "drp.adapters.ssh_worker", spec, secrets)

    def start_playbook(
        self,
        folder: Path,
        playbook: str,
        hosts: Sequence[str],
        variables: Body,
        secrets: Body,
        ca_certificate: str,
        *,
        kept_from: Sequence[str] = (),
        must_be_kept: bool = False,
    ) -> None:
        """Run a playbook on hosts through ansible-runner. Secrets, by host, become the variable `drp_secrets`."""
        path = self.playbooks / f"{playbook}.yml"
        if not path.is_file():
            raise DrpError(f"there is no playbook {path.name}", where=str(self.playbooks), hint="restore it from git")
        if not path.resolve().is_relative_to(self.playbooks.resolve()):
            hint = "put the file itself there"
            raise DrpError(f"playbook {path.name} leads out of its folder", where=str(self.playbooks), hint=hint)
        if not hosts:
            # Ansible would end well, without having done anything.
            raise DrpError(f"no host is named that {path.name} could work on", where=folder.name, hint="drp validate")
        spec = {
            "playbook": str(path),
            "inventory": str(self.inventory),
            "limit": ",".join(hosts),
            "private_key": str(self.workspace / self.ssh.private_key),
            "known_hosts": str(self.workspace / self.ssh.known_hosts),
            "facts_folder": str(folder.parent / "facts"),
            "control_path_folder": str(self._control_path_folder()),
            "kept_from": list(kept_from),
            "guard_tag": self._tag(),
            "must_be_kept": must_be_kept,
            "action": f"{self._tag()}-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}",
            "variables": {
                **variables,
                **self._jump_variables(hosts),
                **self._restic_variables(variables),
                "drp_hosts": list(hosts),
                "drp_ca_pem": ca_certificate,
            },
        }
        hidden = list(dict.fromkeys([*_texts_of(secrets), *self.known_secrets()]))
        self._start(folder, "drp.adapters.ansible_worker", spec, {"drp_secrets": secrets, "hidden": hidden})

    def _with_restic(self, job: Body) -> Body:
        """A job on a repository may ask for the restic that drp carries."""
        if self.carried_restic is None or not job.get("repository"):
            return {}
        file, carried = self._carried(self.carried_restic)
        return {"carried": file, "job": {**job, "carried_restic": carried}}

    def _restic_variables(self, variables: Body) -> Body:
        if self.carried_restic is None or "drp_jobs" not in variables:
            return {}
        file, carried = self._carried(self.carried_restic)
        jobs = [{**job, "carried_restic": carried} for job in variables["drp_jobs"]]
        return {"drp_carried_restic": {**carried, "file": file}, "drp_jobs": jobs}

    def _carried(self, restic: ResticProgram) -> tuple[str, Body]:
        path = self.workspace / restic.file
        try:
            size = path.stat().st_size
        except OSError as error:
            hint = "put it there, or correct backups.restic in drp.yaml: drp validate"
            raise DrpError(f"the restic to carry: {error.strerror}", where=str(path), hint=hint) from error
        return str(path), {"sha256": restic.sha256, "size": size, "prefer": restic.prefer}

    def _jump_variables(self, names: Sequence[str]) -> Body:
        """How Ansible's own connections go through jump hosts; nothing where no host of a playbook has one."""
        files = (str(self.workspace / self.ssh.private_key), str(self.workspace / self.ssh.known_hosts))
        ways = {name: jumps_to(self.hosts[name], self.hosts) for name in names if name in self.hosts}
        if not any(ways.values()):
            return {}
        arguments = {}
        for name, jumps in ways.items():
            hops = [jump.model_dump() for jump in jumps]
            proxy = proxy_through(hops, self.hosts[name].model_dump(), *files).replace("%", "%%")
            arguments[name] = shlex.join(["-o", f"ProxyCommand={proxy}"]) if jumps else ""
        return {
            "drp_ssh_arguments": arguments,
            "ansible_ssh_common_args": "{{ drp_ssh_arguments[inventory_hostname] }}",
        }

    def start_probe(self, folder: Path, targets: Mapping[str, ProbeTarget]) -> None:
        """Try the checks of services until stopped, all in one process."""
        for target in targets.values():
            target.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        spec = {
            "workspace": str(self.workspace),
            "targets": {
                service: {
                    "address": target.address,
                    "checks": list(target.checks),
                    "baseline": dict(target.baseline),
                    "folder": str(target.folder),
                }
                for service, target in targets.items()
            },
        }
        secrets = {service: dict(target.secrets) for service, target in targets.items()}
        self._start(folder, "drp.adapters.probe_worker", spec, secrets)

    def _start(self, folder: Path, module: str, spec: Body, secrets: Body) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.state(folder) is ActionState.RUNNING:
            raise BusyError("this action is running already", where=str(folder))
        for name in ("exit_code", "pid", "stdout", "stderr", MESSAGES_FILE):
            (folder / name).unlink(missing_ok=True)
        specification = os.open(folder / "spec.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(specification, "w") as file:
            json.dump(spec, file, indent=1)
        starter = self.playbook_starter if module in PLAYBOOK_WORKERS else self.starter
        starter.start(folder, module, secrets)

    def expect_data(self, folder: Path) -> IncomingData:
        """A pipe that the worker of the action in `folder` writes to."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return IncomingPipe(folder / DATA_PIPE)

    def state(self, folder: Path) -> ActionState:
        """What has become of an action."""
        if os.path.exists(f"{folder}/exit_code"):
            return ActionState.ENDED
        try:
            lock = os.open(f"{folder}/lock", os.O_RDWR)
        except FileNotFoundError:
            return ActionState.ABSENT
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return ActionState.RUNNING
        finally:
            os.close(lock)
        # It may have ended between the first look and the lock.
        return ActionState.ENDED if (folder / "exit_code").exists() else ActionState.LOST

    def exit_code(self, folder: Path) -> int:
        """The exit code of an action that has ended."""
        return int((folder / "exit_code").read_text())

    def messages(self, folder: Path, skip: int) -> list[Body]:
        """What the worker has told so far, without the first `skip` messages and without a half-written last line."""
        path = f"{folder}/{MESSAGES_FILE}"
        try:
            found = os.stat(path)
            if self._told.get(path) == (found.st_ino, found.st_size, skip):
                return []  # asked many times a second, and mostly there is nothing new
            content = Path(path).read_bytes()
        except FileNotFoundError:
            return []
        lines = content.split(b"\n")[:-1]  # of bytes: the last line may end within a letter
        self._told[path] = (found.st_ino, len(content), len(lines))
        return [_message(line) for line in lines[skip:]]

    def stop(self, folder: Path) -> None:
        """Ask a running action to end. Returns at once; wait for its state."""
        if self.state(folder) is ActionState.RUNNING:
            try:
                supervisor, worker = (int(word) for word in (folder / "pid").read_text().split())
                if _holds(supervisor, folder / "lock"):
                    os.kill(supervisor, signal.SIGTERM)
                elif _holds(worker, folder / "lock"):
                    os.killpg(worker, signal.SIGINT)  # its supervisor was killed
            except (FileNotFoundError, ValueError, ProcessLookupError):
                pass  # it has not written its pid yet, or has just ended; the caller looks again

    def ended_at(self, folder: Path) -> datetime:
        """When an action ended, also where nobody looked then; of one that was lost, when it last told something."""
        found = next(path for name in ("exit_code", MESSAGES_FILE, "lock") if (path := folder / name).exists())
        return datetime.fromtimestamp(found.stat().st_mtime, UTC)

    def evidence(self, folder: Path) -> list[Evidence]:
        """The files that an ended action left, with their hashes."""
        found = []
        for name in EVIDENCE_FILES:
            path = folder / name
            if path.is_file() and path.stat().st_size:
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                found.append(Evidence(str(path.relative_to(self.workspace)), digest))
        return found

    def _control_path_folder(self) -> Path:
        # A socket's path may have 107 characters at most, so it cannot lie in the workspace.
        return Path("/dev/shm" if os.path.isdir("/dev/shm") else "/tmp") / f"drp-{os.getuid()}-{self._tag()}"

    def _tag(self) -> str:
        """A short name for the workspace, where its path is too long."""
        return hashlib.sha256(str(self.workspace).encode()).hexdigest()[:10]

    def close_connections(self) -> None:
        """End the shared SSH connections that Ansible left for the next stage, and what guarded a drill's."""
        self._close_connections()
        if os.geteuid() == 0:
            remove_left(self._tag(), CLOSE_LIMIT_SECONDS)

    def _close_connections(self) -> None:
        folder = self._control_path_folder()
        limit = time.monotonic() + CLOSE_LIMIT_SECONDS
        # Looked at again: an ssh that was cut off as it connected makes its socket only now, and one that answers
        # removes its own a moment later. The last look comes after the limit: an answer may have taken all of it.
        while folder.is_dir():
            is_last = time.monotonic() >= limit
            for socket in folder.glob("*"):
                if socket.suffix == ".json":  # secrets of a playbook that was killed as it began
                    socket.unlink(missing_ok=True)
                    continue
                argv = ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "drp"]
                done = subprocess.run(argv, capture_output=True, env=kept_environment(), check=False)
                if done.returncode:
                    socket.unlink(missing_ok=True)  # nobody listens there any more
            try:
                folder.rmdir()
            except OSError:
                if is_last:
                    return
                time.sleep(0.05)


def _texts_of(secrets: Any) -> Iterator[str]:
    """The secrets that hosts get, but for the names of keys, which are none."""
    if isinstance(secrets, str):
        yield secrets
    elif isinstance(secrets, Mapping):
        for name, item in secrets.items():
            if name != "access_key_id":
                yield from _texts_of(item)


def _message(line: bytes) -> Body:
    """What a line says. A power cut may leave zeros where lines should be: they must not stop who reads the rest."""
    try:
        message = json.loads(line)
    except ValueError:
        message = None
    return message if isinstance(message, dict) and isinstance(message.get("event"), str) else {"event": "unreadable"}


def _holds(process: int, path: Path) -> bool:
    """Whether a process has a file open; another one may have got its number meanwhile."""
    descriptors = f"/proc/{process}/fd"
    try:
        return any(os.path.samefile(f"{descriptors}/{number}", path) for number in os.listdir(descriptors))
    except OSError:
        return False
