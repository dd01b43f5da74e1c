"""Services whose program is an unmodified Debian package with a configuration of its own, each of another kind.

Most stand behind nginx, which lets nobody in while the service that they need does not answer.
"""

from __future__ import annotations

import base64
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from drp.lab.applications.base import Application, Entry, folder, link, resource
from drp.lab.client import Citizens
from drp.lab.plan import LabPlan, LabService

_PACKAGE = "drp.lab.applications.packaged"
_NOBODY_SECRET = "layanan-kota"  # noqa: S105 - the services' account of the lab's own directory


def _values(service: LabService) -> dict[str, Any]:
    texts = [text for path, text in service.requests if path == "/" and text]
    return {
        "ID": service.id,
        "TITLE": texts[0] if texts else service.declared["title"],
        "DESCRIPTION": service.declared["title"],
        "HOST_NAME": service.name,
        "PATHS": " ".join(path for path, _ in service.requests if path != "/"),
    }


def _needed(service: LabService, plan: LabPlan) -> tuple[str, LabService] | None:
    """The URL at which a service asks the first one that it needs, and that one."""
    from drp.lab.applications import application_of

    for name in service.declared.get("depends_on", ()):
        needed = plan.service(name)
        application = application_of(needed) if needed is not None else None
        if needed is not None and application is not None:
            return application.interface(needed), needed
    return None


class BehindNginx(Application):
    """A program behind nginx: a page in /srv, a site by host name, and the program's own configuration."""

    def entries(self, service: LabService, plan: LabPlan) -> list[Entry]:
        values = self.values(service)
        site = values | {
            "GATE": self._gate(service, plan),
            "LOCATIONS": resource(_PACKAGE, self.locations, values).decode() if self.locations else "",
        }
        return [
            folder(f"/srv/{service.id}"),
            folder(f"/srv/{service.id}/www"),
            Entry(f"/srv/{service.id}/www/index.html", resource(_PACKAGE, "index.html", values)),
            Entry(f"/etc/nginx/sites-available/{service.id}", resource(_PACKAGE, "site.nginx", site)),
            link(f"/etc/nginx/sites-enabled/{service.id}", f"/etc/nginx/sites-available/{service.id}"),
            *self.own_entries(service, values),
        ]

    def script(self, service: LabService) -> str:
        own = resource(_PACKAGE, self.filling, self.values(service)) if self.filling else b""
        return own.decode() + resource(_PACKAGE, "start_nginx.sh").decode()

    def values(self, service: LabService) -> dict[str, Any]:
        return _values(service)

    def own_entries(self, service: LabService, values: dict[str, Any]) -> list[Entry]:
        """What is put on the host beside page and site."""
        del service, values
        return []

    @property
    @abstractmethod
    def locations(self) -> str:
        """The file with the site's places for the program; empty for a site of files alone."""

    @property
    @abstractmethod
    def filling(self) -> str:
        """The script that fills and starts the program; empty where there is nothing to do."""

    @staticmethod
    def _gate(service: LabService, plan: LabPlan) -> str:
        found = _needed(service, plan)
        if found is None:
            return ""
        scheme, _, rest = found[0].partition("://")
        login, _, place = rest.rpartition("@")
        authorization = f"Basic {base64.b64encode(login.encode()).decode()}" if login else ""
        values = {"URL": f"{scheme}://{place}", "NEEDED_HOST": found[1].name, "AUTHORIZATION": authorization}
        return resource(_PACKAGE, "gate.nginx", values).decode()


class StaticSite(BehindNginx):
    """Files alone, by nginx."""

    locations, filling = "", ""

    def serves(self, service: LabService) -> bool:
        return service.units == ["nginx"] and {dataset["type"] for dataset in service.datasets} == {"files"}

    def own_entries(self, service: LabService, values: dict[str, Any]) -> list[Entry]:
        entries = []
        for path in [*values["PATHS"].split(), *(f"/arsip/{number}" for number in range(1, 80))]:
            text = resource(_PACKAGE, "index.html", values | {"DESCRIPTION": f"Halaman {path}"})
            where = f"/srv/{service.id}/www{path}"
            above = folder(where.rpartition("/")[0])
            entries += [above, Entry(where, text)] if above not in entries else [Entry(where, text)]
        return entries


