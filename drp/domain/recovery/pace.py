"""How fast data came back, and what a restore spent its time with: computing, loading, or waiting for the line.

A restore of much data over a thin line looks like any other one that takes long. What tells them apart is that its
programs have nothing to do meanwhile: restic computes little, and what it feeds is never behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.events import Body
from drp.domain.forecasts.transfer import Channel
from drp.domain.values import show_rate, show_size

LONG_ENOUGH_MS = 10_000
"""A wait shorter than this is nobody's finding: opening a repository alone takes a second or two."""
ENOUGH_BYTES = 1_000_000
"""How fast less than this came says nothing of a line."""


def measured_restores(
    point: RestorePoint, results: Sequence[Mapping[str, Any]], hosts: Mapping[str, str], channel: Channel | None
) -> list[Body]:
    """Bodies of `restore.measured` events, from what a restore told of its parts; an older host program tells nothing.

    `hosts` are the recovery hosts by dataset. `channel` is the declared way from the DR centre, whose capacity is
    known only where all of it is declared.
    """
    sizes = {(item.dataset, item.part): item.bytes for item in point.snapshots}
    capacity = None if channel is None else channel.capacity
    return [
        {
            "service": point.service,
            "dr_centre": point.dr_centre,
            "host": hosts[part["dataset"]],
            "dataset": part["dataset"],
            "part": part["part"],
            "bytes": sizes[part["dataset"], part["part"]],
            "duration_ms": part["duration_ms"],
            "computing_ms": part["computing_ms"],
            "loading_ms": part["loading_ms"],
            "line_bits_per_second": capacity,
            "line": "" if channel is None or capacity is None else channel.narrowest,
        }
        for part in results
        if "computing_ms" in part
    ]


def waited_ms(restore: Mapping[str, Any]) -> int:
    """How long a restore did nothing but wait for the DR centre or the line to it."""
    return max(0, int(restore["duration_ms"]) - int(restore["computing_ms"]) - int(restore["loading_ms"]))


def is_slow(restore: Mapping[str, Any]) -> bool:
    """Whether a restore waited for most of its time, and for long; and, where the line's capacity is declared, got
    less than half of it."""
    waited = waited_ms(restore)
    if restore["bytes"] < ENOUGH_BYTES or waited < LONG_ENOUGH_MS or 2 * waited < restore["duration_ms"]:
        return False
    declared = restore["line_bits_per_second"]
    return declared is None or 2 * rate_of(restore) < declared


def rate_of(restore: Mapping[str, Any]) -> int:
    """Bits per second of data that came back, compression included."""
    return int(restore["bytes"]) * 8 * 1000 // max(int(restore["duration_ms"]), 1)


def told(restore: Mapping[str, Any]) -> str:
    """What a slow restore means, in one sentence."""
    declared = restore["line_bits_per_second"]
    beside = f"; {restore['line']} is declared with {show_rate(declared)}" if declared else "; no line is declared"
    return (
        f"slow line or DR centre: restoring {restore['dataset']} on {restore['host']} from {restore['dr_centre']} took"
        f" {restore['duration_ms'] / 1000:.1f} s, of which it waited {waited_ms(restore) / 1000:.1f} s for data:"
        f" {show_size(restore['bytes'])} came at {show_rate(rate_of(restore))}{beside}"
    )
