"""Ansible, imported once and forked for each playbook.

To start ansible-playbook costs a second of processor time before its first task, and each module that it sends is put
together anew. A recovery of forty services starts it two hundred times. So the process that starts workers imports
Ansible once (`warm_up`), and what ansible-runner takes for the program ansible-playbook is a fork of it (`spawn`).
What Ansible would have read at its start from its environment and files it reads then, in the fork. Where Ansible
cannot be imported, ansible-runner starts the program as ever, and that says why.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import hashlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pexpect

from drp.adapters.worker import in_child

OBJECTS_BETWEEN_COLLECTIONS = 20_000
"""Python's own 700 spend a third of a short playbook's time on looking for garbage."""
_LOADED_BY_PATH = ("library", "module_utils", "action_plugins")
_IN_USE = "in-use"
_is_warm = False


def warm_up() -> None:
    """Import what a playbook needs. Whatever is wrong with it is left for ansible-playbook itself to say."""
    global _is_warm
    # Before anything in the environment changes: it measures the room for titles there, which stays where it is.
    from setproctitle import getproctitle

    has_title = bool(getproctitle())
    os.environ.pop("DRP_TITLE_ROOM", None)
    if not has_title:
        return  # a fork that nobody could find could not be ended
    try:
        from ansible_runner.utils import get_callback_dir

        # Where Ansible finds what reports to ansible-runner is fixed by its import.
        os.environ["ANSIBLE_CALLBACK_PLUGINS"] = get_callback_dir()
        from ansible.cli import playbook  # noqa: F401

        _load_plugins()
        _keep_temporary_files()
    except (Exception, SystemExit):  # noqa: BLE001 - Ansible exits where it does not like its surroundings
        return
    finally:
        os.environ.pop("ANSIBLE_CALLBACK_PLUGINS", None)
    _is_warm = True
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)


def _load_plugins() -> None:
    """Load what every playbook of drp uses: each process would look for it, and read what it can be told, anew."""
    from ansible import constants
    from ansible.plugins import loader

    loader.init_plugin_loader()
    _Fork.collections = _collections_of(constants)
    loader.strategy_loader.get("linear", class_only=True)
    for name in ("ssh", "local"):
        loader.connection_loader.get(name, class_only=True)
    for name in ("normal", "fail", "assert", "include_role"):
        loader.action_loader.get(name, class_only=True)
    loader.shell_loader.get("sh", class_only=True)
    loader.cache_loader.get("jsonfile", class_only=True)
    for every in (loader.inventory_loader, loader.vars_loader):
        list(every.all(class_only=True))


def _keep_temporary_files() -> None:
    """Ansible would remove its folder of temporary files with this process, while forks still need it. Whoever uses it
    holds a lock, this process and its forks; the next one removes those that nobody holds."""
    from ansible import constants
    from ansible.utils.path import cleanup_tmp_file

    atexit.unregister(cleanup_tmp_file)
    own = Path(constants.DEFAULT_LOCAL_TMP)
    for lock in own.parent.glob(f"ansible-local-*/{_IN_USE}"):
        descriptor = os.open(lock, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(descriptor)
    # Held before it has the name by which others find it.
    _Fork.lock = os.open(own / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(_Fork.lock, fcntl.LOCK_SH)
    os.rename(own / "lock", own / _IN_USE)


def _collections_of(settings: Any) -> tuple[list[str], bool]:
    """Where Ansible looks for collections."""
    return list(settings.COLLECTIONS_PATHS), bool(settings.COLLECTIONS_SCAN_SYS_PATH)


def use(playbooks: Path) -> None:
    """Have ansible-runner, in this process, fork its ansible-playbook. What Ansible puts together of the modules in
    the folder of playbooks is kept for the other forks, as long as no file of theirs changes."""
    if not _is_warm:
        return
    _Fork.temporary = _shared_folder(playbooks)
    pexpect.spawn = _Fork


def _shared_folder(playbooks: Path) -> Path:
    """Ansible's folder of temporary files, of a name that changes with the modules."""
    digest = hashlib.sha256()
    for part in _LOADED_BY_PATH:
        for path in sorted((playbooks / part).rglob("*.py")):
            state = path.stat()
            digest.update(f"{path}\0{state.st_mtime_ns}\0{state.st_size}\n".encode())
    from ansible import constants

    folder = Path(constants.DEFAULT_LOCAL_TMP) / digest.hexdigest()[:16]
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


class _Fork(pexpect.spawn):  # type: ignore[misc]  # pexpect has no types
    """A program on a terminal of its own, which goes on in this process's image instead of another."""

    temporary: Path
    lock: int
    """Held as long as the folder of temporary files is needed."""
    collections: tuple[list[str], bool] | None = None
    """Where collections were looked for as Ansible was imported."""

    def _spawn(
        self,
        command: str,
        args: list[str],
        preexec_fn: Callable[[], None] | None = None,
        dimensions: tuple[int, int] | None = None,
    ) -> None:
        assert preexec_fn is None

        def be_ansible() -> None:
            _be_ansible(list(self.args), self.env, self.temporary)

        super()._spawn(command, args, lambda: in_child(be_ansible), dimensions)


def _be_ansible(arguments: list[bytes], environment: dict[str, str], temporary: Path) -> None:
    """In a process that was just forked: be ansible-playbook."""
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # with them the pipe that tells pexpect that the program runs
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    sys.argv = [os.fsdecode(argument) for argument in arguments]
    os.environ.clear()
    os.environ.update(environment)
    # The streams of this process were its parent's; these stay open as long as it lives.
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    from setproctitle import setproctitle

    setproctitle(" ".join(sys.argv))  # what `ps` shows, and whereby it is found when it must be ended
    _read_settings(temporary)
    from ansible.cli.playbook import main

    main(sys.argv)


def _read_settings(temporary: Path) -> None:
    """Take over what the environment and ansible.cfg say now: most of it is read while Ansible is imported."""
    from ansible import constants
    from ansible.config.manager import find_ini_config_file

    settings: Any = constants.config
    if find_ini_config_file(set()) or constants.CONFIG_FILE:  # it may have been written or changed since
        constants.config = settings = type(settings)()
    for name in settings.get_configuration_definitions():
        if name != "DEFAULT_LOCAL_TMP":
            constants.set_constant(name, settings.get_config_value(name, variables=vars(constants)))
    constants.set_constant("DEFAULT_LOCAL_TMP", str(temporary))
    tempfile.tempdir = None
    _keep_collections(_collections_of(constants))


def _keep_collections(wanted: tuple[list[str], bool]) -> None:
    """Go on with what was found in collections, unless they are looked for elsewhere now."""
    from ansible.plugins import loader
    from ansible.utils.collection_loader import AnsibleCollectionConfig

    if wanted == _Fork.collections:
        loader._configure_collection_loader = lambda *_: None  # noqa: SLF001 - it would warn that it is done
        return
    type(AnsibleCollectionConfig.collection_finder)._remove()  # noqa: SLF001 - nobody else offers it
    for name in [name for name in sys.modules if name.partition(".")[0] == "ansible_collections"]:
        del sys.modules[name]
