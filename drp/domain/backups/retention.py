"""Which restore points stay and which go. What the policy would keep says restic itself; here it is only guarded."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from drp.domain.backups.record import Proof
from drp.domain.backups.restore_point import RestorePoint
from drp.domain.backups.settings import BackupDefaults, Retention
from drp.domain.inventory import Tier
from drp.domain.service import Service
from drp.domain.values import from_stamp, show_duration
from drp.errors import IntegrityError

RESIDUE_STAYS = timedelta(days=2)
"""How long the snapshots of a failed run stay, for whoever wants to find out why it failed."""

_HINT = "nothing was removed; look at the repository with restic, and at the run's files under var/runs"


@dataclass(frozen=True, slots=True)
class Listed:
    """A snapshot as the repository lists it."""

    id: str
    host: str
    tags: frozenset[str]
    at: datetime

    def tagged(self, name: str) -> str | None:
        """The value of a tag `name:value`."""
        return next((tag.partition(":")[2] for tag in sorted(self.tags) if tag.startswith(f"{name}:")), None)


@dataclass(frozen=True, slots=True)
class PartAnswer:
    """What restic would keep and remove of the snapshots of one part of a dataset, newest first."""

    dataset: str
    part: str
    keep: tuple[str, ...]
    remove: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RepositoryView:
    """A repository as it was read: all its snapshots, and restic's own answer for each part."""

    host: str
    url: str
    snapshots: tuple[Listed, ...]
    parts: tuple[PartAnswer, ...]

    @classmethod
    def from_result(cls, host: str, url: str, result: Mapping[str, Any]) -> RepositoryView:
        """Of what the program on the host found (verb `forget_plan`)."""
        return cls(
            host,
            url,
            tuple(
                Listed(item["id"], item["host"], frozenset(item["tags"]), from_stamp(item["time"]))
                for item in result["snapshots"]
            ),
            tuple(
                PartAnswer(part["dataset"], part["part"], tuple(part["keep"]), tuple(part["remove"]))
                for part in result["parts"]
            ),
        )


@dataclass(frozen=True, slots=True)
class RunFate:
    """What became of the backup run that a snapshot is of. `forgotten`: its restore point was given up before, and this
    is what is left of it."""

    is_open: bool
    is_done: bool
    closed_at: datetime | None
    is_forgotten: bool = False


@dataclass(frozen=True, slots=True)
class Guards:
    """What keeps a restore point whatever the policy says. `held` is of those on legal hold, with the reason; `copied`
    holds for each declared other DR centre what has arrived there."""

    held: Mapping[str, str]
    proven: Collection[str]
    copied: Mapping[str, Collection[str]]


@dataclass(frozen=True, slots=True)
class PointDecision:
    """Whether a restore point stays, and why. `missing` are its snapshots that its repository does not list."""

    id: str
    site: str
    sentinel_at: datetime
    stays: bool
    reasons: tuple[str, ...]
    missing: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        return {"id": self.id, "stays": self.stays, "reasons": list(self.reasons), "missing": list(self.missing)}


@dataclass(frozen=True, slots=True)
class Decision:
    """What a forget does: the restore points; by host the snapshots to forget; and snapshots that are never touched,
    with the reason."""

    points: tuple[PointDecision, ...]
    forget: Mapping[str, tuple[str, ...]]
    residue: int
    untouched: Mapping[str, str]


def policy_of(
    service: Service, tiers: Mapping[str, Tier], defaults: BackupDefaults
) -> tuple[Retention, str] | tuple[None, str]:
    """The retention of a service and where it is declared."""
    if service.backup is not None and service.backup.retention is not None:
        return service.backup.retention, "its own backup.retention"
    tier = tiers.get(service.tier) if service.tier else None
    if tier is not None and tier.retention is not None:
        return tier.retention, f"retention of tier {service.tier}"
    if defaults.retention is not None:
        return defaults.retention, "backups.retention in drp.yaml"
    return None, "no retention is declared, so nothing is ever removed"


def policy_arguments(policy: Retention) -> list[str]:
    """The policy in restic's words. Tags to keep are not among them: restic 0.14 takes one that no snapshot has as
    leave to remove everything; they are guarded by `decide`."""
    arguments = []
    if policy.keep_within is not None:
        hours = max(1, ceil(policy.keep_within / timedelta(hours=1)))
        arguments += ["--keep-within", f"{hours // 24}d{hours % 24}h"]
    for name in ("last", "hourly", "daily", "weekly", "monthly", "yearly"):
        count = getattr(policy, name)
        if count is not None:
            arguments += [f"--keep-{name}", str(count)]
    return arguments


def newest_proven(points: Sequence[RestorePoint], proofs: Sequence[Proof]) -> frozenset[str]:
    """Of each dataset the newest restore point that a restore has proved."""
    at = {point.id: point.sentinel_at for point in points}
    newest: dict[str, str] = {}
    for proof in proofs:
        known = newest.get(proof.dataset)
        if proof.restore_point in at and (known is None or at[proof.restore_point] > at[known]):
            newest[proof.dataset] = proof.restore_point
    return frozenset(newest.values())


