"""Files that harm whoever reads them, by accident or on purpose: refused at once, with their place; nothing runs."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from drp.adapters.faults import hint_of, message_of
from drp.adapters.inventory import LARGEST_SERVICE_BYTES, MOST_FAULTS_PER_FILE, find_workspace, load_city
from drp.domain.inventory import AnsibleHost, Workspace
from drp.domain.registers import Assets, Documents, Network, People
from drp.domain.runbooks.model import Runbook
from drp.domain.service import Service
from drp.errors import Fault, InvalidInventoryError, UsageError
from tests.fakes.city import runbook_record, service_record, workspace_record

SECONDS = 2.0
"""The most that one file may take, in seconds of the processor."""

SERVICE = "inventories/services/pengaduan.yaml"
HOSTS = "inventories/hosts.yaml"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "city"
    names = {"drp.yaml": workspace_record(), SERVICE: service_record(), "runbooks/site-loss.yaml": runbook_record()}
    hosts = {"primary": {"hosts": {"pengaduan-1": {"ansible_host": "192.0.2.1"}}}}
    hosts["recovery"] = {"hosts": {"drc-pengaduan-1": {"ansible_host": "198.51.100.1"}}}
    for name, record in {**names, HOSTS: hosts}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(yaml.safe_dump(record, sort_keys=False))
    return folder


def faults(folder: Path) -> list[Fault]:
    with pytest.raises(InvalidInventoryError) as caught:
        load_city(folder, folder / "runbooks")
    return list(caught.value.faults)


# Names

NAMES = [
    *(
        "",
        " ",
        "-",
        "-rf",
        "--help",
        ".",
        "..",
        "../etc",
        "a/b",
        "a b",
        " a",
        "a ",
        "a\nb",
        "a\n",
        "\na",
        "a\r",
        "a\tb",
    ),
    *("a;b", "a$b", "$(id)", "`id`", "a|b", "a&b", "a'b", 'a"b', "a\\b", "a>b", "a<b", "a(b", "a#b", "a!b", "{{a}}"),
    *("a*", "a?", "[a]", "a[1:3]", "a:b", "a,b", "!a", "~a", "~.*", "&a", "a=b", "a%s", "%2e", "a\x00", "\x1b[0m"),
    *("é", "аdmin", "ａ", "１", "٣", "a\u202eb", "a\u200bb", "a\u0301", "😀", "a" * 129, "a" * 100_000),
]
"""Nothing that a shell, a path, an S3 key, an Ansible pattern or a reader's eye takes for something else."""

FILES = [*("", "-x", "~/key", "~", "a\nb", "a\n", "\na", "a\x00b", "a\x1b[2J", "a\x7f", "a" * 1025)]
PATHS = [
    *FILES,
    *(".", "..", "srv", "./srv", "/", "/srv/..", "/srv/../etc", "/srv//a", "/srv/", "/etc", "/proc/1", "//a"),
]
PATHS += ["/a" * 80]
TEXTS = [*("", "\x00", "a\x1b[2J", "a\x07", "\x9b2J", "a\u202eb", "a\u2066b", "a\u2028b", "a\x7f", "a" * 2001)]
ADDRESSES = [name for name in NAMES if name not in ("a:b", "a%s", "a" * 129)]
URLS = [
    "",
    "ftp://a",
    "https://",
    "https://a/b",
    "https://a?b",
    "https://u:p@a",
    "https://a b",
    "https://a\n",
    "//a",
    "é",
]
REQUESTS = ["", "GET", "GET a", "DELETE /", "GET /a b", "GET /a\r\nHost: b", "GET /\n", "GET /\x00", "GET /é", "get /"]
CAPTURES = [
    *(
        "",
        "a",
        "(",
        "(a)(b)",
        "(a{99999999999})",
        "(" * 900 + ")" * 900,
        "([[a])",
        "(\\U0010ffff)",
        "(é)",
        "(?i",
        "a\x00",
    ),
    *("(?P<x>a)(?P=y)", "(a(?i)b)", "(a" * 3000),
]
SCHEDULES = [
    "",
    "a",
    "@daily",
    "* * * *",
    "60 * * * *",
    "0-99999999999 * * * *",
    "0 0 31 2 *",
    "daily 25:00",
    "every 7m",
]
SCHEDULES += ["* * * * *; id", "* * * * *\n", "0 0 * * 8", "* " * 5000]
DURATIONS = ["", "5", "5w", "-5m", "5m\n", "9" * 40 + "d", "1s" * 50_000, "٣m", "1e3s", "5 m", "∞s"]
SIZES = ["", "5", "-5GB", "5gb", "5 GBB", "9" * 40 + "GB", "1e3GB", "5GB\n", "٣GB", "NaN GB"]

