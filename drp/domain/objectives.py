"""Objectives and verdicts. What is missing never becomes MET."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Literal

from drp.domain.inventory import Tier
from drp.domain.service import Service


class Verdict(StrEnum):
    """How a measured value stands to its objective; listed from best to worst (see `worst`)."""

    MET = "MET"
    MET_WITH_EXCEPTION = "MET_WITH_EXCEPTION"
    NOT_TESTED = "NOT_TESTED"
    NOT_MEASURED = "NOT_MEASURED"
    ABORTED = "ABORTED"
    NOT_MET = "NOT_MET"


_FROM_BEST = list(Verdict)


def worst(*verdicts: Verdict) -> Verdict:
    """The verdict of the whole: its worst part. Of nothing at all: NOT_MEASURED."""
    return max(verdicts, key=_FROM_BEST.index, default=Verdict.NOT_MEASURED)


@dataclass(frozen=True, slots=True)
class Objectives:
    """What a service promises: back within `rto`, losing at most `rpo` of data, and `mtpd` as the ceiling."""

    rto: timedelta
    rpo: timedelta
    mtpd: timedelta | None


def objectives_of(service: Service, tiers: Mapping[str, Tier]) -> Objectives | None:
    """The service's own objectives where it names them, else its tier's; None where one is missing."""
    rto, rpo = own_or_tiers(service, tiers, "rto"), own_or_tiers(service, tiers, "rpo")
    if rto is None or rpo is None:
        return None
    return Objectives(rto=rto, rpo=rpo, mtpd=own_or_tiers(service, tiers, "mtpd"))


def own_or_tiers(
    service: Service, tiers: Mapping[str, Tier], objective: Literal["rto", "rpo", "mtpd", "wrt"]
) -> timedelta | None:
    """One objective: the service's own where it names it, else its tier's; None where neither does."""
    own: timedelta | None = getattr(service, objective)
    tier = tiers.get(service.tier) if service.tier else None
    return own if own is not None or tier is None else getattr(tier, objective)


def judge(measured: timedelta | None, objective: timedelta, *, open_ended: bool = False) -> Verdict:
    """Compare a measured time with its objective.

    `open_ended` says that the value is only a lower bound (not recovered: "≥ x"); it can never be MET.
    """
    if open_ended:
        return Verdict.NOT_MET
    if measured is None or measured < timedelta():
        return Verdict.NOT_MEASURED  # marks in the wrong order measure nothing
    return Verdict.MET if measured <= objective else Verdict.NOT_MET
