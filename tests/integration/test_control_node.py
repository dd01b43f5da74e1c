"""Hosts that can take no restic: their data streams to a restic on the control node, and no secret reaches them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drp.domain.datasets import read_dataset, with_snapshots
from drp.domain.datasets.streamed import through_control_node
from drp.ports import ActionState
from tests.e2e.workbench import PASSWORD_CANARY, S3_CANARY, content_of, eventually, files_below
from tests.fakes.host_driver import load
from tests.integration.test_transport import Bench, Job, Server, bench

__all__ = ["bench"]

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="an ssh server needs root"),
    pytest.mark.skipif(shutil.which("restic") is None, reason="restic is not installed"),
]


class Place:
    """A host that takes no restic, its files, and a repository in a folder of the control node."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench, self.server = bench, bench.server("app")
        bench.pin(self.server)
        self.host = self.server.host.model_copy(update={"restic": "control-node"})
        self.data, self.repository = folder / "data, with blanks", folder / "repository"
        self.data.mkdir()
        self.notes = bench.folder.parent / "notes"
        record = {"id": "files", "type": "files", "host": "app", "paths": [str(self.data)]}
        self.files = read_dataset(record | {"excludes": [f"{self.data}/cache/*"]})

    def fill(self) -> None:
        (self.data / "letter").write_text("isi surat")
        (self.data / "naïve név 文件").write_text("x")
        os.link(self.data / "letter", self.data / "same letter")
        os.symlink("letter", self.data / "link")
        with open(self.data / "sparse", "wb") as file:
            file.seek(20_000_000)
            file.write(b"end")
        (self.data / "owned").write_text("x")
        os.chown(self.data / "owned", 4321, 8765)
        subprocess.run(["setfacl", "-m", "u:1234:r", str(self.data / "owned")], check=True)
        os.setxattr(self.data / "owned", "user.note", b"catatan")
        (self.data / "cache").mkdir()
        (self.data / "cache" / "rubbish").write_text("x")

    def job(self, run: str, *datasets: dict[str, Any], **changes: Any) -> dict[str, Any]:
        return {
            "verb": "backup",
            "run": run,
            "service": "s",
            "restic_host": "app",
            "repository": {"url": str(self.repository), "region": "r"},
            "may_create_repository": True,
            "stall_seconds": 60,
            "cache_directory": str(self.bench.folder.parent / "cache"),
            "state_directory": str(self.bench.folder.parent / "state"),
            "requires": ["restic"],
            "datasets": list(datasets),
        } | changes

    def stream(self, script: str) -> dict[str, Any]:
        part = {"name": "dump", "kind": "stream", "file": "dump", "dump": ["sh", "-c", script], "restore": ["cat"]}
        return {"id": "dump", "type": "test", "parts": [part], "prepare_restore": [], "sentinel": None, "absence": []}

    def snapshots(self) -> list[dict[str, Any]]:
        return list(json.loads(self.restic("snapshots", "--json")))

    def restic(self, *arguments: str) -> str:
        environment = os.environ | {"RESTIC_PASSWORD": PASSWORD_CANARY, "RESTIC_CACHE_DIR": str(self.repository) + "-c"}
        argv = ["restic", "-r", str(self.repository), "--no-lock", *arguments]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def place(bench: Bench) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="drp-control-node-") as folder:  # /tmp is no place for data
        yield Place(bench, Path(folder))


