"""How users are led to one site or the other: the ways a service declares under `traffic`."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Annotated, Literal, Self

from pydantic import Field, StrictInt, StringConstraints, field_validator, model_validator

from drp.domain.datasets.base import Command
from drp.domain.model import Model
from drp.domain.secret import SecretReference
from drp.domain.values import Address, DomainName, HostAddress, HostName, PositiveDuration, SocketPath, Text

TrafficSite = Literal["primary", "recovery"]
"""The two places that traffic can go to."""

Port = Annotated[StrictInt, Field(ge=1, le=65535)]


class FloatingAddress(Model):
    """An address that users use; it stands on a host of the site that serves them."""

    type: Literal["floating_address"]
    address: Address

    @property
    def label(self) -> str:
        return f"address {self.address}"


class TsigKey(Model):
    """The key that updates of a zone are signed with. `secret` is where its base64 text is found."""

    name: DomainName
    algorithm: Literal["hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"] = "hmac-sha256"
    secret: SecretReference


def _canonical(type_: str, value: str) -> str:
    """A record's value as a name server tells it. ValueError where it is none of that type."""
    if type_ == "CNAME":
        return value.lower().rstrip(".") + "."
    try:
        return str(IPv4Address(value) if type_ == "A" else IPv6Address(value))
    except AddressValueError as error:
        raise ValueError(f"{value!r} is no {'IPv4' if type_ == 'A' else 'IPv6'} address: {error}") from error


class DnsRecord(Model):
    """A name of the zone, and what it says while traffic goes to each site."""

    name: DomainName
    type: Literal["A", "AAAA", "CNAME"]
    primary: Annotated[tuple[Text, ...], Field(min_length=1, max_length=32)]
    recovery: Annotated[tuple[Text, ...], Field(min_length=1, max_length=32)]

    @model_validator(mode="after")
    def _can_be_told_apart(self) -> Self:
        if self.type == "CNAME" and (len(self.primary) > 1 or len(self.recovery) > 1):
            raise ValueError("a CNAME record has one value")
        if set(self.values_at("primary")) == set(self.values_at("recovery")):
            raise ValueError(f"{self.name} says the same for both sites, so nothing would be switched")
        return self

    def values_at(self, site: TrafficSite) -> tuple[str, ...]:
        """The record's values while traffic goes to a site, in order, each once."""
        values = self.primary if site == "primary" else self.recovery
        return tuple(sorted({_canonical(self.type, value) for value in values}))


class DnsZone(Model):
    """Names of a zone, changed by RFC 2136 updates at an authoritative server. `timeout` is for all of a switch.

    Users' resolvers may keep the old answer for `ttl` after a switch.
    """

    type: Literal["dns"]
    server: HostAddress
    port: Port = 53
    zone: DomainName
    key: TsigKey
    ttl: PositiveDuration = timedelta(seconds=60)
    records: Annotated[tuple[DnsRecord, ...], Field(min_length=1, max_length=64)]
    timeout: PositiveDuration = timedelta(seconds=20)

    @field_validator("ttl")
    @classmethod
    def _whole_seconds(cls, ttl: timedelta) -> timedelta:
        if ttl % timedelta(seconds=1) or ttl > timedelta(days=1):
            raise ValueError("a TTL is a number of whole seconds, a day at most")
        return ttl

    @model_validator(mode="after")
    def _within_the_zone(self) -> Self:
        zone = self.zone.rstrip(".")
        seen: set[tuple[str, str]] = set()
        for record in self.records:
            name = record.name.rstrip(".")
            if name != zone and not name.endswith(f".{zone}"):
                raise ValueError(f"{record.name} is not in the zone {self.zone}; write its whole name")
            if record.type == "CNAME" and name == zone:
                raise ValueError(f"{record.name} is the zone itself, which can have no CNAME")
            if (name, record.type) in seen:
                raise ValueError(f"{record.name} {record.type} is declared twice")
            seen.add((name, record.type))
        return self

    @property
    def label(self) -> str:
        return f"{', '.join(record.name for record in self.records)} at {self.server}"


ProxyName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]


class HaproxyBackend(Model):
    """Servers of a HAProxy back end, taken into rotation and out of it through the runtime API on each of `hosts`.

    `timeout` is how long a server may take until its health check passes. What the runtime API changed is forgotten
    when HAProxy is started again, unless `state_file` is what its `load-server-state-from-file` reads.
    """

    type: Literal["haproxy"]
    hosts: Annotated[tuple[HostName, ...], Field(min_length=1, max_length=16)]
    socket: SocketPath = "/run/haproxy/admin.sock"
    backend: ProxyName
    primary: Annotated[tuple[ProxyName, ...], Field(min_length=1)]
    recovery: Annotated[tuple[ProxyName, ...], Field(min_length=1)]
    state_file: SocketPath | None = None
    timeout: PositiveDuration = timedelta(seconds=30)

    @model_validator(mode="after")
    def _apart(self) -> Self:
        both = sorted(set(self.primary) & set(self.recovery))
        if both:
            raise ValueError(f"server {both[0]} stands for both sites")
        return self

    @property
    def label(self) -> str:
        return f"HAProxy back end {self.backend}"


class TrafficCommand(Model):
    """Commands on a host, or on the control node where none is named; argument lists, which no shell reads.

    A command's exit code 0 means that it is done; both may be run again. `state` prints `primary` or `recovery`: with
    it nothing is switched that is switched already, and a switch counts only when it says so.
    """

    type: Literal["command"]
    host: HostName | None = None
    to_recovery: Command
    to_primary: Command
    state: Command | None = None
    timeout: PositiveDuration = timedelta(seconds=60)

    @property
    def label(self) -> str:
        return f"command {self.to_recovery[0]}"


Traffic = Annotated[FloatingAddress | DnsZone | HaproxyBackend | TrafficCommand, Field(discriminator="type")]
