"""A query that a database answers from outside."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StrictInt, model_validator

from drp.domain.checks.base import CheckType, local_port
from drp.domain.secret import SecretReference
from drp.domain.values import DatabaseName, FileName, HostAddress, LoginName, PositiveDuration, Query, Text

PORTS = {"postgresql": 5432, "mariadb": 3306}


class SqlCheck(CheckType):
    """Asks a database server, as a user of its own that may read and no more, in a transaction that cannot write.

    `expect_result` is the whole answer, columns separated by `|`; without it, any row will do.
    """

    type: Literal["sql"]
    engine: Literal["postgresql", "mariadb"]
    port: Annotated[StrictInt, Field(ge=1, le=65535)] | None = None
    database: DatabaseName
    user: LoginName
    password: SecretReference
    query: Query
    expect_result: Text | None = None
    ca_certificate: FileName | None = None
    server_name: HostAddress | None = None
    interval: PositiveDuration = timedelta(seconds=5)
    timeout: PositiveDuration = timedelta(seconds=5)

    @model_validator(mode="after")
    def _provable(self) -> Self:
        if self.ca_certificate and self.engine != "postgresql":
            raise ValueError("only PostgreSQL's server is proved by a ca_certificate so far")
        if self.server_name and not self.ca_certificate:
            raise ValueError("server_name needs the ca_certificate that proves it")
        return self

    @property
    def port_of_server(self) -> int:
        return self.port or PORTS[self.engine]

    @property
    def secret(self) -> SecretReference:
        return self.password

    @property
    def asks(self) -> str:
        return f"{self.engine}, database {self.database}: {self.query}"

    def asks_of_host(self) -> list[dict[str, Any]]:
        """Whether its server is there; the password stays on the control node."""
        return [local_port(self.port_of_server)]
