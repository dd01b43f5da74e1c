"""What a drill's copies may reach beyond their own hosts and the DR centre: `drill_allows`."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StrictInt, field_validator

from drp.domain.model import Model

MAIL_PORTS = frozenset({25, 465, 587})


def _network(value: Any) -> Any:
    """An address stands for itself alone; a network is written with its length."""
    if not isinstance(value, str):
        raise ValueError("write an address or a network as text, such as 192.0.2.53 or 192.0.2.0/28")
    try:
        return ip_network(value)
    except ValueError as error:
        raise ValueError(f"{value!r} is no address and no network: {error}") from error


class Allowed(Model):
    """One destination: a name server, a licence server, a test system of another agency. All ports where none is
    named, but never mail's: no letter leaves a drill."""

    to: Annotated[
        IPv4Network | IPv6Network,
        BeforeValidator(_network, json_schema_input_type=Annotated[str, Field(pattern=r"^[0-9A-Fa-f.:]+(/[0-9]+)?$")]),
    ]
    ports: Annotated[tuple[Annotated[StrictInt, Field(ge=1, le=65535)], ...], Field(max_length=64)] = ()

    @field_validator("ports")
    @classmethod
    def _no_mail(cls, ports: tuple[int, ...]) -> tuple[int, ...]:
        mail = sorted(MAIL_PORTS.intersection(ports))
        if mail:
            raise ValueError(f"port {mail[0]} is mail's: a drill sends none")
        return ports


DrillAllows = Annotated[tuple[Allowed, ...], Field(max_length=64)]
