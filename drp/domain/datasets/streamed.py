"""Datasets of hosts that can take no restic: file trees become tar streams, and whatever the program would do itself in
the host's folders becomes a command that can be run there over ssh.

A restore point knows how a part was made by its name: `files.tar` stands for the tree `files`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

STREAMED = ".tar"
ATTRIBUTES = ("--numeric-owner", "--acls", "--xattrs", "--xattrs-include=*")
END_OF_ARCHIVE = r"\A\x00{512}\Z"
"""A whole archive ends with empty blocks."""

_WRITE_RECORD = (
    "import os,stat,sys\n"
    "folder,name,text=sys.argv[1:]\n"
    "if not stat.S_ISDIR(os.lstat(folder).st_mode):"
    "sys.exit(folder+' is not a directory, so the sentinel has no place')\n"
    "path=os.path.join(folder,name)\n"
    "number=os.open(path+'.new',os.O_WRONLY|os.O_CREAT|os.O_TRUNC|os.O_NOFOLLOW,0o644)\n"
    "os.write(number,text.encode());os.fsync(number);os.replace(path+'.new',path);print(text)"
)


def through_control_node(procedure: dict[str, Any], python: str) -> dict[str, Any]:
    """A procedure of a backup whose every step is a command on the host; `python` is the host's interpreter."""
    parts = [streamed(part) if part["kind"] == "tree" else part for part in procedure["parts"]]
    sentinel = procedure["sentinel"]
    if sentinel is not None and sentinel["kind"] == "file":
        record = json.dumps({"token": sentinel["token"], "written_at": "{now}"})
        place = (sentinel["directory"], sentinel["name"])
        sentinel = {
            "kind": "command",
            "write": {"argv": [python, "-I", "-c", _WRITE_RECORD, *place, record], "stdin": ""},
            "read": {"argv": ["cat", "--", "/".join(place)], "stdin": ""},
            "token": sentinel["token"],
        }
    requires = [*procedure.get("requires", []), *(["tar"] if parts != procedure["parts"] else [])]
    return procedure | {"parts": parts, "sentinel": sentinel, "requires": requires}


def streamed(part: dict[str, Any]) -> dict[str, Any]:
    """A tree as a stream: tar writes it, and tar brings it back, to its place or below a scratch place."""
    # The files of a restore are taken away before by the program, as those of a tree are: it looks at `paths`.
    names = [path.lstrip("/") for path in part["paths"]]
    excludes = [f"--exclude={path.lstrip('/')}" for path in part["excludes"]]
    matching = ["--anchored", "--wildcards", "--no-wildcards-match-slash"] if excludes else []
    dump = ["tar", "--create", "--file=-", "--format=pax", "--sparse", *ATTRIBUTES, *matching, *excludes]
    restore = ["tar", "--extract", "--file=-", "--same-owner", "--same-permissions", *ATTRIBUTES]
    return {
        "name": part["name"] + STREAMED,
        "kind": "stream",
        "file": part["name"] + STREAMED,
        "dump": [*dump, "--directory=/", "--", *names],
        "restore": [*restore, f"--directory={part.get('target', '/')}"],
        "ends_with": END_OF_ARCHIVE,
        **{key: part[key] for key in ("paths", "target") if key in part},
    }


def as_made(part: dict[str, Any], snapshots: Mapping[str, str]) -> dict[str, Any]:
    """A part as it was made when it was backed up: {part's name: snapshot} says so."""
    made = part["kind"] == "tree" and part["name"] not in snapshots and part["name"] + STREAMED in snapshots
    return streamed(part) if made else part
