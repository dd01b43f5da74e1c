"""What an operator types on the hosts to bring a service back where there is no drp any more.

It is compiled from the same dataset descriptions that backups and recoveries go by, so that paper and machine do the
same. Nothing here is secret: the commands ask for the secrets, or say where they are kept.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from drp.domain.backups.keys import prefix_of
from drp.domain.backups.restore_point import RestorePoint
from drp.domain.checks.http import HttpCheck
from drp.domain.datasets import DatasetType, with_snapshots
from drp.domain.datasets.base import Procedure
from drp.domain.datasets.streamed import streamed
from drp.domain.inventory import AnsibleHost, City, DrCentre, jumps_to
from drp.domain.protection.gaps import backup_of
from drp.domain.runbooks.folding import fold
from drp.domain.runbooks.typed_data import here_document, restore_commands
from drp.domain.runbooks.typed_requests import local_requests, user_path
from drp.domain.service import Service

Language = Literal["en", "id"]
Site = Literal["primary", "recovery"]
Purpose = Literal[
    "reach", "prepare", "accounts", "servers", "choose", "restore", "start", "ask", "traffic", "outside", "close"
]

FOLDER = "/root/drp-by-hand"
"""Where a host keeps what the commands need of it until the recovery is over: a certificate, nothing secret."""

_PROMPTS: dict[Language, tuple[str, str, str, str]] = {
    "en": ("Repository password", "S3 access key id", "S3 secret access key", "Restore point (run:…)"),
    "id": ("Kata sandi repositori", "S3 access key id", "S3 secret access key", "Titik pulih (run:…)"),
}


@dataclass(frozen=True, slots=True)
class Block:
    """Commands that are typed in one go, in a bash on `host`; None: on any machine that reaches it.

    `dataset` is the one that is restored by them, `reached` the host that they log in to.
    """

    purpose: Purpose
    host: str | None
    commands: str
    dataset: str = ""
    reached: str = ""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository that holds what is needed, and how to open it. `copies` are its copies at other DR centres."""

    host: str
    url: str
    region: str
    dr_centre: str
    copies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HandRecovery:
    """Everything for one service: its repositories, the programs that each host must have, and the commands in their
    order. `left_out` says for what no command is printed, or what must be brought along."""

    service: str
    repositories: tuple[Repository, ...]
    programs: tuple[tuple[str, tuple[str, ...]], ...]
    blocks: tuple[Block, ...]
    left_out: tuple[str, ...]


def recovery_by_hand(
    city: City,
    service: Service,
    *,
    to: Site,
    ca_pem: str,
    newest: RestorePoint | None,
    language: Language,
) -> HandRecovery:
    """The commands that recover a service at a site from the backups that the other one has made.

    The service must have a backup, hosts and recovery hosts. `ca_pem` is the certificate authority of its DR centre;
    empty where it has none of its own, or where that could not be read. `newest` is its newest restore point at the
    time of printing; it only says which databases there were, for datasets that are all of a server.
    """
    writing = _Writing(city, service, to, ca_pem, newest, language)
    return HandRecovery(
        service=service.id,
        repositories=tuple(writing.repositories()),
        programs=tuple(writing.programs()),
        blocks=tuple(replace(block, commands=fold(block.commands)) for block in writing.blocks()),
        left_out=tuple(writing.left_out),
    )


