"""Lead users to a site, or look where they are led: one Ansible run of playbooks/cutover.yml."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from drp.domain.events import Body
from drp.domain.recovery import cutover
from drp.domain.service import Service
from drp.domain.traffic import TrafficSite
from drp.errors import DrpError
from drp.ports import World
from drp.workflows.drill_guard import kept_from, refuse_touching

Record = Callable[[str, Body], None]


def connection_variables(world: World, names: Sequence[str]) -> Body:
    """Ansible goes to the machines that drp has checked, whatever other variables say."""
    hosts = {name: world.city.hosts[name] for name in names}
    return {
        "drp_addresses": {name: host.address for name, host in hosts.items()},
        "drp_ports": {name: host.port for name, host in hosts.items()},
        "ansible_host": "{{ drp_addresses[inventory_hostname] }}",
        "ansible_port": "{{ drp_ports[inventory_hostname] }}",
        "ansible_connection": "ssh",
    }


def start_switch(
    world: World, folder: Path, service_name: str, site: TrafficSite | None, *, run: str, kind: str, release: bool
) -> None:
    """Start leading a service's users to a site (None: only look). `release` where the hosts of the site that they
    leave can be asked to let go of a floating address. UsageError for a drill, whatever it asks for."""
    service = world.city.services[service_name]
    steps = cutover.steps(service, site, release=release)
    cutover.refuse_in_drill(kind, site)
    _start(world, folder, service, site, steps, run=run, kind=kind)


def start_rehearsal(world: World, folder: Path, service_name: str, *, run: str, kind: str, step: str) -> None:
    """Start proving that a service's users could be led to the recovery site, where that can be proved without doing
    it. UsageError for a drill where what leads them is a primary host: it would be lost with the site."""
    service = world.city.services[service_name]
    steps = cutover.rehearsal_steps(service)
    refuse_touching(world, kind, step, {"server": [way["server"] for way in steps]}, ())
    _start(world, folder, service, None, steps, run=run, kind=kind)


def finish_rehearsal(world: World, service_name: str, messages: Sequence[Body], record: Record) -> None:
    """Take down what took the rehearsed switch. DrpError unless all of it did."""
    events = cutover.events_of(service_name, messages)
    for event in events:
        record("traffic.rehearsed", event)
    taken = {event["way"] for event in events}
    steps = cutover.rehearsal_steps(world.city.services[service_name])
    missing = [step["label"] for step in steps if step["way"] not in taken]
    if missing:
        text = f"nobody said that traffic could be switched: {', '.join(missing)}"
        raise DrpError(text, where=service_name, hint="look why: the step's stdout under var/runs")


def _start(
    world: World, folder: Path, service: Service, site: TrafficSite | None, steps: list[Body], *, run: str, kind: str
) -> None:
    service_name = service.id
    hosts = cutover.hosts_of(service, steps)
    secrets = {
        number: world.secrets.read(reference, f"the key for updates of the zone of {service_name}")
        for number, reference in cutover.secrets_of(service).items()
    }
    variables = {
        **connection_variables(world, hosts),
        "drp_run": run,
        "drp_kind": kind,
        "drp_service": service_name,
        "drp_site": site or "",
        "drp_traffic": steps,
    }
    kept = kept_from(world, kind)
    world.actions.start_playbook(folder, "cutover", hosts, variables, {"traffic": secrets}, "", kept_from=kept)


def finish_switch(
    world: World, service_name: str, site: TrafficSite, messages: Sequence[Body], record: Record, *, release: bool
) -> None:
    """Take down where traffic went before and goes now. DrpError unless every way says that it leads to the site."""
    events = cutover.events_of(service_name, messages)
    for event in events:
        record("traffic.switched", event)
    steps = cutover.steps(world.city.services[service_name], site, release=release)
    missing = cutover.not_switched(events, steps)
    if missing:
        hint = "switch by hand, or look why: the step's stdout under var/runs"
        raise DrpError("traffic was not switched: " + "; ".join(missing), where=service_name, hint=hint)
