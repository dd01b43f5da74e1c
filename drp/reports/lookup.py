"""Which ledger events a fact comes from: an index over the events of one run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from drp.domain.events import Event
from drp.domain.recovery.run import Recovery
from drp.reports.model import Evidence, EvidenceFile, IndexedFile

PLAN_EVENT = 1
"""Sequence number of `run.opened`, which holds the plan: objectives, restore points, steps."""


class Lookup:
    """Events of a run by what they speak about. Read-only after construction."""

    def __init__(self, recovery: Recovery) -> None:
        self._by_key: dict[tuple[str, ...], list[Event]] = defaultdict(list)
        self._hashes: dict[str, list[str]] = defaultdict(list)
        self._named: dict[tuple[str, str | None], list[int]] = defaultdict(list)
        for event in recovery.events:
            self._by_key[_key(event)].append(event)
            self._note_files(event)
        self.last = recovery.closed or recovery.events[-1]

    def marks(self, service: str, mark: str) -> list[Event]:
        """Every recorded value of a mark, oldest first; the last one counts."""
        return self._by_key[("mark", service, mark)]

    def of(self, event_type: str, subject: str) -> list[Event]:
        """Events of a type about one service or one step, oldest first."""
        return self._by_key[(event_type, subject)]

    def file(self, path: str) -> EvidenceFile:
        """A file with its hash: the last one that an event recorded, None if none did."""
        hashes = self._hashes[path]
        return EvidenceFile(path, hashes[-1] if hashes else None)

    def files_mentioned(self, text: str, candidates: Iterable[str]) -> tuple[EvidenceFile, ...]:
        """Files among `candidates` or the hashed ones that a mark's evidence text names."""
        paths = dict.fromkeys([*self._hashes, *candidates])
        return tuple(self.file(path) for path in paths if path and path in text)

    def index(self) -> tuple[IndexedFile, ...]:
        """Every file that an event names, by path. A file without any hash is listed as such."""
        hashed = {path for path, sha256 in self._named if sha256 is not None}
        return tuple(
            IndexedFile(path, sha256, tuple(sorted(set(events))))
            for (path, sha256), events in sorted(self._named.items(), key=lambda item: (item[0][0], item[0][1] or ""))
            if sha256 is not None or path not in hashed
        )

    def _note_files(self, event: Event) -> None:
        if event.type in ("step.ended", "probe.ended"):
            for item in event.body["evidence"]:
                self._hashes[item["path"]].append(item["sha256"])
                self._named[(item["path"], item["sha256"])].append(event.sequence)
        elif event.type == "probe.started":
            self._named[(event.body["file"], None)].append(event.sequence)


def evidence_of(events: Iterable[Event], files: Iterable[EvidenceFile] = ()) -> Evidence:
    """Evidence that consists of these events and files."""
    return Evidence(tuple(sorted({event.sequence for event in events})), tuple(dict.fromkeys(files)))


def join(*parts: Evidence) -> Evidence:
    """The evidence of a figure that is computed from several facts."""
    events = {number for part in parts for number in part.events}
    files = dict.fromkeys(file for part in parts for file in part.files)
    return Evidence(tuple(sorted(events)), tuple(files))


def text_of(body: dict[str, Any], key: str) -> str:
    """A text of an event that other versions of drp may leave out."""
    value = body.get(key)
    return value if isinstance(value, str) else ""


def _key(event: Event) -> tuple[str, ...]:
    body = event.body
    if event.type == "mark":
        return ("mark", body["service"], body["mark"])
    subject = body.get("step") or body.get("service") or ""
    return (event.type, str(subject))
