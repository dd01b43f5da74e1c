"""What a fault is, what it strikes, and what it may use to do so."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from drp.errors import UnreachableError
from drp.lab.hosts import run_inside
from drp.lab.plan import LabDrCentre, LabHost, LabNames
from drp.lab.processes import ProcessIdentity, is_running, run
from drp.lab.state import LabState, make_directory

BACKUP_SECONDS = 600


@dataclass(frozen=True)
class Target:
    """The service that a fault strikes, as plain data, so that the lab's state can hold it.

    `dependants` are those that need it. `primary` and `recovery` are the hosts of its first dataset; `repository` is
    the folder below the DR centre's bucket; `files` is its first dataset of type files: (id, its first path).
    """

    service: str
    primary: str
    recovery: str
    dr_centre: str
    repository: str
    password: str
    service_file: str
    application: str = ""
    dependants: tuple[str, ...] = ()
    files: tuple[str, str] | None = None
    name_server: str = ""

    def record(self) -> dict[str, Any]:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Target:
        files = record["files"]
        return cls(
            **{
                **record,
                "dependants": tuple(record["dependants"]),
                "files": None if files is None else (files[0], files[1]),
            }
        )


@dataclass(frozen=True)
class Sign:
    """One cause that a drill's report must hold: of these kinds (`drp.domain.recovery.causes`), at one of these stages
    of the service, and with these words (a pattern) where the kind alone does not say it.

    `of` is the service that is struck, one that needs it, or any (what is struck serves them all); `at_recovery_host`:
    the cause must name the target's host.
    """

    kinds: tuple[str, ...]
    stages: tuple[str, ...]
    words: str = ""
    at_recovery_host: bool = False
    of: Literal["target", "dependants", "any"] = "target"

    def found_in(self, causes: Iterable[Mapping[str, str]], target: Target) -> Mapping[str, str] | None:
        services = {"target": (target.service,), "dependants": target.dependants, "any": None}[self.of]
        matching = (
            cause
            for cause in causes
            if (services is None or cause["service"] in services)
            and cause["kind"] in self.kinds
            and cause["step"].partition("/")[2] in self.stages
            and (not self.at_recovery_host or cause["host"] == target.recovery)
            and re.search(self.words.replace("SERVICE", re.escape(target.service)), cause["text"]) is not None
        )
        return next(matching, None)


@dataclass(frozen=True)
class Scene:
    """The lab that a fault works in. The lab's lock is held."""

    names: LabNames
    state: LabState
    target: Target
    say: Callable[[str], None]

    @property
    def centre(self) -> LabDrCentre:
        return self.state.plan.dr_centre(self.target.dr_centre)

    @property
    def recovery_host(self) -> LabHost:
        return next(host for host in self.state.plan.hosts if host.name == self.target.recovery)

    def host_process(self, name: str) -> ProcessIdentity | None:
        """Process 1 of a host, None where it is down."""
        part = self.state.hosts.get(name)
        return part.process if part is not None and is_running(part.process) else None

    def on_recovery_host(self, script: str, *, must_be_up: bool = True) -> None:
        """Run a shell script as its administrator would. A host that is down has nothing to mend."""
        process = self.host_process(self.target.recovery)
        if process is None:
            if must_be_up:
                raise UnreachableError("the host is down", where=self.target.recovery, hint="drp lab up")
            return
        run_inside(self.names, process, script, where=self.target.recovery)

    def repository_files(self, folder: str) -> list[Path]:
        """The files of the service's repository in the DR centre's own storage, oldest first."""
        base = self.names.directory / "s3" / self.centre.name / self.centre.bucket / self.target.repository / folder
        return sorted((path for path in base.rglob("*") if path.is_file()), key=lambda path: path.stat().st_mtime_ns)

    def storage_has_changed(self) -> None:
        """Have the S3 server forget which files it has seen."""
        process = self.state.dr_centres[self.centre.name].process
        if process is not None and is_running(process):
            os.kill(process.pid, signal.SIGHUP)

    def inside_centre(self, *argv: str, check: bool = True) -> None:
        """Run a command in the network of the DR centre's S3 server."""
        process = self.state.dr_centres[self.centre.name].process
        if process is None or not is_running(process):
            if check:
                raise UnreachableError("the DR centre is down", where=self.centre.name, hint="drp lab up")
            return
        command = ["nsenter", f"--net=/proc/{process.pid}/ns/net", "--", *argv]
        with contextlib.nullcontext() if check else contextlib.suppress(UnreachableError):
            run(command, env={"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}, where=self.centre.name)

    # -- files that are broken and mended ------------------------------------------------------------------------------

    def set_aside(self, path: Path) -> None:
        """Keep a file as it is, to be put back by `put_back`, also by another process. Done twice, the first counts."""
        kept = self._kept(path)
        if kept.exists():
            return
        make_directory(kept.parent)
        with (self._aside / "places").open("a", encoding="utf-8") as places:
            places.write(f"{path}\n")
        new = kept.with_name(f"{kept.name}.new")
        shutil.copy2(path, new)
        new.replace(kept)

    def put_back(self) -> None:
        """Put every file back that was set aside."""
        places = self._aside / "places"
        paths = dict.fromkeys(places.read_text(encoding="utf-8").splitlines()) if places.exists() else {}
        for text in paths:
            kept = self._kept(Path(text))
            if kept.exists():
                new = Path(text).with_name(f".{Path(text).name}.drp-lab")
                shutil.copy2(kept, new)
                new.replace(text)
        shutil.rmtree(self._aside, ignore_errors=True)

    @property
    def _aside(self) -> Path:
        return self.names.directory / "faults"

    def _kept(self, path: Path) -> Path:
        return self._aside / str(path).strip("/").replace("/", "%")

    def back_up(self) -> None:
        """Back the service up as its schedule would."""
        argv = [
            sys.executable,
            "-P",
            "-m",
            "drp",
            "-w",
            str(self.names.workspace),
            "backup",
            "run",
            self.target.service,
        ]
        package = str(Path(__file__).resolve().parents[3])
        done = subprocess.run(
            argv,
            env={**os.environ, "PYTHONPATH": package},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=BACKUP_SECONDS,
            check=False,
        )
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()[-800:]
            raise UnreachableError(f"the backup that the fault needs failed: {said}", where=self.target.service)


Act = Callable[[Scene], None]


@dataclass(frozen=True)
class Fault:
    """One thing that is broken. `named_by` are the signs that must all be in a report for its cause to count as named;
    `needs` says what a service must have so that it can be struck (`choose`).

    `mend` may be called again, and from another process than the one that struck, whatever that one had done.
    """

    name: str
    title: str
    strike: Act
    mend: Act
    named_by: tuple[Sign, ...]
    needs: tuple[str, ...] = field(default=())

    def choose(self, targets: Sequence[Target]) -> Target | None:
        """The first service that can be struck."""
        return next((item for item in targets if all(_HAS[need](item) for need in self.needs)), None)

    def named_cause(self, causes: Sequence[Mapping[str, str]], target: Target) -> Mapping[str, str] | None:
        """What of the causes that a drill told names the fault; None unless every sign is there."""
        found = [sign.found_in(causes, target) for sign in self.named_by]
        return found[0] if all(found) else None


_HAS: Mapping[str, Callable[[Target], bool]] = {
    "dependants": lambda target: bool(target.dependants),
    "files": lambda target: target.files is not None,
    "dns": lambda target: bool(target.name_server),
    "pengaduan": lambda target: target.application == "pengaduan",
}
