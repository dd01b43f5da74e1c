"""The JSON report: every fact, and the plan and events from which each can be computed again.

Durations are whole milliseconds (`*_ms`), instants are UTC stamps with `Z`; null means not measured. The same
document always gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any

from drp.domain.events import hash_of
from drp.domain.values import to_stamp
from drp.reports.model import LATER_FIELDS, SCHEMA, Document

DOCUMENT_TYPE = "drp recovery report"

HOW_TO_VERIFY = """\
With drp: drp report verify report.json
Without drp: hash(0) is the SHA-256 of the canonical JSON of `plan`; it must equal control.plan_hash.
hash(n) = SHA-256( the text drp-event-v1, a zero byte, hash(n-1) as 32 bytes, n as 8 bytes big-endian, and the \
canonical JSON of {at, body, run, type} of event n ). It must equal the hash of event n, and the last one control.head.
Canonical JSON: UTF-8, keys sorted, no white space, no floats, characters outside ASCII not escaped.
Compare control.head with a copy that was kept outside drp's reach: a chain rewritten as a whole is consistent.
content_sha256 is the SHA-256 of the canonical JSON of this object without content_sha256.
""".splitlines()
"""Part of the schema: it is compared when a report is verified, so it changes only with the schema."""


def content(document: Document) -> dict[str, Any]:
    """The report as plain JSON values, without its own hash."""
    facts = _plain(document)
    facts = {name: value for name, value in facts.items() if value or name not in LATER_FIELDS}
    return {"document": DOCUMENT_TYPE, "schema": SCHEMA, "how_to_verify": HOW_TO_VERIFY, **facts}


def content_hash(document: Document) -> str:
    """SHA-256 of the report's content: ties a printed page to one JSON report."""
    return hash_of(content(document))


def render(document: Document) -> str:
    """The report as text, in UTF-8 once it is written."""
    value = content(document)
    value["content_sha256"] = hash_of(value)
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, datetime):
        return to_stamp(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, str) else value
