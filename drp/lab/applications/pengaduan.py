"""The service of the demonstration: public complaints. Its files are in `drp.lab.pengaduan`."""

from __future__ import annotations

from typing import Any, ClassVar

from drp.lab.applications.base import Application, Entry, folder, link, resource
from drp.lab.client import Citizens
from drp.lab.plan import LabPlan, LabService

SEED_COMPLAINTS = 200
_ACCOUNT_ID = 812
_PACKAGE = "drp.lab.pengaduan"

_FILES = {
    "/srv/pengaduan/app/pengaduan.py": ("application.py", 0o644),
    "/srv/pengaduan/app/schema.sql": ("schema.sql", 0o644),
    "/etc/pengaduan/pengaduan.ini": ("pengaduan.ini", 0o644),
    "/etc/init.d/pengaduan": ("pengaduan.init", 0o755),
    "/etc/systemd/system/pengaduan.service": ("pengaduan.service", 0o644),
    "/etc/nginx/sites-available/pengaduan": ("pengaduan.nginx", 0o644),
    "/run/seed.py": ("seed.py", 0o644),
}


class Pengaduan(Application):
    """Citizens write complaints with photographs, and read them back."""

    citizens: ClassVar[Citizens | None] = Citizens(
        request="POST /complaints",
        found_at="/complaints/{key}",
        phrase="Pengaduan warga",
        fields={"name": "Warga Bogor", "subject": "Pengaduan ke-{number}", "message": "{text}"},
        numbered=True,
        attachment_every=10,
        per_second=5,
    )

    @property
    def own_check(self) -> dict[str, Any]:
        return {"id": "health", "type": "http", "steps": [{"request": "GET /health"}]}

    def serves(self, service: LabService) -> bool:
        return service.id == "pengaduan"

    def accounts(self, service: LabService) -> list[dict[str, Any]]:
        del service
        return [{"name": "pengaduan", "uid": _ACCOUNT_ID, "home": "/srv/pengaduan"}]

    def entries(self, service: LabService, plan: LabPlan) -> list[Entry]:
        del service, plan
        return [
            folder("/srv/pengaduan"),
            folder("/srv/pengaduan/app"),
            folder("/srv/pengaduan/uploads", _ACCOUNT_ID),
            *(Entry(path, resource(_PACKAGE, source), mode) for path, (source, mode) in _FILES.items()),
            link("/etc/nginx/sites-enabled/pengaduan", "/etc/nginx/sites-available/pengaduan"),
        ]

    def script(self, service: LabService) -> str:
        del service
        return resource(_PACKAGE, "install.sh", {"COMPLAINTS": SEED_COMPLAINTS}).decode()

    def interface(self, service: LabService) -> str:
        return f"http://{service.name}/health"
