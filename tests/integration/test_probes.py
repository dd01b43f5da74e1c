"""Checks against real databases from outside, and a whole probe in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from drp.adapters.actions import SupervisedActions
from drp.adapters.probes import probe_of
from drp.adapters.probes.base import Target, try_once
from drp.adapters.probing import read_samples
from drp.domain.checks import read_check
from drp.domain.inventory import SshAccess
from drp.domain.recovery.probing import Sample, last_outage, usable_again
from drp.ports import ActionState, ProbeTarget
from tests.e2e.workbench import eventually, free_port
from tests.integration import dataset_bench

pytestmark = pytest.mark.integration

PASSWORD = "rahasia 'kuat' \\ 100%"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Not pytest's own: the servers' accounts must reach it."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextlib.contextmanager
def relayed(target: str) -> Iterator[int]:
    """A TCP port of this machine in front of a server's socket file: as if it were outside. Gives the port."""
    port = free_port()
    command = ["socat", f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr", f"UNIX-CONNECT:{target}"]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        eventually(lambda: dataset_bench.answers(port), "the relay answers")
        yield port
    finally:
        dataset_bench.end(process)


Server = tuple[str, int]


@pytest.fixture(scope="module")
def postgresql(folder: Path) -> Iterator[Server]:
    port = free_port()
    with dataset_bench.postgresql(folder / "postgresql", port):
        socket_file = f"/var/run/postgresql/.s.PGSQL.{port}"
        quoted = PASSWORD.replace("'", "''")
        statements = [
            f"CREATE ROLE drp_probe LOGIN PASSWORD '{quoted}'",
            "CREATE TABLE people (name text)",
            "INSERT INTO people VALUES ('Siti'), ('Budi')",
            "GRANT SELECT, INSERT ON people TO drp_probe",
            "CREATE FUNCTION grow() RETURNS int LANGUAGE sql AS 'INSERT INTO people VALUES (''Ani''); SELECT 1'",
        ]
        for statement in statements:
            argv = ["psql", "-U", "postgres", "-h", "/var/run/postgresql", "-p", str(port), "-c", statement, "postgres"]
            subprocess.run(argv, check=True, capture_output=True)
        hba = folder / "postgresql" / "data" / "pg_hba.conf"
        hba.write_text("local all postgres trust\nlocal all all scram-sha-256\n")
        argv = ["psql", "-U", "postgres", "-h", "/var/run/postgresql", "-p", str(port), "-c", "SELECT pg_reload_conf()"]
        subprocess.run(argv, check=True, capture_output=True)
        with relayed(socket_file) as outside:
            found = "postgresql", outside
            # It takes up its new rules in its own time.
            eventually(lambda: not ask(found, "SELECT 1", secret="nobody's").succeeded, "passwords are asked for")
            yield found


@pytest.fixture(scope="module")
def mariadb(folder: Path) -> Iterator[Server]:
    own = folder / "mariadb"
    own.mkdir()
    with dataset_bench.mariadb(own) as socket_file:
        quoted = PASSWORD.replace("\\", "\\\\").replace("'", "''")
        statements = f"""
            CREATE DATABASE postgres;
            CREATE TABLE postgres.people (name text);
            INSERT INTO postgres.people VALUES ('Siti'), ('Budi');
            CREATE USER drp_probe@'%' IDENTIFIED BY '{quoted}';
            CREATE USER drp_probe@localhost IDENTIFIED BY '{quoted}';
            GRANT SELECT, INSERT, EXECUTE ON postgres.* TO drp_probe@'%', drp_probe@localhost;
            DELIMITER //
            CREATE FUNCTION postgres.grow() RETURNS int MODIFIES SQL DATA
            BEGIN INSERT INTO postgres.people VALUES ('Ani'); RETURN 1; END //
        """
        command = ["mariadb", "--no-defaults", f"--socket={socket_file}"]
        subprocess.run(command, input=statements.encode(), check=True, capture_output=True)
        with relayed(str(socket_file)) as outside:
            yield "mariadb", outside


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


def ask(server: Server, query: str, *, secret: str = PASSWORD, timeout: float = 5, **more: Any) -> Sample:
    engine, port = server
    record = {"type": "sql", "id": "check", "engine": engine, "port": port, "database": "postgres"}
    record |= {"user": "drp_probe", "password": {"env": "X"}, "query": query, "timeout": f"{int(timeout * 1000)}ms"}
    probe = probe_of(read_check(record | more), Target("127.0.0.1", secret=secret))
    return Sample.from_record(try_once("check", probe, timeout, lambda: datetime.now(UTC)))


@pytest.mark.parametrize(
    ("query", "more", "succeeded", "detail"),
    [
        ("SELECT count(*) FROM people", {}, True, "the query gives a row"),
        ("SELECT count(*) FROM people", {"expect_result": "2"}, True, "the query gives the expected result"),
        ("SELECT count(*), min(name) FROM people", {"expect_result": "2|Budi"}, True, None),
        ("SELECT count(*) FROM people", {"expect_result": "3"}, False, "the query gives another result"),
        ("SELECT name FROM people WHERE name = 'nobody'", {}, False, "the query gives no row"),
        ("SELECT name FROM nothing", {}, False, None),
        ("SELECT grow()", {}, False, "the query would change something"),
        ("SELECT 1", {"user": "nobody"}, False, None),
    ],
)
def test_a_database_answers_from_outside(
    server: Server, query: str, more: dict[str, Any], succeeded: bool, detail: str | None
) -> None:
    sample = ask(server, query, **more)
    assert sample.succeeded is succeeded, sample.detail
    if detail is not None:
        assert sample.detail.startswith(detail)
    assert "ended with" not in sample.detail  # the reason is told
    assert "Siti" not in sample.detail
    assert ask(server, "SELECT count(*) FROM people", expect_result="2").succeeded


def test_a_wrong_password_is_told_as_that_and_stands_in_no_argument(server: Server) -> None:
    sample = ask(server, "SELECT 1", secret="wrong-rahasia")
    assert "password" in sample.detail
    assert "wrong-rahasia" not in sample.detail


def test_the_password_is_nowhere_in_the_process_list(server: Server) -> None:
    """A second's query, again where it was not seen, and a look at every process meanwhile."""
    slow = "SELECT pg_sleep(1)" if server[0] == "postgresql" else "SELECT sleep(1)"
    found: list[bytes] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            for name in filter(str.isdigit, os.listdir("/proc")):
                with contextlib.suppress(OSError):
                    line = Path(f"/proc/{name}/cmdline").read_bytes()
                    if line.split(b"\0")[0].endswith((b"/psql", b"mariadb")) and b"sleep" in line:
                        found.append(line)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        eventually(lambda: ask(server, slow) and found, "the program that asks is seen")
    finally:
        over.set()
        looking.join()
    assert not any(b"rahasia" in line for line in found)


@pytest.mark.parametrize("how", ["a slow query", "endless rows", "one huge row"])
def test_a_query_that_does_not_end_is_ended(server: Server, how: str) -> None:
    is_postgresql = server[0] == "postgresql"
    queries = {
        "a slow query": "SELECT pg_sleep(60)" if is_postgresql else "SELECT sleep(60) FROM people",
        "endless rows": (
            "SELECT * FROM generate_series(1, 1000000000)" if is_postgresql else "SELECT * FROM seq_1_to_1000000000"
        ),
        "one huge row": f"SELECT repeat('x', {200_000_000 if is_postgresql else 10_000_000})",
    }
    started = time.monotonic()
    sample = ask(server, queries[how], timeout=1.5)
    assert time.monotonic() - started < 30, "it would go on for a minute at least"
    assert not sample.succeeded, sample.detail


def test_a_server_that_only_listens_ends_within_the_timeout(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        started = time.monotonic()
        sample = ask((server[0], listening.getsockname()[1]), "SELECT 1", timeout=0.5)
        assert time.monotonic() - started < 30, "it would be silent for ever"
    assert (sample.succeeded, sample.detail) == (False, "timed out")


def test_nobody_there_is_connection_refused(server: Server) -> None:
    sample = ask((server[0], free_port()), "SELECT 1")
    wanted = "connection refused" if server[0] == "postgresql" else "no connection to the server"
    assert (sample.succeeded, sample.detail) == (False, wanted)


# -- the whole probe --------------------------------------------------------------------------------------------------


def lateness(samples: list[Sample], at: datetime) -> timedelta:
    """The longest time for which a busy machine did not let the probe of the page look, near a moment."""
    near = [item for item in samples if item.check == "web" and abs(item.started_at - at) < timedelta(seconds=5)]
    return max((later.ended_at - sooner.started_at for sooner, later in pairwise(near)), default=timedelta())


def test_a_service_is_back_when_the_last_of_its_checks_is(tmp_path: Path, postgresql: Server) -> None:
    """The probe's own process looks at a web page's port and at a database. The port goes for two seconds; the password
    reaches the probe, and stands in none of its files."""
    sql = {"type": "sql", "engine": "postgresql", "port": postgresql[1], "database": "postgres", "user": "drp_probe"}
    checks: list[dict[str, Any]] = [
        {"type": "tcp", "id": "web", "port": free_port(), "interval": "100ms", "timeout": "1s"},
        sql | {"id": "database", "password": {"env": "X"}, "interval": "300ms", "query": "SELECT count(*) FROM people"},
    ]
    declared = [read_check(check) for check in checks]
    gaps = {check.id: check.largest_gap for check in declared}
    ssh = SshAccess(private_key="key", known_hosts="known_hosts")
    actions = SupervisedActions(tmp_path, ssh, tmp_path, tmp_path / "hosts.yaml")
    run = tmp_path / "var" / "runs" / "drill-1"
    folder, action = run / "service-probe", run / "_probe"
    records = [check.model_dump(mode="json") for check in declared]

    def samples() -> list[Sample]:
        return read_samples(folder / "samples.jsonl")

    port = int(checks[0]["port"])
    listening = socket.create_server(("127.0.0.1", port), backlog=1000)  # nobody takes what comes
    actions.start_probe(action, {"service": ProbeTarget("127.0.0.1", records, {}, {"database": PASSWORD}, folder)})
    try:
        eventually(lambda: {s.check for s in samples() if s.succeeded} == {"web", "database"}, "both succeed")
        went = datetime.now(UTC)
        listening.close()
        time.sleep(2)
        back = datetime.now(UTC)
        listening = socket.create_server(("127.0.0.1", port), backlog=1000)
        eventually(lambda: samples()[-1].started_at.timestamp() > back.timestamp() + 2, "it goes on")
    finally:
        listening.close()
        while actions.state(action) is ActionState.RUNNING:
            actions.stop(action)
            time.sleep(0.05)
    seen = [sample for sample in samples() if sample.started_at < back + timedelta(seconds=2)]
    outage = last_outage(seen, gaps)
    assert outage is not None
    assert outage.check == "web"
    assert abs(outage.disrupted_at - went) < timedelta(seconds=0.3) + lateness(seen, went)
    again = usable_again(seen, gaps, after=outage.disrupted_at, hold=timedelta(seconds=1))
    assert again is not None
    assert again.check == "web"
    assert abs(again.usable_at - back) < timedelta(seconds=0.3) + lateness(seen, back)
    content = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"rahasia" not in content
    assert json.loads((action / "spec.json").read_text())["targets"]["service"]["checks"][1]["password"]["env"] == "X"


def test_a_database_must_prove_its_name_where_a_certificate_is_declared(tmp_path: Path, postgresql: Server) -> None:
    """The server offers no TLS: a check that wants its name proved must not go on without."""
    authority = ssl.get_default_verify_paths().cafile or ssl.get_default_verify_paths().openssl_cafile
    sample = ask(postgresql, "SELECT 1", ca_certificate=authority)
    assert not sample.succeeded


# -- what a recovery host asks itself ---------------------------------------------------------------------------------


def verify(folder: Path, *asks: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run the verification of the role `services` on this machine, by Ansible itself."""
    book = [
        {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars": {
                "ansible_python_interpreter": sys.executable,
                "drp_hosts": ["localhost"],
                "drp_local_asks": list(asks),
                "drp_jobs": [],
                "drp_dataset_units": [],
                "drp_units": [],
                "drp_commands": {"verify": []},
                "services_answer_seconds": 2,
            },
            "tasks": [{"ansible.builtin.import_role": {"name": "services", "tasks_from": "verify"}}],
        }
    ]
    (folder / "book.yml").write_text(json.dumps(book))
    playbooks = Path(__file__).parents[2] / "playbooks"
    environment = {
        **os.environ,
        "ANSIBLE_ROLES_PATH": str(playbooks / "roles"),
        "ANSIBLE_LIBRARY": str(playbooks / "library"),
        "ANSIBLE_MODULE_UTILS": str(playbooks / "module_utils"),
        "ANSIBLE_LOCALHOST_WARNING": "0",
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", str(folder / "book.yml")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_recovery_host_asks_itself_what_the_checks_will_ask(tmp_path: Path, postgresql: Server) -> None:
    (tmp_path / "page").write_text("fine")
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "-d", str(tmp_path)]
    web = {"type": "http", "id": "web", "port": port, "steps": [{"request": "GET /page"}]}
    sql = {"type": "sql", "id": "sql", "engine": "postgresql", "port": postgresql[1], "database": "postgres"}
    sql |= {"user": "drp_probe", "password": {"env": "X"}, "query": "SELECT 1"}
    tcp = {"type": "tcp", "id": "tcp", "port": port}
    asks = [ask for check in (web, sql, tcp) for ask in read_check(check).asks_of_host()]
    with dataset_bench.running(command, tmp_path, lambda: dataset_bench.answers(port), "a web server"):
        done = verify(tmp_path, *asks)
    assert done.returncode == 0, done.stdout
    assert "ok=1 " in done.stdout
    missing = verify(tmp_path, {"kind": "tcp", "port": port})
    assert missing.returncode == 2
    assert f"port {port} takes no connection: Connection refused, for 2 s" in missing.stdout
