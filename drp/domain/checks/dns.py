"""A name that a DNS server must answer for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictInt, StringConstraints

from drp.domain.checks.base import CheckType
from drp.domain.values import Address, HostAddress


class DnsCheck(CheckType):
    """Asks a DNS server (`server`, else the service itself) over UDP for the IPv4 addresses of a name.

    `expect` are the addresses that must be among the answers; without it, any address will do.
    """

    type: Literal["dns"]
    name: Annotated[str, StringConstraints(max_length=253, pattern=r"^([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?$")]
    server: HostAddress | None = None
    port: Annotated[StrictInt, Field(ge=1, le=65535)] = 53
    expect: tuple[Address, ...] = ()

    @property
    def asks(self) -> str:
        return f"the addresses of {self.name}"