def look(folder: Path) -> dict[str, Any]:
    """All that a restore must bring back."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        state = path.lstat()
        acl = subprocess.run(["getfacl", "-cnp", str(path)], capture_output=True, text=True, check=False).stdout
        attributes = {} if path.is_symlink() else {name: os.getxattr(path, name) for name in os.listxattr(path)}
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        kept = (state.st_mode, state.st_uid, state.st_gid, state.st_nlink, state.st_mtime_ns)
        found[str(path.relative_to(folder))] = (kept, acl, attributes, content)
    return found


def test_a_tree_comes_back_as_it_was(place: Place) -> None:
    place.fill()
    job = place.bench.start(place.host, place.job("run-1", place.files.procedure("s", "token-1")))
    ended = job.end()
    assert ended["event"] == "result", ended
    result = ended["result"]
    assert result["sentinels"]["files"]["token"] == "token-1"
    (part,) = result["parts"]
    assert part["part"] == "files.tar"
    before = look(place.data)
    # On the recovery host it is restored by the program there, as the restore point's part says.
    procedure = with_snapshots(place.files.procedure("s"), {"files.tar": part["snapshot"]})
    (place.data / "letter").write_text("what came after")
    (place.data / "later").write_text("x")
    restored = place.bench.start(place.server.host, place.job("run-2", procedure, verb="restore")).end()
    assert restored["event"] == "result", restored
    assert restored["result"]["datasets"]["files"]["sentinel"]["token"] == "token-1"
    (counted,) = restored["result"]["parts"]
    assert counted["expected"] == counted["actual"]
    assert counted["expected"]["bytes"] > 0
    after = look(place.data)
    assert "cache/rubbish" in before
    del before["cache/rubbish"]
    moments = {"cache"}  # its entries changed
    assert {name: value for name, value in after.items() if name not in moments} == {
        name: value for name, value in before.items() if name not in moments
    }
    assert (place.data / "sparse").stat().st_blocks < 1000


@pytest.mark.parametrize("killed", ["ssh", "server", "worker"])
def test_a_connection_that_breaks_in_the_middle_never_becomes_a_snapshot(place: Place, killed: str) -> None:
    job = place.bench.start(
        place.host, place.job("run-1", place.stream(f"touch {place.notes}; head -c 5000000 /dev/zero; sleep 600"))
    )
    eventually(place.notes.exists, "the dump runs")
    if killed == "server":
        place.server.down()
    else:
        for pid, words in processes():
            is_dump = killed == "ssh" and words[0] == b"ssh" and any(b"sleep 600" in word for word in words)
            is_worker = killed == "worker" and b"drp.adapters.local_worker" in words
            if (is_dump and str(place.notes).encode() in b" ".join(words)) or (
                is_worker and str(job.folder).encode() in words
            ):
                os.kill(pid, signal.SIGKILL)
    eventually(lambda: job.actions.state(job.folder) is not ActionState.RUNNING, "the action ends")
    if killed != "worker":
        assert job.messages()[-1]["kind"] == "dump", job.messages()[-1]
    eventually(
        lambda: not [words for _, words in processes() if str(place.repository).encode() in words], "restic ends"
    )
    assert place.snapshots() == []


def processes() -> Iterator[tuple[int, list[bytes]]]:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0]:
            yield int(entry.name), words


def test_no_secret_reaches_the_host(place: Place) -> None:
    """All of the host's processes, their memory files, and every file that was made there are searched."""
    place.fill()
    script = f"touch {place.notes}; echo x; until test -e {place.notes}.go; do sleep 0.05; done"
    datasets = (place.files.procedure("s", "t"), place.stream(script))
    quiesce = [{"before": [["true"]], "after": [["true"]], "limit_seconds": 60}]
    job = place.bench.start(place.host, place.job("run-1", *datasets, quiesce=quiesce))
    eventually(place.notes.exists, "the dump runs")
    assert place.server.process is not None
    seen = search_of_host(place.server)
    assert seen["processes"] > 2
    assert seen["found"] == []
    Path(f"{place.notes}.go").touch()
    ended = job.end()
    assert ended["event"] == "result", ended
    assert files_with_canaries(place) == []


def test_where_restic_runs_on_the_host_secrets_are_in_its_memory_files_alone(place: Place) -> None:
    place.fill()
    script = f"touch {place.notes}; echo x; until test -e {place.notes}.go; do sleep 0.05; done"
    datasets = (place.files.procedure("s", "t"), place.stream(script))
    job = place.bench.start(place.server.host, place.job("run-1", *datasets))
    eventually(place.notes.exists, "the dump runs")
    # The dump may run before the restic that takes it.
    holders = eventually(
        lambda: holders if "restic" in (holders := holders_of_secrets(place.server)) else None, "restic runs"
    )
    assert holders == {"python3", "restic"}, "nobody else holds them"
    assert search_of_host(place.server, memory_files=False)["found"] == []
    assert files_with_canaries(place) == []
    Path(f"{place.notes}.go").touch()
    ended = job.end()
    assert ended["event"] == "result", ended
    eventually(lambda: search_of_host(place.server)["found"] == [], "those that held them have ended")
    assert files_with_canaries(place) == []


