"""What the citizens of a lab were told is stored, compared with what their services hold after a recovery, and with
what drp says of the loss."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from drp.lab.client import Writer
from drp.lab.plan import LabNames, names_of
from drp.lab.services import writer_of
from drp.lab.state import load

ANSWER_SECONDS, AGAIN_SECONDS = 60, 60
NOT_HELD = (404, 500)
"""What an application answers of a write that it has not: no row, or a row without its file."""


@dataclass(frozen=True)
class Write:
    """One line of a record: what was acknowledged to a citizen, and when."""

    id: str
    sha256: str
    at: datetime


def time_of(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp).astimezone(UTC)


def writers_of(workspace: Path) -> dict[str, Writer]:
    """The services of a lab that are written to."""
    names: LabNames = names_of(workspace)
    state = load(names)
    assert state is not None, "there is no lab"
    found = {service.id: writer_of(names, service) for service in state.plan.services if service.id in state.clients}
    return {service: writer for service, writer in found.items() if writer is not None}


def acknowledged(writer: Writer) -> list[Write]:
    """All that was acknowledged until now, in the order of its acknowledgement."""
    path = Path(writer.record)
    # A line that is being written has no end yet.
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    read = [json.loads(line) for line in lines]
    return [Write(str(item["id"]), item["message_sha256"], time_of(item["acknowledged_at"])) for item in read]


def missing(writer: Writer, writes: Iterable[Write]) -> list[Write]:
    """Those of `writes` that the service does not give back as they were, when it is asked for each of them.

    A service that cannot be asked is an AssertionError, and no loss.
    """
    pattern = re.compile(re.escape(writer.citizens.phrase) + " [0-9a-f]{32}")
    found = []
    with contextlib.closing(http.client.HTTPConnection(writer.address, writer.port, timeout=ANSWER_SECONDS)) as asked:
        for write in writes:
            texts = pattern.findall(_read(asked, writer, write))
            if write.sha256 not in (hashlib.sha256(text.encode()).hexdigest() for text in texts):
                found.append(write)
    return found


def _read(connection: http.client.HTTPConnection, writer: Writer, write: Write) -> str:
    path, end = writer.citizens.found_at.format(key=write.id), time.monotonic() + AGAIN_SECONDS
    while True:
        said: object = "nothing"
        try:
            connection.request("GET", path, headers={"Host": writer.host_name})
            answer = connection.getresponse()
            text, said = answer.read().decode(), answer.status
            if answer.status == 200:
                return text
            if answer.status in NOT_HELD:
                return ""
        except (OSError, http.client.HTTPException) as fault:
            said = fault
            connection.close()
        assert time.monotonic() < end, f"{writer.host_name} cannot be asked for {path}: {said}"
        time.sleep(0.2)


def missing_of_all(writers: Mapping[str, Writer], writes: Mapping[str, Sequence[Write]]) -> dict[str, list[Write]]:
    """`missing` of several services, some at once."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        asked = {name: pool.submit(missing, writer, writes[name]) for name, writer in writers.items()}
    return {name: result.result() for name, result in asked.items()}


@dataclass(frozen=True)
class Comparison:
    """A service after a site loss at `disaster`. `lost` was acknowledged, and is not there. `tb` and `t0` are drp's
    marks, `until_dumped` is from the sentinel to the arrival of the backup that was recovered."""

    service: str
    disaster: datetime
    writes: Sequence[Write]
    lost: Sequence[Write]
    tb: datetime
    t0: datetime
    t0_uncertainty: timedelta
    until_dumped: timedelta
    before: Sequence[Write] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "before", [write for write in self.writes if write.at <= self.disaster])

    @property
    def oldest_lost(self) -> datetime | None:
        return min((write.at for write in self.lost), default=None)

    @property
    def true_loss(self) -> timedelta:
        """From the oldest write that is lost to the disaster; nothing where none is."""
        return self.disaster - (self.oldest_lost or self.disaster)

    @property
    def rpa(self) -> timedelta:
        return self.t0 - self.tb

    @property
    def overstated(self) -> timedelta:
        return self.rpa - self.true_loss

    @property
    def pause(self) -> timedelta:
        """The longest time in which nothing was written: a loss shows only in writes."""
        moments = [*(write.at for write in self.before), self.disaster]
        return max((later - sooner for sooner, later in pairwise(moments)), default=timedelta())

    @property
    def allowance(self) -> timedelta:
        """How far RPA may exceed the true loss: the dump is taken at some moment between the sentinel and its arrival,
        what was not written is no loss, and the probe may see the disaster late."""
        return self.until_dumped + self.pause + max(self.t0 - self.disaster, timedelta())

    @property
    def faults(self) -> list[str]:
        """What is not as it should be; empty where drp and the citizens agree."""
        found = []
        old = [write for write in self.lost if write.at <= self.tb]
        if old:
            found.append(
                f"{len(old)} lost writes are older than Tb ({self.tb}), the oldest of {min(w.at for w in old)}"
            )
        after = [write for write in self.lost if write.at > self.disaster]
        if after:
            found.append(f"{len(after)} writes of after the disaster are lost")
        if not any(write.at <= self.tb for write in self.before):
            found.append("nothing was written before Tb, so nothing is shown of it")
        if self.rpa < self.true_loss:
            found.append(f"RPA {self.rpa} is less than the true loss {self.true_loss}")
        if self.overstated > self.allowance:
            found.append(f"RPA {self.rpa} exceeds the true loss {self.true_loss} by more than {self.allowance}")
        if self.t0 - self.disaster > self.t0_uncertainty:
            found.append(f"T0 is {self.t0 - self.disaster} late, which is more than its uncertainty")
        return found


def compare(
    service: str, disaster: datetime, writes: Sequence[Write], lost: Sequence[Write], run: Mapping[str, Any]
) -> Comparison:
    """Compare a service's citizens with a run's report: its JSON, with `plan` and `events`."""
    marks = {
        event["body"]["mark"]: event["body"]
        for event in run["events"]
        if event["type"] == "mark" and event["body"]["service"] == service
    }
    point = run["plan"]["services"][service]["restore_point"]
    return Comparison(
        service=service,
        disaster=disaster,
        writes=writes,
        lost=lost,
        tb=time_of(marks["Tb"]["at"]),
        t0=time_of(marks["T0"]["at"]),
        t0_uncertainty=timedelta(milliseconds=marks["T0"]["uncertainty_ms"]),
        until_dumped=time_of(point["arrived_at"]) - time_of(point["sentinel_at"]),
    )