MODELS: dict[str, tuple[type[BaseModel], dict[str, Any]]] = {
    "service": (
        Service,
        service_record(
            owner={"person": "kepala"},
            address="192.0.2.80",
            cluster="umum",
            datasets=[
                {"id": "database", "type": "postgresql", "host": "a", "database": "a", "run_as": "a", "copy_of": "a/b"},
                {
                    "id": "files",
                    "type": "files",
                    "host": "a",
                    "paths": ["/srv/a"],
                    "excludes": ["/srv/a/b"],
                    "size": "5GB",
                },
            ],
            backup={"dr_centre": "drc", "password": {"env": "A"}, "schedule": "hourly"},
            recovery={"accounts": [{"name": "a", "uid": 812, "home": "/srv/a"}], "start": ["a"]},
            checks=[
                {
                    "id": "path",
                    "type": "http",
                    "host_header": "a",
                    "ca_certificate": "a",
                    "steps": [{"request": "GET /", "expect_text": "a", "capture": {"a": "(b)"}}],
                }
            ],
        ),
    ),
    "password": (
        Service,
        service_record(backup={"dr_centre": "drc", "password": {"file": "a"}}, depends_on=["a"]),
    ),
    "credential": (Service, service_record(backup={"dr_centre": "drc", "password": {"credential": "a"}})),
    "workspace": (
        Workspace,
        workspace_record()
        | {
            "agencies": {"humas": {"title": "a", "head": "a", "location": "a"}},
            "clusters": {"umum": {"en": "a", "id": "b"}},
            "sites": {"primary": {"title": "a", "location": "a"}, "recovery": "b"},
            "sla_targets": {"a": {"availability": 99, "period": {"first": "2026-01-01", "last": "2026-12-31"}}},
            "exercise_programme": {"penting": {"full": "365d"}},
        },
    ),
    "network": (
        Network,
        {
            "schema": 1,
            "locations": {"a": {"title": "a", "agencies": ["a"]}},
            "links": {"l": {"a": "a", "b": "b", "medium": "fibre", "backup_link": "k"}},
        },
    ),
    "people": (People, {"schema": 1, "people": {"p": {"name": "a", "agency": "a"}}, "roles": {"approves": ["p"]}}),
    "documents": (
        Documents,
        {"schema": 1, "documents": {"d": {"kind": "law", "title": "a", "parent": "d", "services": ["a"]}}},
    ),
    "assets": (
        Assets,
        {
            "schema": 1,
            "assets": {"u": {"kind": "ups", "title": "a", "hosts": ["a"], "links": ["l"], "location": "a"}},
        },
    ),
    "host": (AnsibleHost, {"name": "a", "site": "primary", "address": "192.0.2.1", "location": "a"}),
    "runbook": (
        Runbook,
        runbook_record()
        | {
            "steps": [
                {
                    "kind": "command",
                    "id": "a",
                    "title": {"en": "a", "id": "a"},
                    "host": "a",
                    "argv": ["a"],
                    "timeout": "1m",
                    "after": ["verify"],
                },
                {
                    "kind": "manual",
                    "id": "b",
                    "title": {"en": "a", "id": "a"},
                    "instructions": {"en": "a", "id": "a"},
                    "who": ["p"],
                    "expected": "5m",
                },
                {"kind": "playbook", "id": "c", "title": {"en": "a", "id": "a"}, "playbook": "a", "timeout": "1m"},
            ]
        },
    ),
}

