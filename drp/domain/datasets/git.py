"""Git: a bare repository, as one bundle of all its refs beside what the repository's own files say."""

from __future__ import annotations

import json
import shlex
from typing import Literal

from drp.domain.datasets.base import DatasetType, Procedure, Scratch, made_folder, removed
from drp.domain.values import AbsolutePath, AccountName

SENTINEL_REF = "refs/drp/sentinel"
_REFS_BY_HAND = (
    '(bundle=$(mktemp) && cat >"$bundle" && chmod 644 "$bundle" && {fetch} "$bundle" {refs} && rm "$bundle")'
)
_END_OF_TAR = r"\x00{512}$"


class GitDataset(DatasetType):
    """One bare Git repository, by its absolute path: all refs with everything they reach, configuration, hooks,
    description and the like. What no ref reaches, and the reflogs, stay behind.

    The sentinel is a ref of its own, so that the bundle of a repository without commits is not empty either.
    """

    type: Literal["git"]
    path: AbsolutePath
    run_as: AccountName = "git"

    @property
    def places(self) -> tuple[str, ...]:
        return (self.path,)

    def _git(self, path: str, *arguments: str) -> list[str]:
        return ["runuser", "-u", self.run_as, "--", "git", "-c", "safe.directory=*", "--git-dir", path, *arguments]

    def procedure(self, service: str, token: str = "", scratch: Scratch | None = None) -> Procedure:
        target = f"{scratch.folder}/repository.git" if scratch else self.path
        place = scratch.folder if scratch else target
        # Objects and refs come with the bundle: an object of a ref that is written meanwhile would be missing here.
        left_out = [f"--exclude=./{name}" for name in ("objects", "refs", "packed-refs", "logs", "*.lock")]
        record = json.dumps({"token": token, "written_at": "{now}"})
        mark = f"commit {SENTINEL_REF}\ncommitter drp <drp@localhost> now\ndata <<END\n{record}\nEND\n\n"
        as_owner = ["runuser", "-u", self.run_as, "--"]
        return {
            "id": self.id,
            "type": self.type,
            "units": [],
            "requires": ["runuser", "git", "tar", "python3"],
            "versions": {"git": ["git", "--version"]},
            "parts": [
                {
                    "name": "refs",
                    "kind": "stream",
                    "file": f"{service}.{self.id}.bundle",
                    "dump": self._git(self.path, "bundle", "create", "--quiet", "-", "--all"),
                    "restore": [*as_owner, "drp:git_refs", target],
                    "by_hand": _REFS_BY_HAND.format(
                        fetch=shlex.join(self._git(target, "fetch", "--quiet")), refs="'+refs/*:refs/*'"
                    ),
                },
                {
                    "name": "settings",
                    "kind": "stream",
                    "file": f"{service}.{self.id}.tar",
                    "dump": ["tar", "-C", self.path, "-cf", "-", "--xattrs", *left_out, "."],
                    "restore": ["tar", "-C", target, "-xpf", "-", "--xattrs", "--same-owner"],
                    "ends_with": _END_OF_TAR,
                },
            ],
            "prepare_restore": [
                removed(place),
                *([made_folder(place, self.run_as)] if scratch else []),
                made_folder(target, self.run_as),
                {"argv": [*as_owner, "git", "init", "--quiet", "--bare", "--template=", target]},
            ],
            "remove": [removed(place)],
            "checks": [
                {"what": "every object is sound", "argv": self._git(target, "fsck", "--full", "--no-dangling")},
            ],
            "sentinel": {
                "kind": "command",
                "token": token,
                "write": {
                    "argv": self._git(self.path, "fast-import", "--quiet", "--force", "--date-format=now"),
                    "stdin": mark,
                },
                "read": {"argv": self._git(target, "log", "-1", "--format=%B", SENTINEL_REF)},
            },
            "absence": [{"kind": "path", "what": f"path {place}", "path": place}],
        }
