"""Carries the self-test out: builds its lab, backs up once, then drills under faults and without, in random order.

Every drill is a drp process of its own, started the same way each time: nothing tells it what was broken, or whether
anything was. The workspace has the same path each time, so that the next self-test finds what a killed one left.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from ipaddress import IPv4Network
from pathlib import Path

from drp.adapters.inventory import read_city
from drp.domain.findings import service_record
from drp.errors import BusyError, DrpError, UnreachableError, UsageError
from drp.lab.faults.base import Target
from drp.lab.faults.catalogue import FAULTS
from drp.lab.faults.injection import fault_named, injected
from drp.lab.faults.targets import targets_of
from drp.lab.machine import check_root
from drp.lab.plan import BENCHMARKING, names_of
from drp.lab.processes import MARKER, ROLE, kill_marked
from drp.lab.selftest.scoring import Score, Told, score

SERVICES = ("pengaduan", "portal")
"""Of the self-test's workspace, what others need first."""
NETWORK = IPv4Network("198.19.240.0/20")
CONTROLS = 3
COMMAND_SECONDS = 900
DRILL_SECONDS = 1800
FOLDERS = Path("/var/tmp")  # noqa: S108 - not /tmp, which every host of a lab has for itself; the folder itself is 0700
_WRITTEN_NETWORK = IPv4Network("198.18.0.0/20")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Order:
    """What is to be tested. The same seed gives the same order."""

    seed: int
    faults: tuple[str, ...] = tuple(FAULTS)
    controls: int = CONTROLS
    network: IPv4Network = NETWORK
    keep: bool = False

    def drills(self) -> list[str]:
        """The drills in their random order, each by its fault; "" is a control."""
        found = [*self.faults, *[""] * self.controls]
        random.Random(self.seed).shuffle(found)  # noqa: S311 - an order that can be repeated, no secret
        return found


def check(order: Order) -> None:
    """Raise UsageError where the self-test cannot be carried out as it is asked for."""
    for name in order.faults:
        fault_named(name)
    if not order.network.subnet_of(BENCHMARKING) or order.network.prefixlen != _WRITTEN_NETWORK.prefixlen:
        hint = f"give it one inside {BENCHMARKING} (RFC 2544), such as {NETWORK}"
        raise UsageError(f"the self-test's lab needs a /{_WRITTEN_NETWORK.prefixlen} network", hint=hint)
    if not order.drills():
        raise UsageError("there is nothing to test", hint="name a fault, or ask for --controls")


def workspace_of(network: IPv4Network) -> Path:
    """Where the self-test on a network works."""
    return FOLDERS / f"drp-selftest-{str(network.network_address).replace('.', '-')}"


def run_selftest(order: Order, runbooks: Path, say: Say) -> list[Score]:
    """Carry the self-test out, and remove its lab whatever happens. Scores are in the order of the drills."""
    check(order)
    check_root()
    workspace = workspace_of(order.network)
    with _alone(workspace):
        test = _SelfTest(workspace, order.network, runbooks, say)
        test.remove()
        try:
            test.build()
            return [test.drill(number, name, order) for number, name in enumerate(order.drills(), start=1)]
        finally:
            if order.keep:
                say(f"the self-test's lab is left up in {workspace}: drp -w {workspace} lab down --purge")
            else:
                test.remove()


