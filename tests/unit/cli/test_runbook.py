"""`drp runbook` as a person types it, on the city of this repository."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from drp.cli import main

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("city")
    for name in ("inventories", "runbooks"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("cirebon"))
    shutil.copy(REPOSITORY / "drp.yaml", folder)
    return folder


def run(folder: Path, *arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["-w", str(folder), "runbook", *arguments])
    return int(str(ended.value.code))


def test_runbooks_are_listed(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(workspace, "list") == 0
    assert "planned-switchover" in capsys.readouterr().out
    assert run(workspace, "list", "--json") == 0
    found = {item["id"]: item for item in json.loads(capsys.readouterr().out)}
    assert len(found) == 10
    assert found["site-loss"]["operation"] == "failover"
    assert found["power-loss"]["services"] == 39


def test_a_file_is_written_in_the_form_of_its_ending_and_closed_to_others(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for ending, begin in ((".html", b"<!DOCTYPE html>"), (".md", b"# Loss of"), (".pdf", b"%PDF-")):
        path = workspace / f"paper{ending}"
        assert run(workspace, "render", "site-loss", "--service", "pengaduan", "--output", str(path)) == 0
        assert path.read_bytes().startswith(begin)
        assert path.stat().st_mode & 0o777 == 0o600
    assert "the certificate of DR centre drc" in capsys.readouterr().err, "what could not be printed is told"


def test_what_goes_down_with_a_line_is_what_is_printed(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(workspace, "render", "line-cut", "--lost", "host:balaikota-web-1", "--lang", "id") == 0
    out = capsys.readouterr().out
    assert "(website)" in out
    assert "(website-subdomain)" in out
    assert "(pengaduan)" not in out
    assert "Jalur putus" in out
    assert run(workspace, "render", "line-cut", "--lost", "link:r09") == 0
    out = capsys.readouterr().out
    assert "| Kantor Kelurahan Kedung Jaya | Kecamatan Tanah Sareal |" in out, "who is cut off"
    assert "No service is known to be struck." in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["render", "nothing"], "no runbook 'nothing'"),
        (["render", "site-loss", "--service", "nothing"], "no service 'nothing'"),
        (["render", "site-loss", "--lost", "link:nothing"], "nothing is called"),
        (["render", "site-loss", "--lost", "host:balaikota-web-1", "--service", "website"], "both say"),
        (["render", "site-loss", "--service", "website", "--output", "/nowhere/paper.html"], "cannot write"),
    ],
)
def test_what_cannot_be_meant_is_told(
    workspace: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert run(workspace, *arguments) == 2
    errors = capsys.readouterr().err
    assert says in errors
    assert "next: " in errors


def test_without_weasyprint_it_says_what_to_install(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    path = workspace / "no.pdf"
    assert run(workspace, "render", "site-loss", "--service", "website", "--output", str(path)) == 12
    assert "pip install 'drp[pdf]', and apt-get install libpango-1.0-0" in capsys.readouterr().err
    assert not path.exists()


def test_a_missing_playbook_of_a_runbook_is_told_with_its_line(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "city"
    shutil.copytree(workspace, folder)
    text = {"en": "Mount", "id": "Pasang"}
    step = {"id": "mount", "kind": "playbook", "title": text, "playbook": "mount", "timeout": "5m"}
    own = {"schema": 1, "id": "own", "title": text, "purpose": text, "kind": "component", "steps": [step]}
    (folder / "runbooks/own.yaml").write_text(json.dumps(own, indent=1))
    assert run(folder, "list") == 10
    errors = capsys.readouterr().err
    assert "runbooks/own.yaml:21: unknown playbook 'mount'" in errors
    assert "write playbooks/mount.yml" in errors
    (folder / "playbooks").mkdir()
    (folder / "playbooks/mount.yml").write_text("")
    assert run(folder, "list") == 0


def talk(folder: Path, typed: str, *arguments: str) -> tuple[int, str]:
    """Hold a tabletop with what people type; the exit code and everything that was said."""
    done = subprocess.run(
        [sys.executable, "-m", "drp", "-w", str(folder), *arguments],
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=REPOSITORY,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def test_a_tabletop_is_held_broken_off_and_resumed_at_a_terminal(workspace: Path) -> None:
    lead = ("--tabletop", "key-person-absent", "--lang", "id", "--by", "Hendra")
    code, said = talk(workspace, "\n\n\nlancar\n\np\nRatna\nkunci hilang\n", "drill", "run", "pengaduan", *lead)
    assert code == 130, said
    assert "Siapa yang tersisa?" in said
    assert "Hendra Gunadi" in said, "who has the part is named"
    run = re.findall(r"go on with it: drp run resume (\S+)", said)[0]
    code, said = talk(workspace, "s\n" * 5, "run", "resume", run)
    assert code == 4, said
    assert "kunci hilang" in said
    assert "7 steps, 6 with a problem or skipped" in said
    assert "verdict: NOT_TESTED" in said
