"""A city on one machine: build it, look at it, lose a site of it, remove it.

Every part is written into var/lab/state.json before it is made, and every process carries the lab's marker, so that
`down` leaves nothing behind whatever happened before it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from drp.errors import IntegrityError, UsageError
from drp.lab import credentials, dr_centre, hosts, name_server, network, services
from drp.lab.applications import application_of, programs_of
from drp.lab.machine import check_machine, check_programs, check_root
from drp.lab.plan import (
    LabDrCentre,
    LabFiles,
    LabHost,
    LabNames,
    LabPlan,
    LabService,
    check_plan,
    names_of,
)
from drp.lab.processes import ProcessIdentity, is_running, kill, kill_marked
from drp.lab.state import DONE, LabState, Part, forget, hold, load
from drp.lab.status import ClientStatus, DrCentreStatus, HostStatus, LabStatus, NetworkStatus, status

__all__ = [
    "ClientStatus",
    "DrCentreStatus",
    "HostStatus",
    "LabDrCentre",
    "LabFiles",
    "LabHost",
    "LabPlan",
    "LabService",
    "LabStatus",
    "NetworkStatus",
    "disaster",
    "down",
    "start_dr_centre",
    "status",
    "stop_dr_centre",
    "up",
]

Say = Callable[[str], None]
Item = TypeVar("Item")
SCENARIOS = ("site-loss",)


def up(plan: LabPlan, *, say: Say, clients: bool = True) -> list[str]:
    """Build what is missing of the lab. Says each step in one line.

    The first time, services are installed on their primary hosts and filled. Later, hosts that are down come back as
    new, empty ones: what was lost with them stays lost, as after a real disaster. Gives the ids of the services that
    were installed anew.
    Raises UsageError (plan), UnreachableError (machine, or a part that does not start), BusyError (lock).
    """
    check_plan(plan)
    check_machine()
    check_programs(programs_of(plan.services))
    names = names_of(plan.workspace)
    with hold(names):
        try:
            state = load(names)
        except IntegrityError:
            state = None
        if state is None:
            _remove(names, None)
            state = LabState(plan)
        _check_same(state, plan)
        network.check_free(names, plan.network)
        said_before, state.plan = state.plan, plan
        lost = [host for host in plan.hosts if not _complete(state, host)]
        _forget_unfinished(state, lost)
        state.save(names)
        credentials.make(names, plan)
        say(f"network {plan.network} on bridge {names.bridge}")
        network.make_bridge(names, plan)
        complete = not lost and all(_centre_runs(state)) and all(_client_runs(state, clients))
        for centre in plan.dr_centres:
            start_centre_of(names, state, centre, say)
        for server in plan.name_servers:
            name_server.keep_up(names, state, server, say)
        start_hosts(names, state, lost, say)
        _tell_names(names, state, [host for host in plan.hosts if host not in lost], said_before)
        installed = _install_services(names, state, say)
        if clients:
            _start_clients(names, state, say)
        if complete and not installed:
            say("the lab was already up")
        return installed


def _client_runs(state: LabState, clients: bool) -> Iterable[bool]:
    return [is_running(state.clients[name].process) for name in state.clients] if clients else []


def _centre_runs(state: LabState) -> Iterable[bool]:
    for centre in state.plan.dr_centres:
        part = state.dr_centres.get(centre.name)
        yield part is not None and part.phase == DONE and is_running(part.process)


def _complete(state: LabState, host: LabHost) -> bool:
    """Whether a host runs and nothing on it was interrupted while it was being built."""
    part = state.hosts.get(host.name)
    on_it = [state.services.get(service.id) for service in state.plan.services if service.host == host.name]
    interrupted = any(service is not None and service.phase != DONE for service in on_it)
    return part is not None and part.phase == DONE and is_running(part.process) and not interrupted


def _forget_unfinished(state: LabState, lost: Iterable[LabHost]) -> None:
    """A service that was not completely installed is installed again, on the new host. So is all that shares a host
    with it that still runs: the lab itself is about to take it away."""
    for host in lost:
        part = state.hosts.get(host.name)
        still_runs = part is not None and is_running(part.process)
        for service in state.plan.services:
            installed = state.services.get(service.id)
            if service.host == host.name and installed is not None and (still_runs or installed.phase != DONE):
                del state.services[service.id]


def _check_same(state: LabState, plan: LabPlan) -> None:
    """Refuse to change a running lab into another one: its hosts would keep addresses that the plan gives away."""
    planned = {host.name: (host.address, host.site) for host in plan.hosts}
    for host in state.plan.hosts:
        part = state.hosts.get(host.name)
        running = part is not None and is_running(part.process)
        if running and planned.get(host.name) != (host.address, host.site):
            raise UsageError(
                f"host {host.name} runs in the lab, and the inventory now has it otherwise or not at all",
                hint="drp lab down, then drp lab up",
            )
    running = any(is_running(part.process) for part in state.dr_centres.values())
    before, now = ((item.network, [centre.endpoint for centre in item.dr_centres]) for item in (state.plan, plan))
    if running and before != now:
        raise UsageError("the lab is up with another network or S3 endpoint", hint="drp lab down, then drp lab up")


def start_centre_of(names: LabNames, state: LabState, centre: LabDrCentre, say: Say) -> None:
    """Start a DR centre's S3 server unless it runs. The lab's lock must be held."""
    known = state.dr_centres.get(centre.name)
    if known is not None and known.phase == DONE and is_running(known.process):
        return
    say(f"DR centre {centre.name}: S3 at {centre.endpoint}, bucket {centre.bucket}")
    # Also one that an interrupted `up` had started and not yet written down.
    kill_marked(names.marker, role=centre.role)
    part = state.dr_centres[centre.name] = Part()
    state.save(names)
    part.process = dr_centre.start(names, state.plan, centre)
    state.save(names)
    dr_centre.await_ready(names, centre, part.process)
    part.phase = DONE
    state.save(names)


def start_hosts(names: LabNames, state: LabState, lost: list[LabHost], say: Say) -> None:
    """Build these hosts anew, all at once. The lab's lock must be held."""
    if not lost:
        return
    for host in lost:
        say(f"host {host.name} ({host.site}) at {host.address}")
        kill_marked(names.marker, role=hosts.role(host.name))
        state.hosts[host.name] = Part()
    state.save(names)
    authorized_key = credentials.read_public_key(state.plan.files.ssh_private_key)

    def build(host: LabHost) -> None:
        key = credentials.host_key(names, host.name)
        process = hosts.start(names, state.plan, host, host_key=key, authorized_key=authorized_key)
        state.hosts[host.name].process = process
        state.save(names)
        hosts.make_ready(names, state.plan, host, process)
        state.hosts[host.name].phase = DONE
        state.save(names)

    _side_by_side(build, lost)


