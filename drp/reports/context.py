"""The names that a report shows beside its figures, taken from the workspace."""

from __future__ import annotations

from drp.domain.inventory import City
from drp.domain.people import owner_name
from drp.domain.recovery.run import Recovery
from drp.reports.model import ReportContext, ServiceContext


def context_of(city: City, recovery: Recovery) -> ReportContext:
    """The workspace's names for people. A runbook that is gone since is shown by its id."""
    workspace = city.workspace
    runbook = city.runbooks.get(recovery.plan.runbook)
    return ReportContext(
        organisation=workspace.organisation.name,
        time_zone=workspace.organisation.time_zone,
        services={
            service.id: ServiceContext(
                title=service.title.en,
                agency=workspace.agencies[service.agency].title,
                owner=owner_name(city, service),
            )
            for service in city.services.values()
        },
        runbook_title=runbook.title.en if runbook else recovery.plan.runbook,
        runbook_purpose=runbook.purpose.en if runbook else "",
        primary_site=workspace.sites.primary.title,
        recovery_site=workspace.sites.recovery.title,
        dr_centres={name: centre.title for name, centre in workspace.dr_centres.items()},
    )
