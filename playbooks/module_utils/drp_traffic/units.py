"""Accounts and units of a host: made, started, stopped or looked at, all that a stage wants of them at once.

The stages of several services come to a host at the same moment, and may share a unit: each unit is dealt with by one
at a time. A start that failed is tried again, for the files of another service may not have been whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import grp
import os
import pwd
import time

from . import ask, isolation
from .process import Trouble, of_system, run
from .service_manager import manager_here

LOCKS = "/run/drp-units"
STOP_SECONDS = 900
START_TRIES, TEST_TRIES, PAUSE_SECONDS = 3, 5, 2.0
TEST_SECONDS = 60

ARGUMENTS = {
    "isolation": {"type": "dict", "default": {}},
    "enabled": {"type": "bool"},
    "seconds": {"type": "float", "default": 60},
}
"""What may be wanted, as Ansible's modules declare it; see `carry_out`."""
ARGUMENTS.update((name, {"type": "list", "elements": "dict", "default": []}) for name in ("accounts", "tests", "asks"))
ARGUMENTS.update(
    (name, {"type": "list", "elements": "str", "default": []})
    for name in ("start", "restart", "reload", "stop", "running", "stopped")
)


def carry_out(wanted):
    """Do what is wanted, in this order; Trouble with the first thing that cannot be done.

    isolation   the job of `isolation`: nothing is started on a host that is not isolated
    accounts    [{name, uid, home}]: restored files keep their owners' numbers, so the accounts must have them
    tests       [{unit, argv}]: configurations that must pass before anything is started
    start       units that must run
    restart     units that must have read what was restored; those also in `reload` need no restart for that
    stop        units that must not run, the last first; one that this host does not know is none that runs
    enabled     whether the units of `restart` or `stop` come up with the host; None where that is left alone
    running, stopped    units that are only looked at
    asks        questions of `ask`, with the `seconds` that each may take
    """
    try:
        told = {"isolation": isolation.carry_out(wanted["isolation"])} if wanted["isolation"] else {}
        deal_with(manager_here(), wanted)
    except OSError as error:
        raise of_system(error, "unit")
    ask.carry_out(wanted["asks"], wanted["seconds"])
    return told


def deal_with(manager, wanted):
    if wanted["start"] or wanted["restart"]:
        manager.read_units_again()
    for account in wanted["accounts"]:
        make_account(account)
    for test in wanted["tests"]:
        tried(TEST_TRIES, pass_test, test)
    for unit in wanted["start"]:
        tried(START_TRIES, start, manager, unit)
    for unit in wanted["restart"]:
        tried(START_TRIES, restart, manager, unit, unit in wanted["reload"])
    for unit in reversed(wanted["stop"]):
        stop(manager, unit)
    if wanted["enabled"] is not None:
        for unit in wanted["restart"] + wanted["stop"]:
            enable(manager, unit, wanted["enabled"])
    look(manager, wanted)


def make_account(account):
    """An account and its group, of the same number. One that has another number here is somebody's own: nobody's files
    are given to others."""
    name, number = account["name"], account["uid"]
    with alone("accounts"):
        if number_of(name, grp.getgrnam) is None:
            run(["groupadd", "--system", "--gid", str(number), name])
        if number_of(name, pwd.getpwnam) is None:
            places = ["--home-dir", account["home"], "--no-create-home", "--shell", "/usr/sbin/nologin"]
            run(["useradd", "--system", "--uid", str(number), "--gid", str(number), *places, name])
    for kind, there in (("account", number_of(name, pwd.getpwnam)), ("group", number_of(name, grp.getgrnam))):
        if there != number:
            message = "the %s %s has the number %s on this host instead of %d: the restored files would not be its own"
            raise Trouble("account", message % (kind, name, there, number))


def number_of(name, look_up):
    try:
        return look_up(name)[2]
    except KeyError:
        return None


def look(manager, wanted):
    """Trouble where a unit is not as it should be."""
    for unit in wanted["running"]:
        why_not = manager.why_not_running(unit)
        if why_not:
            raise Trouble("unit", why_not)
    for unit in wanted["stopped"]:
        if manager.is_known(unit) and not manager.why_not_running(unit):
            raise Trouble("unit", "%s runs, and must not" % unit)


def pass_test(test):
    try:
        run(test["argv"], TEST_SECONDS)
    except Trouble as trouble:
        raise Trouble(trouble.kind, "the configuration of %s: %s" % (test["unit"], trouble.text))


def start(manager, unit):
    with alone(unit):
        if manager.why_not_running(unit):
            tell_to(manager, "start", unit)


def restart(manager, unit, reloads):
    with alone(unit):
        tell_to(manager, "reload-or-restart" if reloads else "restart", unit)


def tell_to(manager, word, unit):
    try:
        manager.tell_to(word, unit)
    except Trouble as trouble:
        raise Trouble("unit", "%s could not be started: %s" % (unit, trouble.text))


def stop(manager, unit):
    if manager.is_known(unit):
        with alone(unit):
            manager.stop(unit, STOP_SECONDS)


def enable(manager, unit, wanted):
    if manager.is_known(unit):
        manager.enable(unit, wanted)


def tried(times, act, *arguments):
    """Do something, again after a pause where it fails; the last failure counts."""
    for _ in range(times - 1):
        with contextlib.suppress(Trouble):
            return act(*arguments)
        time.sleep(PAUSE_SECONDS)
    return act(*arguments)


@contextlib.contextmanager
def alone(unit):
    """Nobody else of drp deals with the unit meanwhile."""
    os.makedirs(LOCKS, mode=0o700, exist_ok=True)
    with open(os.path.join(LOCKS, unit.replace("/", "-")), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
