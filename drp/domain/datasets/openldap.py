"""OpenLDAP: one directory (data) of a slapd, or its configuration, as slapcat writes them."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import StringConstraints

from drp.domain.datasets.base import Command, DatasetType, Procedure, Scratch, made_folder, removed
from drp.domain.values import AbsolutePath, AccountName

CONFIGURATION = "cn=config"
DistinguishedName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]*=[^\u0000-\u001f\u007f\"\\<>;*()]{1,250}$")
]
LdapUrl = Annotated[str, StringConstraints(pattern=r"^ldapi?://[A-Za-z0-9%_./:-]{0,200}$")]


class OpenldapDataset(DatasetType):
    """The directory below a `suffix`, or the configuration where this is `cn=config`; declare each as a dataset.

    The sentinel is the entry cn=drp-sentinel below the suffix. drp writes it as root over the local socket, or with
    `bind_dn` and the password in `password_file` on the host: that account needs the right to write it. The
    configuration holds no sentinel, so nothing tells its age. `stop` and `start` are the commands that do this to
    slapd: its data can be exchanged only while it rests.
    """

    type: Literal["openldap"]
    suffix: DistinguishedName
    directory: AbsolutePath = "/var/lib/ldap"
    configuration: AbsolutePath = "/etc/ldap/slapd.d"
    url: LdapUrl = "ldapi:///"
    bind_dn: DistinguishedName | None = None
    password_file: AbsolutePath | None = None
    run_as: AccountName = "openldap"
    stop: Command = ("service", "slapd", "stop")
    start: Command = ("service", "slapd", "start")

    @property
    def is_configuration(self) -> bool:
        return self.suffix.lower() == CONFIGURATION

    @property
    def places(self) -> tuple[str, ...]:
        return (self.configuration if self.is_configuration else self.directory,)

    @property
    def dated_by(self) -> Literal["sentinel", "freshness", "nothing"]:
        return "nothing" if self.is_configuration else "sentinel"

    @property
    def asked_when_backed_up(self) -> tuple[str, ...]:
        words = () if self.is_configuration else (*self.stop, *self.start)
        return tuple(word.rpartition("/")[2].removesuffix(".service") for word in words)

    def _tool(self, name: str, configuration: str, *arguments: str) -> list[str]:
        return ["runuser", "-u", self.run_as, "--", name, "-F", configuration, *arguments]

    def procedure(self, service: str, token: str = "", scratch: Scratch | None = None) -> Procedure:
        configuration = f"{scratch.folder}/slapd.d" if scratch else self.configuration
        which = ["-n", "0"] if self.is_configuration else ["-b", self.suffix]
        quick = [] if self.is_configuration else ["-q"]
        directory = self.configuration if self.is_configuration else self.directory
        inside = ["-name", "*"] if self.is_configuration else ["-name", "*.mdb"]
        empty = {"argv": ["find", directory, "-mindepth", "1", *inside, "-delete"]}
        stop, start = {"argv": list(self.stop)}, {"argv": list(self.start)}
        first = f"{directory}/cn=config.ldif" if self.is_configuration else f"{directory}/data.mdb"
        procedure: Procedure = {
            "id": self.id,
            "type": self.type,
            "units": [],
            "requires": ["runuser", "python3", "slapcat", "slapadd", "slaptest", "ldapmodify", "find"],
            "versions": {"slapd": ["slapcat", "-VV"]},
            "parts": [
                {
                    "name": "entries",
                    "kind": "stream",
                    "file": f"{service}.{self.id}.ldif",
                    "dump": self._tool("slapcat", self.configuration, *which),
                    "restore": self._tool("slapadd", configuration, *which, *quick),
                    "ends_with": r"\n\n$",
                }
            ],
            "prepare_restore": [stop, empty],
            "finish_restore": [start],
            "remove": [stop, empty],
            "checks": [
                {"what": "the configuration is sound", "argv": self._tool("slaptest", configuration, "-u", "-Q")}
            ],
            "sentinel": None if self.is_configuration else self._sentinel(token, configuration),
            "absence": [{"kind": "path", "what": f"path {first}", "path": first}],
        }
        if scratch is None:
            return procedure
        folder = scratch.folder
        make = ["drp:ldap_scratch", self.configuration, folder]
        copy = {"argv": ["runuser", "-u", self.run_as, "--", *make]}
        if self.is_configuration:
            copy = made_folder(configuration, self.run_as)
        return procedure | {
            "prepare_restore": [removed(folder), made_folder(folder, self.run_as), copy],
            "finish_restore": [],
            "remove": [removed(folder)],
            "absence": [{"kind": "path", "what": f"path {folder}", "path": folder}],
        }

    def _sentinel(self, token: str, configuration: str) -> Procedure:
        login = ["-Y", "EXTERNAL", "-Q"]
        if self.bind_dn:
            login = ["-x", "-D", self.bind_dn, *(["-y", self.password_file] if self.password_file else [])]
        record = json.dumps({"token": token, "written_at": "{now}"})
        look = ["-b", self.suffix, "-o", "ldif-wrap=no", "-a", "(cn=drp-sentinel)"]
        return {
            "kind": "command",
            "token": token,
            "write": {
                "argv": ["drp:ldap_mark", f"cn=drp-sentinel,{self.suffix}", record, "-H", self.url, *login],
                "find": r"^\{",
            },
            "read": {"argv": self._tool("slapcat", configuration, *look), "find": "^description: (.*)$"},
        }
