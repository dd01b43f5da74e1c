"""How the data of hosts that take no restic is carried, and that a restore point tells it by its parts' names."""

from __future__ import annotations

from drp.domain.datasets import read_dataset, with_snapshots
from drp.domain.datasets.streamed import through_control_node

FILES = read_dataset(
    {"id": "files", "type": "files", "host": "app", "paths": ["/srv/a b", "/etc/app"], "excludes": ["/srv/a b/cache/*"]}
)


def test_every_step_of_a_backup_becomes_a_command() -> None:
    procedure = through_control_node(FILES.procedure("s", "token-1"), "/usr/bin/python3")
    (part,) = procedure["parts"]
    assert (part["name"], part["kind"], part["file"]) == ("files.tar", "stream", "files.tar")
    assert part["dump"][-4:] == ["--directory=/", "--", "srv/a b", "etc/app"]
    assert "--exclude=srv/a b/cache/*" in part["dump"]
    assert procedure["sentinel"]["kind"] == "command"
    assert '"token": "token-1"' in procedure["sentinel"]["write"]["argv"][-1]
    assert procedure["requires"] == ["tar"]


def test_a_restore_brings_a_part_back_as_it_was_made() -> None:
    procedure = FILES.procedure("s")
    assert with_snapshots(procedure, {"files": "1"})["parts"][0]["kind"] == "tree"
    (part,) = with_snapshots(procedure, {"files.tar": "1"})["parts"]
    assert (part["kind"], part["snapshot"]) == ("stream", "1")
    assert part["restore"][-1] == "--directory=/"
    assert part["paths"] == ["/srv/a b", "/etc/app"], "what came after is taken away first"
