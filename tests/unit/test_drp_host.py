"""What drp does on a host, with real processes and a fake restic."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.host_driver import load

PASSWORD, KEY, SECRET_KEY = "kata-sandi-8812", "AKIA-7731", "kunci-rahasia-5520"
SECRETS = {"password": PASSWORD, "access_key_id": KEY, "secret_access_key": SECRET_KEY}
FAKES = Path(__file__).parents[1] / "fakes"
meaning_of = load("trouble").meaning_of


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        # 0.14
        ("Fatal: wrong password or no key found", "password"),
        (
            (
                "Fatal: unable to open config file: Stat: The specified key does not exist.\n"
                "Is there a repository at the following location?\ns3:https://192.0.2.10:9000/drp/a"
            ),
            "no_repository",
        ),
        ("Fatal: unable to open config file: Stat: The specified bucket does not exist", "no_repository"),
        (
            "Fatal: unable to open config file: Stat: Access Denied.\nIs there a repository at the following location?",
            "credentials",
        ),
        (
            (
                "Fatal: unable to open config file: Stat: The Access Key Id you provided does not exist in our "
                "records.\nIs there a repository at the following location?"
            ),
            "credentials",
        ),
        (
            (
                "Fatal: unable to create lock in backend: repository is already locked by PID 812 on "
                "app-1 by root (UID 0)\nlock was created at 2026-11-20 07:00:00 (1m ago)\nstorage ID 8a5d"
            ),
            "locked",
        ),
        (
            (
                'Fatal: unable to create lock in backend: Put "https://192.0.2.10:9000/drp": dial tcp 192.0.2.10:9000: '
                "connect: connection refused"
            ),
            "unreachable",
        ),
        ("Fatal: unable to create lock in backend: Access Denied.", "credentials"),
        ('Fatal: unable to open config file: Stat: Head "https://x/": dial tcp: lookup x: no such host', "unreachable"),
        ('Stat: Head "https://192.0.2.10:9000/": x509: certificate signed by unknown authority', "certificate"),
        ("Save(<data/1a>) returned error, retrying after 552ms: Put: read: connection reset by peer", "unreachable"),
        ("Load(<index/1a>): ciphertext verification failed", "damaged"),
        ("ignoring error for /s2/big: StreamPack: ReadFull: unexpected EOF\nFatal: There were 3 errors", "damaged"),
        ("Load(<data/6f7b57854d>, 744596, 4646239) failed: file is too short", "damaged"),
        ("error: write /tmp/restic-temp-pack-1: no space left on device", "no_space"),
        ('invalid id "ba736e86": no matching ID found for prefix "ba736e86"', "no_snapshot"),
        # 0.17 and 0.18
        ('{"message_type":"exit_error","code":12,"message":"Fatal: wrong password or no key found"}', "password"),
        (
            (
                '{"message_type":"exit_error","code":10,"message":"Fatal: repository does not exist: unable to open '
                "config file: Stat: The specified key does not exist.\\nIs there a repository at the following "
                'location?\\ns3:x"}'
            ),
            "no_repository",
        ),
        (
            (
                '{"message_type":"exit_error","code":11,"message":"Fatal: unable to create lock in backend: '
                'repository is already locked exclusively by PID 5 on app-1 by root (UID 0, GID 0)"}'
            ),
            "locked",
        ),
        ("Fatal: unable to open repository at s3:x: client.BucketExists: 503 Service Unavailable", "unreachable"),
        ('Fatal: failed to find snapshot: no matching ID found for prefix "ba736e86"', "no_snapshot"),
        ("context deadline exceeded", "unreachable"),
        # It was ended because it took too long, and says what it was about to say of that.
        (
            "Fatal: unable to open config file: context canceled\nIs there a repository at the following location?",
            "unreachable",
        ),
        ("The request signature we calculated does not match the signature you provided.", "credentials"),
        ("something that nobody has seen", "failed"),
        ("", "failed"),
    ],
)
def test_the_words_of_restic_have_a_meaning(text: str, kind: str) -> None:
    assert meaning_of(text) == kind


class Host:
    """A folder of programs, and the host program that finds them there."""

    def __init__(self, folder: Path) -> None:
        self.programs = folder / "programs"
        self.programs.mkdir()
        shutil.copy(FAKES / "restic", self.programs / "restic")
        self.folder = folder

    def mode(self, mode: str) -> None:
        (self.programs / "mode").write_text(mode)

    def job(self, dump: str, **changes: Any) -> dict[str, Any]:
        dataset = {
            "id": "data",
            "type": "test",
            "parts": [
                {
                    "name": "dump",
                    "kind": "stream",
                    "file": "s.dump",
                    "dump": ["sh", "-c", dump],
                    "restore": ["sh", "-c", f"cat > {self.folder}/restored"],
                }
            ],
            "prepare_restore": [],
            "sentinel": {"kind": "file", "directory": str(self.folder), "name": ".sentinel", "token": "t"},
            "absence": [{"kind": "path", "what": "path", "path": str(self.folder / "restored")}],
        }
        job = {
            "verb": "backup",
            "run": "run-1",
            "service": "s",
            "host": "host-1",
            "restic_host": "host-1",
            "repository": {"url": "s3:https://192.0.2.1/b/s/host-1", "region": "r"},
            "stall_seconds": 20,
            "cache_directory": str(self.folder / "cache"),
            "may_unlock": True,
            "requires": ["restic", "sh"],
            "datasets": [dataset],
        }
        return job | changes

    def carry_out(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        request = json.dumps({"job": job, "secrets": SECRETS, "ca_pem": "-----CERT-----"}) + "\n"
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.host_driver", self.programs],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=FAKES.parents[1],
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        with process, process.stdin, process.stdout, process.stderr:
            process.stdin.write(request.encode())
            process.stdin.flush()  # it stays open: its end would mean that drp has gone
            lines = process.stdout.read().splitlines()
            errors = process.stderr.read().decode()
            code = process.wait()
        messages = [json.loads(line) for line in lines]
        assert messages, errors
        assert code == (0 if messages[-1]["event"] == "result" else 1), errors
        return messages

    def trouble(self, job: dict[str, Any]) -> dict[str, Any]:
        last = self.carry_out(job)[-1]
        assert last["event"] == "trouble", last
        return last

    def has(self, name: str) -> bool:
        return (self.programs / name).exists()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_command_that_fails_on_a_full_disk_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load("trouble").no_space_or("command", "psql: error: is the server running?") == "command"
    free = os.statvfs("/")
    full = os.statvfs_result((*free[:3], 0, 0, *free[5:]))
    monkeypatch.setattr(os, "statvfs", lambda folder: full if folder == "/var" else free)
    assert load("trouble").no_space_or("command", "psql: error: is the server running?") == "no_space"


def test_a_dump_that_ends_well_is_committed_whole(host: Host) -> None:
    result = host.carry_out(host.job("printf 'all of it'"))[-1]["result"]
    assert (host.programs / "committed").read_text() == "all of it"
    assert result["parts"][0] | {"duration_ms": 0} == {
        "dataset": "data",
        "part": "dump",
        "files": 1,
        "bytes": 7,
        "duration_ms": 0,
        "snapshot": "5a5a5a5a",
    }
    assert result["tools"]["restic"].startswith("restic 0.14.0")
    assert result["sentinels"]["data"]["token"] == "t"


@pytest.mark.parametrize(
    ("dump", "said"),
    [
        ("printf half; echo 'no such table' >&2; exit 3", "sh ended with 3: no such table"),
        ("printf half; kill -9 $$", "sh ended with -9"),
        ("exit 1", "sh ended with 1"),
    ],
)
def test_a_dump_that_fails_interrupts_restic_and_nothing_is_committed(host: Host, dump: str, said: str) -> None:
    trouble = host.trouble(host.job(dump))
    assert (trouble["kind"], trouble["dataset"]) == ("dump", "data")
    assert said in trouble["text"]
    assert host.has("interrupted")
    assert not host.has("committed")


def test_where_restic_dies_first_its_own_reason_is_told(host: Host) -> None:
    host.mode("dies")
    trouble = host.trouble(host.job("while printf 0123456789012345678901234567890123456789; do :; done"))
    assert (trouble["kind"], trouble["dataset"]) == ("credentials", "data")
    assert "403 Forbidden" in trouble["text"]
    assert not host.has("committed")


def test_where_nothing_moves_both_are_ended_and_it_is_a_stall(host: Host) -> None:
    host.mode("stalls")
    trouble = host.trouble(host.job("exec sleep 1000", stall_seconds=0.4))
    assert trouble["kind"] == "stalled"
    assert host.has("interrupted")
    assert not host.has("committed")
    with pytest.raises(ProcessLookupError):
        os.kill(int((host.programs / "pid").read_text()), 0)


def test_secrets_are_in_no_argument_and_no_environment_but_restic_can_read_them(host: Host) -> None:
    host.carry_out(host.job("printf x"))
    assert (host.programs / "password").read_text() == PASSWORD
    assert KEY in (host.programs / "keys").read_text()
    for name in ("arguments", "environment"):
        content = (host.programs / name).read_text()
        assert "RESTIC" in content or "s3:https://" in content
        for secret in (PASSWORD, KEY, SECRET_KEY, "-----CERT-----"):
            assert secret not in content, (name, secret)


def test_a_dump_sees_neither_the_secrets_nor_where_they_are(host: Host) -> None:
    host.carry_out(host.job("env; ls -l /proc/self/fd"))
    seen = (host.programs / "committed").read_text()
    assert "PATH=" in seen
    assert "RESTIC" not in seen
    assert "memfd" not in seen


def test_a_missing_program_is_told_before_anything_is_done(host: Host) -> None:
    trouble = host.trouble(host.job("printf x", requires=["restic", "pg_dump_that_is_not_here"]))
    assert trouble["kind"] == "no_program"
    assert "pg_dump_that_is_not_here is not installed" in trouble["text"]
    assert not (host.folder / ".sentinel").exists()


def test_what_was_backed_up_is_restored(host: Host) -> None:
    host.carry_out(host.job("printf 'all of it'"))
    job = host.job("", verb="restore")
    job["datasets"][0]["parts"][0]["snapshot"] = "5a5a5a5a"
    result = host.carry_out(job)[-1]["result"]
    assert (host.folder / "restored").read_text() == "all of it"
    assert result["datasets"]["data"]["sentinel"]["token"] == "t"


def test_a_damaged_repository_is_told_as_such_also_where_the_loader_was_content(host: Host) -> None:
    host.mode("damaged")
    job = host.job("", verb="restore")
    job["datasets"][0]["parts"][0]["snapshot"] = "5a5a5a5a"
    assert host.trouble(job)["kind"] == "damaged"


def test_a_loader_that_fails_is_told_with_its_word(host: Host) -> None:
    host.carry_out(host.job("printf x"))
    job = host.job("", verb="restore")
    part = job["datasets"][0]["parts"][0]
    part |= {"snapshot": "5a5a5a5a", "restore": ["sh", "-c", "cat >/dev/null; echo 'role exists' >&2; exit 2"]}
    trouble = host.trouble(job)
    assert trouble["kind"] == "load"
    assert "role exists" in trouble["text"]


def test_what_is_there_already_is_found(host: Host) -> None:
    job = host.job("", verb="absence")
    assert host.carry_out(job)[-1]["result"]["found"] == []
    (host.folder / "restored").symlink_to("/nowhere")  # a dangling link is something, too
    assert host.carry_out(job)[-1]["result"]["found"] == ["path"]


def test_a_source_that_is_missing_is_told(host: Host) -> None:
    job = host.job("")
    job["datasets"][0]["parts"] = [{"name": "files", "kind": "tree", "paths": ["/no/such/path"], "excludes": []}]
    trouble = host.trouble(job)
    assert trouble["kind"] == "source_missing"
    assert "/no/such/path" in trouble["text"]


def test_a_dump_that_ends_well_without_its_end_is_not_committed(host: Host) -> None:
    job = host.job("head -c 3000000 /dev/zero; echo THE END")
    job["datasets"][0]["parts"][0]["ends_with"] = r"THE END\n$"
    host.carry_out(job)
    assert (host.programs / "committed").stat().st_size == 3000008
    (host.programs / "committed").unlink()
    job["datasets"][0]["parts"][0]["dump"] = ["sh", "-c", "head -c 3000000 /dev/zero; echo THE EN"]
    trouble = host.trouble(job)
    assert trouble["kind"] == "dump"
    assert "the end of its dump is missing" in trouble["text"]
    assert host.has("interrupted")
    assert not host.has("committed")


def test_where_restic_dies_a_relayed_dump_tells_restics_reason(host: Host) -> None:
    host.mode("dies")
    job = host.job("while printf 0123456789012345678901234567890123456789; do :; done")
    job["datasets"][0]["parts"][0]["ends_with"] = "x$"
    assert host.trouble(job)["kind"] == "credentials"


def test_a_loader_that_leaves_bytes_is_seen(host: Host) -> None:
    host.carry_out(host.job("head -c 60000 /dev/zero"))
    job = host.job("", verb="restore")
    part = job["datasets"][0]["parts"][0]
    part |= {"snapshot": "5a5a5a5a", "restore": ["sh", "-c", "head -c 50000 >/dev/null; exit 0"]}
    (found,) = host.carry_out(job)[-1]["result"]["parts"]
    assert found["expected"] == {"bytes": 60000}
    assert found["actual"]["bytes"] < 60000
    part["restore"] = ["cat"]
    (found,) = host.carry_out(job)[-1]["result"]["parts"]
    assert found["actual"] == found["expected"]


def test_checks_run_on_restored_data_and_one_that_fails_is_told(host: Host) -> None:
    host.carry_out(host.job("printf x"))
    job = host.job("", verb="restore")
    job["datasets"][0]["parts"][0]["snapshot"] = "5a5a5a5a"
    finish = [{"argv": ["sh", "-c", f"cp {host.folder}/restored {host.folder}/finished"]}]
    job["datasets"][0] |= {"finish_restore": finish, "checks": [{"what": "it is sound", "argv": ["true"]}]}
    found = host.carry_out(job)[-1]["result"]["datasets"]["data"]
    assert found["checks"] == ["it is sound"]
    assert (host.folder / "finished").exists()
    job["datasets"][0]["checks"] = [{"what": "it is sound", "argv": ["sh", "-c", "echo rotten >&2; exit 1"]}]
    trouble = host.trouble(job)
    assert (trouble["kind"], trouble["dataset"]) == ("command", "data")
    assert "rotten" in trouble["text"]


def test_a_sentinel_that_stayed_an_older_one_is_no_sentinel(host: Host) -> None:
    job = host.job("printf x")
    older = json.dumps({"token": "older", "written_at": "2026-11-20T07:00:00.000000Z"})
    command = {"argv": ["echo", older]}
    job["datasets"][0]["sentinel"] = {"kind": "command", "token": "t", "write": {"argv": ["true"]}, "read": command}
    assert "an older one stands there" in host.trouble(job)["text"]
    assert not host.has("committed")


@pytest.mark.parametrize("said", ["yesterday", "", "2026-11-20T14:00:00"])
def test_a_freshness_that_is_no_time_is_no_backup(host: Host, said: str) -> None:
    job = host.job("printf x")
    job["datasets"][0]["sentinel"] = {"kind": "freshness", "read": {"argv": ["printf", "%s", said]}}
    assert host.trouble(job)["kind"] == "strange_answer"


def test_what_nobody_can_look_for_is_not_said_to_be_absent(host: Host) -> None:
    job = host.job("", verb="absence")
    job["datasets"][0]["absence"] = [{"kind": "unknown", "what": "a box"}]
    assert host.carry_out(job)[-1]["result"]["found"] == ["a box"]


def complaint(item: str | None) -> str:
    error: dict[str, Any] = {
        "message_type": "error",
        "error": {"Op": "open", "Path": item, "Err": {}},
        "during": "archival",
        "item": item,
    }
    return json.dumps(error) + "\n"


def test_files_that_vanished_are_told_from_files_that_could_not_be_read(tmp_path: Path) -> None:
    vanished = load("repository").vanished_files
    there = tmp_path / "there"
    there.symlink_to("/nowhere")
    gone = [complaint(str(tmp_path / name)) for name in ("a", "b")]
    assert vanished("".join(gone) + "Warning: at least one source file could not be read\n" + gone[0]) == 2
    assert vanished(gone[0] + complaint(str(there))) is None
    for unclear in ("", "Warning: at least one source file could not be read", complaint(""), complaint(None)):
        assert vanished(unclear) is None
    assert vanished(complaint(f"{tmp_path}/\ufffd")) is None


@pytest.mark.parametrize(
    ("path", "pattern"),
    [("/srv/a [b]", r"/srv/a \[b]"), ("/srv/*?", r"/srv/\*\?"), ("/srv/a\\b", r"/srv/a\\b"), ("/srv/a]", "/srv/a]")],
)
def test_a_path_is_taken_by_the_letter(path: str, pattern: str) -> None:
    assert load("restore").literally(path) == pattern


def test_the_first_program_of_several_is_taken_and_the_newest_of_several_versions(host: Host) -> None:
    for version in ("9", "15", "14"):
        folder = host.folder / f"lib/{version}"
        folder.mkdir(parents=True)
        (folder / "tool").write_text(f"#!/bin/sh\necho {version}\n")
        (folder / "tool").chmod(0o755)
    choice = f"tool-of-no-host|{host.folder}/lib/*/tool|cat"
    job = host.job("unused", requires=["restic", choice])
    job["datasets"][0]["parts"][0]["dump"] = [choice]
    host.carry_out(job)
    assert (host.programs / "committed").read_text() == "15\n"
    job["requires"] = ["restic", "tool-of-no-host|other-tool"]
    assert "tool-of-no-host or other-tool is not installed" in host.trouble(job)["text"]
