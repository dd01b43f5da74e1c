"""A job's surroundings on a host: processes that are started, watched and ended, and secrets in memory."""

from __future__ import annotations

import ctypes
import glob
import os
import pkgutil
import re
import select
import shlex
import shutil
import signal
import subprocess
import threading
import time

from .trouble import ControlGone, Trouble, meaning_of, no_space_or, tail

END_LIMIT_SECONDS = 15
OPEN_LIMIT_SECONDS = 30
LOOK_SECONDS = 0.2
RETRY_SECONDS = 0.1
PR_SET_PDEATHSIG = 1
PROGRAMS = ("git_refs", "ldap_mark", "ldap_scratch", "mariadb_drop", "redis_load", "server", "sqlite", "with_password")
"""drp's own programs, the modules `program_…` of this package: what dataset types do that no tool of theirs does."""


def _end_with_parent():
    # If this program is killed, its children must not finish a half stream as if it were whole.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)
    # A shell starts what runs in the background with interrupts ignored; a dump or a restic must be interruptible.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


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
        self.ca_pem = ca_pem
        self.stall_seconds = job.get("stall_seconds", 300)
        self.descriptors = []
        self.snapshots = {}
        self.has_ended_restic = False
        self.restic_program = None  # instead of the one on the path
        self.remote = job.get("remote")  # the host to which every command but restic goes, where this one is another
        self.found = {}
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
        if self.job.get("upload_limit_kib"):
            self.restic += ["--limit-upload", str(self.job["upload_limit_kib"])]

    def state_directory(self):
        """Where something is kept for later jobs: a folder of the user's own."""
        is_root = self.remote["is_root"] if self.remote else os.geteuid() == 0
        home = "~" if self.remote else self.environment["HOME"]
        return self.job.get("state_directory") or ("/var/lib/drp" if is_root else home + "/.local/state/drp")

    def there(self, argv):
        """A command as it is started here: by ssh, where the host is another one."""
        if not self.remote:
            return argv
        words = ["env", "PATH=" + self.environment["PATH"], "LC_ALL=C.UTF-8"] + list(argv)
        sudo = ["sudo", "-n", "--"] if self.remote["become"] else []
        return self.remote["ssh"] + [" ".join(shlex.quote(word) for word in sudo + words)]

    # -- processes -----------------------------------------------------------------------------------------------

    def find_program(self, name):
        """The first program of `a|b|…` that is here, each a name or a path with wildcards; None where none is."""
        if self.remote and name != "restic":
            if name not in self.found:
                self.found[name] = self._find_there(name)
            return self.found[name]
        for choice in name.split("|"):
            # Of several versions the newest: 15 comes after 9.
            found = sorted(glob.glob(choice), key=_version_of) if "/" in choice else [choice]
            path = shutil.which(found[-1], path=self.environment["PATH"]) if found else None
            if path is not None:
                return found[-1]
        return None

    def _find_there(self, name):
        script = 'for name in $1; do command -v "$name"; done; true'  # unquoted: it may hold wildcards
        for choice in name.split("|"):
            found = self.run({"argv": ["sh", "-c", script, "sh", choice]}).split()
            if found:
                return sorted(found, key=_version_of)[-1] if "/" in choice else choice
        return None

    def _with_programs(self, argv):
        """The argument list with the program that is here for `a|b`, and drp's own one for `drp:name`, as text: a host
        has no file of it, and other accounts could not read one."""
        choices = [name for name in self.job.get("requires", []) if "|" in name]
        words = []
        for word in argv:
            if isinstance(word, str) and word.startswith("drp:") and word[4:] in PROGRAMS:
                words += ["python3", "-c", pkgutil.get_data(__package__, "program_%s.py" % word[4:]).decode()]
            else:
                words.append((self.find_program(word) or word) if word in choices else word)
        return words

    def start(self, argv, **options):
        restic = argv[0] == "restic"
        argv = self._with_programs(argv)
        environment = self.restic_environment if restic else self.environment
        try:
            process = subprocess.Popen(
                argv if restic else self.there(argv),
                executable=self.restic_program if restic else None,
                env=environment,
                pass_fds=self.descriptors if restic else (),
                cwd="/",
                start_new_session=True,
                preexec_fn=_end_with_parent,
                **options,
            )
            process.args = argv  # what a person would name
            return process
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

    def wait(self, *processes, until=None, look=None):
        """Wait until one of them has ended with an error, all have ended, or `until` has.

        Ends all and raises Trouble where nothing moves for `stall_seconds`, or ControlGone where drp has gone.
        """
        moved_at, moved = time.monotonic(), None
        while True:
            states = [process.poll() for process in processes]
            if look is not None:
                look()
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
        """Run a command of the job, {argv, stdin}; give its output, or what `find` finds in it. Trouble if it fails.
        With `retry_seconds` it is tried again for that long."""
        until = time.monotonic() + command.get("retry_seconds", 0)
        while True:
            try:
                output = self._run_once(command, limit)
                break
            except Trouble:
                if time.monotonic() > until:
                    raise
            if self.control_is_gone():
                raise ControlGone
            time.sleep(RETRY_SECONDS)
        if "find" not in command:
            return output
        found = re.search(command["find"], output, re.MULTILINE)
        return "" if found is None else found.group(found.re.groups and 1)

    def _run_once(self, command, limit):
        process = self.start(command["argv"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            output, errors = self.communicate(process, command.get("stdin", "").encode(), limit or self.stall_seconds)
        except subprocess.TimeoutExpired:
            self.end(process)
            errors = process.communicate()[1]
            kind = meaning_of(errors.decode("utf-8", "replace")) if command["argv"][0] == "restic" else "stalled"
            kind = "unreachable" if kind == "failed" else kind
            raise Trouble(kind, "%s gave no answer: %s" % (command["argv"][0], tail(errors.decode("utf-8", "replace"))))
        if process.returncode:
            text = errors.decode("utf-8", "replace")
            name = program_of(command["argv"])
            kind = meaning_of(text) if name == "restic" else no_space_or("command", text)
            raise Trouble(kind, "%s ended with %d: %s" % (name, process.returncode, tail(text)))
        return output.decode("utf-8", "replace")

    def communicate(self, process, given, limit):
        """Its output and errors; TimeoutExpired after `limit` seconds. It is ended where drp has gone: ControlGone."""
        until = time.monotonic() + limit
        while True:
            try:
                return process.communicate(given, timeout=max(0.01, min(LOOK_SECONDS, until - time.monotonic())))
            except subprocess.TimeoutExpired:
                given = None  # it goes on from where it is
                if time.monotonic() > until:
                    raise
            if self.control_is_gone():
                self.end(process)
                process.communicate()
                raise ControlGone

    def run_restic(self, *arguments, limit=None):
        return self.run({"argv": self.restic + list(arguments)}, limit)


def _version_of(path):
    return [int(number) for number in re.findall(r"\d+", path)]


def _bytes_moved(pid):
    """All bytes that a process has read and written so far, over files, pipes and sockets alike."""
    try:
        with open("/proc/%d/io" % pid) as counters:
            fields = dict(line.split(": ") for line in counters.read().splitlines())
        return int(fields["rchar"]) + int(fields["wchar"])
    except (OSError, ValueError, KeyError):
        return 0


def program_of(argv):
    """The program a person would name: the one behind `runuser -u NAME --`."""
    program = argv[argv.index("--") + 1] if argv[0] == "runuser" and "--" in argv else argv[0]
    return program.split("|")[0]


def within(dataset, action, *arguments):
    """Do something for a dataset; a Trouble in it carries the dataset's name."""
    try:
        return action(*arguments)
    except Trouble as trouble:
        trouble.dataset = trouble.dataset or dataset["id"]
        raise
