"""What a fault can strike follows from what a workspace declares."""

from __future__ import annotations

import json
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from drp.cli import drp
from drp.errors import UsageError
from drp.lab.faults import injection
from drp.lab.faults.base import Fault, Scene, Sign, Target
from drp.lab.faults.catalogue import FAULTS
from drp.lab.faults.targets import targets_of
from drp.lab.plan import LabDrCentre, LabFiles, LabHost, LabPlan, LabService, names_of
from drp.lab.state import LabState, load
from tests.fakes.city import make_city, service_record


def test_services_that_others_need_come_first(tmp_path: Path) -> None:
    backup = {"dr_centre": "drc", "password": {"file": "password"}}
    city = make_city(
        service_record("pengaduan", backup=backup, depends_on=["identitas"]),
        service_record("identitas", backup=backup),
        service_record("elsewhere"),  # its password is in no file that could be another one
    )
    files = {name: tmp_path / f"{name}.yaml" for name in city.services}
    found = targets_of(tmp_path, city, ("elsewhere", "pengaduan", "identitas"), files)
    assert [target.service for target in found] == ["identitas", "pengaduan"]
    assert found[0].dependants == ("pengaduan",)
    assert (found[1].dependants, found[1].application, found[1].name_server) == ((), "pengaduan", "")
    assert found[1].repository == f"pengaduan/{found[1].primary}"
    assert found[1].recovery == city.services["pengaduan"].recovers_on[found[1].primary]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state of a lab, without the lab."""
    for module in ("drp.lab.city",):
        monkeypatch.setattr(f"{module}.check_root", lambda: None)
    centre = LabDrCentre("drc", "https://198.18.3.10:9000", "drp", tmp_path / "ca", tmp_path / "id", tmp_path / "key")
    hosts = (LabHost("app-1", "primary", "198.18.1.10"), LabHost("drc-1", "recovery", "198.18.2.10"))
    files = LabFiles(tmp_path / "ssh", tmp_path / "known", {"pengaduan": tmp_path / "password"})
    services = (LabService("pengaduan", "app-1"),)
    plan = LabPlan(tmp_path, IPv4Network("198.18.0.0/16"), hosts, services, (centre,), files)
    LabState(plan).save(names_of(tmp_path))
    return tmp_path


def target(folder: Path, **changes: Any) -> Target:
    record: dict[str, Any] = {
        "service": "pengaduan",
        "primary": "app-1",
        "recovery": "drc-1",
        "dr_centre": "drc",
        "repository": "pengaduan/app-1",
        "password": str(folder / "password"),
        "service_file": str(folder / "pengaduan.yaml"),
    }
    return Target(**(record | changes))


class Killed(BaseException):
    """kill -9 in the middle of a strike."""


def test_what_is_about_to_be_broken_is_written_down_before_and_mended_by_whoever_comes_next(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lab / "password").write_text("the right one")
    (lab / "password").chmod(0o600)

    def strike(scene: Scene) -> None:
        state = load(scene.names)
        assert state is not None
        assert state.fault is not None
        assert state.fault["name"] == "test"
        scene.set_aside(lab / "password")
        (lab / "password").write_text("a wrong one")
        scene.set_aside(lab / "password")  # struck twice, the first content is the good one
        raise Killed

    fault = Fault("test", "a test", strike, Scene.put_back, (Sign(("x",), ("restore",)),), needs=("dns",))
    monkeypatch.setitem(FAULTS, "test", fault)
    with pytest.raises(UsageError, match="no service of this lab can be struck by test: it needs dns"):
        injection.strike(lab, "test", [target(lab)], say=print)
    with pytest.raises(UsageError, match="no service of this lab"):
        injection.strike(lab, "test", [target(lab, service="another", name_server="198.18.3.53")], say=print)
    with pytest.raises(Killed):
        injection.strike(lab, "test", [target(lab, name_server="198.18.3.53")], say=print)
    assert (lab / "password").read_text() == "a wrong one"

    said: list[str] = []
    assert injection.mend(lab, say=said.append) == "test"
    assert said == ["fault test: mended"]
    assert (lab / "password").read_text() == "the right one"
    assert (lab / "password").stat().st_mode & 0o777 == 0o600
    assert not (lab / "var/lab/faults").exists()
    assert injection.mend(lab, say=said.append) is None
    state = json.loads((lab / "var/lab/state.json").read_text())
    assert state["fault"] is None


def test_something_is_mended_also_where_the_work_meanwhile_is_interrupted(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fault = Fault("test", "a test", lambda _: done.append("struck"), lambda _: done.append("mended"), ())
    monkeypatch.setitem(FAULTS, "test", fault)
    with pytest.raises(KeyboardInterrupt), injection.injected(lab, "test", [target(lab)], say=print):
        raise KeyboardInterrupt
    assert done == ["struck", "mended"]


def test_faults_are_for_labs_only(tmp_path: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(drp, ["-w", str(tmp_path), "init", str(tmp_path)]).exit_code == 0
    refused = runner.invoke(drp, ["-w", str(tmp_path), "drill", "run", "--inject", "slow-line"])
    assert isinstance(refused.exception, UsageError), refused.output
    assert "this workspace has none" in str(refused.exception)
    unknown = runner.invoke(drp, ["-w", str(tmp_path), "drill", "run", "--inject", "no-such"])
    assert isinstance(unknown.exception, UsageError)
    assert "wrong-repository-key" in unknown.exception.hint