def decide(
    policy: Retention,
    points: Sequence[RestorePoint],
    views: Sequence[RepositoryView],
    fates: Mapping[str, RunFate],
    guards: Guards,
    now: datetime,
    *,
    stranded: Sequence[RestorePoint] = (),
) -> Decision:
    """Decide about every restore point and every snapshot. IntegrityError where restic's answer cannot be believed.

    A restore point stays as a whole, or goes as a whole. `fates` is of the runs that have snapshots but no restore
    point; a run that is not in it is unknown, and its snapshots are not touched. `stranded` are what failbacks have
    kept: no policy counts them, and only their own age lets them go.
    """
    for view in views:
        _believe(view, points)
    kept = {snapshot for view in views for snapshot in _kept_by_policy(view, points)}
    listed = {snapshot.id: snapshot for view in views for snapshot in view.snapshots}
    minimum = _newest_whole(policy, points, listed)
    decisions = [
        _decide_point(policy, point, views, listed, kept, minimum, points, guards, now)
        for point in sorted(points, key=lambda point: point.sentinel_at, reverse=True)
    ]
    decisions += [_decide_stranded(policy, point, views, listed, guards, now) for point in stranded]
    going = {decision.id for decision in decisions if not decision.stays}
    known = [*points, *stranded]
    leaving = {item.snapshot for point in known if point.id in going for item in point.snapshots}
    staying = {item.snapshot for point in known if point.id not in going for item in point.snapshots}
    forget: dict[str, tuple[str, ...]] = {}
    untouched: dict[str, str] = {}
    residue = 0
    for view in views:
        chosen = []
        for snapshot in view.snapshots:
            if snapshot.id in staying:
                continue
            reason = _untouchable(snapshot, view, known)
            if reason is None and snapshot.id not in leaving:
                reason = _not_residue(snapshot, fates, now)
                residue += reason is None
            if reason is None:
                chosen.append(snapshot.id)
            else:
                untouched[snapshot.id] = reason
        forget[view.host] = tuple(chosen)
    _hold_the_minimum(policy, points, decisions, listed)
    return Decision(tuple(decisions), forget, residue, untouched)


def _believe(view: RepositoryView, points: Sequence[RestorePoint]) -> None:
    """Refuse an answer that is empty, incomplete, or keeps nothing: no policy that drp accepts does that."""
    expected = [point for point in points if point.repositories.get(view.host) == view.url]
    if expected and not view.snapshots:
        text = f"the repository of {view.host} lists no snapshot, but {len(expected)} restore points are recorded there"
        raise IntegrityError(text, where=view.url, hint=_HINT)
    ours = {snapshot.id for snapshot in view.snapshots}
    for part in view.parts:
        name = f"{view.host}, {part.dataset}/{part.part}"
        if set(part.keep) & set(part.remove) or not {*part.keep, *part.remove} <= ours:
            text = "restic's plan names snapshots twice, or some that are not there"
            raise IntegrityError(text, where=name, hint=_HINT)
        if part.remove and not part.keep:
            text = f"restic would keep none of {len(part.remove)} snapshots; that is refused"
            raise IntegrityError(text, where=name, hint="nothing was removed; correct the retention")


def _kept_by_policy(view: RepositoryView, points: Sequence[RestorePoint]) -> set[str]:
    """What restic keeps. Where it keeps a snapshot of a failed run, that took the place of a good one: then the next
    older good one stays for it."""
    good = {item.snapshot for point in points for item in point.snapshots}
    at = {snapshot.id: snapshot.at for snapshot in view.snapshots}
    kept: set[str] = set()
    for part in view.parts:
        keep = set(part.keep)
        newest_first = sorted((*part.keep, *part.remove), key=lambda id_: at[id_], reverse=True)
        owed = 0
        for snapshot in newest_first:
            if snapshot not in good:
                owed += snapshot in keep
            elif snapshot not in keep and owed:
                owed -= 1
                keep.add(snapshot)
        kept |= keep & good
    return kept


def _newest_whole(policy: Retention, points: Sequence[RestorePoint], listed: Mapping[str, Listed]) -> set[str]:
    """The newest restore points of each site, as many as must stay; one that lacks a snapshot does not count."""
    found: set[str] = set()
    for site in {point.site for point in points}:
        whole = [point for point in points if point.site == site and not _missing(point, listed)]
        whole.sort(key=lambda point: point.sentinel_at, reverse=True)
        found |= {point.id for point in whole[: policy.minimum_points]}
    return found


def _missing(point: RestorePoint, listed: Mapping[str, Listed]) -> tuple[str, ...]:
    return tuple(item.snapshot for item in point.snapshots if item.snapshot not in listed)