def _tell_names(names: LabNames, state: LabState, kept: Iterable[LabHost], before: LabPlan) -> None:
    """Hosts that were up before the lab grew learn the names of what is new."""
    for host in kept:
        if hosts.hosts_file(before, host) != hosts.hosts_file(state.plan, host):
            hosts.update_names(names, state.plan, host, _process(state, host.name))


def _install_services(names: LabNames, state: LabState, say: Say) -> list[str]:
    """Install what is missing: hosts side by side, the services of one host in turn. They may need each other: all are
    waited for in the end."""
    missing: dict[str, list[LabService]] = {}
    for service in state.plan.services:
        if service.id in state.services:
            continue
        if application_of(service) is None:
            say(f"service {service.id}: the lab has no program for it; its host stays as it is")
            continue
        say(f"service {service.id} on {service.host}, at {service.address or 'its host'}")
        state.services[service.id] = Part()
        missing.setdefault(service.host, []).append(service)
    state.save(names)

    def install(on_host: list[LabService]) -> None:
        for service in on_host:
            services.set_aside_record(names, service)
            services.install(names, state.plan, service, _process(state, service.host))

    _side_by_side(install, missing.values())
    installed = [service for on_host in missing.values() for service in on_host]

    def await_usable(service: LabService) -> None:
        services.await_usable(state.plan, service)
        state.services[service.id].phase = DONE
        state.save(names)

    _side_by_side(await_usable, installed)
    return [service.id for service in installed]


