"""The traffic switch: what has to be done where so that users reach a site, and what was found there afterwards.

Ansible carries it out (playbooks/cutover.yml, role `traffic`); each way answers with {"traffic": {way, type, label,
host, site, before, after, changed, details}}: where traffic went before and after, read back from what leads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Literal

from drp.domain.events import Body
from drp.domain.secret import SecretReference
from drp.domain.service import Service
from drp.domain.traffic import DnsZone, FloatingAddress, HaproxyBackend, Traffic, TrafficCommand, TrafficSite
from drp.errors import UsageError

Verb = Literal["read", "rehearse", "switch", "take", "release"]
"""`take` and `release` are of a floating address: at the host that gets it, and at the one that had it. `rehearse`
proves that a switch would be taken, and changes nothing."""


def ways_of(service: Service) -> tuple[Traffic, ...]:
    """How traffic is switched; a service with no more than an `address` has that as a floating one."""
    if service.traffic:
        return service.traffic
    return (FloatingAddress(type="floating_address", address=service.address),) if service.address else ()


def user_place(service: Service) -> str | None:
    """Where users reach the service, whichever site it is at: an address, or a name that each attempt must look up
    anew. None where nothing says so: then only the hosts themselves can be looked at."""
    if service.address is not None:
        return str(service.address)
    for way in ways_of(service):
        if isinstance(way, FloatingAddress):
            return str(way.address)
        if isinstance(way, DnsZone):
            return way.records[0].name.rstrip(".")
    return None


def steps(service: Service, site: TrafficSite | None, *, release: bool) -> list[Body]:
    """What the role `traffic` does, in order: each way's parameters, and where it runs (`host` "" is the control node).

    `site` None only reads. `release` says whether the site that traffic leaves is there to let go of a floating
    address; where it is lost, fencing is what keeps it from coming back with it.
    """
    found: list[Body] = []
    for number, way in enumerate(ways_of(service)):
        for host, verb in _places(service, way, site, release=release):
            found.append(
                {
                    "way": number,
                    "type": way.type,
                    "label": way.label,
                    "host": host,
                    "verb": verb,
                    "site": site or "",
                    **_parameters(way),
                }
            )
    return found


def ways_to_rehearse(service: Service) -> list[int]:
    """The ways, by number, whose switch can be proved without making it: a name server takes a signed update that asks
    for what is there already only from a key that may change it."""
    return [number for number, way in enumerate(ways_of(service)) if isinstance(way, DnsZone)]


def rehearsal_steps(service: Service) -> list[Body]:
    """What a drill does in the place of `steps`: it leaves users where they are."""
    wanted = ways_to_rehearse(service)
    return [{**step, "verb": "rehearse"} for step in steps(service, None, release=False) if step["way"] in wanted]


def refuse_in_drill(kind: str, site: TrafficSite | None) -> None:
    """Raise UsageError where a drill would lead users anywhere."""
    if kind == "drill" and site is not None:
        hint = "a drill leaves users where they are; for real: drp failover"
        raise UsageError("a drill switches no traffic", hint=hint)


def _places(service: Service, way: Traffic, site: TrafficSite | None, *, release: bool) -> Iterable[tuple[str, Verb]]:
    match way:
        case DnsZone():
            yield "", "switch" if site else "read"
        case TrafficCommand():
            yield way.host or "", "switch" if site else "read"
        case HaproxyBackend():
            for host in way.hosts:
                yield host, "switch" if site else "read"
        case FloatingAddress():
            yield from _of_address(service, site, release=release)


def _of_address(service: Service, site: TrafficSite | None, *, release: bool) -> Iterable[tuple[str, Verb]]:
    first = service.runs_on[0]
    hosts = {"primary": first, "recovery": service.recovers_on.get(first, "")}
    if site is None:
        yield from ((host, "read") for host in hosts.values() if host)
        return
    # Let go first: two hosts with one address would each get some of the users.
    left = hosts["primary" if site == "recovery" else "recovery"]
    if release and left:
        yield left, "release"
    yield hosts[site], "take"


def _parameters(way: Traffic) -> Body:
    """What the module or the action plugin needs of a way: plain data, durations in seconds."""
    match way:
        case FloatingAddress():
            return {"address": str(way.address)}
        case HaproxyBackend():
            return {
                "socket": way.socket,
                "backend": way.backend,
                "servers": {"primary": list(way.primary), "recovery": list(way.recovery)},
                "state_file": way.state_file or "",
                "timeout_seconds": _seconds(way.timeout),
            }
        case TrafficCommand():
            return {
                "commands": {"primary": list(way.to_primary), "recovery": list(way.to_recovery)},
                "state": list(way.state or ()),
                "timeout_seconds": _seconds(way.timeout),
            }
        case DnsZone():
            return {
                "server": way.server,
                "port": way.port,
                "zone": way.zone,
                "key": {"name": way.key.name, "algorithm": way.key.algorithm},
                "ttl": int(way.ttl.total_seconds()),
                "records": [
                    {
                        "name": record.name,
                        "type": record.type,
                        "primary": list(record.values_at("primary")),
                        "recovery": list(record.values_at("recovery")),
                    }
                    for record in way.records
                ],
                "timeout_seconds": _seconds(way.timeout),
            }


def _seconds(duration: timedelta) -> float:
    return duration.total_seconds()


def hosts_of(service: Service, steps_: Sequence[Body]) -> list[str]:
    """The hosts of the play. Where all is done from the control node, one that is named but never connected to."""
    named = list(dict.fromkeys(step["host"] for step in steps_ if step["host"]))
    if named:
        return named
    first = service.runs_on[0]
    return [service.recovers_on.get(first, first)]


def secrets_of(service: Service) -> dict[str, SecretReference]:
    """The secrets that the ways need, by the way's number. Playbooks find them under drp_secrets.traffic."""
    return {str(number): way.key.secret for number, way in enumerate(ways_of(service)) if isinstance(way, DnsZone)}


