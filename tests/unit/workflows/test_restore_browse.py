"""Listing and downloading with fake hosts: which snapshot is asked for what, and what becomes of a cut stream."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from drp.domain.events import Body
from drp.errors import CancelledError, IntegrityError, UnreachableError, UsageError
from drp.workflows.restore_browse import download, list_content
from drp.workflows.restore_request import RestoreRequest, normal, printable
from tests.fakes.actions import Ending, Script
from tests.fakes.city import make_city, service_record
from tests.fakes.world import Stage, make_stage

ALL = RestoreRequest("pengaduan")
CONTENT = b"the content of a photograph"
PHOTO = "/srv/pengaduan/a photo.jpg"


@dataclass
class FakeFile:
    """Implements `drp.ports.NewFile`."""

    kind: str = ""
    content: bytes = b""
    ends: list[str] = field(default_factory=list)

    def write(self, piece: bytes) -> None:
        self.content += piece

    def commit(self) -> None:
        self.ends.append("commit")

    def discard(self) -> None:
        self.ends.append("discard")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    found = make_stage(tmp_path, make_city(service_record("pengaduan")))
    found.reachability.alive = {"drc-pengaduan-1", "pengaduan-1"}
    return found


def listing(*entries: Body, is_there: bool = True) -> Script:
    result = {"entries": list(entries), "left_off": 0, "is_there": is_there}
    return lambda _name, _spec: Ending(0, [{"event": "result", "result": result}])


def sent(content: bytes = CONTENT, claimed: bytes = CONTENT, **ending: Any) -> Script:
    result = {"bytes": len(claimed), "sha256": hashlib.sha256(claimed).hexdigest(), "type": "file"}
    messages: list[Body] = [
        {"event": "sending", "bytes": len(claimed), "type": "file"},
        {"event": "result", "result": result},
    ]
    return lambda _name, _spec: Ending(0, messages, data=content, **ending)


def get(stage: Stage, path: str = PHOTO, request: RestoreRequest = ALL) -> tuple[Any, FakeFile]:
    file = FakeFile()

    def open_file(kind: str) -> FakeFile:
        file.kind = kind
        return file

    return download(stage.world, request, path, open_file), file


def test_without_a_path_the_dumps_and_the_roots_are_shown(stage: Stage) -> None:
    stage.actions.script = listing()
    found = list_content(stage.world, ALL, "", recursive=False)
    assert [(entry.path, entry.type, entry.bytes, entry.target) for entry in found.entries] == [
        ("/pengaduan.database.roles.sql", "stream", 100, "postgresql"),
        ("/pengaduan.database.pgdump", "stream", 5000, "postgresql"),
    ]
    (spec,) = stage.actions.specs.values()
    assert spec["host"] == "drc-pengaduan-1"
    assert spec["job"]["looks"] == [
        {"dataset": "files", "part": "files", "snapshot": "3" * 64, "folders": ["/srv/pengaduan"]}
    ]
    assert stage.ledger.runs(kinds=("look",)) == []
    runs = stage.world.workspace / "var" / "runs"
    assert not any(runs.iterdir())


def test_a_folder_is_asked_for_where_it_can_lie(stage: Stage) -> None:
    stage.actions.script = listing()
    list_content(stage.world, ALL, "/srv/pengaduan/uploads", recursive=True)
    (spec,) = stage.actions.specs.values()
    assert spec["job"]["looks"][0]["folders"] == ["/srv/pengaduan/uploads"]
    assert spec["job"]["recursive"] is True
    with pytest.raises(UsageError, match="none of the datasets"):
        list_content(stage.world, ALL, "/srv/pengaduan-other", recursive=False)
    stage.actions.script = listing(is_there=False)
    with pytest.raises(UsageError, match="is not in"):
        list_content(stage.world, ALL, "/srv/pengaduan/gone", recursive=False)


def test_where_the_recovery_site_does_not_answer_the_host_itself_is_asked(stage: Stage) -> None:
    stage.actions.script = listing()
    stage.reachability.alive = {"pengaduan-1"}
    list_content(stage.world, ALL, "", recursive=False)
    assert next(iter(stage.actions.specs.values()))["host"] == "pengaduan-1"
    stage.reachability.alive = set()
    with pytest.raises(UnreachableError, match="no host answers"):
        list_content(stage.world, ALL, "", recursive=False)


def test_a_download_arrives_and_the_ledger_keeps_who_took_what(stage: Stage) -> None:
    stage.actions.script = sent()
    found, file = get(stage)
    assert (file.content, file.kind, file.ends) == (CONTENT, "file", ["commit", "discard"])
    assert found.sha256 == hashlib.sha256(CONTENT).hexdigest()
    job = stage.actions.specs["send"]["job"]
    assert (job["snapshot"], job["path"]) == ("3" * 64, PHOTO)
    events = stage.ledger.events(found.run)
    assert [event.type for event in events] == ["run.opened", "action.started", "file.sent", "run.closed"]
    assert events[0].body["plan"]["path"] == PHOTO
    assert events[0].body["by"] == "siti"


@pytest.mark.parametrize("path", ["/pengaduan.database.pgdump", "pengaduan.database.pgdump"])
def test_a_dump_is_asked_for_by_its_file(stage: Stage, path: str) -> None:
    stage.actions.script = sent()
    get(stage, path)
    job = stage.actions.specs["send"]["job"]
    assert (job["snapshot"], job["path"]) == ("2" * 64, "/pengaduan.database.pgdump")


@pytest.mark.parametrize("content", [CONTENT[:-3], CONTENT + b"x", CONTENT[:-1] + b"X"])
def test_other_bytes_than_were_sent_leave_no_file(stage: Stage, content: bytes) -> None:
    stage.actions.script = sent(content)
    file = FakeFile()
    with pytest.raises(IntegrityError, match="bytes arrived"):
        download(stage.world, ALL, PHOTO, lambda _kind: file)
    assert file.ends == ["discard"]
    (row,) = stage.ledger.runs(kinds=("download",))
    assert (row.outcome, row.exit_code) == ("failed", 13)


def test_a_connection_that_is_lost_leaves_no_file(stage: Stage) -> None:
    lost = {"event": "trouble", "kind": "connection_lost", "text": "reset", "dataset": ""}
    sending = {"event": "sending", "bytes": 99, "type": "file"}
    stage.actions.script = lambda _name, _spec: Ending(1, [sending, lost], data=CONTENT)
    file = FakeFile()
    with pytest.raises(UnreachableError):
        download(stage.world, ALL, PHOTO, lambda _kind: file)
    assert file.ends == ["discard"]


def test_ctrl_c_leaves_no_file_and_stops_the_host(stage: Stage) -> None:
    stage.actions.script = sent(running=True)

    class Interrupting(FakeFile):
        def write(self, piece: bytes) -> None:  # noqa: ARG002 - the port's signature
            raise KeyboardInterrupt

    file = Interrupting()
    with pytest.raises(CancelledError, match="left no file"):
        download(stage.world, ALL, PHOTO, lambda _kind: file)
    assert file.ends == ["discard"]
    assert stage.actions.stopped == ["send"]
    assert stage.ledger.runs(kinds=("download",))[0].outcome == "aborted"


def test_names_that_are_no_utf8_are_asked_for_as_they_are_and_spelled_out_for_the_ledger(stage: Stage) -> None:
    stage.actions.script = sent()
    raw = b"/srv/pengaduan/lama\xff\nx".decode("utf-8", "surrogateescape")
    found, _ = get(stage, normal(raw))
    assert stage.actions.specs["send"]["job"]["path"] == raw
    assert stage.ledger.events(found.run)[0].body["plan"]["path"] == "/srv/pengaduan/lama\\xff\nx"
    assert printable(raw).encode()


@pytest.mark.parametrize("path", ["", "/", "..", "/srv/../etc/shadow", "/srv/./x", "a\0b"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="no path of a file"):
        normal(path)


def test_paths_are_taken_without_needless_slashes() -> None:
    assert normal("//srv//pengaduan/x/") == "/srv/pengaduan/x"