def _decide_point(
    policy: Retention,
    point: RestorePoint,
    views: Sequence[RepositoryView],
    listed: Mapping[str, Listed],
    kept: Collection[str],
    minimum: Collection[str],
    points: Sequence[RestorePoint],
    guards: Guards,
    now: datetime,
) -> PointDecision:
    missing, reasons = _where_it_lies(point, views, listed)
    if any(item.snapshot in kept for item in point.snapshots):
        reasons.append("policy")
    if point.id in minimum:
        reasons.append(f"among the newest {policy.minimum_points}")
    if now - point.sentinel_at < policy.minimum_age:
        reasons.append("younger than the minimum age")
    reasons += _holds(policy, point, listed, guards)
    if point.id in guards.proven:
        reasons.append("the newest that a restore has proved")
    reasons += [
        f"not copied to {centre} yet" for centre, there in guards.copied.items() if _waits(point, points, there)
    ]
    return PointDecision(
        point.id, point.site, point.sentinel_at, bool(reasons), tuple(reasons) or ("the policy lets it go",), missing
    )


def _decide_stranded(
    policy: Retention,
    point: RestorePoint,
    views: Sequence[RepositoryView],
    listed: Mapping[str, Listed],
    guards: Guards,
    now: datetime,
) -> PointDecision:
    """What a failback has kept: people decide how long it is wanted, for nothing ever recovers from it by itself."""
    missing, reasons = _where_it_lies(point, views, listed)
    if policy.stranded is None:
        reasons.append("kept by a failback, for ever")
    elif now - point.sentinel_at < max(policy.stranded, policy.minimum_age):
        reasons.append(f"kept by a failback, for {show_duration(max(policy.stranded, policy.minimum_age))}")
    reasons += _holds(policy, point, listed, guards)
    gone = ("kept by a failback, long enough",)
    return PointDecision(point.id, point.site, point.sentinel_at, bool(reasons), tuple(reasons) or gone, missing)


def _where_it_lies(
    point: RestorePoint, views: Sequence[RepositoryView], listed: Mapping[str, Listed]
) -> tuple[tuple[str, ...], list[str]]:
    """The snapshots of a restore point that are missing; and why it stays for where it lies."""
    read = {(view.host, view.url) for view in views}
    elsewhere = [host for host, url in point.repositories.items() if (host, url) not in read]
    if elsewhere:
        return (), [f"in a repository that is not looked after any more: {', '.join(elsewhere)}"]
    missing = _missing(point, listed)
    return missing, [f"{len(missing)} of its {len(point.snapshots)} snapshots are missing"] if missing else []


def _holds(policy: Retention, point: RestorePoint, listed: Mapping[str, Listed], guards: Guards) -> list[str]:
    reasons = [f"on hold: {guards.held[point.id]}"] if point.id in guards.held else []
    tags = {tag for item in point.snapshots if item.snapshot in listed for tag in listed[item.snapshot].tags}
    return reasons + [f"has the tag {tag}" for tag in policy.keep_tags if tag in tags]


def _waits(point: RestorePoint, points: Sequence[RestorePoint], copied: Collection[str]) -> bool:
    """Whether it is still to be copied: it is not there, and newer than all that are. Older ones were left out."""
    if point.id in copied:
        return False
    newest = max((other.sentinel_at for other in points if other.id in copied), default=None)
    return newest is None or point.sentinel_at > newest


def _untouchable(snapshot: Listed, view: RepositoryView, points: Sequence[RestorePoint]) -> str | None:
    """Why a snapshot is none of this service's on this host; None where it is one."""
    services = {point.service for point in points}
    if "drp" not in snapshot.tags:
        return "not drp's"
    if snapshot.host != view.host:
        return f"of another host: {snapshot.host}"
    if snapshot.tagged("service") not in services:
        return f"of another service: {snapshot.tagged('service')}"
    return None


def _not_residue(snapshot: Listed, fates: Mapping[str, RunFate], now: datetime) -> str | None:
    """Why a snapshot without a restore point stays; None where its run is known to have come to nothing long ago."""
    run = snapshot.tagged("run")
    fate = None if run is None else fates.get(run)
    if fate is None:
        return "of a run that this ledger does not know"
    if fate.is_open or fate.closed_at is None:
        return "of a run that has not ended"
    if fate.is_forgotten:
        return None
    if fate.is_done:
        return "of a restore point that this ledger does not count any more"
    if now - fate.closed_at < RESIDUE_STAYS:
        return "of a run that failed less than 2 days ago"
    return None


def _hold_the_minimum(
    policy: Retention,
    points: Sequence[RestorePoint],
    decisions: Sequence[PointDecision],
    listed: Mapping[str, Listed],
) -> None:
    """A last look at the outcome itself, however it came about."""
    for site in {point.site for point in points}:
        whole = {point.id for point in points if point.site == site and not _missing(point, listed)}
        left = [decision for decision in decisions if decision.stays and decision.id in whole]
        if len(left) < min(policy.minimum_points, len(whole)):
            text = f"only {len(left)} restore points would be left of site {site}; that is refused"
            raise IntegrityError(text, hint=_HINT)