def events_of(service: str, messages: Iterable[Body]) -> list[Body]:
    """What the ways answered, as bodies of `traffic.switched` events, each once: {service, way, type, label, host,
    verb, site, before, after, changed, details}."""
    found: dict[tuple[int, str, str], Body] = {}
    for message in messages:
        told = message.get("result", {}).get("traffic") if message.get("event") == "task" else None
        if told:
            found.setdefault((told["way"], told["host"], told["verb"]), {"service": service, **told})
    return list(found.values())


def not_switched(events: Sequence[Body], steps_: Sequence[Body]) -> list[str]:
    """What of the steps has no answer that says it is done, a line each. A switch with none is complete."""
    wanted = {"take": "held", "release": "absent"}
    done = {(event["way"], event["host"], event["verb"]): event["after"] for event in events}
    missing = []
    for step in steps_:
        after = done.get((step["way"], step["host"], step["verb"]))
        if step["verb"] != "read" and after != wanted.get(step["verb"], step["site"]):
            where = f" on {step['host']}" if step["host"] else ""
            missing.append(f"{step['label']}{where}: {'no answer' if after is None else f'traffic goes to {after}'}")
    return missing


def where_traffic_goes(events: Iterable[Body], service: Service) -> dict[int, str]:
    """The site that each way leads to, from the answers to a reading: primary, recovery, both, nowhere, or what the way
    said of itself (mixed, elsewhere, unknown)."""
    first = service.runs_on[0]
    sites = {first: "primary", service.recovers_on.get(first, ""): "recovery"}
    said: dict[int, set[str]] = {}
    for event in events:
        answers = said.setdefault(event["way"], set())
        if event["type"] != "floating_address":
            answers.add(event["after"])
        elif event["after"] == "held":
            answers.add(sites.get(event["host"], "elsewhere"))
    return {way: _together(answers) for way, answers in said.items()}


def _together(answers: set[str]) -> str:
    if len(answers) > 1:
        return "both" if answers == {"primary", "recovery"} else "mixed"
    return next(iter(answers), "nowhere")
