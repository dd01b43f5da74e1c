"""The commands that people type: right for several hosts, for streamed trees, for servers with many databases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from drp.domain.inventory import AnsibleHost, City
from drp.domain.runbooks.by_hand import Block, HandRecovery, recovery_by_hand
from tests.fakes.city import make_city, make_restore_point, service_record


def two_hosts(*, together: bool) -> City:
    """A service whose database and files are on two hosts, which one host or two stand in for."""
    record = service_record(
        "pengaduan",
        runs_on=["app", "db"],
        recovers_on={"app": "drc-app", "db": "drc-app" if together else "drc-db"},
        datasets=[
            {"id": "database", "type": "postgresql", "host": "db", "database": "pengaduan"},
            {"id": "files", "type": "files", "host": "app", "paths": ["/srv/pengaduan"]},
        ],
        recovery={"start": ["postgresql", "pengaduan"]},
    )
    return make_city(record)


def hand(city: City, **options: Any) -> HandRecovery:
    settings: dict[str, Any] = {"to": "recovery", "ca_pem": "", "newest": None, "language": "en"} | options
    return recovery_by_hand(city, city.services["pengaduan"], **settings)


def of(found: HandRecovery, purpose: str) -> list[Block]:
    """The blocks for a purpose, with each command in one line."""
    blocks = [block for block in found.blocks if block.purpose == purpose]
    return [replace(block, commands=block.commands.replace(" \\\n    ", " ")) for block in blocks]


def test_each_host_opens_the_repository_that_holds_its_data() -> None:
    found = hand(two_hosts(together=False))
    opened = {block.host: block.commands for block in of(found, "prepare") if "RESTIC_REPOSITORY" in block.commands}
    assert "/pengaduan/app" in opened["drc-app"]
    assert "/pengaduan/db" in opened["drc-db"]
    assert [(block.host, block.dataset) for block in of(found, "restore")] == [
        ("drc-app", "files"),
        ("drc-db", "database"),
    ]
    assert [block.commands.split("\n")[1:] for block in of(found, "start")] == [
        ["service postgresql restart", "service pengaduan restart"],
        ["service pengaduan restart"],  # its database server runs since the data was loaded into it
    ]
    assert {block.host for block in of(found, "close")} == {"drc-app", "drc-db"}


def test_a_host_that_stands_in_for_two_changes_the_repository_in_between() -> None:
    first, second = of(hand(two_hosts(together=True)), "restore")
    assert first.dataset == "database"
    assert "RESTIC_REPOSITORY" not in first.commands
    assert second.commands.startswith("export RESTIC_REPOSITORY=s3:https://192.0.2.10:9000/drp-bogor/pengaduan/app\n")


def test_a_tree_that_was_streamed_is_brought_back_by_tar() -> None:
    city = two_hosts(together=False)
    streaming = city.hosts["app"].model_copy(update={"restic": "control-node"})
    found = hand(city.model_copy(update={"hosts": city.hosts | {"app": streaming}}))
    (files,) = [block.commands for block in of(found, "restore") if block.dataset == "files"]
    assert 'part:files.tar" latest /files.tar | tar --extract' in files
    assert "restic restore" not in files


def server(kind: str) -> City:
    record = service_record("pengaduan", datasets=[{"id": "all", "type": kind, "host": "pengaduan-1"}])
    return make_city(record)


def test_databases_that_nobody_knows_yet_are_named_as_missing() -> None:
    found = hand(server("postgresql-cluster"))
    assert found.left_out == ("datasets/all/database:{item_name}",)
    assert "{item" not in "".join(block.commands for block in found.blocks)


def test_databases_of_the_newest_restore_point_have_a_line_each() -> None:
    from drp.domain.backups.restore_point import Snapshot

    names = ("roles", "database:pengaduan", "database:other%20one")
    snapshots = tuple(Snapshot("all", name, f"{number}" * 64, 1, 1, 1) for number, name in enumerate(names))
    found = hand(server("postgresql-cluster"), newest=replace(make_restore_point(), snapshots=snapshots))
    (block,) = of(found, "restore")
    assert found.left_out == ()
    for name in names:
        assert f'part:{name}" latest' in block.commands


def test_files_that_backups_leave_out_are_not_taken_away() -> None:
    tree = {"id": "files", "type": "files", "host": "pengaduan-1", "paths": ["/srv/a"]}
    for excludes, clears in (([], True), (["/srv/a/cache"], False)):
        city = make_city(service_record("pengaduan", datasets=[tree | {"excludes": excludes}]))
        (block,) = of(hand(city), "restore")
        assert ("rm -rf --one-file-system -- /srv/a" in block.commands) is clears


def test_a_redis_password_stays_in_its_file() -> None:
    dataset = {"id": "cache", "type": "redis", "host": "pengaduan-1", "password_file": "/etc/redis/sandi"}
    (block,) = of(hand(make_city(service_record("pengaduan", datasets=[dataset]))), "restore")
    assert 'REDISCLI_AUTH="$(cat /etc/redis/sandi)" redis-cli' in block.commands
    assert "drp:" not in block.commands


@pytest.mark.parametrize(
    ("changes", "command"),
    [
        ({}, "ssh root@192.0.2.9"),
        ({"user": "deploy", "become": True, "port": 2222}, "ssh -p 2222 deploy@192.0.2.9 -t sudo -i"),
        ({"jump_host": "gate"}, "ssh -J root@192.0.2.8:22 root@192.0.2.9"),
    ],
)
def test_the_way_to_a_host_is_the_inventorys(changes: dict[str, Any], command: str) -> None:
    city = make_city()
    hosts = city.hosts | {
        "drc-pengaduan-1": AnsibleHost(name="drc-pengaduan-1", site="recovery", address="192.0.2.9", **changes),
        "gate": AnsibleHost(name="gate", site=None, address="192.0.2.8"),
    }
    assert of(hand(city.model_copy(update={"hosts": hosts})), "reach")[0].commands == command


def test_a_user_path_over_https_goes_to_the_new_address_under_its_own_name() -> None:
    check = {
        "id": "path",
        "type": "http",
        "scheme": "https",
        "host_header": "adu.example",
        "steps": [
            {"request": "POST /a", "form": {"text": "x ${random}"}, "capture": {"number": "no=([0-9]+)"}},
            {"request": "GET /a/${number}", "expect_text": "${random}"},
        ],
    }
    (block,) = of(hand(make_city(service_record("pengaduan", checks=[check], address="192.0.2.80"))), "outside")
    resolve = "--resolve adu.example:443:192.0.2.80"
    find = "python3 -c 'import re, sys; print(re.search(sys.argv[1], sys.stdin.read())[1])'"
    assert block.commands.splitlines() == [
        "random=$(date +%s)",
        (
            f"answer=$(curl -sS --max-time 20 -f {resolve} --data-urlencode 'text=x '\"${{random}}\""
            ' https://adu.example/a); echo "$answer"'
        ),
        f"number=$(echo \"$answer\" | {find} 'no=([0-9]+)')",
        f'curl -sS --max-time 20 -f {resolve} https://adu.example/a/"${{number}}" | grep -F "${{random}}"',
    ]
