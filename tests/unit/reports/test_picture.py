"""The time line: labels apart, nothing outside, whatever the marks."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from drp.reports.document import Document
from drp.reports.picture import WIDTH, draw, spread
from drp.reports.wording import LocalTime

Documents = Callable[[str], Document]


def drawn(document: Document) -> list[str]:
    local = LocalTime(document.context.time_zone)
    last = document.control.last_event_at
    return [
        draw(service, service.service, local, identifier=f"p{number}", last_event_at=last)
        for number, service in enumerate(document.services)
    ]


@given(st.lists(st.floats(236, 984), min_size=1, max_size=7).map(sorted))
def test_labels_never_meet_and_stay_inside(positions: list[float]) -> None:
    centres = spread(positions, 100, 222, 998)
    assert all(second - first >= 99.999 for first, second in pairwise(centres))
    assert centres[0] >= 222 + 50 - 0.001
    assert centres[-1] <= 998 - 50 + 0.001


def test_texts_of_a_picture_do_not_lie_on_each_other(document: Documents, scenario: str) -> None:
    """Boxes from a generous estimate of the width of a character."""
    pattern = re.compile(r'<text x="([-\d.]+)" y="([-\d.]+)" text-anchor="(\w+)"[^>]*>([^<]*)</text>')
    for picture in drawn(document(scenario)):
        boxes = []
        for x, y, anchor, content in pattern.findall(picture):
            width = 7.2 * len(content.replace("&gt;", ">").replace("&lt;", "<"))
            left = float(x) - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
            boxes.append((left, left + width, float(y) - 11, float(y) + 1, content))
        for number, first in enumerate(boxes):
            assert first[1] <= WIDTH + 12, first
            for second in boxes[number + 1 :]:
                apart = first[1] <= second[0] or second[1] <= first[0] or first[3] <= second[2] or second[3] <= first[2]
                assert apart, (first, second)


def test_without_t0_there_is_a_note_in_its_place(document: Documents) -> None:
    assert "T0 was not measured" in drawn(document("nothing_measured"))[0]


def test_a_limit_far_away_does_not_squeeze_the_recovery(document: Documents) -> None:
    assert "far beyond this picture" in drawn(document("within_a_second"))[0]
    assert "limit: RTO 5 m" in drawn(document("met"))[0]


def test_lost_data_has_a_scale_of_its_own(document: Documents) -> None:
    picture = drawn(document("within_a_second"))[0]
    assert "a scale of its own" in picture
    assert "RPA 12 h" in picture
