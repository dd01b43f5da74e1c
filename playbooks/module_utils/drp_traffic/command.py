"""A switch that only its owner's commands know how to make."""

from __future__ import annotations

from .process import Trouble, run

SITES = ("primary", "recovery")


def read(way):
    if not way["state"]:
        return "unknown"
    words = run(way["state"], way["timeout_seconds"])[1].split()
    if not words or words[0] not in SITES:
        said = " ".join(words)[:200] or "nothing"
        raise Trouble("traffic", "%s said %s instead of primary or recovery" % (way["state"][0], said))
    return words[0]


def carry_out(way):
    """Run the command of the wanted site unless its `state` says that it is done already."""
    before = read(way)
    if way["verb"] == "read" or before == way["site"]:
        return before, before, {}
    said = run(way["commands"][way["site"]], way["timeout_seconds"])[1]
    after = read(way)
    if after not in ("unknown", way["site"]):
        raise Trouble("traffic_unchanged", "%s still says %s" % (way["state"][0], after))
    details = {"said": said[-500:], "confirmed_by": "its state command" if way["state"] else "its exit code alone"}
    return before, way["site"], details
