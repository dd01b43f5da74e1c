"""Whether a copy of a repository is whole, judged by what lies there, without its password.

A copy may be behind its source: what was stored at the source after the newest snapshot that has been copied need not
be there yet. Everything else must be, with the same size. The time is the source's own stamp on both, so no clocks are
compared. Where the source cannot be asked, the ledger says which snapshots must be there, and what earlier checks
missed; that a pack has gone since cannot be seen then.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from drp.domain.backups.copying import Listing, kind_of

Compared = Literal["source", "ledger"]
CONFIG = "config"


@dataclass(frozen=True, slots=True)
class Structure:
    """What must be at a copy against what is there. `doubtful`: their sizes differ, so one of the two is damaged; which
    one, their content says. `wanted` is how many objects must be there."""

    compared: Compared
    wanted: int
    missing: tuple[str, ...]
    doubtful: tuple[str, ...]


def compare_structure(
    source: Listing | None, there: Listing, snapshots: Collection[str], missed_before: Collection[str]
) -> Structure:
    """`snapshots` are the names of those that the ledger says have been copied, `missed_before` the keys that checks
    have missed since the last one that the source was compared in. `source` is None where it cannot be asked."""
    named = {f"snapshots/{name}" for name in snapshots}
    until = None if source is None else newest_copied(source, named)
    if source is None or until is None:
        wanted = named | set(missed_before) | ({CONFIG} if named else set())
        missing = sorted(wanted - set(there))
        # Their names are not known here, but without one of each nothing can be restored.
        kinds = {kind_of(key) for key in there}
        missing += [f"{kind}/*" for kind in ("keys", "index") if named and kind not in kinds]
        return Structure("ledger", len(wanted), tuple(missing), ())
    wanted = named | {key for key, item in source.items() if item.stored_at <= until}
    missing = sorted(wanted - set(there))
    doubtful = sorted(
        key for key, item in source.items() if key in wanted and key in there and there[key].bytes != item.bytes
    )
    return Structure("source", len(wanted), tuple(missing), tuple(doubtful))


def newest_copied(source: Listing, keys: Collection[str]) -> datetime | None:
    """When the source stored the newest of these snapshots; None where it has none of them."""
    return max((source[key].stored_at for key in keys if key in source), default=None)


def turn_keys(there: Listing, parts: Sequence[tuple[int, int]]) -> dict[tuple[int, int], list[str]]:
    """The keys of a copy that each (part, parts) reads: by the first byte of an object's name, as restic does with
    packs. `config`, whose name says nothing, is in none of them."""
    found: dict[tuple[int, int], list[str]] = {turn: [] for turn in parts}
    for key in sorted(there):
        if kind_of(key) in (None, CONFIG):
            continue
        byte = int(key.rsplit("/", 1)[-1][:2], 16)
        for part, of in found:
            if byte % of == part - 1:
                found[part, of].append(key)
    return found