KEY = object()
"""Stands for the key of a mapping in the place of its value."""

Field = tuple[str, tuple[Any, ...], list[str]]

FIELDS: list[Field] = [
    *(("service", place, NAMES) for place in [("id",), ("agency",), ("tier",), ("cluster",), ("owner", "person")]),
    *(("service", ("datasets", 0, word), NAMES) for word in ("id", "host", "database", "run_as")),
    ("service", ("datasets", 0, "copy_of"), [name for name in NAMES if name != "a/b"]),
    *(("service", place, NAMES) for place in [("runs_on", 0), ("recovers_on", "pengaduan-1"), ("recovers_on", KEY)]),
    *(
        ("service", place, NAMES)
        for place in [("backup", "dr_centre"), ("backup", "password", "env"), ("checks", 0, "id")]
    ),
    *(("service", ("recovery", *place), NAMES) for place in [("accounts", 0, "name"), ("start", 0)]),
    ("service", ("checks", 0, "steps", 0, "capture", KEY), NAMES),
    ("password", ("depends_on", 0), NAMES),
    ("credential", ("backup", "password", "credential"), NAMES),
    *(
        ("workspace", (word, KEY), NAMES)
        for word in ("agencies", "clusters", "tiers", "sla_targets", "exercise_programme")
    ),
    *(("workspace", ("agencies", "humas", word), NAMES) for word in ("head", "location")),
    *(("workspace", ("dr_centres", place), NAMES) for place in (KEY,)),
    *(("workspace", ("dr_centres", "drc", word), NAMES) for word in ("bucket", "region")),
    ("workspace", ("sites", "primary", "location"), NAMES),
    *(("network", place, NAMES) for place in [("locations", KEY), ("links", KEY), ("locations", "a", "agencies", 0)]),
    *(("network", ("links", "l", word), NAMES) for word in ("a", "b", "backup_link")),
    *(("people", place, NAMES) for place in [("people", KEY), ("people", "p", "agency"), ("roles", "approves", 0)]),
    *(("documents", ("documents", *place), NAMES) for place in [(KEY,), ("d", "parent"), ("d", "services", 0)]),
    *(
        ("assets", ("assets", *place), NAMES)
        for place in [(KEY,), ("u", "hosts", 0), ("u", "links", 0), ("u", "location")]
    ),
    *(("host", (word,), NAMES) for word in ("name", "location")),
    ("runbook", ("id",), NAMES),
    *(("runbook", ("steps", 0, word), NAMES) for word in ("id", "host")),
    ("runbook", ("steps", 0, "after", 0), [name for name in NAMES if name != "a/b"]),
    ("runbook", ("steps", 1, "who", 0), NAMES),
    ("runbook", ("steps", 2, "playbook"), NAMES),
    *(("runbook", ("steps", 1, "instructions", word), TEXTS) for word in ("en", "id")),
    ("service", ("address",), NAMES),
    ("host", ("address",), ADDRESSES),
    ("service", ("checks", 0, "host_header"), ADDRESSES),
    ("host", ("user",), [name for name in NAMES if name != "a\\b"]),
    *(("service", ("datasets", 1, word, 0), PATHS) for word in ("paths", "excludes")),
    ("service", ("recovery", "accounts", 0, "home"), PATHS),
    *(("workspace", ("ssh", word), FILES) for word in ("private_key", "known_hosts")),
    ("workspace", ("dr_centres", "drc", "ca_certificate"), FILES),
    ("service", ("checks", 0, "ca_certificate"), FILES),
    ("password", ("backup", "password", "file"), FILES),
    ("host", ("python",), FILES),
    *(("service", place, TEXTS) for place in [("title", "en"), ("notes",), ("checks", 0, "steps", 0, "expect_text")]),
    ("workspace", ("organisation", "name"), TEXTS),
    ("workspace", ("organisation", "time_zone"), [*TEXTS, "../../etc/passwd", "/etc/localtime", "Mars/Olympus"]),
    ("workspace", ("dr_centres", "drc", "endpoint"), URLS),
    ("service", ("checks", 0, "steps", 0, "request"), REQUESTS),
    ("service", ("checks", 0, "steps", 0, "capture", "a"), CAPTURES),
    ("service", ("backup", "schedule"), SCHEDULES),
    *(("service", (word,), DURATIONS) for word in ("rto", "rpo", "mtpd", "wrt")),
    ("service", ("datasets", 1, "size"), SIZES),
]


