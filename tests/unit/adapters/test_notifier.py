"""Messages through apprise to a real receiver; its addresses are secrets that nobody ever sees."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from drp.adapters import notifier
from drp.adapters.notifier import AppriseMessenger
from drp.adapters.secrets import WorkspaceSecrets
from drp.domain.backups.settings import Notifications
from drp.ports import Delivery
from tests.fakes.http_receiver import Receiver, receiving

PASSWORD = "kata-sandi-apprise-7781"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def messenger(folder: Path, *lines: str) -> AppriseMessenger:
    path = folder / "addresses"
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    return AppriseMessenger(Notifications.model_validate({"urls": [{"file": "addresses"}]}), WorkspaceSecrets(folder))


def send(found: AppriseMessenger) -> Delivery:
    return found.send("drp: siap: 1 wrong", "siap: it is\nNext: mend <b>it</b> & go", is_bad=True)


def test_a_message_arrives_as_it_was_written(tmp_path: Path, receiver: Receiver) -> None:
    delivery = send(messenger(tmp_path, "# who is on duty", "", f"json://drp:{PASSWORD}@{receiver.address}/duty"))
    assert delivery == Delivery(1)
    (request,) = receiver.requests
    content = json.loads(request.body)
    assert request.path == "/duty"
    assert (content["title"], content["type"]) == ("drp: siap: 1 wrong", "failure")
    assert content["message"] == "siap: it is\nNext: mend <b>it</b> & go"


def test_addresses_are_never_shown(
    tmp_path: Path,
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    receiver.status = 500
    lines = (
        f"json://drp:{PASSWORD}@{receiver.address}/",
        f"nobody-knows-this://{PASSWORD}",
        f"json://drp:{PASSWORD}@127.0.0.1:9/",
        f"mailto://{PASSWORD}",
        f"{PASSWORD}",
    )
    with caplog.at_level(logging.DEBUG):
        delivery = send(messenger(tmp_path, *lines))
    assert delivery.reached == 0
    assert len(delivery.failures) == 5
    assert "notifications.urls, secret 1, line 2: this is no address that apprise knows" in delivery.failures
    said = repr(delivery) + caplog.text + "".join(capfd.readouterr())
    assert PASSWORD not in said
    assert str(receiver.port) not in said


def test_one_that_takes_it_is_enough_and_the_others_are_told(tmp_path: Path, receiver: Receiver) -> None:
    delivery = send(messenger(tmp_path, "json://127.0.0.1:9/", f"json://{receiver.address}/"))
    assert delivery.reached == 1
    assert delivery.failures == ("notifications.urls, secret 1, line 1: it did not take the message",)


def test_who_is_silent_is_not_waited_for(tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifier, "SEND_LIMIT_SECONDS", 0.5)
    receiver.silent = True
    started = time.monotonic()
    delivery = send(messenger(tmp_path, f"json://{receiver.address}/"))
    assert time.monotonic() - started < 5
    assert delivery == Delivery(0, ("notifications.urls, secret 1, line 1: it gave no answer in time",))


def test_addresses_that_cannot_be_read_are_a_line(tmp_path: Path) -> None:
    found = AppriseMessenger(Notifications.model_validate({"urls": [{"file": "x"}]}), WorkspaceSecrets(tmp_path))
    delivery = send(found)
    assert delivery.reached == 0
    assert "No such file" in delivery.failures[0]
    assert send(AppriseMessenger(None, WorkspaceSecrets(tmp_path))) == Delivery(0)


def test_nothing_is_written_to_the_disk(tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    send(messenger(tmp_path, f"json://{receiver.address}/"))
    assert list(home.rglob("*")) == []
