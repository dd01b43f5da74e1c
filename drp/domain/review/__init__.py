"""What is valid in a workspace, and yet worth a second look: each warning with its place and what to do about it.

Nothing here stops a command. Each concern is a function of its own, in the modules `review_*` beside this one.
"""

from __future__ import annotations

from datetime import date

from drp.domain.findings import Finding
from drp.domain.inventory import City
from drp.domain.review.objectives import review_objectives
from drp.domain.review.overlaps import review_overlaps
from drp.domain.review.people import review_people
from drp.domain.review.registers import review_registers
from drp.domain.review.services import review_services
from drp.domain.review.sites import review_sites


def review(city: City, today: date) -> list[Finding]:
    """All warnings about a city that has no faults. `today` is the day in the organisation's time zone."""
    return [
        *review_services(city),
        *review_overlaps(city),
        *review_objectives(city, today),
        *review_sites(city, today),
        *review_registers(city, today),
        *review_people(city),
    ]
