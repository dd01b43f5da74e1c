"""Tells the service manager (systemd's notification socket) how a service does."""

from __future__ import annotations

import os
import socket


class ServiceManager:
    """Takes the socket's address out of the environment, so that no program that drp starts speaks for drp.

    Attributes:
        watchdog_seconds: within which it wants to hear that all is well; None where it does not ask.
    """

    def __init__(self) -> None:
        self._address = os.environ.pop("NOTIFY_SOCKET", "")
        interval, process = os.environ.pop("WATCHDOG_USEC", ""), os.environ.pop("WATCHDOG_PID", "")
        is_ours = not process or process == str(os.getpid())
        self.watchdog_seconds = int(interval) / 1e6 if is_ours and interval.isdecimal() and int(interval) else None

    def notify(self, **fields: str) -> bool:
        """Send fields such as `READY="1"`; whether a manager was there to take them. A manager that is busy or gone
        is no reason to fail."""
        if not self._address.startswith(("/", "@")):
            return False
        message = "\n".join(f"{name}={' '.join(value.split())}" for name, value in fields.items())
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            try:
                sender.settimeout(1)
                sender.sendto(message.encode(), address)
            except OSError:
                return False
        return True
