#!/usr/bin/python3
"""What drp does on a host: back datasets up, restore them, and answer what is there.

One file for two ways in, so that there is one truth about datasets on a host:
- drp sends it over SSH to a host's Python (`main_ssh`): first the job as one line of JSON, then its standard input
  stays open; when it closes, drp is gone, and the work ends cleanly without leaving a snapshot;
- Ansible runs it as the module `drp_host` (`main_ansible`) in the recovery playbooks.

It knows no dataset type: a job says in argument lists how to dump, restore, count, and mark a dataset
(`drp/domain/dataset_types.py`). Secrets live in memory files that restic reads by number and that vanish with the
process; they are never in an argument or an environment variable. Standard library only, Python 3.8 or newer.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import re
import select
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import datetime, timezone

DOCUMENTATION = """
module: drp_host
short_description: Restore drp's datasets on a host, and tell what is there
description: Carries out one job that drp compiled from a service's declaration.
options:
  job: {description: What to do, type: dict, required: true}
  secrets: {description: The repository's password and the S3 keys, type: dict, default: {}}
  ca_pem: {description: The certificate authority of the DR centre, type: str, default: ''}
author: [drp]
"""

OPEN_LIMIT_SECONDS = 30
UNLOCK_LIMIT_SECONDS = 10
END_LIMIT_SECONDS = 15
COUNT_STALLS = 12  # counting every row of a large table takes longer than any other silence
PR_SET_PDEATHSIG = 1
OLDEST_RESTIC = (0, 14)

FULL_BELOW_BYTES = 65536

# What restic prints, and what it means. The texts are those of 0.14 to 0.18; an unknown one is "failed".
RESTIC_MEANINGS = (
    ("no_space", r"no space left on device|disk quota exceeded|XMinioStorageFull|QuotaExceeded"),
    ("password", r"wrong password or no key found"),
    (
        "credentials",
        (
            r"AccessDenied|Access Denied|InvalidAccessKeyId|SignatureDoesNotMatch|access key Id you provided"
            r"|request signature we calculated|403 Forbidden"
        ),
    ),
    ("locked", r"repository is already locked"),
    ("certificate", r"x509: |certificate signed by unknown authority|tls: "),
    (
        "unreachable",
        (
            r"connection refused|no such host|i/o timeout|no route to host|connection reset|network is unreachable"
            r"|server misbehaving|context deadline exceeded|: EOF|503 |Service Unavailable|500 Internal"
        ),
    ),
    (
        "no_repository",
        (
            r"Is there a repository at the following location|repository does not exist"
            r"|The specified key does not exist|The specified bucket does not exist"
        ),
    ),
    ("locked", r"unable to create lock in backend"),
    ("damaged", r"ciphertext verification failed|invalid data returned|is damaged"),
)


class Trouble(Exception):
    """The job cannot go on. `kind` is a word that drp maps to a message, a hint and an exit code."""

    def __init__(self, kind, text, dataset=""):
        super().__init__(text)
        self.kind, self.text, self.dataset = kind, text, dataset


class ControlGone(Trouble):
    """drp went away while the work ran."""

    def __init__(self):
        super().__init__("control_gone", "the connection to the control node ended; the work was stopped cleanly")


def now():
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def meaning_of(output):
    """The word for what restic complained about."""
    for kind, pattern in RESTIC_MEANINGS:
        if re.search(pattern, output, re.IGNORECASE):
            return kind
    return "failed"


def no_space_or(kind, output):
    """`kind`, unless a program complained that there is no space, or there is none: then that is what a person must
    know. A database that a full disk has stopped says nothing of the disk itself."""
    return "no_space" if meaning_of(output) == "no_space" or a_disk_is_full() else kind


def a_disk_is_full():
    disks = [os.statvfs(folder) for folder in ("/", "/var", "/tmp")]  # noqa: S108 - it is only looked at
    return any(disk.f_bavail * disk.f_frsize < FULL_BELOW_BYTES for disk in disks)


def tail(text, lines=6):
    return "\n".join(text.strip().splitlines()[-lines:])[-1500:]


def _end_with_parent():
    # If this program is killed, its children must not finish a half stream as if it were whole.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def go_on_ending():
    """From now on nothing interrupts: sshd's hang-up comes beside the end of the input, and must not cut this short."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _memory_file(name, content):
    number = os.memfd_create(name, 0)
    os.write(number, content.encode())
    return number


class Output(threading.Thread):
    """Reads one stream of a process to its end, line by line, so that no pipe ever fills up."""

    def __init__(self, stream, on_line=None):
        super().__init__(daemon=True)
        self.stream, self.on_line, self.lines = stream, on_line, []
        self.start()

    def run(self):
        for raw in self.stream:
            line = raw.decode("utf-8", "replace")
            if self.on_line is None or not self.on_line(line):
                self.lines.append(line)
                del self.lines[:-2000]

    def text(self):
        """What was read. A grandchild that outlives the process may hold the stream open: nobody waits for that."""
        self.join(END_LIMIT_SECONDS)
        return "".join(self.lines)


class Host:
    """A job's surroundings: the repository, where events go, and whether drp is still there."""

    def __init__(self, job, secrets, ca_pem, emit, watch_stdin):
        self.job, self.emit, self.watch_stdin = job, emit, watch_stdin
        self.stall_seconds = job.get("stall_seconds", 300)
        self.descriptors = []
        self.has_ended_restic = False
        self.environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": os.environ.get("HOME", "/root"),
            "LC_ALL": "C.UTF-8",
        }
        if job.get("repository"):
            self._prepare_restic(secrets, ca_pem)

    def _prepare_restic(self, secrets, ca_pem):
        password = _memory_file("drp-password", secrets["password"])
        keys = _memory_file(
            "drp-keys",
            "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n"
            % (secrets["access_key_id"], secrets["secret_access_key"]),
        )
        self.descriptors += [password, keys]
        self.restic_environment = dict(
            self.environment,
            RESTIC_PASSWORD_FILE="/proc/self/fd/%d" % password,
            AWS_SHARED_CREDENTIALS_FILE="/proc/self/fd/%d" % keys,
            RESTIC_CACHE_DIR=self.job.get("cache_directory") or os.path.join(self.environment["HOME"], ".cache/drp"),
            RESTIC_PROGRESS_FPS="1",
        )
        repository = self.job["repository"]
        self.restic = ["restic", "-r", repository["url"], "-o", "s3.region=" + repository["region"]]
        if ca_pem:
            certificate = _memory_file("drp-ca", ca_pem)
            self.descriptors.append(certificate)
            self.restic += ["--cacert", "/proc/self/fd/%d" % certificate]

    # -- processes -----------------------------------------------------------------------------------------------

    def start(self, argv, **options):
        restic = argv[0] == "restic"
        environment = self.restic_environment if restic else self.environment
        try:
            return subprocess.Popen(
                argv,
                env=environment,
                pass_fds=self.descriptors if restic else (),
                cwd="/",
                start_new_session=True,
                preexec_fn=_end_with_parent,
                **options,
            )
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                raise Trouble("no_restic" if restic else "no_program", "%s is not installed" % argv[0])
            raise Trouble("failed", "%s: %s" % (argv[0], error))

    def end(self, *processes):
        """End processes the way restic wants it (an interrupt lets it take its lock away), then by force."""
        for process in processes:
            if process.poll() is None:
                self.has_ended_restic = self.has_ended_restic or process.args[0] == "restic"
                try:
                    os.killpg(process.pid, signal.SIGINT)
                except ProcessLookupError:
                    pass
        limit = time.monotonic() + END_LIMIT_SECONDS
        for process in processes:
            try:
                process.wait(max(0.1, limit - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                if process.args[0] == "restic":
                    self.has_ended_restic = False  # the DR centre did not answer it, so it will not answer now

    def control_is_gone(self):
        if not self.watch_stdin or not select.select([0], [], [], 0)[0]:
            return False
        if os.read(0, 4096) != b"":
            return False
        go_on_ending()
        return True

    def wait(self, *processes, until=None):
        """Wait until one of them has ended with an error, all have ended, or `until` has.

        Ends all and raises Trouble where nothing moves for `stall_seconds`, or ControlGone where drp has gone.
        """
        moved_at, moved = time.monotonic(), None
        while True:
            states = [process.poll() for process in processes]
            if all(state is not None for state in states) or any(state not in (None, 0) for state in states):
                return
            if until is not None and until.poll() is not None:
                return
            if self.control_is_gone():
                self.end(*processes)
                raise ControlGone
            progress = [_bytes_moved(process.pid) // 65536 for process in processes]
            if progress != moved:
                moved_at, moved = time.monotonic(), progress
            elif time.monotonic() - moved_at > self.stall_seconds:
                self.end(*processes)
                raise Trouble("stalled", "no data moved for %d s" % self.stall_seconds)
            try:
                processes[-1].wait(0.05)
            except subprocess.TimeoutExpired:
                pass

    def run(self, command, limit=None):
        """Run a command of the job, {argv, stdin}, and give its output; Trouble if it fails."""
        process = self.start(command["argv"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            output, errors = process.communicate(command.get("stdin", "").encode(), timeout=limit or self.stall_seconds)
        except subprocess.TimeoutExpired:
            self.end(process)
            errors = process.communicate()[1]
            kind = meaning_of(errors.decode("utf-8", "replace")) if command["argv"][0] == "restic" else "stalled"
            kind = "unreachable" if kind == "failed" else kind
            raise Trouble(kind, "%s gave no answer: %s" % (command["argv"][0], tail(errors.decode("utf-8", "replace"))))
        if process.returncode:
            text = errors.decode("utf-8", "replace")
            name = _program(command["argv"])
            kind = meaning_of(text) if name == "restic" else no_space_or("command", text)
            raise Trouble(kind, "%s ended with %d: %s" % (name, process.returncode, tail(text)))
        return output.decode("utf-8", "replace")

    def run_restic(self, *arguments, limit=None):
        return self.run({"argv": self.restic + list(arguments)}, limit)


def _bytes_moved(pid):
    """All bytes that a process has read and written so far, over files, pipes and sockets alike."""
    try:
        with open("/proc/%d/io" % pid) as counters:
            fields = dict(line.split(": ") for line in counters.read().splitlines())
        return int(fields["rchar"]) + int(fields["wchar"])
    except (OSError, ValueError, KeyError):
        return 0


def _program(argv):
    """The program a person would name: the one behind `runuser -u NAME --`."""
    return argv[argv.index("--") + 1] if argv[0] == "runuser" and "--" in argv else argv[0]


# -- backup ----------------------------------------------------------------------------------------------------------


def backup(host):
    """Back up, and leave no lock behind: a restic that is interrupted in the very moment in which it makes its lock
    does not take it away."""
    try:
        return back_up_all(host)
    except Trouble:
        if host.has_ended_restic:
            try:
                host.run_restic("unlock", limit=UNLOCK_LIMIT_SECONDS)
            except Trouble:
                pass  # the DR centre is away; the next backup does it
        raise


def back_up_all(host):
    """Write the sentinel, then back every dataset up in the declared order; all or nothing is reported."""
    job = host.job
    tools = check_tools(host)
    open_repository(host)
    sentinels = {}
    for dataset in job["datasets"]:
        sentinels[dataset["id"]] = within(dataset, write_sentinel, host, dataset)
    content, parts = {}, []
    for dataset in job["datasets"]:
        content[dataset["id"]] = {}
        for part in dataset["parts"]:
            started = time.monotonic()
            host.emit({"event": "part.started", "dataset": dataset["id"], "part": part["name"]})
            action = back_up_stream if part["kind"] == "stream" else back_up_tree
            counted = within(dataset, action, host, dataset, part)
            content[dataset["id"]].update(counted["content"])
            parts.append(
                {
                    "dataset": dataset["id"],
                    "part": part["name"],
                    "files": counted["files"],
                    "bytes": counted["bytes"],
                    "duration_ms": int((time.monotonic() - started) * 1000),
                }
            )
            host.emit(dict(parts[-1], event="part.ended"))
    assign_snapshots(host, parts)
    return {"sentinels": sentinels, "content": content, "parts": parts, "tools": tools}


def within(dataset, action, *arguments):
    """Do something for a dataset; a Trouble in it carries the dataset's name."""
    try:
        return action(*arguments)
    except Trouble as trouble:
        trouble.dataset = trouble.dataset or dataset["id"]
        raise


def check_tools(host):
    """The versions of all programs that the job needs; Trouble where one is missing."""
    for name in host.job.get("requires", []):
        if shutil.which(name, path=host.environment["PATH"]) is None:
            raise Trouble("no_restic" if name == "restic" else "no_program", "%s is not installed" % name)
    versions = {"python": sys.version.split()[0]}
    for name in host.job.get("requires", []):
        if name in ("restic", "pg_dump", "pg_restore"):
            argument = "version" if name == "restic" else "--version"
            done = version_of(host, [name, argument])
            versions[name] = done.stdout.decode("utf-8", "replace").splitlines()[0][:80] if done.stdout else "unknown"
    if "restic" in versions:
        check_restic_version(versions["restic"])
    return versions


def version_of(host, argv):
    try:
        return subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=host.environment,
            timeout=OPEN_LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Trouble("stalled", "%s gave no answer" % " ".join(argv))


def check_restic_version(said):
    """A program that only has restic's name, or a restic that drp does not know how to read, must not be trusted."""
    found = re.match(r"restic (\d+)\.(\d+)", said)
    if found is None:
        raise Trouble("wrong_restic", "asked for its version, it said: %s" % said)
    if (int(found.group(1)), int(found.group(2))) < OLDEST_RESTIC:
        raise Trouble("wrong_restic", "%s; drp needs %d.%d or newer" % ((said,) + OLDEST_RESTIC))


def open_repository(host):
    """Prove that the repository opens with this password and these keys; make it where that is allowed."""
    limit = min(OPEN_LIMIT_SECONDS, host.stall_seconds)
    try:
        host.run_restic("cat", "config", "--no-lock", limit=limit)
    except Trouble as trouble:
        if trouble.kind != "no_repository" or not host.job.get("may_create_repository"):
            raise
        host.run_restic("init", limit=OPEN_LIMIT_SECONDS)
        host.emit({"event": "repository.created"})
        return
    if host.job.get("may_unlock"):
        # drp's ledger proves that no run of this service is alive; plain unlock takes only dead locks of this host.
        host.run_restic("unlock", limit=OPEN_LIMIT_SECONDS)


def tags_of(host, dataset, part):
    job = host.job
    return ",".join(
        ["drp", "service:" + job["service"], "run:" + job["run"], "dataset:" + dataset["id"], "part:" + part["name"]]
    )


def start_backup(host, dataset, part, arguments, **options):
    summary = {}

    def on_line(line):
        try:
            message = json.loads(line)
        except ValueError:
            return False
        if isinstance(message, dict) and message.get("message_type") == "summary":
            summary.update(message)
        elif isinstance(message, dict) and message.get("message_type") == "status":
            host.emit(
                {
                    "event": "part.progress",
                    "dataset": dataset["id"],
                    "part": part["name"],
                    "bytes": message.get("bytes_done", 0),
                }
            )
        return isinstance(message, dict) and message.get("message_type") != "error"

    argv = host.restic + ["backup", "--json", "--host", host.job["restic_host"], "--tag", tags_of(host, dataset, part)]
    process = host.start(argv + arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    return process, Output(process.stdout, on_line), Output(process.stderr), summary


def back_up_stream(host, dataset, part):
    """Stream a dump into restic. This program holds the pipe's write end open until the dump has ended well; only
    then does restic see the end of the data. A failed dump interrupts restic instead, which then leaves no snapshot
    (restic 0.14 takes the end of a broken stream for the end of the data)."""
    session = Session(host, part["session"]) if part.get("session") else None
    try:
        values = session.values if session else {}
        read_end, write_end = os.pipe()
        restic, output, errors, summary = start_backup(
            host, dataset, part, ["--stdin", "--stdin-filename", part["file"]], stdin=read_end
        )
        os.close(read_end)
        try:
            argv = [word.replace("{snapshot}", values.get("snapshot", "")) for word in part["dump"]]
            dump = host.start(argv, stdin=subprocess.DEVNULL, stdout=write_end, stderr=subprocess.PIPE)
            complaints = Output(dump.stderr)
            wait_for_dump(host, dump, restic, complaints)
        except BaseException:
            host.end(restic)
            raise
        finally:
            os.close(write_end)
        finish_restic(host, restic, output, errors)
    finally:
        if session:
            session.close()
    return {
        "files": 1,
        "bytes": summary.get("total_bytes_processed", 0),
        "content": {"rows": session.counted} if session else {},
    }


def wait_for_dump(host, dump, restic, complaints):
    """Return when the dump has ended well, or restic has failed (its caller then says why)."""
    host.wait(dump, restic, until=dump)
    if dump.poll() == 0:
        return
    if dump.poll() is not None:
        # A dump also fails because restic has; then restic's own reason is the one to tell.
        try:
            restic.wait(0.5)
        except subprocess.TimeoutExpired:
            text = tail(complaints.text())
            reason = "%s ended with %d: %s" % (_program(dump.args), dump.returncode, text)
            raise Trouble(no_space_or("dump", text), reason)
    host.end(dump)
    if restic.poll() == 0:
        raise Trouble("failed", "restic ended before the dump did")


def finish_restic(host, restic, output, errors):
    host.wait(restic)
    text = errors.text() + output.text()
    if restic.returncode != 0 or "does not exist, skipping" in text:
        raise Trouble(meaning_of(text), "restic ended with %d: %s" % (restic.returncode, tail(text)))


def back_up_tree(host, dataset, part):
    """Back files up. Sources that are missing are found before: restic 0.14 passes over one of several silently."""
    for path in part["paths"]:
        if not os.path.lexists(path):
            raise Trouble("source_missing", "%s does not exist" % path)
    arguments = [word for path in part["excludes"] for word in ("--exclude", path)] + ["--", *part["paths"]]
    restic, output, errors, summary = start_backup(host, dataset, part, arguments, stdin=subprocess.DEVNULL)
    finish_restic(host, restic, output, errors)
    files, size = summary.get("total_files_processed", 0), summary.get("total_bytes_processed", 0)
    return {"files": files, "bytes": size, "content": {}}


class Session:
    """A database session that stays open during a dump, so that the dump and the row counts see the same moment."""

    def __init__(self, host, spec):
        self.host = host
        self.process = host.start(spec["argv"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.errors = Output(self.process.stderr)
        self.values = {"snapshot": self.ask(spec["open"], host.stall_seconds)}
        self.counted = json.loads(self.ask(spec["count"], COUNT_STALLS * host.stall_seconds))

    def ask(self, statement, limit):
        try:
            self.process.stdin.write(statement.encode() + b"\n")
            self.process.stdin.flush()
            answer = self.read_line(time.monotonic() + limit)
        except BrokenPipeError:
            answer = ""
        if not answer:
            self.host.end(self.process)
            raise Trouble("dump", "the database session failed: " + tail(self.errors.text()))
        return answer

    def read_line(self, until):
        """The answer's line; empty where the session has ended. A lock that somebody holds must not hang a backup."""
        answer = b""
        while not answer.endswith(b"\n"):
            if select.select([self.process.stdout], [], [], 0.1)[0]:
                piece = os.read(self.process.stdout.fileno(), 65536)
                if not piece:
                    break
                answer += piece
            elif self.host.control_is_gone():
                self.host.end(self.process)
                raise ControlGone
            elif time.monotonic() > until:
                self.host.end(self.process)
                raise Trouble("stalled", "the database gave no answer; does somebody hold a lock on its tables?")
        return answer.decode().strip()

    def close(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            self.process.wait(END_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.host.end(self.process)
        self.process.stdout.close()


def assign_snapshots(host, parts):
    """Read the repository back: each part must have exactly one snapshot of this run."""
    listed = json.loads(
        host.run_restic(
            "snapshots", "--json", "--no-lock", "--host", host.job["restic_host"], "--tag", "run:" + host.job["run"]
        )
    )
    for part in parts:
        wanted = {"dataset:" + part["dataset"], "part:" + part["part"]}
        found = [snapshot["id"] for snapshot in listed or [] if wanted <= set(snapshot.get("tags") or [])]
        if len(found) != 1:
            raise Trouble("failed", "the repository lists %d snapshots instead of one" % len(found), part["dataset"])
        part["snapshot"] = found[0]


# -- sentinel, content, absence --------------------------------------------------------------------------------------


def write_sentinel(host, dataset):
    """Put a time-stamped record into the dataset; it is read back after a recovery and dates the data."""
    sentinel = dataset["sentinel"]
    if sentinel["kind"] == "command":
        return json.loads(host.run(sentinel["write"]))
    directory = sentinel["directory"]
    if not os.path.isdir(directory) or os.path.islink(directory):
        raise Trouble("source_missing", "%s is not a directory, so the sentinel has no place" % directory)
    record = {"token": sentinel["token"], "written_at": now()}
    path = os.path.join(directory, sentinel["name"])
    number = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
    with os.fdopen(number, "w") as file:
        json.dump(record, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".new", path)
    return record


def read_sentinel(host, dataset):
    """The sentinel as it stands in the dataset now, or None."""
    sentinel = dataset["sentinel"]
    try:
        if sentinel["kind"] == "command":
            return json.loads(host.run(sentinel["read"]))
        with open(os.path.join(sentinel["directory"], sentinel["name"])) as file:
            return json.load(file)
    except (OSError, ValueError, Trouble):
        return None


def inspect(host, dataset):
    """What a restored dataset holds: its sentinel and, where there are tables, the rows of each."""
    found = {"sentinel": read_sentinel(host, dataset)}
    if dataset.get("count"):
        found["rows"] = json.loads(within(dataset, host.run, dataset["count"]))
    return found


def absence(host):
    """Look for everything that the datasets would bring; drp wants to see that none of it is here yet."""
    looked_for, found = [], []
    for dataset in host.job["datasets"]:
        for item in dataset["absence"]:
            looked_for.append(item["what"])
            if item["kind"] == "path":
                present = os.path.lexists(item["path"])
            else:
                present = bool(within(dataset, host.run, item["command"]).strip())
            if present:
                found.append(item["what"])
    return {"looked_for": looked_for, "found": found, "host": os.uname().nodename}


# -- restore ---------------------------------------------------------------------------------------------------------


def restore(host):
    """Restore datasets and look at what arrived, before any application can change it. Data of the same name that is
    there already is replaced."""
    check_tools(host)
    results, found = [], {}
    for dataset in host.job["datasets"]:
        clear(host, dataset)
        for part in dataset["parts"]:
            started = time.monotonic()
            action = restore_stream if part["kind"] == "stream" else restore_tree
            result = within(dataset, action, host, part)
            result["duration_ms"] = int((time.monotonic() - started) * 1000)
            results.append(dict(result, dataset=dataset["id"], part=part["name"]))
        found[dataset["id"]] = inspect(host, dataset)
    return {"parts": results, "datasets": found}


def remove(host):
    """Remove what a drill restored. drp asks for it only where the host was proved empty of it before."""
    for dataset in host.job["datasets"]:
        clear(host, dataset)
    return absence(host)


def clear(host, dataset):
    """Take away what a restore would mix with: what came after the restore point must not survive in it."""
    for command in dataset["prepare_restore"]:
        within(dataset, host.run, command)
    for part in dataset["parts"]:
        for path in part.get("paths", []):
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            elif os.path.lexists(path):
                os.unlink(path)


def restore_stream(host, part):
    argv = host.restic + ["dump", "--no-lock", part["snapshot"], "/" + part["file"]]
    restic = host.start(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    loader = host.start(part["restore"], stdin=restic.stdout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    restic.stdout.close()
    errors, output = Output(restic.stderr), Output(loader.stdout)
    host.wait(restic, loader)
    if restic.poll() not in (None, 0):
        host.end(loader)
        raise Trouble(meaning_of(errors.text()), "restic ended with %d: %s" % (restic.returncode, tail(errors.text())))
    if loader.poll() not in (None, 0):
        host.end(restic)
        text = tail(output.text())
        reason = "%s ended with %d: %s" % (_program(part["restore"]), loader.returncode, text)
        raise Trouble(no_space_or("load", text), reason)
    return {"expected": {}, "actual": {}}


def restore_tree(host, part):
    listing = host.run_restic("ls", "--json", "--no-lock", part["snapshot"], limit=3600)
    nodes = [json.loads(line) for line in listing.splitlines()]
    nodes = [node for node in nodes if node.get("struct_type") == "node" and below(node["path"], part["paths"])]
    argv = host.restic + ["restore", "--no-lock", "--verify", "--target", "/", part["snapshot"]]
    argv += [word for path in part["paths"] for word in ("--include", path)]
    process = host.start(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, errors = Output(process.stdout), Output(process.stderr)
    host.wait(process)
    if process.returncode:
        text = errors.text() + output.text()
        raise Trouble(meaning_of(text), "restic ended with %d: %s" % (process.returncode, tail(text)))
    expected = {"files": 0, "bytes": 0}
    actual = {"files": 0, "bytes": 0}
    there = Counter(look_below(part["paths"]))
    for node in nodes:
        if node["type"] == "dir":
            continue
        is_file = node["type"] == "file"
        entry = (printable(node["path"]), is_file, node.get("size", 0) if is_file else 0)
        expected["files"] += 1
        expected["bytes"] += entry[2]
        if there[entry]:
            there[entry] -= 1
            actual["files"] += 1
            actual["bytes"] += entry[2]
    return {"expected": expected, "actual": actual}


def look_below(roots):
    """All that is there below some paths and is no directory: (printable path, whether it is a file, its size)."""
    waiting = [os.fsencode(root) for root in roots]
    while waiting:
        path = waiting.pop()
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(found.st_mode):
            waiting += [os.path.join(path, name) for name in os.listdir(path)]
        else:
            is_file = stat.S_ISREG(found.st_mode)
            yield printable(path.decode("utf-8", "replace")), is_file, found.st_size if is_file else 0


def printable(path):
    """A path as restic's JSON shows it: bytes that are no UTF-8, as in names from old file servers, are replaced there,
    by one sign or several."""
    return re.sub("\ufffd+", "\ufffd", path)


def below(path, roots):
    return any(path == root or path.startswith(root.rstrip("/") + "/") for root in roots)


# -- the two ways in -------------------------------------------------------------------------------------------------

VERBS = {"backup": backup, "restore": restore, "remove": remove, "absence": absence}


def carry_out(job, secrets, ca_pem, emit, watch_stdin):
    """Do a job and give its result; Trouble where it fails, whatever the reason."""
    try:
        host = Host(job, secrets, ca_pem, emit, watch_stdin)
        return VERBS[job["verb"]](host)
    except OSError as error:
        kind = "no_space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "command"
        raise Trouble(kind, "%s: %s" % (error.filename or "the host", error.strerror or error))
    except (ValueError, KeyError, TypeError) as error:
        # A program answered something that is not what it says when it works, as restic's JSON.
        raise Trouble("strange_answer", "%s: %s" % (type(error).__name__, str(error)[:200]))


def main_ssh():
    """Read the job from standard input, write events and the result as lines of JSON."""
    lock = threading.Lock()

    def emit(message):
        with lock:
            try:
                sys.stdout.write(json.dumps(message) + "\n")
                sys.stdout.flush()
            except OSError:
                pass  # drp has gone; `control_is_gone` ends the work

    def interrupted(_number, _frame):
        go_on_ending()
        raise ControlGone

    signal.signal(signal.SIGHUP, interrupted)
    signal.signal(signal.SIGTERM, interrupted)
    request = json.loads(sys.stdin.readline())
    emit({"event": "hello", "host_time": now()})
    try:
        result = carry_out(request["job"], request["secrets"], request["ca_pem"], emit, watch_stdin=True)
    except Trouble as trouble:
        emit({"event": "trouble", "kind": trouble.kind, "text": trouble.text, "dataset": trouble.dataset})
        sys.exit(1)
    emit({"event": "result", "result": result})


def main_ansible():
    """Be the Ansible module `drp_host`."""
    from ansible.module_utils.basic import AnsibleModule

    module = AnsibleModule(
        argument_spec={
            "job": {"type": "dict", "required": True},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "ca_pem": {"type": "str", "default": ""},
        }
    )
    job = module.params["job"]
    try:
        result = carry_out(job, module.params["secrets"], module.params["ca_pem"], lambda _message: None, False)
    except Trouble as trouble:
        where = " of dataset %s" % trouble.dataset if trouble.dataset else ""
        module.fail_json(
            msg="%s%s failed: %s" % (job["verb"], where, trouble.text),
            drp_kind=trouble.kind,
            drp_dataset=trouble.dataset,
        )
    module.exit_json(changed=job["verb"] in ("restore", "remove"), result=result)


if __name__ == "__main__":
    main_ansible()
elif __name__ == "drp_host_ssh":
    main_ssh()
