"""Playbooks as forks of an Ansible that was imported once: they must do what a fresh ansible-playbook does."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drp.adapters.starter import PLAYBOOK_WORKERS, Starter
from tests.e2e.workbench import eventually

SETTINGS = (
    "CACHE_PLUGIN_CONNECTION",
    "DEFAULT_FORKS",
    "DEFAULT_GATHERING",
    "DEFAULT_STDOUT_CALLBACK",
    "HOST_KEY_CHECKING",
    "RETRY_FILES_ENABLED",
)
BOOK = """\
- hosts: all
  gather_facts: false
  tasks:
    - ours:
      register: ours
    - ansible.builtin.debug:
        msg: "{{ ours.said }} {{ lookup('ansible.builtin.config', SETTINGS) }}"
"""
MODULE = """\
from ansible.module_utils.basic import AnsibleModule
AnsibleModule({}).exit_json(said=WORD)
"""


class Runs:
    """Starts playbooks in a folder of its own, on this machine, and reads what they printed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.number = folder, 0
        (folder / "playbooks" / "library").mkdir(parents=True)
        names = ", ".join(f"'{name}'" for name in SETTINGS)
        (folder / "playbooks" / "book.yml").write_text(BOOK.replace("SETTINGS", names))
        here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        (folder / "hosts.yaml").write_text(json.dumps({"all": {"hosts": {"here": here}}}))
        self.warm = Starter(folder, PLAYBOOK_WORKERS, with_packages=True)
        self.cold = Starter(folder, ())

    def temporary(self) -> list[Path]:
        """Ansible's folders of temporary files that are known to be somebody's."""
        return [path for path in (self.folder / ".ansible/tmp").iterdir() if (path / "in-use").exists()]

    def module_says(self, word: str) -> None:
        (self.folder / "playbooks" / "library" / "ours.py").write_text(MODULE.replace("WORD", repr(word)))

    def begin(self, starter: Starter, **variables: Any) -> Path:
        self.number += 1
        folder = self.folder / "runs" / str(self.number)
        folder.mkdir(parents=True)
        spec = {
            "playbook": str(self.folder / "playbooks" / "book.yml"),
            "inventory": str(self.folder / "hosts.yaml"),
            "limit": "here",
            "private_key": "/nonexistent",
            "known_hosts": "/nonexistent",
            "facts_folder": str(self.folder / "facts"),
            "control_path_folder": str(self.folder / "control"),
            "action": f"test-{self.number}",
            "variables": variables,
        }
        (folder / "spec.json").write_text(json.dumps(spec))
        starter.start(folder, PLAYBOOK_WORKERS[0], {})
        return folder

    def run(self, starter: Starter) -> str:
        folder = self.begin(starter)
        code = eventually(lambda: _text(folder / "exit_code"), "the playbook has ended")
        printed = (folder / "stdout").read_text()
        assert code == "0", printed + (folder / "stderr").read_text()
        (said,) = [line for line in printed.splitlines() if '"msg"' in line]
        return said


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    monkeypatch.setenv("HOME", str(tmp_path))
    found = Runs(tmp_path)
    yield found
    found.warm.end()
    found.cold.end()


def test_a_fork_has_the_settings_of_a_fresh_ansible_and_sees_a_module_that_was_changed(runs: Runs) -> None:
    (runs.folder / ".ansible.cfg").write_text("[defaults]\nforks = 7\n")
    runs.module_says("first")
    warm = runs.run(runs.warm)
    assert "first" in warm
    assert warm == runs.run(runs.cold)
    # Both were edited while the process that forks lives.
    (runs.folder / ".ansible.cfg").write_text("[defaults]\nforks = 9\n")
    runs.module_says("other")
    again = runs.run(runs.warm)
    assert "other" in again
    assert again == runs.run(runs.cold)
    assert again != warm


def test_a_fork_looks_for_collections_where_the_settings_say_now(runs: Runs) -> None:
    runs.module_says("nothing")
    modules = runs.folder / "more/ansible_collections/kota/alat/plugins/modules"
    modules.mkdir(parents=True)
    (modules / "theirs.py").write_text(MODULE.replace("WORD", "'from a collection'"))
    book = runs.folder / "playbooks/book.yml"
    assert "nothing" in runs.run(runs.warm)
    book.write_text(book.read_text().replace("- ours:", "- kota.alat.theirs:"))
    (runs.folder / ".ansible.cfg").write_text(f"[defaults]\ncollections_path = {runs.folder / 'more'}\n")
    warm = runs.run(runs.warm)
    assert "from a collection" in warm
    assert warm == runs.run(runs.cold)


def test_a_fork_is_found_by_its_name_and_is_one(runs: Runs) -> None:
    runs.module_says("nothing")
    (runs.folder / "playbooks" / "book.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  tasks: [{ansible.builtin.wait_for: {path: '{{ gate }}', sleep: 1}}]\n"
    )
    gate = runs.folder / "gate"
    folder = runs.begin(runs.warm, gate=str(gate))
    sought = str(folder / "runner" / "variables.json").encode()

    def family() -> list[Path]:
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdecimal() and sought in (entry / "cmdline").read_bytes():
                    found.append(entry)
            except OSError:
                continue  # it has just ended
        return found

    eventually(lambda: len(family()) >= 2, "the playbook and the process of its task")
    for process in family():
        assert os.readlink(process / "exe") == os.readlink(f"/proc/{runs.warm.process.pid}/exe")  # type: ignore[union-attr]
        assert b"ansible-playbook" in (process / "cmdline").read_bytes().split(b" ")[0]
    gate.touch()
    assert eventually(lambda: _text(folder / "exit_code"), "the playbook has ended") == "0"
    assert not family()


@pytest.mark.parametrize("how_far", ["not begun", "first task"])
def test_a_fork_outlives_the_process_that_began_it(runs: Runs, how_far: str) -> None:
    """As when drp was killed: what it had ordered goes on to its end, with tasks that were not begun before."""
    runs.module_says("nothing")
    wait = "{ansible.builtin.wait_for: {path: '{{ gate }}', sleep: 1}}"
    book = runs.folder / "playbooks" / "book.yml"
    book.write_text(f"- hosts: all\n  gather_facts: false\n  tasks: [{wait}, {{ours: }}, {{ansible.builtin.ping: }}]\n")
    gate = runs.folder / "gate"
    folder = runs.begin(runs.warm, gate=str(gate))
    if how_far == "first task":
        eventually(lambda: "wait_for" in _text(folder / "stdout"), "the first task is at work")
    starter = runs.warm.process
    assert starter is not None
    temporary = runs.temporary()
    runs.warm.end()
    assert starter.poll() is not None
    assert runs.temporary() == temporary, "its fork needs it"
    gate.touch()
    code = eventually(lambda: _text(folder / "exit_code"), "the playbook has ended")
    assert code == "0", _text(folder / "stdout") + _text(folder / "stderr")
    # The next one takes away what nobody uses any more.
    again = Starter(runs.folder, PLAYBOOK_WORKERS, with_packages=True)
    try:
        ended = runs.begin(again, gate=str(gate))
        assert eventually(lambda: _text(ended / "exit_code"), "the playbook has ended") == "0"
        (left,) = runs.temporary()
        assert left not in temporary
    finally:
        again.end()