@contextlib.contextmanager
def _alone(workspace: Path) -> Iterator[None]:
    """Nobody else runs a self-test on the same network meanwhile: it takes a name that the kernel gives to one process
    alone, and that ends with it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as lock:
        try:
            lock.bind(f"\0{workspace.name}")
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            hint = "wait for it, or give this one another network: --network"
            raise BusyError("another self-test is at work on this network", where=str(workspace), hint=hint) from None
        yield


class _SelfTest:
    def __init__(self, workspace: Path, network: IPv4Network, runbooks: Path, say: Say) -> None:
        self.workspace, self.network, self.runbooks, self.say = workspace, network, runbooks, say
        self.names = names_of(workspace)

    # -- the lab -------------------------------------------------------------------------------------------------------

    def build(self) -> None:
        """The workspace from its template, the lab, and one backup of everything."""
        self.say(f"a lab of its own in {self.workspace}, network {self.network}")
        self._write_workspace()
        self._command("lab", "up")
        self._command("backup", "run")

    def _write_workspace(self) -> None:
        template = Path(str(files("drp.lab.selftest") / "workspace"))
        self.workspace.mkdir(mode=0o700)
        for source in sorted(path for path in template.rglob("*.yaml")):
            target = self.workspace / source.relative_to(template)
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            target.write_text(self._placed(source.read_text(encoding="utf-8")), encoding="utf-8")

    def _placed(self, text: str) -> str:
        """The template's addresses in the network that was given."""
        text = text.replace(str(_WRITTEN_NETWORK), str(self.network))
        for segment in range(1, 16):
            here = _WRITTEN_NETWORK.network_address + 256 * segment
            there = self.network.network_address + 256 * segment
            text = text.replace(str(here).removesuffix(".0") + ".", str(there).removesuffix(".0") + ".")
        return text

    def remove(self) -> None:
        """Everything that this self-test, or one before it that was killed, has left."""
        if not self.workspace.exists():
            return
        # A drill of a killed self-test goes on by itself. It is marked as the lab's.
        kill_marked(self.names.marker, role=_ROLE)
        if (self.workspace / "drp.yaml").exists():
            self._end_open_runs()
            self._command("lab", "down", "--purge")
        shutil.rmtree(self.workspace, ignore_errors=True)
        if self.workspace.exists():
            raise UnreachableError("the self-test's folder cannot be removed", where=str(self.workspace))

    def _end_open_runs(self) -> None:
        """What a drill started outlives it; aborting its run ends that."""
        with contextlib.suppress(DrpError, ValueError):
            rows = json.loads(self._command("run", "list", "--json", "--limit", "1000"))
            for row in rows:
                if row["closed_at"] is None:
                    with contextlib.suppress(DrpError):
                        self._command("run", "abort", row["run"], "--reason", "the self-test was ended", codes=(0, 130))

    # -- drills --------------------------------------------------------------------------------------------------------

    def drill(self, number: int, name: str, order: Order) -> Score:
        """One drill, under a fault or under none; judged by what it told."""
        self.say(f"drill {number} of {len(order.drills())}")
        if not name:
            found = score(None, None, self._drill())
        else:
            with injected(self.workspace, name, self._targets(), say=self.say) as target:
                told = self._drill()
            found = score(FAULTS[name], target, told)
        self.say(f"drill {number}: {name or 'control'}: {found.word}{f': {found.why}' if found.why else ''}")
        return found

    def _targets(self) -> list[Target]:
        city, places = read_city(self.workspace, self.runbooks)
        paths = {name: places.paths[service_record(name)] for name in SERVICES}
        return targets_of(self.workspace, city, SERVICES, paths)

    def _drill(self) -> Told:
        done = self._start("drill", "run", "--json", "--by", "self-test", limit_seconds=DRILL_SECONDS)
        if done is None:
            return Told(-1, complaint=f"the drill did not end within {DRILL_SECONDS} s")
        try:
            result = json.loads(done.stdout)
            return Told(done.returncode, result["verdict"], tuple(result["causes"]))
        except (ValueError, KeyError, TypeError):
            return Told(done.returncode, complaint=_end_of(done.stderr))

    # -- drp processes -------------------------------------------------------------------------------------------------

    def _command(self, *arguments: str, codes: Sequence[int] = (0,)) -> str:
        done = self._start(*arguments, limit_seconds=COMMAND_SECONDS)
        words = "drp " + " ".join(arguments[:2])
        if done is None:
            raise UnreachableError(f"{words} did not end within {COMMAND_SECONDS} s", where=str(self.workspace))
        if done.returncode not in codes:
            raise UnreachableError(f"{words} failed: {_end_of(done.stderr)}", where=str(self.workspace))
        return done.stdout

    def _start(self, *arguments: str, limit_seconds: float) -> subprocess.CompletedProcess[str] | None:
        """Run drp to its end; None where it takes too long. Its words are kept beside the workspace's other logs."""
        package = str(Path(__file__).resolve().parents[3])
        argv = [sys.executable, "-P", "-m", "drp", "-w", str(self.workspace), *arguments]
        env = {**os.environ, "PYTHONPATH": package, MARKER: self.names.marker, ROLE: _ROLE}
        try:
            done = subprocess.run(
                argv,
                env=env,
                cwd="/",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=limit_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None
        with contextlib.suppress(OSError), (self.workspace / "selftest.log").open("a", encoding="utf-8") as log:
            log.write(f"$ drp {' '.join(arguments)}\n{done.stderr}{done.stdout}exit code {done.returncode}\n")
        return done


_ROLE = "selftest"


def _end_of(text: str) -> str:
    return " ".join(text.strip().splitlines()[-3:])[-600:]
