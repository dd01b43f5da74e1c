"""Kinds of checks: what proves from outside that a service is usable. See `CheckType` for how to add one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter

from drp.domain.checks.base import CheckType
from drp.domain.checks.command import CommandCheck
from drp.domain.checks.dns import DnsCheck
from drp.domain.checks.http import HttpCheck, HttpStep
from drp.domain.checks.sql import SqlCheck
from drp.domain.checks.tcp import TcpCheck

__all__ = [
    "Check",
    "CheckType",
    "CommandCheck",
    "DnsCheck",
    "HttpCheck",
    "HttpStep",
    "SqlCheck",
    "TcpCheck",
    "read_check",
]

_AnyCheck = HttpCheck | TcpCheck | SqlCheck | CommandCheck | DnsCheck
Check = Annotated[_AnyCheck, Field(discriminator="type")]
_DECLARATION: TypeAdapter[_AnyCheck] = TypeAdapter(Check)


def read_check(record: object) -> _AnyCheck:
    """A check from the record that `model_dump(mode="json")` gave."""
    return _DECLARATION.validate_python(record)
