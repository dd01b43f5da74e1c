"""Where secrets are found. The secrets themselves never stand in a workspace file."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import ConfigDict, StringConstraints, model_validator

from drp.domain.model import Model
from drp.domain.values import FileName, Identifier, Text


class SecretReference(Model):
    """Where a secret is found; the secret itself never stands in a workspace file. Exactly one of the four."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    file: FileName | None = None
    env: Annotated[str, StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]{0,127}$")] | None = None
    credential: Identifier | None = None
    command: tuple[Text, ...] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(value is not None for value in (self.file, self.env, self.credential, self.command)) != 1:
            raise ValueError("name exactly one of file, env, credential (systemd's) or command (a list)")
        return self