class GitSite(BehindNginx):
    """A Git repository, by gitweb."""

    locations, filling = "git.nginx", "git.sh"
    programs: ClassVar[Mapping[str, str]] = {
        "/usr/share/gitweb/gitweb.cgi": "gitweb",
        "/usr/sbin/fcgiwrap": "fcgiwrap",
        "/usr/bin/spawn-fcgi": "spawn-fcgi",
    }

    def serves(self, service: LabService) -> bool:
        return bool(service.dataset("git")) and "fcgiwrap" in service.units

    def values(self, service: LabService) -> dict[str, Any]:
        path = service.dataset("git")["path"]
        return _values(service) | {
            "PATH": path,
            "ACCOUNT": service.dataset("git")["run_as"],
            "REPOSITORY": path.rpartition("/")[2],
        }

    def own_entries(self, service: LabService, values: dict[str, Any]) -> list[Entry]:
        settings = f'$projectroot = "{values["PATH"].rpartition("/")[0]}";\n$feature{{"blame"}}{{"default"}} = [1];\n'
        # The repository is the account's, and gitweb runs as another one.
        trusted = '$ENV{"GIT_CONFIG_COUNT"} = 1;\n$ENV{"GIT_CONFIG_KEY_0"} = "safe.directory";\n'
        trusted += f'$ENV{{"GIT_CONFIG_VALUE_0"}} = "{values["PATH"]}";\n1;\n'
        return [folder(f"/etc/{service.id}"), Entry(f"/etc/{service.id}/gitweb.conf", (settings + trusted).encode())]


class FossilSite(BehindNginx):
    """A Fossil repository, which is one SQLite database, by fossil itself."""

    locations, filling = "fossil.nginx", "fossil.sh"
    programs: ClassVar[Mapping[str, str]] = {
        "/usr/bin/fossil": "fossil",
        "/usr/sbin/fcgiwrap": "fcgiwrap",
        "/usr/bin/spawn-fcgi": "spawn-fcgi",
    }

    def serves(self, service: LabService) -> bool:
        return bool(service.dataset("sqlite")) and "fcgiwrap" in service.units

    def values(self, service: LabService) -> dict[str, Any]:
        return _values(service) | {"PATH": service.dataset("sqlite")["path"]}

    def own_entries(self, service: LabService, values: dict[str, Any]) -> list[Entry]:
        program = f"#!/usr/bin/fossil\nrepository: {values['PATH']}\n"
        return [Entry(f"/srv/{service.id}/katalog.cgi", program.encode(), 0o755)]


class CalendarSite(BehindNginx):
    """Calendars, by Radicale."""

    locations, filling = "radicale.nginx", "radicale.sh"
    programs: ClassVar[Mapping[str, str]] = {"/usr/bin/radicale": "radicale"}
    citizens: ClassVar[Citizens | None] = Citizens(
        request="PUT /publik/warga/{key}.ics",
        found_at="/warga/{key}",
        phrase="Acara warga",
        body="BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//kota//warga//ID\r\nBEGIN:VEVENT\r\nUID:{key}\r\n"
        "DTSTAMP:20260101T000000Z\r\nDTSTART:20260105T020000Z\r\nDTEND:20260105T080000Z\r\nSUMMARY:{text}\r\n"
        "END:VEVENT\r\nEND:VCALENDAR\r\n",
        content_type="text/calendar; charset=utf-8",
    )

    def serves(self, service: LabService) -> bool:
        return "radicale" in service.units

    def own_entries(self, service: LabService, values: dict[str, Any]) -> list[Entry]:
        del service
        return [
            Entry("/etc/radicale/config", resource(_PACKAGE, "radicale.conf", values)),
            Entry("/etc/radicale/rights", resource(_PACKAGE, "radicale.rights")),
        ]


