"""Which host keys SSH servers show, held against the pinned ones, without a login: through paramiko.

OpenSSH's client, which drp works with, refuses another key too, but it says little more than that. Here both
fingerprints are told before anything is tried.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from drp.domain.inventory import AnsibleHost
from drp.domain.protection.host_keys import HostKey, HostKeyLook

if TYPE_CHECKING:
    from paramiko import PKey

LIMIT_SECONDS = 10.0
"""Of each host, from the first packet to its key."""
AT_ONCE = 8
_RSA = ("rsa-sha2-512", "rsa-sha2-256")
_SSH_PORT = 22


class SshHostKeys:
    """Implements `drp.ports.HostKeyLooks`."""

    def __init__(self, known_hosts: Path, limit_seconds: float = LIMIT_SECONDS) -> None:
        self.known_hosts, self.limit_seconds = known_hosts, limit_seconds

    def look_at(self, hosts: Sequence[AnsibleHost]) -> Mapping[str, HostKeyLook]:
        """What each host shows, by its name; several are asked at once. Those behind jump hosts are left out."""
        import logging
        from concurrent.futures import ThreadPoolExecutor

        direct = [host for host in hosts if host.jump_host is None]
        if not direct:
            return {}
        # Its threads would write what they meet to standard error.
        logging.getLogger("paramiko").addHandler(logging.NullHandler())
        with ThreadPoolExecutor(min(AT_ONCE, len(direct)), thread_name_prefix="host-keys") as pool:
            looks = pool.map(self._look, direct)
            return {host.name: look for host, look in zip(direct, looks, strict=True)}

    def _look(self, host: AnsibleHost) -> HostKeyLook:
        try:
            pinned, authorities = self._pinned(host)
        except (OSError, ValueError) as error:
            return HostKeyLook(None, (), trouble=f"{self.known_hosts.name} cannot be read: {error}")
        shown, trouble = self._shown(host, [key.get_name() for key in pinned])
        keys = tuple(dict.fromkeys(_told(key) for key in pinned))
        return HostKeyLook(None if shown is None else _told(shown), keys, trouble=trouble, authorities=authorities)

    def _pinned(self, host: AnsibleHost) -> tuple[list[PKey], bool]:
        """The keys that known_hosts has for a host, and whether it leaves some to certificate authorities, which
        paramiko knows nothing of. Each line is taken alone: paramiko itself keeps one key of each kind."""
        from paramiko.hostkeys import HostKeyEntry, HostKeys, InvalidHostKey
        from paramiko.ssh_exception import SSHException

        if not self.known_hosts.exists():
            return [], False
        name = host.address if host.port == _SSH_PORT else f"[{host.address}]:{host.port}"
        found: list[PKey] = []
        authorities = False
        for number, line in enumerate(self.known_hosts.read_text(encoding="utf-8").splitlines(), 1):
            authorities = authorities or line.startswith("@cert-authority")
            if not line.strip() or line.startswith(("#", "@")):
                continue
            try:
                entry = HostKeyEntry.from_line(line, number)
            except (SSHException, InvalidHostKey):
                continue  # OpenSSH passes over such lines too
            if entry is None or entry.key is None or entry.hostnames is None:
                continue
            alone = HostKeys()
            for pattern in entry.hostnames:
                alone.add(pattern, entry.key.get_name(), entry.key)
            if alone.lookup(name) is not None:
                found.append(entry.key)
        return found, authorities

    def _shown(self, host: AnsibleHost, kinds: Sequence[str]) -> tuple[PKey | None, str]:
        """The key that a server shows to whom asks for the pinned kinds first, as OpenSSH does; or what is wrong."""
        from paramiko import Transport
        from paramiko.ssh_exception import SSHException

        until = time.monotonic() + self.limit_seconds
        try:
            with socket.create_connection((host.address, host.port), timeout=self.limit_seconds) as connection:
                transport = Transport(connection)
                try:
                    left = max(0.1, until - time.monotonic())
                    transport.banner_timeout = transport.handshake_timeout = left
                    options = transport.get_security_options()
                    wanted = [kind for name in kinds for kind in (_RSA if name == "ssh-rsa" else (name,))]
                    known = list(options.key_types)
                    first = [kind for kind in dict.fromkeys(wanted) if kind in known]
                    options.key_types = [*first, *(kind for kind in known if kind not in first)]
                    transport.start_client(timeout=left)
                    return transport.get_remote_server_key(), ""
                finally:
                    transport.close()
        except (OSError, EOFError, SSHException) as error:
            return None, str(error) or type(error).__name__


def _told(key: PKey) -> HostKey:
    fingerprint: str = key.fingerprint
    return HostKey(key.get_name(), fingerprint)
