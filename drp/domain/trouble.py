"""What a host's or a tool's trouble means to a person: message, next step, exit code.

The kinds are those that `playbooks/library/drp_host.py` and `drp/adapters/ssh_worker.py` report.
"""

from __future__ import annotations

from dataclasses import dataclass

from drp.errors import BusyError, CancelledError, DrpError, IntegrityError, UnreachableError, UsageError


@dataclass(frozen=True, slots=True)
class _Meaning:
    error: type[DrpError]
    message: str
    hint: str


_MEANINGS = {
    "no_restic": _Meaning(
        UnreachableError, "restic is not installed on the host", "install it there: apt-get install restic"
    ),
    "wrong_restic": _Meaning(
        UnreachableError,
        "the restic on the host is none that drp can use",
        "install restic 0.14 or newer there; see what `which -a restic` finds",
    ),
    "carried_restic": _Meaning(
        UnreachableError,
        "the restic that drp carries could not be used on the host",
        "check backups.restic of drp.yaml: drp validate",
    ),
    "control_node": _Meaning(
        DrpError,
        "this cannot be done for a host whose restic runs on the control node",
        "take drp_restic: control-node away from the host, and carry a restic to it: backups.restic of drp.yaml",
    ),
    "not_own": _Meaning(
        DrpError,
        "a folder that must belong to drp's user on the host does not",
        "find out who made it; make it its user's own, with mode 0700",
    ),
    "strange_answer": _Meaning(
        DrpError,
        "a program on the host answered something that drp cannot read",
        "run the command again; if it repeats, see stdout and stderr under var/runs",
    ),
    "not_empty": _Meaning(
        DrpError,
        "the recovery host is not empty",
        "find out whose data it is; to have the restore point replace it, add --replace-existing",
    ),
    "no_program": _Meaning(UnreachableError, "a program is missing on the host", "install it there and try again"),
    "credentials": _Meaning(
        UnreachableError,
        "the DR centre refused the S3 keys",
        "check access_key_id and secret_access_key of the DR centre in drp.yaml, and what these keys may do",
    ),
    "password": _Meaning(
        UnreachableError,
        "the repository password is wrong",
        "check backup.password of the service; without the right one no backup can be read, so find it now",
    ),
    "no_repository": _Meaning(
        IntegrityError,
        "the repository is gone: drp's ledger says that it existed",
        "do not start anew; ask the DR centre, and check endpoint and bucket in drp.yaml",
    ),
    "certificate": _Meaning(
        UnreachableError,
        "the DR centre's certificate is not trusted",
        "check ca_certificate of the DR centre in drp.yaml and the certificate's expiry",
    ),
    "unreachable": _Meaning(
        UnreachableError,
        "the DR centre does not answer",
        "check the line and the DR centre, then run the same command again; what was sent is used again",
    ),
    "centre_error": _Meaning(
        UnreachableError,
        "the DR centre answers with an error of its own; its storage may be full or broken",
        "ask the DR centre, and look how much space the contract leaves; then run the same command again",
    ),
    "stalled": _Meaning(
        UnreachableError,
        "the transfer stalled and was ended",
        "check the line, the DR centre and locks in the database, then run the same command again",
    ),
    "locked": _Meaning(
        BusyError, "the repository is locked by another restic", "wait for it; see its locks with: restic list locks"
    ),
    "no_space": _Meaning(
        DrpError, "no space is left", "free space on the host (restic's cache and /tmp) or at the DR centre"
    ),
    "little_space": _Meaning(
        DrpError,
        "there is too little space on the host, so nothing was begun",
        "free space there, or give that file system more; then run the same command again",
    ),
    "damaged": _Meaning(
        IntegrityError,
        "the repository holds damaged data",
        "recover from an older restore point (--restore-point), and have the DR centre's storage examined",
    ),
    "no_snapshot": _Meaning(
        IntegrityError,
        "the repository does not have the snapshot any more",
        "take another restore point (drp backup list), or the copy at another DR centre (--from)",
    ),
    "not_in_snapshot": _Meaning(
        UsageError,
        "the restore point holds nothing of that name",
        "see what it holds: drp restore list SERVICE [FOLDER]",
    ),
    "scratch_busy": _Meaning(BusyError, "a test restore is still at work on the host", "wait for it, then try again"),
    "source_missing": _Meaning(
        DrpError, "something to back up is not there", "correct the paths of the dataset, or find out who removed it"
    ),
    "dump": _Meaning(
        DrpError, "the dump failed, so no snapshot was kept", "look at the database's log on the host, then run again"
    ),
    "load": _Meaning(
        DrpError,
        "the dump could not be loaded",
        "compare the database versions of both sites; the message above is the loader's",
    ),
    "quiesce": _Meaning(
        DrpError,
        "the services could not be held still for the backup",
        "run the commands of backup.quiesce on the host by hand, and see whether its limit is long enough",
    ),
    "command": _Meaning(DrpError, "a command on the host failed", "run it there by hand; the message above is its own"),
    "playbook": _Meaning(
        DrpError, "Ansible ended before it did anything", "run: ansible-playbook --syntax-check, on the step's playbook"
    ),
    "unit": _Meaning(
        DrpError,
        "a service does not start on the host",
        "look into its log there (journalctl -u UNIT, /var/log), and for what it needs that no backup brings along",
    ),
    "account": _Meaning(
        DrpError,
        "an account of the service has another number on this host",
        "give it the number that recovery.accounts declares, or the service's own on all hosts (usermod, groupmod)",
    ),
    "application": _Meaning(
        DrpError,
        "the application does not answer on its own host as its checks expect",
        "look into its log on the host: it was started, and something that it needs is not there or refuses it",
    ),
    "host_key": _Meaning(
        UnreachableError,
        "the host's SSH key is not the pinned one",
        "compare its fingerprint with the host's owner; only then write it into ssh.known_hosts of drp.yaml",
    ),
    "ssh_login": _Meaning(
        UnreachableError,
        "the host refuses the login",
        "check ansible_user and ssh.private_key; is the key on the host?",
    ),
    "ssh": _Meaning(UnreachableError, "the host cannot be reached by SSH", "check that it is up and the line to it"),
    "connection_lost": _Meaning(
        UnreachableError, "the connection to the host was lost", "check the host and the line, then run again"
    ),
    "control_gone": _Meaning(CancelledError, "the work was stopped because drp had gone", "run the same command again"),
    "cancelled": _Meaning(CancelledError, "the work was stopped", "run the same command again"),
    "failed": _Meaning(
        DrpError, "restic failed on the host", "the message above is restic's own; run it there by hand"
    ),
    "host_program": _Meaning(
        UnreachableError,
        "drp's program could not run on the host",
        "check ansible_python_interpreter (Python 3.8 or newer) and, with ansible_become, sudo without a password",
    ),
    "traffic": _Meaning(
        DrpError,
        "traffic could not be switched",
        "correct `traffic` in the service's file, or switch by hand; then go on: drp run resume",
    ),
    "traffic_refused": _Meaning(
        UnreachableError,
        "the name server refused",
        "look which updates of the zone it allows to which key (BIND: update-policy), and whether the zone is its own",
    ),
    "traffic_secret": _Meaning(
        DrpError,
        "the key for updates of the zone cannot be used",
        "put the key's base64 text, as tsig-keygen shows it behind `secret`, where key.secret of the service points to",
    ),
    "traffic_unreachable": _Meaning(
        UnreachableError,
        "the name server does not answer",
        "check that it is up and the line to it (TCP port 53), and `server` in the service's file",
    ),
    "traffic_unchanged": _Meaning(
        DrpError,
        "traffic still goes where it went before",
        "look into the log of what leads users there; it took the order and did not carry it out",
    ),
    "haproxy": _Meaning(
        DrpError,
        "HAProxy could not be switched",
        "look at its runtime API by hand: echo 'show servers state' | socat stdio SOCKET",
    ),
    "guard": _Meaning(
        UnreachableError,
        "the drill's playbooks cannot be kept from the primary hosts",
        "run drp as root on a machine with cgroup 2 and nftables (Debian: apt-get install nftables)",
    ),
    "isolation": _Meaning(
        UnreachableError,
        "the drill's copies cannot be kept from production",
        "install nftables on the recovery host; or accept the risk in your name: drp drill run --accept-unisolated",
    ),
    "isolation_kept": _Meaning(
        DrpError,
        "the recovery host stays isolated: a copy of the drill still runs there",
        "stop it there by hand; the next drill or failover on that host then ends the isolation",
    ),
    "program": _Meaning(DrpError, "a command failed", "run it by hand where it ran; the message above is its own"),
    "too_long": _Meaning(DrpError, "a command took too long", "run it by hand; raise its timeout if it only is slow"),
    "not_alone": _Meaning(
        DrpError,
        "an older job of the same service still changes data on the host, and could not be ended",
        "its process's number is in /run/drp-jobs on the host; see what it waits for, end it, and run this again",
    ),
    "lost": _Meaning(DrpError, "the work was lost without a result (was the machine restarted?)", "run it again"),
}


def error_of(kind: str, text: str, where: str, host: str = "") -> DrpError:
    """The error for a trouble of some kind; `text` is the tool's own word, kept behind the explanation."""
    meaning = _MEANINGS.get(kind)
    if meaning is None:
        error = DrpError(f"failed: {text}", where=where, hint="see the run's files under var/runs")
    else:
        detail = f" ({text})" if text and text != meaning.message else ""
        error = meaning.error(f"{meaning.message}{detail}", where=where, hint=meaning.hint)
    return of_kind(error, kind, host)


def of_kind(error: DrpError, kind: str, host: str = "") -> DrpError:
    """The same error, with a word for programs and the host that it was on."""
    error.kind, error.host = kind, host
    return error
