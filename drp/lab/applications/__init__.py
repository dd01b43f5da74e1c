"""The programs that the lab can put on its hosts. A new one is a module here, named in `APPLICATIONS`.

Which one serves a service follows from what the service's own file declares; the first that fits takes it.
"""

from __future__ import annotations

from collections.abc import Iterable

from drp.lab.applications.base import Application
from drp.lab.applications.city import CityApplication, CityApplicationOnMariadb
from drp.lab.applications.debian import DEBIAN_APPLICATIONS
from drp.lab.applications.pengaduan import Pengaduan
from drp.lab.applications.portal import Portal
from drp.lab.plan import LabService

APPLICATIONS: tuple[Application, ...] = (
    Pengaduan(),
    Portal(),
    *DEBIAN_APPLICATIONS,
    CityApplication(),
    CityApplicationOnMariadb(),
)


def application_of(service: LabService) -> Application | None:
    """The program for a service; None where the lab has none, and its host stays as an administrator prepares it."""
    return next((application for application in APPLICATIONS if application.serves(service)), None)


def programs_of(services: Iterable[LabService]) -> dict[str, str]:
    """What the hosts of services need beside the programs of every lab: path → Debian package."""
    found: dict[str, str] = {}
    for service in services:
        application = application_of(service)
        found |= application.programs if application is not None else {}
    return found