class RedisSite(BehindNginx):
    """Records in Redis, by webdis."""

    locations, filling = "webdis.nginx", "webdis.sh"
    programs: ClassVar[Mapping[str, str]] = {"/usr/bin/webdis": "webdis", "/usr/bin/redis-server": "redis-server"}
    citizens: ClassVar[Citizens | None] = Citizens(
        request="PUT /catat/{key}",
        found_at="/warga/{key}",
        phrase="Catatan warga",
        body="{text}",
        stored=200,
        says='"OK"',
    )

    def serves(self, service: LabService) -> bool:
        return "webdis" in service.units and bool(service.dataset("redis"))

    def own_entries(self, service: LabService, values: dict[str, Any]) -> list[Entry]:
        del service, values
        return [Entry("/etc/webdis/webdis.json", resource(_PACKAGE, "webdis.json"))]


class Proxy(Application):
    """HAProxy in front of the service that this one needs."""

    programs: ClassVar[Mapping[str, str]] = {"/usr/sbin/haproxy": "haproxy"}

    def serves(self, service: LabService) -> bool:
        return "haproxy" in service.units and bool(service.declared.get("depends_on"))

    def entries(self, service: LabService, plan: LabPlan) -> list[Entry]:
        found = _needed(service, plan)
        needed = found[1] if found else service
        # What users ask of it by other names is what they would find there.
        there = [path for path, _ in needed.requests if path != "/"] or ["/"]
        paths = [path for path, _ in service.requests if path != "/"]
        lines = "".join(f"    http-request set-path {there[0]} if {{ path {path} }}\n" for path in paths)
        values = _values(service) | {"NEEDED_HOST": needed.name, "PATHS": lines}
        return [
            folder(f"/srv/{service.id}"),
            Entry(f"/srv/{service.id}/503.http", resource(_PACKAGE, "503.http", values)),
            Entry("/etc/haproxy/haproxy.cfg", resource(_PACKAGE, "haproxy.cfg", values)),
        ]

    def script(self, service: LabService) -> str:
        del service
        return "set -eu\nservice haproxy start >/dev/null\n"


class Directory(Application):
    """OpenLDAP, and Apache that lets people sign on by it."""

    programs: ClassVar[Mapping[str, str]] = {"/usr/sbin/slapd": "slapd", "/usr/sbin/apache2": "apache2"}
    _MODULES = ("ldap.load", "ldap.conf", "authnz_ldap.load")

    def serves(self, service: LabService) -> bool:
        return bool(service.dataset("openldap")) and {"slapd", "apache2"} <= set(service.units)

    def interface(self, service: LabService) -> str:
        return f"http://layanan:{_NOBODY_SECRET}@{service.name}/sesi"

    def entries(self, service: LabService, plan: LabPlan) -> list[Entry]:
        del plan
        values = self._values(service)
        www = f"/srv/{service.id}/www"
        site = f"/etc/apache2/sites-available/{service.id}.conf"
        return [
            folder(f"/srv/{service.id}"),
            folder(www),
            Entry(f"{www}/index.html", resource(_PACKAGE, "index.html", values)),
            Entry(f"{www}/masuk.html", resource(_PACKAGE, "index.html", values | {"DESCRIPTION": "Masuk"})),
            Entry(f"{www}/sesi.txt", b"sesi dapat dibuka\n"),
            Entry(site, resource(_PACKAGE, "sign_on.apache", values)),
            link(f"/etc/apache2/sites-enabled/{service.id}.conf", site),
            *(link(f"/etc/apache2/mods-enabled/{name}", f"../mods-available/{name}") for name in self._MODULES),
        ]

    def script(self, service: LabService) -> str:
        return resource(_PACKAGE, "slapd.sh", self._values(service)).decode()

    @staticmethod
    def _values(service: LabService) -> dict[str, Any]:
        suffixes = [dataset["suffix"] for dataset in service.datasets if dataset["type"] == "openldap"]
        suffix = next(suffix for suffix in suffixes if suffix != "cn=config")
        return _values(service) | {"SUFFIX": suffix, "PASSWORD": _NOBODY_SECRET}


DEBIAN_APPLICATIONS: tuple[Application, ...] = (
    Directory(),
    Proxy(),
    GitSite(),
    FossilSite(),
    CalendarSite(),
    RedisSite(),
    StaticSite(),
)
