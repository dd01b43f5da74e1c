"""What a service lacks before it can be backed up, watched, or brought back: said in words, never passed over."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from drp.domain.backups.settings import BackupSettings
from drp.domain.findings import Location
from drp.domain.inventory import AnsibleHost, Tier
from drp.domain.objectives import objectives_of
from drp.domain.service import Service

Purpose = Literal["show", "backup", "watch", "recovery"]

_ELSEWHERE = {
    "agency": "it is hosted by its agency itself",
    "third-party": "it is hosted by a third party",
    "national": "it is run nationally",
}


@dataclass(frozen=True, slots=True)
class Gap:
    """One thing that is missing; `code` is its stable name for programs, `location` where in the service's file."""

    code: str
    text: str
    location: Location = ()


def gaps_of(service: Service, purpose: Purpose, hosts: Collection[str], tiers: Mapping[str, Tier]) -> list[Gap]:
    """Everything that stands in the way, worst first. `hosts` are those of the Ansible inventory."""
    gaps: list[Gap] = []
    if purpose in ("backup", "recovery"):
        if service.hosting != "central" and service.backup is None:
            gaps.append(Gap("hosted-elsewhere", _ELSEWHERE[service.hosting], ("hosting",)))
        if service.backup is None:
            gaps.append(Gap("no-backup", "no backup is declared", ("backup",)))
        if not service.datasets:
            gaps.append(Gap("no-dataset", "no dataset is declared", ("datasets",)))
    if purpose in ("backup", "recovery") and objectives_of(service, tiers) is None:
        gaps.append(Gap("no-objectives", "it has no RTO or no RPO", ("tier",)))
    if purpose == "recovery":
        gaps += _host_gaps(service, hosts)
    if purpose in ("watch", "recovery") and not service.checks:
        gaps.append(Gap("no-check", "no check proves that it is usable", ("checks",)))
    return gaps


def _host_gaps(service: Service, hosts: Collection[str]) -> list[Gap]:
    if not service.runs_on:
        return [Gap("no-host", "no host is declared", ("runs_on",))]
    gaps = [
        Gap("no-recovery-host", f"no recovery host stands in for {name}", ("runs_on", position))
        for position, name in enumerate(service.runs_on)
        if name not in service.recovers_on
    ]
    missing: dict[str, str] = {}
    for name, stand_in in service.recovers_on.items():
        if stand_in not in hosts:
            missing.setdefault(stand_in, name)
    gaps += [
        Gap("recovery-host-missing", f"recovery host {stand_in} is not in the Ansible inventory", ("recovers_on", name))
        for stand_in, name in missing.items()
    ]
    return gaps


def is_elsewhere(service: Service, hosts: Mapping[str, AnsibleHost]) -> bool:
    """Whether others run the service at a place of their own: a loss of the primary site does not take it along, and
    drp has no means to bring it back. One that runs on a host of the primary site goes down with it, whoever runs it.
    """
    at_primary = any((host := hosts.get(name)) is not None and host.site == "primary" for name in service.runs_on)
    return service.hosting != "central" and service.backup is None and not at_primary


def backup_of(service: Service) -> BackupSettings:
    """The backup settings of a service that has some: a plan or a restore point of it exists."""
    assert service.backup is not None, f"{service.id} has no backup settings"
    return service.backup
