"""One way of leading users to a site: carried out, and what became of it."""

from __future__ import annotations

import importlib

from .process import Trouble

WAYS = ("floating_address", "haproxy", "command")


def switch(way):
    """Carry a way out here; Trouble where it fails. What it answers is what drp writes into its ledger."""
    if way["type"] not in WAYS:
        raise Trouble("traffic", "%s is switched otherwise" % way["type"])
    module = importlib.import_module("." + way["type"], __package__)
    try:
        before, after, details = module.carry_out(way)
    except (OSError, ValueError, KeyError) as error:
        raise Trouble("traffic", "%s: %s" % (type(error).__name__, str(error)[:300]))
    return answer(way, before, after, details)


def answer(way, before, after, details):
    told = {name: way[name] for name in ("way", "type", "label", "host", "verb", "site")}
    return dict(told, before=before, after=after, changed=before != after, details=details)
