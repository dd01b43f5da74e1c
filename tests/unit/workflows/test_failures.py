"""What a failed task of a playbook means."""

from __future__ import annotations

import pytest

from drp.domain.recovery.plan import Step
from drp.workflows.failures import failure_of
from tests.fakes.city import NOW
from tests.fakes.world import task


@pytest.mark.parametrize(
    ("text", "kind", "meant"),
    [
        ("web could not be started: service ended with 1", "unit", "unit"),
        ("the host: No space left on device", "isolation", "no_space"),
        ("Module failed: [Errno 2] No usable temporary directory found in ['/tmp']", "", "no_space"),
        ("something else", "", "task"),
    ],
)
def test_a_full_disk_is_named_whatever_fails_of_it_first(text: str, kind: str, meant: str) -> None:
    message = {**task("drc", "services : Start the services", NOW, "failed"), "error": text, "kind": kind}
    found = failure_of(Step("pengaduan/activate", "pengaduan", "activate", ()), [message])
    assert found is not None
    assert (found.kind, found.host) == (meant, "drc")
    assert text in str(found)
