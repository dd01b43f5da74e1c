"""A program on the control node that tells by its exit code whether a service can be used."""

from __future__ import annotations

import shlex
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, StrictInt

from drp.domain.checks.base import CheckType
from drp.domain.datasets.base import Command
from drp.domain.values import PositiveDuration, Text

ADDRESS = "${address}"


class CommandCheck(CheckType):
    """Runs an argument list; no shell reads it. `${address}` in its words is where users find the service at that time:
    another one in a drill than in production. It gets nothing of drp's environment but the path."""

    type: Literal["command"]
    argv: Command
    expect_exit: Annotated[StrictInt, Field(ge=0, le=255)] = 0
    expect_text: Text | None = None
    interval: PositiveDuration = timedelta(seconds=5)
    timeout: PositiveDuration = timedelta(seconds=5)

    @property
    def asks(self) -> str:
        return shlex.join(self.argv)

    def words(self, address: str) -> list[str]:
        """The argument list for an address."""
        return [word.replace(ADDRESS, address) for word in self.argv]
