"""What a service's units and its own commands need beyond being started: a test of the configuration before a restart,
commands of the recovery, and users' own playbooks after a stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from drp.domain.events import Body
from drp.domain.service import Service

CommandStage = Literal["activate", "verify"]
OwnStage = Literal["restore", "activate", "verify"]

CONFIGURATION_TESTS: dict[str, tuple[str, ...]] = {
    "nginx": ("nginx", "-t", "-q"),
    "apache2": ("apachectl", "configtest"),
    "httpd": ("apachectl", "configtest"),
    "haproxy": ("haproxy", "-c", "-f", "/etc/haproxy/haproxy.cfg"),
    "slapd": ("slaptest", "-Q", "-u"),
    "named": ("named-checkconf",),
    "bind9": ("named-checkconf",),
}
"""By unit, a command that ends with 0 where its configuration is good, and changes nothing. PostgreSQL, MariaDB and
Redis have none; their data is looked at instead, as the dataset types say."""


RELOADING = ("nginx", "apache2", "httpd", "haproxy")
"""Units that read their configuration again without letting go of those who use them."""


def reloading(units: Sequence[str]) -> list[str]:
    """Those of the units that need no restart to see their restored configuration."""
    return [unit for unit in units if unit.removesuffix(".service") in RELOADING]


@dataclass(frozen=True, slots=True)
class OwnPlaybook:
    """A playbook of the workspace's, run after a stage of a service has ended well, like a stage of its own."""

    after: OwnStage
    playbook: str


def configuration_tests(units: Sequence[str]) -> list[Body]:
    """The tests to pass before any of these units is restarted."""
    return [
        {"unit": unit, "argv": list(CONFIGURATION_TESTS[name])}
        for unit in units
        if (name := unit.removesuffix(".service")) in CONFIGURATION_TESTS
    ]


def commands_of(service: Service, stage: CommandStage, site: Literal["primary", "recovery"] = "recovery") -> list[Body]:
    """A service's own commands of a stage, in order, each with the host that it runs on."""
    return [
        {
            "argv": list(command.argv),
            "host": service.stand_in(command.host or service.runs_on[0], site),
            "timeout_seconds": command.timeout.total_seconds(),
        }
        for command in service.recovery.commands
        if command.on == stage
    ]


def own_playbooks(service: Service) -> tuple[OwnPlaybook, ...]:
    """Users' own playbooks of a service, in the order in which they run."""
    declared = service.recovery.playbooks
    after: tuple[tuple[OwnStage, str | None], ...] = (
        ("restore", declared.after_restore),
        ("activate", declared.after_activate),
        ("verify", declared.after_verify),
    )
    return tuple(OwnPlaybook(stage, name) for stage, name in after if name is not None)