def changed(record: dict[str, Any], place: tuple[Any, ...], value: str) -> dict[str, Any]:
    """A record with a value put at a place; where the place ends with KEY, the first key there is renamed."""
    whole = copy.deepcopy(record)
    holder: Any = whole
    for word in place[:-1]:
        holder = holder[word]
    if place[-1] is KEY:
        holder[value] = holder.pop(next(iter(holder)))
    else:
        holder[place[-1]] = value
    return whole


@pytest.mark.parametrize("name", MODELS)
def test_the_records_that_the_next_test_changes_are_good(name: str) -> None:
    model, record = MODELS[name]
    model.model_validate(record)


@pytest.mark.parametrize(
    ("kind", "place", "values"),
    FIELDS,
    ids=lambda part: (
        ".".join("key" if word is KEY else str(word) for word in part) if isinstance(part, tuple) else None
    ),
)
def test_a_name_that_would_break_something_is_refused_and_the_allowed_form_told(
    kind: str, place: tuple[Any, ...], values: list[str]
) -> None:
    model, record = MODELS[kind]
    for value in values:
        hostile = changed(record, place, value)
        with pytest.raises(ValidationError) as caught:  # noqa: PT012 - the second statement says which one was taken
            model.model_validate(hostile)
            pytest.fail(f"taken: {value[:50]!r}")
        detail = caught.value.errors(include_url=False)[0]
        told = f"{message_of(detail)}; {hint_of(detail)}"
        assert len(told) < 700, told
        assert told.isprintable(), told
        assert "^" not in told, f"a pattern is no help: {told}"


def test_a_refused_name_is_told_with_its_line(workspace: Path) -> None:
    path = workspace / SERVICE
    path.write_text(path.read_text().replace("runs_on:\n- pengaduan-1", 'runs_on:\n- "pengaduan-1\\n"'))
    line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if "\\n" in text)
    first = faults(workspace)[0]
    assert (first.where, first.message) == (f"{SERVICE}:{line}", "runs_on.0: 'pengaduan-1\\n' is not an allowed name")
    assert first.hint == "use letters, digits, dots, hyphens and underscores, at most 63"


@pytest.mark.parametrize("name", ["a[1:3]", "a,b", "!a", "-a", "a b", "{{ a }}", "all:children"])
def test_a_host_that_ansible_would_take_for_a_pattern_is_refused(workspace: Path, name: str) -> None:
    hosts = {"primary": {"hosts": {"pengaduan-1": None, name: None}}, "recovery": {"hosts": {"drc-pengaduan-1": None}}}
    (workspace / HOSTS).write_text(yaml.safe_dump(hosts))
    assert any(f"host {name!r}: {name!r} is not an allowed name" in fault.message for fault in faults(workspace))


# Files that are none


def fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (fifo, "it is no ordinary file"),
        (Path.mkdir, "it is a folder"),
        (lambda path: path.symlink_to("/dev/zero"), "it is no ordinary file"),
        (lambda path: path.symlink_to(path), "symbolic links"),
        (lambda path: path.symlink_to("gone"), "No such file"),
        (lambda path: path.write_bytes(b"a: \xff"), "not UTF-8"),
        (lambda path: path.write_bytes("a: é".encode("utf-16")), "not UTF-8"),
        (lambda path: path.write_bytes(b"a: \x00"), "not valid YAML"),
        (lambda path: path.write_bytes(b" " * (LARGEST_SERVICE_BYTES + 1)), "larger than"),
        (lambda path: path.touch(), "not a mapping"),
    ],
    ids=["fifo", "folder", "device", "circle", "dangling", "latin", "utf-16", "nul", "large", "empty"],
)
@pytest.mark.parametrize(
    "name", ["drp.yaml", HOSTS, "inventories/people.yaml", "inventories/services/x.yaml", "runbooks/x.yaml"]
)
def test_what_is_no_ordinary_file_is_a_fault_and_nobody_waits_for_it(
    workspace: Path, make: Callable[[Path], object], said: str, name: str
) -> None:
    (workspace / name).unlink(missing_ok=True)
    make(workspace / name)
    if (workspace / name).is_file() and (workspace / name).stat().st_size > LARGEST_SERVICE_BYTES and "/x" not in name:
        return  # a register may be larger
    assert any(fault.file == name and said in fault.message for fault in faults(workspace))


