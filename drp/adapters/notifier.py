"""Tells people through apprise: mail, chats, pagers, by address. The addresses are secrets, and never shown."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from drp.domain.backups.settings import Notifications
from drp.domain.secret import SecretReference
from drp.errors import DrpError
from drp.ports import Delivery, Secrets

if TYPE_CHECKING:
    import apprise

SEND_LIMIT_SECONDS = 15.0
"""For all addresses together, which are told at the same time."""

MOST_ADDRESSES = 50
_TALKATIVE = ("apprise", "urllib3.connectionpool", "requests")
"""Loggers that write addresses, which hold tokens."""


class AppriseMessenger:
    """Implements `drp.ports.Messenger`."""

    def __init__(self, settings: Notifications | None, secrets: Secrets) -> None:
        self.settings, self.secrets = settings, secrets

    def send(self, title: str, body: str, *, is_bad: bool) -> Delivery:
        """Send to all addresses at once. One that takes the message is enough for it to count as told."""
        attempts: list[_Attempt] = []
        failures: list[str] = []
        for where, address, failure in _addresses(self.settings.urls if self.settings else (), self.secrets):
            messenger = None if failure else _messenger_to(address)
            if messenger is None:
                failures.append(failure or f"{where}: this is no address that apprise knows")
            elif len(attempts) < MOST_ADDRESSES:
                attempts.append(_Attempt(where, messenger, title, body, is_bad))
        for attempt in attempts:
            attempt.start()
        until = time.monotonic() + SEND_LIMIT_SECONDS
        for attempt in attempts:
            attempt.join(max(0.0, until - time.monotonic()))
        failures += [attempt.failure for attempt in attempts if attempt.failure]
        return Delivery(sum(not attempt.failure for attempt in attempts), tuple(failures))


def _addresses(references: Sequence[SecretReference], secrets: Secrets) -> Iterator[tuple[str, str, str]]:
    """Where each address stands, the address, and why there is none; lines that begin with # say nothing."""
    for number, reference in enumerate(references, 1):
        source = f"notifications.urls, secret {number}"
        try:
            content = secrets.read(reference, "notification addresses")
        except DrpError as error:
            yield source, "", f"{source}: {error}"
            continue
        for line_number, line in enumerate(content.splitlines(), 1):
            address = line.strip()
            if address and not address.startswith("#"):
                yield f"{source}, line {line_number}", address, ""


def _messenger_to(address: str) -> apprise.Apprise | None:
    """Apprise for one address; None where it does not know such a one.

    It writes nothing to the disk, loads nothing from it, and says nothing: its lines quote addresses.
    """
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what its many plugins import is its own business
        import apprise

        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
            logging.getLogger(name).propagate = False
        asset = apprise.AppriseAsset(plugin_paths=[], storage_mode="memory")
        asset.app_id, asset.app_desc, asset.app_url = "drp", "drp", ""
        messenger = apprise.Apprise(asset=asset)
        try:
            return messenger if messenger.add(address) else None
        except Exception:  # noqa: BLE001 - a plugin's error may quote the address
            return None


class _Attempt(threading.Thread):
    """Sends to one address. `failure` is empty once it was taken; one that hangs is not waited for beyond the limit."""

    def __init__(self, where: str, messenger: apprise.Apprise, title: str, body: str, is_bad: bool) -> None:
        super().__init__(name="message", daemon=True)
        self.where, self.messenger = where, messenger
        self.title, self.body, self.is_bad = title, body, is_bad
        self.failure = f"{where}: it gave no answer in time"

    def run(self) -> None:
        try:
            taken = self.messenger.notify(
                body=self.body,
                title=self.title,
                notify_type="failure" if self.is_bad else "success",
                body_format="text",
            )
            self.failure = "" if taken else f"{self.where}: it did not take the message"
        except Exception as error:  # noqa: BLE001 - it may quote the address; only its kind is told
            self.failure = f"{self.where}: {type(error).__name__} while sending"
