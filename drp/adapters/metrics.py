"""The figures of the protection for Prometheus: a text file for node_exporter, and a push gateway."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from drp.domain.backups.settings import Metrics

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from drp.domain.protection.status import ProtectionStatus

PUSH_LIMIT_SECONDS = 5.0
READABLE_BY_ALL = 0o644
"""node_exporter runs as a user of its own; the figures hold no secret."""

JOB = "drp"

_GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "drp_backup_up": ("1 where nothing of the service's protection is in breach, 0 where something is.", ()),
    "drp_backup_status_timestamp_seconds": ("When these figures were reckoned.", ()),
    "drp_backup_data_age_seconds": (
        "What a disaster at that moment would have cost: the age of the newest data at the DR centre.",
        ("dr_centre",),
    ),
    "drp_backup_data_timestamp_seconds": ("From when the newest data at the DR centre is.", ("dr_centre",)),
    "drp_backup_last_arrival_timestamp_seconds": (
        "When the newest restore point had arrived at the DR centre.",
        ("dr_centre",),
    ),
    "drp_backup_rpo_seconds": ("How old the data at the DR centre may be.", ()),
    "drp_backup_worst_gap_seconds": ("The longest time between data times in 30 days, the open one included.", ()),
    "drp_backup_restore_point_bytes": ("The size of the newest restore point's data.", ()),
    "drp_backup_last_check_timestamp_seconds": ("When a repository was checked last.", ("dr_centre", "host")),
    "drp_backup_bad_parts": ("Parts of a repository that were found bad and not good since.", ("dr_centre", "host")),
    "drp_backup_everything_checked_timestamp_seconds": (
        "Since when all parts of a repository were found good.",
        ("dr_centre", "host"),
    ),
    "drp_backup_last_proof_timestamp_seconds": ("When a dataset was last restored and found right.", ("dataset",)),
    "drp_backup_failed_attempts": ("Backups that failed since the last good one.", ()),
    "drp_backup_failed_copies": ("Copies to a DR centre that failed since the last good one.", ("dr_centre",)),
    "drp_backup_missed": ("1 where a backup of the schedule was missed.", ()),
}
"""What each figure means, and its labels besides the service. What is not known is left out: 0 would be a lie."""

Sample = tuple[str, tuple[str, ...], float]
"""A figure's name, its labels' values after the service's, and its value."""


class PrometheusFigures:
    """Implements `drp.ports.Figures`. A relative text file is one of the workspace."""

    def __init__(self, workspace: Path, settings: Metrics | None) -> None:
        self.workspace, self.settings = workspace, settings

    def is_wanted(self) -> bool:
        return self.settings is not None and bool(self.settings.textfile or self.settings.push_gateway)

    def publish(self, statuses: Sequence[ProtectionStatus]) -> list[str]:
        """Write and push, as the settings say; what could not be done, a line each."""
        if self.settings is None or not self.is_wanted():
            return []
        registry = registry_of(statuses)
        failures = []
        if self.settings.textfile:
            path = self.workspace / self.settings.textfile
            try:
                _write(path, text_of(registry))
            except OSError as error:
                failures.append(f"metrics: {path} cannot be written: {error.strerror or type(error).__name__}")
        if self.settings.push_gateway:
            failure = _within_limit(self._push(self.settings.push_gateway, registry))
            if failure:
                failures.append(f"metrics: the push gateway {self.settings.push_gateway} {failure}")
        return failures

    def _push(self, gateway: str, registry: CollectorRegistry) -> Callable[[], None]:
        from prometheus_client import push_to_gateway

        group = {"instance": socket.gethostname(), "workspace": self.workspace.name or "root"}
        return lambda: push_to_gateway(
            gateway, job=JOB, registry=registry, grouping_key=group, timeout=PUSH_LIMIT_SECONDS
        )


def registry_of(statuses: Sequence[ProtectionStatus]) -> CollectorRegistry:
    """The figures in a registry of their own: nothing of this process is among them."""
    from prometheus_client import CollectorRegistry, Gauge

    registry = CollectorRegistry()
    gauges = {
        name: Gauge(name, text, ("service", *labels), registry=registry) for name, (text, labels) in _GAUGES.items()
    }
    for status in statuses:
        for name, labels, value in _samples(status):
            gauges[name].labels(status.service, *labels).set(value)
    return registry


def text_of(registry: CollectorRegistry) -> bytes:
    from prometheus_client import generate_latest

    return generate_latest(registry)


def _samples(status: ProtectionStatus) -> Iterator[Sample]:
    yield "drp_backup_up", (), 0.0 if status.is_breached else 1.0
    yield "drp_backup_status_timestamp_seconds", (), status.at.timestamp()
    for centre in status.centres:
        if centre.held is not None and centre.age is not None:
            place = (centre.dr_centre,)
            yield "drp_backup_data_age_seconds", place, centre.age.total_seconds()
            yield "drp_backup_data_timestamp_seconds", place, centre.held.sentinel_at.timestamp()
            yield "drp_backup_last_arrival_timestamp_seconds", place, centre.held.arrived_at.timestamp()
        if centre.is_copy:
            failures = 0 if centre.state is None else centre.state.failures
            yield "drp_backup_failed_copies", (centre.dr_centre,), float(failures)
    if status.rpo is not None:
        yield "drp_backup_rpo_seconds", (), status.rpo.total_seconds()
    if status.gap is not None:
        yield "drp_backup_worst_gap_seconds", (), status.gap.between.total_seconds()
    if status.size is not None:
        yield "drp_backup_restore_point_bytes", (), float(status.size)
    yield from _check_samples(status)
    for proof in status.proofs:
        if proof.proof is not None:
            yield "drp_backup_last_proof_timestamp_seconds", (proof.dataset,), proof.proof.proved_at.timestamp()
    yield "drp_backup_failed_attempts", (), float(status.attempts.failures)
    yield "drp_backup_missed", (), 0.0 if status.missed_at is None else 1.0


def _check_samples(status: ProtectionStatus) -> Iterable[Sample]:
    for check in status.checks:
        place = (check.dr_centre, check.host)
        yield "drp_backup_bad_parts", place, float(len(check.bad))
        if check.last is not None:
            yield "drp_backup_last_check_timestamp_seconds", place, check.last.checked_at.timestamp()
        if check.covered_since is not None:
            yield "drp_backup_everything_checked_timestamp_seconds", place, check.covered_since.timestamp()


def _write(path: Path, content: bytes) -> None:
    """Put a whole file in the place of the old one: whoever reads never sees half of it. Its name while it is written
    does not end in .prom, so that node_exporter passes it over."""
    new = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.new")
    number = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), READABLE_BY_ALL)
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _within_limit(action: Callable[[], None]) -> str:
    """Do it, and say why not. A gateway that sends its answer byte by byte is not waited for either: each byte starts
    the time limit of a connection anew."""
    failure = ["gave no answer in time"]

    def attempt() -> None:
        try:
            action()
            failure[0] = ""
        except Exception as error:  # noqa: BLE001 - whatever becomes of figures, the backup stays as good as it was
            code, reason = getattr(error, "code", None), getattr(error, "reason", None) or error
            failure[0] = f"took nothing: {f'HTTP {code}' if code else str(reason)[:200] or type(error).__name__}"

    thread = threading.Thread(target=attempt, name="push of figures", daemon=True)
    thread.start()
    thread.join(PUSH_LIMIT_SECONDS)
    return failure[0]