def files_with_canaries(place: Place) -> list[str]:
    """Every file that the host or the control node could have made: of the test's folders, memory, and /run."""
    assert place.server.process is not None
    root = Path(f"/proc/{children_of(place.server.process.pid)[0]}/root")
    canaries = [canary.encode() for canary in (PASSWORD_CANARY, S3_CANARY)]
    found = []
    for folder in (place.bench.folder.parent, place.data.parent, root / "run", Path("/dev/shm"), Path("/root/.cache")):
        for path in files_below(folder):
            content = content_of(path)
            if any(canary in content for canary in canaries):
                found.append(str(path))
    return found


def holders_of_secrets(server: Server) -> set[str]:
    """The names of the programs on the host that hold a secret."""
    lines = [content_of(Path(f"/proc/{pid}/cmdline")) for pid in search_of_host(server)["found"]]
    return {Path(line.split(b"\0")[0].decode()).name for line in lines if line}


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def search_of_host(server: Server, *, memory_files: bool = True) -> dict[str, Any]:
    """Look for the canaries in what runs in the host's own process namespace."""
    assert server.process is not None
    space = os.readlink(f"/proc/{children_of(server.process.pid)[0]}/ns/pid")
    count, found = 0, []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(entry / "ns/pid") != space:
                continue
            count += 1
            texts = [(entry / name).read_bytes() for name in ("cmdline", "environ")]
            for descriptor in (entry / "fd").iterdir():
                if memory_files and "memfd" in os.readlink(descriptor):
                    texts.append(descriptor.read_bytes())
        except OSError:
            continue
        if any(canary.encode() in text for text in texts for canary in (PASSWORD_CANARY, S3_CANARY)):
            found.append(entry.name)
    return {"processes": count, "found": found}


def test_what_holds_services_still_runs_on_the_host_and_they_go_on(place: Place) -> None:
    quiesce = [
        {
            "before": [["sh", "-c", f"echo hold >>{place.notes}; readlink /proc/self/ns/pid >{place.notes}.where"]],
            "after": [["sh", "-c", f"echo go on >>{place.notes}"]],
            "limit_seconds": 60,
        }
    ]
    script = f"echo dump >>{place.notes}; sleep 600"
    job = place.bench.start(place.host, place.job("run-1", place.stream(script), quiesce=quiesce))
    eventually(lambda: place.notes.exists() and "dump" in place.notes.read_text(), "the dump runs")
    assert Path(f"{place.notes}.where").read_text().strip() != os.readlink("/proc/self/ns/pid")
    for pid, words in processes():
        if str(job.folder).encode() in words and b"drp.adapters.local_worker" in words:
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: place.notes.read_text().split("\n")[:3] == ["hold", "dump", "go on"], "the services go on")


def test_what_would_touch_the_control_nodes_own_folders_is_refused(place: Place) -> None:
    carry_out, trouble = load("main").carry_out, load("trouble").Trouble
    procedure = through_control_node(place.files.procedure("s", "t"), "python3")
    remote = {"ssh": ["false"], "become": False, "python": "python3", "is_root": True}
    for verb, dataset in (
        ("restore", procedure),
        ("remove", procedure),
        ("absence", procedure),
        ("backup", place.files.procedure("s", "t")),
        ("backup", procedure | {"sentinel": place.files.procedure("s", "t")["sentinel"]}),
    ):
        job = place.job("run-1", dataset, verb=verb, remote=remote, repository=None)
        with pytest.raises(trouble, match="cannot be done from the control node"):
            carry_out(job, {}, "", lambda _: None, False)


def test_a_host_that_cannot_be_reached_is_told_as_any_other(place: Place) -> None:
    place.server.down()
    ended = place.bench.start(place.host, place.job("run-1", place.stream("true"))).end()
    assert (ended["kind"], "refused" in ended["text"]) == ("ssh", True)


def test_a_program_that_the_host_lacks_is_told(place: Place) -> None:
    job = place.job("run-1", place.stream("true"), requires=["restic", "no-such-program"])
    started: Job = place.bench.start(place.host, job)
    assert (started.end()["kind"], started.code) == ("no_program", 1)
