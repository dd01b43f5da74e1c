"""A user path over HTTP: one or several requests, as a citizen's browser would make them."""

from __future__ import annotations

import re
import warnings
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, StrictInt, StringConstraints, field_validator

from drp.domain.checks.base import CheckType
from drp.domain.model import Model
from drp.domain.values import FileName, HostAddress, Identifier, Text

_NEEDS_LARGE_TABLES = re.compile(r"[^\x00-\x7f]|(?<!\\)(?:\\\\)*\\[uUN]")


def _groups_of(pattern: str) -> int:
    """How many groups a regular expression has. What takes Python long, or makes it stumble, is refused."""
    if _NEEDS_LARGE_TABLES.search(pattern):
        raise ValueError(f"{pattern!r} holds more than ASCII; write . for such a character")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return re.compile(pattern).groups
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from error


class HttpStep(Model):
    """One request of a user path. `${name}` stands for a captured value, `${random}` for fresh random text."""

    request: Annotated[str, StringConstraints(pattern=r"^(GET|POST|PUT|HEAD) /[!-~]{0,2000}$")]
    form: dict[Text, str] = Field(default_factory=dict)
    expect_status: Annotated[StrictInt, Field(ge=100, le=599)] = 200
    expect_text: Text | None = None
    capture: dict[Identifier, Text] = Field(default_factory=dict)
    same_as_before: StrictBool = False

    @field_validator("capture")
    @classmethod
    def _patterns(cls, capture: dict[str, str]) -> dict[str, str]:
        for pattern in capture.values():
            if _groups_of(pattern) != 1:
                raise ValueError(f"{pattern!r} needs exactly one group in parentheses: the value to capture")
        return capture


class HttpCheck(CheckType):
    """A user path over HTTP. All steps must succeed in turn, within the timeout of the whole."""

    type: Literal["http"]
    scheme: Literal["http", "https"] = "http"
    port: Annotated[StrictInt, Field(ge=1, le=65535)] | None = None
    host_header: HostAddress | None = None
    ca_certificate: FileName | None = None
    steps: Annotated[tuple[HttpStep, ...], Field(min_length=1)]

    @property
    def compares_old_content(self) -> bool:
        return any(step.same_as_before for step in self.steps)

    @property
    def asks(self) -> str:
        return ", ".join(step.request for step in self.steps)

    def asks_of_host(self) -> list[dict[str, Any]]:
        """Requests that only read and need nothing captured before."""
        return [
            {
                "kind": "http",
                "path": step.request.split(" ", 1)[1],
                "status": step.expect_status,
                "scheme": self.scheme,
                "port": self.port or (443 if self.scheme == "https" else 80),
                "host_header": self.host_header or "",
            }
            for step in self.steps
            if step.request.startswith("GET ") and "${" not in step.request
        ]
