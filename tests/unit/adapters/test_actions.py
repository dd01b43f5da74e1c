"""Actions under their supervisor: drp may die and come back; results stay, and secrets are nowhere."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drp.adapters.actions import SupervisedActions
from drp.adapters.starter import Starter
from drp.adapters.supervisor import kept_environment
from drp.domain.inventory import SshAccess
from drp.errors import BusyError, DrpError
from drp.ports import ActionState

WORKER = "tests.fakes.echo_worker"
SECRET = "kata-rahasia-9431"


class Bench:
    """Actions in a temporary workspace, and the pipes that let a worker go on."""

    def __init__(self, workspace: Path, *, forked: bool = False) -> None:
        self.workspace = workspace
        ssh = SshAccess(private_key="key", known_hosts="known_hosts")
        self.actions = SupervisedActions(workspace, ssh, workspace / "playbooks", workspace / "hosts.yaml")
        self.actions.starter = Starter(workspace, (WORKER,) if forked else ())
        self.folder = workspace / "var" / "runs" / "run-1" / "action"
        self.processes: set[int] = set()

    def start(self, **spec: Any) -> None:
        self.prepare()
        self.actions._start(self.folder, WORKER, spec, {"password": SECRET})

    def prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("ready", "go"):
            if not (self.folder / name).exists():
                os.mkfifo(self.folder / name)

    def ready(self) -> tuple[int, int]:
        """Wait until the worker has its secrets; gives its process and its supervisor's."""
        worker, supervisor = (int(word) for word in (self.folder / "ready").read_text().split())
        self.processes |= {worker, supervisor}
        return worker, supervisor

    def let_go(self) -> None:
        (self.folder / "go").write_text("")

    def wait_until_ended(self) -> None:
        """The kernel tells: whoever gets the lock knows that worker and supervisor have gone."""
        with open(self.folder / "lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)

    def state(self) -> ActionState:
        return self.actions.state(self.folder)


@pytest.fixture(params=["a Python of its own", "forked"])
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    found = Bench(tmp_path, forked=request.param == "forked")
    yield found
    for process in found.processes:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            pass


@pytest.mark.parametrize("code", [0, 1, 4, 130])
def test_the_workers_exit_code_and_words_are_kept(bench: Bench, code: int) -> None:
    assert bench.state() is ActionState.ABSENT
    bench.start(code=code)
    bench.wait_until_ended()
    assert bench.state() is ActionState.ENDED
    assert bench.actions.exit_code(bench.folder) == code
    messages = bench.actions.messages(bench.folder, 0)
    assert [message["event"] for message in messages] == ["environment", "done"]
    assert messages[1]["text"] == "sepatah kata — ya"
    assert bench.actions.messages(bench.folder, 1) == messages[1:]


def test_a_running_action_is_not_started_twice_and_ends_when_it_has_done(bench: Bench) -> None:
    bench.start(wait=True)
    bench.ready()
    assert bench.state() is ActionState.RUNNING
    with pytest.raises(BusyError):
        bench.start(wait=True)
    bench.let_go()
    bench.wait_until_ended()
    assert bench.state() is ActionState.ENDED


def test_an_action_whose_processes_were_all_killed_is_lost_and_can_be_started_again(bench: Bench) -> None:
    bench.start(wait=True)
    worker, supervisor = bench.ready()
    os.kill(supervisor, signal.SIGKILL)
    assert bench.state() is ActionState.RUNNING  # the worker goes on, and holds the lock
    os.kill(worker, signal.SIGKILL)
    bench.wait_until_ended()
    assert bench.state() is ActionState.LOST
    bench.start(code=3)
    bench.wait_until_ended()
    assert bench.state() is ActionState.ENDED
    assert bench.actions.exit_code(bench.folder) == 3


def test_a_worker_that_is_killed_leaves_its_signal_as_the_exit_code(bench: Bench) -> None:
    bench.start(wait=True)
    worker, _ = bench.ready()
    os.kill(worker, signal.SIGKILL)
    bench.wait_until_ended()
    assert bench.actions.exit_code(bench.folder) == 128 + signal.SIGKILL


STARTER = """\
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.unit.adapters.test_actions import Bench
Bench(Path(sys.argv[1])).start(wait=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_an_action_survives_the_death_of_whoever_started_it(bench: Bench) -> None:
    bench.prepare()
    root = str(Path(__file__).parents[3])
    starter = subprocess.run([sys.executable, "-c", STARTER, bench.workspace, root], check=False)
    assert starter.returncode == -signal.SIGKILL
    bench.ready()
    assert bench.state() is ActionState.RUNNING
    bench.let_go()
    bench.wait_until_ended()
    assert bench.actions.exit_code(bench.folder) == 0


def test_a_stopped_action_ends_as_interrupted(bench: Bench) -> None:
    bench.start(wait=True)
    bench.ready()
    bench.actions.stop(bench.folder)
    bench.wait_until_ended()
    assert bench.actions.exit_code(bench.folder) == 130
    bench.actions.stop(bench.folder)  # once more does nothing


PATIENCE_OF_A_SECOND = """\
import drp.adapters.supervisor as supervisor
supervisor.STOP_LIMIT_SECONDS = 1
supervisor.serve([])
"""


def test_a_worker_that_does_not_listen_is_killed_however_often_it_is_asked(bench: Bench) -> None:
    """Each look of a workflow asks again; that must not give the worker its time anew."""
    bench.prepare()
    (bench.folder / "spec.json").write_text('{"wait": true, "deaf": true}')
    order = {"folder": str(bench.folder), "module": WORKER, "secrets": {}, "by": os.getpid()}
    starter = [sys.executable, "-c", PATIENCE_OF_A_SECOND]
    subprocess.run(starter, input=json.dumps(order).encode() + b"\n", check=True, env=kept_environment())
    bench.ready()
    limit = time.monotonic() + 5
    while bench.state() is ActionState.RUNNING and time.monotonic() < limit:
        bench.actions.stop(bench.folder)
        os.sched_yield()
    assert bench.state() is ActionState.ENDED
    assert bench.actions.exit_code(bench.folder) == 128 + signal.SIGKILL


def test_an_order_of_a_drp_that_has_died_before_it_was_read_is_not_carried_out(bench: Bench) -> None:
    """The process that starts workers may take a second to import what they need: drp may be killed and resumed by
    then, and its successor starts the same action itself."""
    bench.prepare()
    gone = subprocess.Popen(["true"])
    gone.wait()
    order = {"folder": str(bench.folder), "module": WORKER, "secrets": {}, "by": gone.pid}
    starter = [sys.executable, "-c", "import drp.adapters.supervisor as supervisor; supervisor.serve([])"]
    done = subprocess.run(
        starter, input=json.dumps(order).encode() + b"\n", check=True, env=kept_environment(), capture_output=True
    )
    assert done.stdout == b""
    assert bench.state() is ActionState.ABSENT


def test_stopping_never_signals_a_process_of_an_earlier_start(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor writes its number a moment after it runs; until then an old number must not be there."""
    bench.prepare()
    (bench.folder / "pid").write_text("999999999")
    there: list[bool] = []
    start = Starter.start

    def noting(*arguments: Any) -> None:
        there.append((bench.folder / "pid").exists())
        start(*arguments)

    monkeypatch.setattr(Starter, "start", noting)
    bench.start()
    bench.wait_until_ended()
    assert there == [False]


def test_a_secret_is_in_no_file_no_argument_and_no_environment(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", SECRET)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    bench.start(wait=True)
    for process in bench.ready():
        for name in ("cmdline", "environ"):
            content = Path(f"/proc/{process}/{name}").read_bytes()
            assert content
            assert SECRET.encode() not in content, (process, name)
    bench.let_go()
    bench.wait_until_ended()
    for path in bench.folder.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
    environment = bench.actions.messages(bench.folder, 0)[0]
    assert environment["secret_length"] == len(SECRET)  # the worker did get it
    assert "PATH" in environment["names"]
    assert not {"SECRET", "AWS_SECRET_ACCESS_KEY"} & set(environment["names"])


def test_what_an_action_leaves_is_for_its_user_alone(bench: Bench) -> None:
    previous = os.umask(0o077)  # as drp sets it
    try:
        bench.start()
        bench.wait_until_ended()
    finally:
        os.umask(previous)
    for path in (bench.folder, *bench.folder.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_evidence_is_what_the_action_wrote_with_its_hash(bench: Bench) -> None:
    import hashlib

    bench.start()
    bench.wait_until_ended()
    evidence = {Path(item.path).name: item for item in bench.actions.evidence(bench.folder)}
    assert set(evidence) == {"stdout", "messages.jsonl"}
    for item in evidence.values():
        assert item.sha256 == hashlib.sha256((bench.workspace / item.path).read_bytes()).hexdigest()


def test_a_half_written_last_line_is_not_read_yet(bench: Bench) -> None:
    bench.folder.mkdir(parents=True)
    line = json.dumps({"event": "x", "text": "é—"}, ensure_ascii=False).encode() + b"\n"
    for length in range(len(line) + 1):
        (bench.folder / "messages.jsonl").write_bytes(line + line[:length])
        assert len(bench.actions.messages(bench.folder, 0)) == (2 if length == len(line) else 1), length


def test_a_line_that_a_power_cut_spoiled_does_not_hide_the_others(bench: Bench) -> None:
    bench.folder.mkdir(parents=True, exist_ok=True)
    (bench.folder / "messages.jsonl").write_bytes(b'{"event": "hello"}\n\0\0\0\n[]\n{"event": "result"}\n')
    told = [message["event"] for message in bench.actions.messages(bench.folder, 0)]
    assert told == ["hello", "unreadable", "unreadable", "result"]


def test_a_playbook_that_is_not_there_is_told_before_anything_starts(bench: Bench) -> None:
    with pytest.raises(DrpError, match=r"no playbook restore\.yml"):
        bench.actions.start_playbook(bench.folder, "restore", ["a"], {}, {}, "")
    assert bench.state() is ActionState.ABSENT


def test_a_playbook_without_a_host_is_refused(bench: Bench) -> None:
    """Ansible would end well, having done nothing."""
    bench.actions.playbooks.mkdir(exist_ok=True)
    (bench.actions.playbooks / "restore.yml").touch()
    with pytest.raises(DrpError, match=r"no host is named that restore\.yml could work on"):
        bench.actions.start_playbook(bench.folder, "restore", [], {}, {}, "")
    assert bench.state() is ActionState.ABSENT


def test_a_module_that_does_not_exist_ends_with_an_error_and_its_reason(bench: Bench) -> None:
    bench.actions._start(bench.folder, "tests.fakes.no_such_worker", {}, {})
    bench.wait_until_ended()
    assert bench.actions.exit_code(bench.folder) == 1
    assert "no_such_worker" in (bench.folder / "stderr").read_text()


def test_a_starter_that_was_killed_is_begun_anew_and_what_it_started_goes_on(bench: Bench) -> None:
    bench.start(wait=True)
    bench.ready()
    starter = bench.actions.starter.process
    assert starter is not None
    os.killpg(starter.pid, signal.SIGKILL)
    starter.wait()
    assert bench.state() is ActionState.RUNNING
    other = bench.folder.with_name("other")
    bench.actions._start(other, WORKER, {}, {})
    bench.let_go()
    bench.wait_until_ended()
    assert bench.actions.exit_code(bench.folder) == 0


def test_a_starter_whose_drp_was_ended_says_nothing_and_what_it_started_goes_on(bench: Bench) -> None:
    """Ctrl-C in the moment of the order: nobody reads the answer any more, and no traceback reaches the terminal."""
    bench.prepare()
    (bench.folder / "spec.json").write_text('{"wait": true}')
    order = {"folder": str(bench.folder), "module": WORKER, "secrets": {}, "by": os.getpid()}
    reading, writing = os.pipe()
    os.close(reading)
    program = [sys.executable, "-c", "import drp.adapters.supervisor as supervisor; supervisor.serve([])"]
    done = subprocess.run(
        program,
        input=json.dumps(order).encode() + b"\n",
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
        env=kept_environment(),
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")
    bench.ready()
    bench.let_go()
    bench.wait_until_ended()
    assert bench.actions.exit_code(bench.folder) == 0


def test_a_worker_whose_supervisor_was_killed_can_still_be_stopped(bench: Bench) -> None:
    bench.start(wait=True)
    _, supervisor = bench.ready()
    eventually_written(bench.folder / "pid")
    os.kill(supervisor, signal.SIGKILL)
    limit = time.monotonic() + 5
    while bench.state() is ActionState.RUNNING and time.monotonic() < limit:
        bench.actions.stop(bench.folder)
        os.sched_yield()
    assert bench.state() is ActionState.LOST


def eventually_written(path: Path) -> None:
    limit = time.monotonic() + 5
    while not path.exists():
        assert time.monotonic() < limit, path
        os.sched_yield()