def _side_by_side(act: Callable[[Item], None], items: Iterable[Item]) -> None:
    """Do something with each item, some at once, and raise the first fault when all have ended."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        results = [pool.submit(act, item) for item in items]
    faults = [fault for result in results if (fault := result.exception()) is not None]
    if faults:
        raise faults[0]


def _process(state: LabState, host: str) -> ProcessIdentity:
    process = state.hosts[host].process
    if process is None:
        raise UsageError(f"host {host} is not up")
    return process


def _start_clients(names: LabNames, state: LabState, say: Say) -> None:
    """One process writes to all services that are written to; where there are more by now, another one takes its
    place."""
    there = [service for service in state.plan.services if service.id in state.services]
    writers = {service.id: writer for service in there if (writer := services.writer_of(names, service)) is not None}
    if writers.keys() == state.clients.keys() and all(is_running(part.process) for part in state.clients.values()):
        return
    say(f"citizens use {', '.join(writers)}")
    kill_marked(names.marker, role=services.CLIENTS)
    state.clients = {service: Part() for service in writers}
    state.save(names)
    process = services.start_clients(names, list(writers.values()))
    state.clients = {service: Part(DONE, process) for service in writers}
    state.save(names)


def down(workspace: Path, *, say: Say, purge: bool = False) -> None:
    """Remove the lab, also one that was never completed or whose state is lost. Doing it twice is no error.

    What the DR centre holds, the keys, the citizens' records and the logs stay; `purge` removes them too.
    Raises BusyError (lock), UnreachableError when something cannot be removed.
    """
    check_root()
    names = names_of(workspace)
    if not names.directory.exists() and not network.interfaces(names):
        kill_marked(names.marker)
        say("there is no lab")
        return
    with hold(names):
        try:
            state = load(names)
        except IntegrityError as damaged:
            say(f"{damaged}: removing what carries the lab's name")
            state = None
        count = _remove(names, state)
        say("the lab is down" if count else "the lab was down already")
        if purge:
            _purge(names)
            say("its keys and the DR centre's data are removed")


def _remove(names: LabNames, state: LabState | None) -> int:
    """End the lab's processes and remove its interfaces and run files; return how many things there were."""
    if state is not None:
        servers = [*state.dr_centres.values(), *state.name_servers.values()]
        parts = [*state.clients.values(), *servers, *state.hosts.values()]
        known = [part.process for part in parts if part.process is not None and is_running(part.process)]
        kill(known)
    else:
        known = []
    count = len(known) + kill_marked(names.marker) + network.remove_all(names)
    forget(names)
    shutil.rmtree(names.directory / "run", ignore_errors=True)
    mount_point = names.directory / "mount"
    if mount_point.exists():
        mount_point.rmdir()
    return count


def _purge(names: LabNames) -> None:
    for path in credentials.generated(names):
        path.unlink(missing_ok=True)
    for entry in names.directory.iterdir():
        # The lock is held, and is the one thing that has to be the same file for everybody.
        if entry.name == "lock":
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def disaster(workspace: Path, scenario: str, *, site: str = "primary", say: Say) -> datetime:
    """Make something terrible happen and return the UTC time at which it did, also added to disasters.jsonl.

    "site-loss": every host of `site` loses power at once (SIGKILL to its process 1); nothing is flushed or stopped
    in order. The citizens and the DR centre go on. Raises UsageError when there is nothing to lose.
    """
    if scenario not in SCENARIOS:
        raise UsageError(f"no disaster is called {scenario!r}", hint=f"there is: {', '.join(SCENARIOS)}")
    names = names_of_lab(workspace)
    with hold(names):
        state = require_state(names)
        there = [host for host in state.plan.hosts if host.site == site]
        victims = [host for host in there if host.name in state.hosts and is_running(state.hosts[host.name].process)]
        if not victims:
            raise UsageError(f"no host of site {site!r} is up", hint="see: drp lab status")
        processes = [process for host in victims if (process := state.hosts[host.name].process) is not None]
        at = datetime.now(UTC)
        kill(processes)
        for host in victims:
            network.unplug(names, host.name)
        record = {"at": at.isoformat(), "scenario": scenario, "site": site, "hosts": [host.name for host in victims]}
        with (names.directory / "disasters.jsonl").open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(record) + "\n")
        say(f"{at:%H:%M:%S.%f} UTC: site {site} is lost ({', '.join(host.name for host in victims)})")
        return at


def stop_dr_centre(workspace: Path, name: str = "") -> None:
    """Kill the S3 server of a DR centre (the first, unless one is named) in the middle of whatever it does. Its data
    stay. Nothing happens when it is not running."""
    names = names_of_lab(workspace)
    with hold(names):
        state = require_state(names)
        centre = state.plan.dr_centre(name)
        process = state.dr_centres[centre.name].process
        if process is not None:
            kill([process])
        network.unplug(names, centre.role)


def start_dr_centre(workspace: Path, name: str = "") -> None:
    """Start the S3 server of a DR centre again over the same data, and wait until it answers."""
    names = names_of_lab(workspace)
    with hold(names):
        state = require_state(names)
        start_centre_of(names, state, state.plan.dr_centre(name), _silently)


def _silently(_line: str) -> None:
    """A `say` for work that has no steps worth telling."""


def names_of_lab(workspace: Path) -> LabNames:
    """What a lab's things are called. UsageError where the workspace has none."""
    check_root()
    names = names_of(workspace)
    if load(names) is None:
        raise UsageError("there is no lab in this workspace", where=str(names.workspace), hint="drp lab up")
    return names


def require_state(names: LabNames) -> LabState:
    """A lab's state. UsageError where there is no lab."""
    state = load(names)
    if state is None:
        raise UsageError("there is no lab in this workspace", where=str(names.workspace), hint="drp lab up")
    return state