@pytest.mark.parametrize("name", ["inventories/services", "inventories", "runbooks"])
@pytest.mark.parametrize("make", [Path.touch, fifo, lambda path: path.symlink_to(path)], ids=["file", "fifo", "circle"])
def test_a_folder_that_is_none_is_a_fault(workspace: Path, name: str, make: Callable[[Path], object]) -> None:
    (workspace / name).rename(workspace / "elsewhere")
    make(workspace / name)
    assert any(fault.file.startswith(name) for fault in faults(workspace))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", [SERVICE, "inventories", "inventories/services", "drp.yaml"])
def test_what_may_not_be_read_is_a_fault(workspace: Path, name: str) -> None:
    (workspace / name).chmod(0)
    try:
        assert any("cannot be read" in fault.message for fault in faults(workspace))
    finally:
        (workspace / name).chmod(0o700)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"\xff.yaml", "\\udcff.yaml"),
        (b"a\nb.yaml", "a\\nb.yaml"),
        (b"\x1b[2J.yaml", "\\x1b[2J.yaml"),
        ("\u202eb.yaml".encode(), "\\u202eb.yaml"),
        (b"A.YAML", "A.YAML"),
    ],
)
def test_a_file_with_a_hostile_name_is_told_so_that_it_can_be_printed(workspace: Path, name: bytes, shown: str) -> None:
    (workspace / os.fsdecode(b"inventories/services/" + name)).write_text("a: 1\n")
    told = [fault for fault in faults(workspace) if fault.file == f"inventories/services/{shown}"]
    assert told
    for fault in told:
        f"{fault.where} {fault.message} {fault.hint}".encode()


@pytest.mark.parametrize("name", [".#pengaduan.yaml", ".x.yaml", "notes.txt", "x.yaml~", "x.yaml.bak", "#x.yaml#"])
def test_what_editors_leave_behind_is_no_service(workspace: Path, name: str) -> None:
    (workspace / "inventories/services" / name).symlink_to("somebody@host.123")
    assert sorted(load_city(workspace, workspace / "runbooks").services) == ["pengaduan"]


