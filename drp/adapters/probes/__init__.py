"""One probe for each kind of check of `drp.domain.checks`. A new kind is one more module here, named below."""

from __future__ import annotations

from drp.adapters.probes.base import Probe, Target
from drp.domain.checks import CheckType, CommandCheck, DnsCheck, HttpCheck, SqlCheck, TcpCheck


def probe_of(check: CheckType, target: Target) -> Probe:
    """How a check is tried. Libraries are loaded for the kinds that are needed."""
    match check:
        case HttpCheck():
            from drp.adapters.probes.http import HttpProbe

            return HttpProbe(check, target)
        case TcpCheck():
            from drp.adapters.probes.tcp import TcpProbe

            return TcpProbe(check, target)
        case SqlCheck():
            from drp.adapters.probes.sql import SqlProbe

            return SqlProbe(check, target)
        case CommandCheck():
            from drp.adapters.probes.command import CommandProbe

            return CommandProbe(check, target)
        case DnsCheck():
            from drp.adapters.probes.dns import DnsProbe

            return DnsProbe(check, target)
    raise NotImplementedError(f"no probe for {type(check).__name__}")
