"""The application of a city: for services of the usual shape, which is what most of the inventory declares.

A database in PostgreSQL or MariaDB, /srv and /etc of its own, an init script (and a systemd unit), an nginx site by
host name. What it answers comes from its database and files, and its front page from the services that it depends on
as well: it is not well where one of them is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from drp.lab.applications.base import Application, Entry, folder, link, resource
from drp.lab.client import Citizens
from drp.lab.plan import LabPlan, LabService

_PACKAGE = "drp.lab.applications.kota"
_PORTS_FROM = 8000
"""Added to the number of its account: a port of the host's own that no other service there has."""

DOCUMENTS, LARGEST_FILE_BYTES = 120, 96 * 1024
SUMMARY = "/api/ringkasan"


class CityApplication(Application):
    """Keeps documents: rows with a file each."""

    server: ClassVar[str] = "postgresql"
    """The database server that it uses: the type of its dataset, its unit, and the script that fills it."""
    citizens: ClassVar[Citizens | None] = Citizens(
        request="POST /api/dokumen",
        found_at="/warga/{key}",
        phrase="Isi dokumen warga",
        fields={"path": "/warga/{key}", "title": "Dokumen warga/{key}", "content": "{text}"},
    )

    def serves(self, service: LabService) -> bool:
        if not service.accounts or not service.requests or not service.dataset(self.server):
            return False
        return set(self._places(service)) <= set(service.paths) and service.id in service.units

    @staticmethod
    def _places(service: LabService) -> Iterator[str]:
        for pattern in ("/srv/{}", "/etc/{}", "/etc/init.d/{}", "/etc/nginx/sites-enabled/{}"):
            yield pattern.format(service.id)

    def interface(self, service: LabService) -> str:
        return f"http://{service.name}{SUMMARY}"

    def entries(self, service: LabService, plan: LabPlan) -> list[Entry]:
        name, account = service.id, service.accounts[0]
        values = self._values(service)
        page = resource(_PACKAGE, "front.html", values)
        settings = resource(_PACKAGE, "settings.ini", values) + self._dependencies(service, plan).encode()
        return [
            *(folder(f"/srv/{name}{part}") for part in ("", "/app")),
            folder(f"/srv/{name}/berkas", account["uid"]),
            folder(f"/etc/{name}"),
            Entry(f"/srv/{name}/app/kota.py", resource(_PACKAGE, "application.py")),
            Entry(f"/srv/{name}/app/front.html", page),
            Entry(f"/etc/{name}/{name}.ini", settings, 0o640, account["uid"]),
            Entry(f"/etc/init.d/{name}", resource(_PACKAGE, "service.init", values), 0o755),
            Entry(f"/etc/systemd/system/{name}.service", resource(_PACKAGE, "service.unit", values)),
            Entry(f"/etc/nginx/sites-available/{name}", resource(_PACKAGE, "site.nginx", values)),
            link(f"/etc/nginx/sites-enabled/{name}", f"/etc/nginx/sites-available/{name}"),
        ]

    def script(self, service: LabService) -> str:
        others = [dataset["database"] for dataset in service.datasets if dataset["type"] == self.server][1:]
        values = self._values(service) | {
            "PATHS": " ".join(path for path, _ in service.requests if path != "/"),
            "OTHER_DATABASES": " ".join(others),
            "DOCUMENTS": DOCUMENTS,
            "LARGEST_FILE_BYTES": LARGEST_FILE_BYTES,
        }
        return resource(_PACKAGE, f"{self.server}.sh", values).decode()

    def _values(self, service: LabService) -> dict[str, Any]:
        account = service.accounts[0]
        # What users look for on the front page, by the checks; the title of the service otherwise.
        texts = [text for path, text in service.requests if path == "/" and text]
        return {
            "ID": service.id,
            "TITLE": texts[0] if texts else service.declared["title"],
            "ACCOUNT": account["name"],
            "PORT": _PORTS_FROM + account["uid"],
            "SERVER": self.server,
            "DATABASE": service.dataset(self.server)["database"],
            "HOST_NAME": service.name,
        }

    @staticmethod
    def _dependencies(service: LabService, plan: LabPlan) -> str:
        """One line for each dependency that the lab has, with its URL."""
        from drp.lab.applications import application_of

        lines = []
        for name in service.declared.get("depends_on", ()):
            needed = plan.service(name)
            application = application_of(needed) if needed is not None else None
            if needed is not None and application is not None:
                lines.append(f"{name} = {application.interface(needed)}\n")
        return "\n[needs]\n" + "".join(lines)


class CityApplicationOnMariadb(CityApplication):
    """The same, with its rows in MariaDB."""

    server = "mariadb"
    programs: ClassVar[Mapping[str, str]] = {
        "/usr/sbin/mariadbd": "mariadb-server",
        "/usr/lib/python3/dist-packages/pymysql": "python3-pymysql",
    }
