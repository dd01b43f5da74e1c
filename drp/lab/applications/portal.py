"""The portal of the self-test (`drp.lab.selftest`): its own pages, and the state of the complaints, for which it asks
the service that it needs."""

from __future__ import annotations

from typing import ClassVar

from drp.lab.applications.base import Application, Entry, folder, link
from drp.lab.plan import LabPlan, LabService

ARCHIVE_BYTES = 40_000_000
"""What its archive has: over a line of 1 Mbit/s that takes longer than its RTO of 4 minutes."""

_PAGE = """\
<!DOCTYPE html>
<html lang="id"><head><meta charset="utf-8"><title>Portal kota</title></head>
<body><h1>Portal kota</h1><p><a href="/pengaduan">Keadaan layanan pengaduan</a></p></body></html>
"""

_SITE = """\
server {
    listen 80;
    root /srv/portal;
    location = /pengaduan {
        proxy_pass http://@ADDRESS@/health;
        proxy_connect_timeout 2s;
        proxy_read_timeout 5s;
    }
}
"""


class Portal(Application):
    """nginx alone. Its recovery tells it where the other service is at the recovery site."""

    needed: ClassVar[str] = "pengaduan"

    def serves(self, service: LabService) -> bool:
        return service.id == "portal" and list(service.declared.get("depends_on", ())) == [self.needed]

    def entries(self, service: LabService, plan: LabPlan) -> list[Entry]:
        needed = plan.service(self.needed)
        host = service.host if needed is None else needed.host
        address = next(item.address for item in plan.hosts if item.name == host)
        return [
            folder("/srv/portal"),
            Entry("/srv/portal/index.html", _PAGE.encode()),
            Entry("/etc/nginx/sites-available/portal", _SITE.replace("@ADDRESS@", address).encode()),
            link("/etc/nginx/sites-enabled/portal", "/etc/nginx/sites-available/portal"),
        ]

    def script(self, service: LabService) -> str:
        del service
        return f"head -c {ARCHIVE_BYTES} /dev/urandom >/srv/portal/dokumen.bin\nservice nginx restart >/dev/null\n"