def test_the_workspace_is_looked_for_through_circles_of_links(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(UsageError):
        find_workspace(tmp_path / "circle")


# Files that grow


def many(count: int, line: str) -> str:
    return "".join(line.replace("N", str(number)) for number in range(count))


def bombs() -> Iterator[tuple[str, str, str]]:
    """A label, a file, and its content."""
    service = "schema: 1\nid: pengaduan\ntitle: {en: a, id: b}\nagency: humas\n"
    yield "open brackets", SERVICE, "a: " + "[" * 60_000
    yield "open brackets in lines", SERVICE, "a: " + "[\n" * 30_000
    yield "open braces", SERVICE, "a: " + "{a: " * 16_000
    yield "brackets in each other", SERVICE, "a: " + "[" * 900 + "b, " * 20_000
    yield "tag directives", SERVICE, many(6_000, "%TAG !aN! x\n") + "--- a\n"
    yield (
        "tag directives after other breaks",
        "drp.yaml",
        "%TAG !b! x\n" + many(60_000, "%TAG !aN! x\u2028") + "--- a\n",
    )
    yield "merge keys", HOSTS, "a: &a {x: 1}\nb: {" + "<<: *a, " * 90_000 + "}"
    yield "aliases", HOSTS, "- &a [x, x]\n" + "- *a\n" * 90_000
    yield "deep aliases", HOSTS, "a0: &a0 []\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 9_000))
    yield "unknown keys", HOSTS, many(45_000, "kN: 1\n")
    yield "unknown keys of a model", "drp.yaml", many(45_000, "kN: 1\n")
    yield "unknown names", SERVICE, service + "depends_on: [" + many(12_000, "aN, ") + "a]\n"
    yield "bad items", SERVICE, service + "depends_on: [" + "$, " * 30_000 + "a]\n"
    yield "short lists", SERVICE, service + "checks:\n" + many(3_500, "- {id: aN, type: http, steps: []}\n")
    yield (
        "regular expressions",
        SERVICE,
        (
            service + "checks:\n" + many(60, "- {id: aN, type: http, steps: [{request: GET /, capture: {a: '(%)'}}]}\n")
        ).replace("%", "x|" * 900),
    )
    yield (
        "large tables",
        SERVICE,
        (
            service
            + "checks:\n"
            + many(60, "- {id: aN, type: http, steps: [{request: GET /, capture: {a: '(?i)(%)'}}]}\n")
        ).replace("%", "[\\x00-\\uffff]" * 120),
    )
    yield (
        "deep paths",
        SERVICE,
        service
        + "runs_on: [pengaduan-1]\ndatasets:\n"
        + many(600, f"- {{id: aN, type: files, host: pengaduan-1, paths: [/aN{'/b' * 60}]}}\n"),
    )
    yield "a chain of groups", HOSTS, "".join(f"g{n}: {{children: {{g{n + 1}: }}}}\n" for n in range(20_000))
    yield (
        "a chain of groups from below",
        HOSTS,
        "".join(f"g{n}: {{children: {{g{n + 1}: }}}}\n" for n in range(20_000, 0, -1)),
    )
    yield (
        "a circle of groups",
        HOSTS,
        "".join(f"g{n}: {{children: {{g{(n + 1) % 20_000}: }}}}\n" for n in range(20_000)),
    )
    yield (
        "a net of groups",
        HOSTS,
        "".join(
            f"g{level}x{n}: {{children: {{" + many(30, f"g{level + 1}xN: , ") + "}}\n"
            for level in range(40)
            for n in range(30)
        ),
    )
    yield (
        "hosts in a net of groups",
        HOSTS,
        "".join(
            f"g{level}x{n}: {{children: {{" + many(20, f"g{level + 1}xN: , ") + "}}\n"
            for level in range(90)
            for n in range(20)
        )
        + "".join(f"g90x{n % 20}: {{hosts: {{}}}}\n" for n in range(20))
        + "".join(f"h{n}: {{hosts: {{x{n}: }}, children: {{g0x{n % 20}: }}}}\n" for n in range(2_000)),
    )
    yield (
        "variables of many hosts",
        HOSTS,
        ("all:\n  vars:\n" + many(15_000, "    vN: 1\n") + "  hosts:\n" + many(15_000, "    hN:\n")),
    )
    yield "bad hosts", HOSTS, "all:\n  hosts:\n" + many(30_000, '    "h N":\n')
    yield (
        "links between unknown places",
        "inventories/network.yaml",
        ("schema: 1\nlinks:\n" + many(9_000, "  lN: {a: xN, b: yN, medium: fibre}\n")),
    )
    yield (
        "a circle of documents",
        "inventories/documents.yaml",
        "schema: 1\ndocuments:\n"
        + "".join(f"  d{n}: {{kind: law, title: a, parent: d{(n + 1) % 9_000}}}\n" for n in range(9_000)),
    )


@pytest.mark.parametrize(("name", "text"), [pytest.param(*bomb[1:], id=bomb[0]) for bomb in bombs()])
def test_no_file_takes_long(workspace: Path, name: str, text: str) -> None:
    (workspace / name).write_text(text, encoding="utf-8")
    started = time.process_time()
    try:
        load_city(workspace, workspace / "runbooks")
    except InvalidInventoryError as error:
        told = error.faults
        assert all(len(fault.message) < 700 for fault in told)
        assert len(told) <= 4 * (MOST_FAULTS_PER_FILE + 1)
    assert time.process_time() - started < SECONDS
