"""Writes files of new services: values that read back as they are, and comments on what a person has to add."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from drp.errors import DrpError

KEYS = (
    *("schema", "id", "title", "description", "agency", "cluster", "owner", "deputy", "tier", "rto", "rpo", "mtpd"),
    *("hosting", "depends_on", "runs_on", "recovers_on", "datasets", "backup", "checks", "notes", "assumed", "source"),
)
"""The order of a service's file."""

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9]*([ -][A-Za-z0-9]+)*|[0-9]+(ms|[dhms])([0-9]+(ms|[dhms]))*")
_BLOCK_LINE = re.compile(r"[!-~\u00a1-\u2027\u202a-\ud7ff][ -~\u00a0-\u2027\u202a-\ud7ff]*")
_NOT_TEXT = re.compile(r"null|true|false|yes|no|on|off|y|n", re.IGNORECASE)


def existing_ids(folder: Path) -> set[str]:
    """The services that have a file in a folder."""
    return {path.stem for path in folder.glob("*.y*ml")}


def service_text(record: Mapping[str, Any], to_fill: Mapping[str, str]) -> str:
    """A service's file. `to_fill` says of keys what is missing: beside the key where it has a value, else alone."""
    lines = ["# From a list of systems, by drp inventory import. Fill in what is marked, then run: drp validate"]
    for key in KEYS:
        comment = f"# to fill in: {to_fill[key]}" if key in to_fill else ""
        if key in record and _is_block(record[key]):
            lines += [f"{key}: |-", *(f"  {line}" for line in record[key].split("\n"))]
        elif key in record:
            lines.append(f"{key}: {yaml_value(record[key])}" + (f"  {comment}" if comment else ""))
        elif comment:
            lines.append(f"# {key}:  {comment}")
    return "\n".join(lines) + "\n"


def _is_block(value: Any) -> bool:
    """Whether a text of several lines may stand as it is, below its key."""
    lines = value.split("\n") if isinstance(value, str) else []
    return len(lines) > 1 and all(_BLOCK_LINE.fullmatch(line) for line in lines)


def yaml_value(value: Any) -> str:
    """A value on one line, so that it reads back the same by every version of YAML's rules."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{yaml_value(key)}: {yaml_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(yaml_value, value)) + "]"
    if isinstance(value, int):
        return str(value)
    if len(value) <= 100 and _PLAIN.fullmatch(value) and not _NOT_TEXT.fullmatch(value):
        return str(value)
    quoted: str = yaml.dump(value, default_style='"', allow_unicode=True, width=float("inf"))
    return quoted.rstrip("\n")


def write_services(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write a file for each service (id to text); one that exists by now is left alone. Gives those written."""
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            path = folder / f"{name}.yaml"
            if _write_new(path, text):
                written.append(path)
    except OSError as error:
        hint = f"{len(written)} of {len(texts)} files were written; mend this, then run the same command again"
        raise DrpError(f"cannot be written: {error.strerror}", where=str(folder), hint=hint) from error
    return written


def _write_new(path: Path, text: str) -> bool:
    """Whether the file was written; never half, and never over another."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True
