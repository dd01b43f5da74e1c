"""Whether a host shows the SSH key that is pinned for it, judged before anybody logs in there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drp.domain.inventory import AnsibleHost
from drp.domain.protection.preflight import Finding

WHAT = "host key"


@dataclass(frozen=True, slots=True)
class HostKey:
    """A public key: its kind, such as `ssh-ed25519`, and its fingerprint as OpenSSH shows it, `SHA256:…`."""

    kind: str
    fingerprint: str

    def __str__(self) -> str:
        return f"{self.fingerprint} ({self.kind})"


@dataclass(frozen=True, slots=True)
class HostKeyLook:
    """What a host's SSH server shows, and what is pinned for it. `shown` is None where there is `trouble`;
    `authorities`: some keys are vouched for by certificate authorities, which were not looked at."""

    shown: HostKey | None
    pinned: tuple[HostKey, ...]
    trouble: str = ""
    authorities: bool = False


def judge_host_key(host: AnsibleHost, look: HostKeyLook | None, known_hosts: str) -> Finding:
    """`look` is None for a host that was not looked at; `known_hosts` is the file with the pinned keys. An error means
    that a login is refused; where no key was seen, the login itself will tell."""
    name = host.address if host.port == 22 else f"[{host.address}]:{host.port}"
    if host.jump_host is not None:
        text = (
            "its SSH key was not looked at, it is behind a jump host; whoever logs in there holds it to the pinned one"
        )
        return Finding("ok", host.name, WHAT, text)
    if look is None:
        return Finding("warning", host.name, WHAT, "its SSH key was not looked at", "tell drp's makers")
    if look.shown is None:
        hint = "is the host up, and is its address and port right? drp looks again with the next preflight"
        return Finding("warning", host.name, WHAT, f"its SSH server shows no key: {look.trouble}", hint)
    if look.shown in look.pinned:
        return Finding("ok", host.name, WHAT, f"it shows the pinned SSH key {look.shown}")
    if look.pinned:
        hint = (
            f"log in nowhere there before you know why: ask the host's owner, over another way than this line, for what"
            f" `ssh-keygen -lf` says of its key; only if it is {look.shown.fingerprint}, take the old line out"
            f" (ssh-keygen -R '{name}' -f {known_hosts}) and write the new key there"
        )
        text = f"it shows another SSH key than the pinned one: {look.shown}; pinned: {_listed(look.pinned)}"
        return Finding("error", host.name, WHAT, text, hint)
    if look.authorities:
        hint = "nothing, if it has a certificate of theirs: the login will tell"
        text = f"no key of its own is pinned ({look.shown}); {known_hosts} leaves hosts to certificate authorities"
        return Finding("warning", host.name, WHAT, text, hint)
    hint = (
        f"compare it with what the host's owner reads at its console (`ssh-keygen -lf` of its key); only then write it"
        f" into {known_hosts}: ssh-keyscan -p {host.port} {host.address}"
    )
    return Finding("error", host.name, WHAT, f"no SSH key is pinned for it; it shows {look.shown}", hint)


def _listed(keys: Sequence[HostKey]) -> str:
    return ", ".join(map(str, keys))
