"""A TCP port: it takes a connection, and answers what it should."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StrictBool, StrictInt, StringConstraints, model_validator

from drp.domain.checks.base import CheckType, local_port
from drp.domain.values import FileName, HostAddress, Text

Line = Annotated[
    str,
    StringConstraints(min_length=1, max_length=2000, pattern=r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]*$"),
]
"""Text that may hold line ends: `"QUIT\\r\\n"` in double quotes."""

HexBytes = Annotated[str, StringConstraints(pattern=r"^([0-9a-fA-F]{2}){1,2000}$")]
"""Bytes as hexadecimal digits."""


class TcpCheck(CheckType):
    """Connects, with TLS if asked for; sends what is to be sent, and waits until the answer holds what is expected."""

    type: Literal["tcp"]
    port: Annotated[StrictInt, Field(ge=1, le=65535)]
    tls: StrictBool = False
    server_name: HostAddress | None = None
    ca_certificate: FileName | None = None
    send: Line | None = None
    send_hex: HexBytes | None = None
    expect_text: Text | None = None
    expect_hex: HexBytes | None = None

    @model_validator(mode="after")
    def _unmistakable(self) -> Self:
        if self.send is not None and self.send_hex is not None:
            raise ValueError("write send or send_hex, not both")
        if self.expect_text is not None and self.expect_hex is not None:
            raise ValueError("write expect_text or expect_hex, not both")
        if not self.tls and (self.server_name or self.ca_certificate):
            raise ValueError("server_name and ca_certificate need `tls: true`")
        return self

    @property
    def bytes_to_send(self) -> bytes:
        return bytes.fromhex(self.send_hex) if self.send_hex else (self.send or "").encode()

    @property
    def bytes_expected(self) -> bytes:
        """Nothing where the connection alone is enough."""
        return bytes.fromhex(self.expect_hex) if self.expect_hex else (self.expect_text or "").encode()

    @property
    def asks(self) -> str:
        return f"port {self.port}" + (", TLS" if self.tls else "") + (", with an answer" if self.bytes_expected else "")

    def asks_of_host(self) -> list[dict[str, Any]]:
        return [local_port(self.port)]