class _Writing:
    def __init__(
        self, city: City, service: Service, to: Site, ca_pem: str, newest: RestorePoint | None, language: Language
    ) -> None:
        self.city, self.service, self.to = city, service, to
        self.ca_pem, self.newest, self.language = ca_pem, newest, language
        self.centre: DrCentre = city.workspace.dr_centres[backup_of(service).dr_centre]
        self.left_out: list[str] = []
        if self.has_own_authority and not ca_pem:
            self.left_out.append(f"ca_certificate {self.centre.ca_certificate} → {FOLDER}/ca.pem")

    @property
    def has_own_authority(self) -> bool:
        """Whether the DR centre's certificate is one that the system does not know."""
        return self.centre.ca_certificate is not None

    # -- what is where -----------------------------------------------------------------------------------------------

    def source(self, host: str) -> str:
        """The host whose repository has the data of `host`: the one at the other site."""
        return self.service.stand_in(host, "recovery" if self.to == "primary" else "primary")

    def target(self, host: str) -> str:
        return self.service.stand_in(host, self.to)

    def targets(self) -> list[str]:
        return list(dict.fromkeys(self.target(host) for host in self.service.runs_on))

    def datasets_on(self, target: str) -> list[DatasetType]:
        return [dataset for dataset in self.service.datasets if self.target(dataset.host) == target]

    def repositories(self) -> Iterator[Repository]:
        settings = backup_of(self.service)
        centres = self.city.workspace.dr_centres
        for host in dict.fromkeys(self.source(dataset.host) for dataset in self.service.datasets):
            prefix = prefix_of(self.service.id, host)
            yield Repository(
                host=host,
                url=_url(self.centre, prefix),
                region=self.centre.region,
                dr_centre=settings.dr_centre,
                copies=tuple(_url(centres[copy.dr_centre], prefix) for copy in settings.copies),
            )

    def programs(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        for target in self.targets():
            needed = ["restic", "curl"]
            for dataset in self.datasets_on(target):
                needed += [name.split("|")[0] for name in self.procedure(dataset)["requires"]]
            yield target, tuple(dict.fromkeys(needed))

    def procedure(self, dataset: DatasetType) -> Procedure:
        """As it was made by the host that backed it up, with one part for each database where those are known."""
        procedure = dataset.procedure(self.service.id)
        if self.city.hosts[self.source(dataset.host)].restic == "control-node":
            parts = [streamed(part) if part["kind"] == "tree" else part for part in procedure["parts"]]
            procedure = procedure | {"parts": parts}
        if self.newest is not None and any("each" in part for part in procedure["parts"]):
            snapshots = self.newest.snapshots_of(dataset.id)
            if snapshots:
                return with_snapshots(procedure, snapshots)
        return procedure

    # -- the commands ------------------------------------------------------------------------------------------------

    def blocks(self) -> Iterator[Block]:
        for target in self.targets():
            datasets = self.datasets_on(target)
            yield Block("reach", None, self._login(self.city.hosts[target]), reached=target)
            if datasets:
                yield from self._opening(target, datasets[0])
            if self.service.recovery.accounts:
                yield Block("accounts", target, "\n".join(self._accounts()))
            yield from self._servers(target, datasets)
            yield from self._restores(target, datasets)
        for target in self.targets():
            loaded = {unit for dataset in self.datasets_on(target) for unit in self.procedure(dataset)["units"]}
            units = [unit for unit in self.service.recovery.start if unit not in loaded]
            if units:
                yield Block("start", target, "\n".join(_starts(units)))
        local = list(local_requests(self.service))
        if local:
            yield Block("ask", self.targets()[0], "\n".join(local))
        if self.service.address is not None:
            yield Block("traffic", self.targets()[0], self._traffic(str(self.service.address)))
        address = str(self.service.address) if self.service.address else self.city.hosts[self.targets()[0]].address
        for check in self.service.checks:
            if isinstance(check, HttpCheck):
                yield Block("outside", None, "\n".join(user_path(check, address)))
            else:
                self.left_out.append(f"checks/{check.id}")
        for target in self.targets():
            if self.datasets_on(target):
                secrets = "unset RESTIC_PASSWORD AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY RUN"
                yield Block("close", target, f"{secrets}\nrm -rf {FOLDER}")

    def _login(self, host: AnsibleHost) -> str:
        jumps = [f"{jump.user}@{jump.address}:{jump.port}" for jump in jumps_to(host, self.city.hosts)]
        way = ["-J", ",".join(jumps)] if jumps else []
        port = ["-p", str(host.port)] if host.port != 22 else []
        then = ["-t", "sudo", "-i"] if host.become and host.user != "root" else []
        return shlex.join(["ssh", *way, *port, f"{host.user}@{host.address}", *then])

    def _opening(self, target: str, dataset: DatasetType) -> Iterator[Block]:
        repository = _url(self.centre, prefix_of(self.service.id, self.source(dataset.host)))
        password, key, secret, point = _PROMPTS[self.language]
        lines = ["cd /; set -o pipefail"]
        if self.ca_pem:
            # Written by the shell itself: whatever is in the certificate's file is text to it.
            lines.append(f"mkdir -p -m 700 {FOLDER} && cat >{FOLDER}/ca.pem {here_document(self.ca_pem)}")
        lines += [
            f"export RESTIC_REPOSITORY={shlex.quote(repository)}",
            f"export AWS_DEFAULT_REGION={shlex.quote(self.centre.region)}",
        ]
        yield Block("prepare", target, "\n".join(lines))
        for prompt, name, hidden in (
            (password, "RESTIC_PASSWORD", True),
            (key, "AWS_ACCESS_KEY_ID", False),
            (secret, "AWS_SECRET_ACCESS_KEY", True),
        ):
            ask = f"read -r{'s' if hidden else ''}p {shlex.quote(prompt + ': ')} {name}; export {name}"
            yield Block("prepare", target, ask)
        tags = f"drp,service:{self.service.id}"
        yield Block("choose", target, self._restic("snapshots", "--no-lock", "--latest", "5", "--tag", tags))
        yield Block(
            "choose", target, f"read -rp {shlex.quote(point + ': ')} RUN; RUN=${{RUN##*run:}}; RUN=${{RUN%%,*}}"
        )

    def _restic(self, *arguments: str) -> str:
        return shlex.join(["restic", *self._certificate, *arguments])

    @property
    def _certificate(self) -> list[str]:
        return ["--cacert", f"{FOLDER}/ca.pem"] if self.has_own_authority else []

    def _accounts(self) -> Iterator[str]:
        for account in self.service.recovery.accounts:
            name = shlex.quote(account.name)
            yield f"getent group {name} || groupadd --system --gid {account.uid} {name}"
            yield (
                f"getent passwd {name} || useradd --system --uid {account.uid} --gid {name}"
                f" --home-dir {shlex.quote(account.home)} --no-create-home --shell /usr/sbin/nologin {name}"
            )

    def _servers(self, target: str, datasets: Sequence[DatasetType]) -> Iterator[Block]:
        units = dict.fromkeys(unit for dataset in datasets for unit in self.procedure(dataset)["units"])
        if units:
            yield Block("servers", target, "\n".join(f"service {shlex.quote(unit)} start" for unit in units))

    def _restores(self, target: str, datasets: Sequence[DatasetType]) -> Iterator[Block]:
        repository = self.source(datasets[0].host) if datasets else ""
        for dataset in datasets:
            lines: list[str] = []
            if self.source(dataset.host) != repository:
                repository = self.source(dataset.host)
                url = _url(self.centre, prefix_of(self.service.id, repository))
                lines.append(f"export RESTIC_REPOSITORY={shlex.quote(url)}")
            procedure = self.procedure(dataset)
            lines += restore_commands(self.service.id, procedure, self._certificate)
            # Nobody knows the names of the databases before there was a backup.
            unknown = [part["name"] for part in procedure["parts"] if "each" in part]
            self.left_out += [f"datasets/{dataset.id}/{name}" for name in unknown]
            yield Block("restore", target, "\n".join(lines), dataset.id)

    def _traffic(self, address: str) -> str:
        word = shlex.quote(address)
        return "\n".join(
            [
                f"LINE=$(ip -o route get {word} | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p')",
                f'[ "$LINE" = lo ] || ip address replace {word}/32 dev "$LINE"',
                f'[ "$LINE" = lo ] || arping -q -U -c 3 -w 3 -I "$LINE" {word}',
            ]
        )


def _starts(units: Iterable[str]) -> Iterator[str]:
    yield "[ ! -d /run/systemd/system ] || systemctl daemon-reload"
    for unit in units:
        yield f"service {shlex.quote(unit)} restart"


def _url(centre: DrCentre, prefix: str) -> str:
    return f"s3:{centre.endpoint}/{centre.bucket}/{prefix}"
