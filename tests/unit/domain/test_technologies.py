"""What is tested before a unit is restarted, which commands run where, and which playbooks of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from drp.adapters.named_files import own_playbook_faults
from drp.domain.recovery.technologies import OwnPlaybook, commands_of, configuration_tests, own_playbooks
from drp.domain.service import Service
from tests.fakes.city import service_record


def service(**recovery: Any) -> Service:
    hosts = {"runs_on": ["web-1", "db-1"], "recovers_on": {"web-1": "drc-web-1", "db-1": "drc-db-1"}}
    return Service.model_validate(service_record() | hosts | {"datasets": [], "recovery": recovery})


def test_servers_with_a_test_are_tested_in_the_order_of_their_start() -> None:
    assert configuration_tests(["app", "nginx", "apache2.service", "postgresql"]) == [
        {"unit": "nginx", "argv": ["nginx", "-t", "-q"]},
        {"unit": "apache2.service", "argv": ["apachectl", "configtest"]},
    ]


def test_commands_run_on_the_host_that_stands_in() -> None:
    found = service(
        commands=[
            {"argv": ["warm-up"], "on": "activate", "timeout": "30s"},
            {"argv": ["rebuild", "--all"], "on": "activate", "host": "db-1"},
            {"argv": ["count"], "on": "verify"},
        ]
    )
    assert commands_of(found, "activate") == [
        {"argv": ["warm-up"], "host": "drc-web-1", "timeout_seconds": 30},
        {"argv": ["rebuild", "--all"], "host": "drc-db-1", "timeout_seconds": 300},
    ]
    assert commands_of(found, "verify", "primary") == [{"argv": ["count"], "host": "web-1", "timeout_seconds": 300}]


def test_own_playbooks_run_after_their_stages() -> None:
    found = service(playbooks={"after_verify": "tell_partners", "after_restore": "mask-data"})
    assert own_playbooks(found) == (OwnPlaybook("restore", "mask-data"), OwnPlaybook("verify", "tell_partners"))
    assert own_playbooks(service()) == ()


@pytest.mark.parametrize(
    "name", ["../other", "a/b", "mask.yml", "", ".hidden", "restore", "fence", "Mask", "a b", "/etc/x"]
)
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        service(playbooks={"after_restore": name})


def test_a_playbook_that_is_not_there_or_leads_out_of_the_folder_is_a_fault(tmp_path: Path) -> None:
    folder = tmp_path / "playbooks"
    folder.mkdir()
    named = service(playbooks={"after_restore": "mask", "after_activate": "warm-up"})
    (folder / "mask.yml").write_text("[]")
    (folder / "warm-up.yml").symlink_to("/etc/hostname")
    (out,) = own_playbook_faults(folder, {"pengaduan": named})
    assert (out.location, out.message) == (
        ("recovery", "playbooks", "after_activate"),
        "playbooks/warm-up.yml leads out of the folder playbooks",
    )
    (folder / "warm-up.yml").unlink()
    (missing,) = own_playbook_faults(folder, {"pengaduan": named})
    assert missing.message == "there is no playbook warm-up.yml in playbooks"
    (folder / "warm-up.yml").write_text("[]")
    assert own_playbook_faults(folder, {"pengaduan": named}) == []
