"""Check a service's copies at other DR centres, from the control node: what is not there, and by turns all that is.

Nothing there is opened: each object but `config` has the SHA-256 of its content for a name. So a copy can be checked
while its source is away, and with no host that could run restic.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from drp.domain.backups.copy_checking import CONFIG, Compared, Structure, compare_structure, newest_copied, turn_keys
from drp.domain.backups.copying import LIST_ORDER, StoredObject, kind_of
from drp.domain.backups.restore_point import RestorePoint
from drp.domain.backups.settings import CopySettings
from drp.domain.events import Body
from drp.domain.inventory import DrCentre
from drp.domain.protection.gaps import backup_of
from drp.domain.service import Service
from drp.domain.values import show_size
from drp.errors import DrpError, IntegrityError, UnreachableError
from drp.ports import World
from drp.workflows.check_turn import turn_of
from drp.workflows.repository import centre_of, points_at, prefix_of

SAY_EVERY_SECONDS = 5
MOST_NAMES = 1_000
"""So many names of missing or damaged objects go into the ledger; how many there are, its text says."""
NAMES_TOLD = 5


def check_copies(
    world: World, service: Service, run: str, points: Sequence[RestorePoint], *, everything: bool
) -> tuple[list[Body], list[DrpError]]:
    """Check each copy of each repository. One that cannot be checked does not keep the others from it."""
    found: list[Body] = []
    errors: list[DrpError] = []
    for item in backup_of(service).copies:
        copied = points_at(world, service, points, item.dr_centre)
        hosts = sorted({host for point in copied for host in point.repositories})
        if not hosts:
            world.say(f"{service.id}: nothing has been copied to {item.dr_centre} yet, so there is nothing to check")
        for host in hosts:
            copy = _Copy(world, service, run, host, item, copied)
            try:
                body = copy.check(everything=everything)
            except DrpError as error:
                errors.append(error)
                continue
            found.append(body)
            if not body["good"]:
                errors.append(copy.damage(body))
    return found, errors


@dataclass(frozen=True, slots=True)
class _Copy:
    """One repository of a service at one of the DR centres that it is copied to. `points` are those copied there."""

    world: World
    service: Service
    run: str
    host: str
    item: CopySettings
    points: Sequence[RestorePoint]

    @property
    def centre(self) -> DrCentre:
        return self.world.city.workspace.dr_centres[self.item.dr_centre]

    @property
    def prefix(self) -> str:
        return prefix_of(self.service, self.host) + "/"

    def check(self, *, everything: bool) -> Body:
        """What was found. A run that goes on does not read again what it has read."""
        turn = turn_of(self.world, self.service, self.run, self.host, self.item.dr_centre, everything=everything)
        done = self._recorded(self.run)
        rest = [
            (part, of) for part, of in turn["parts"] if (part, of) not in {(it["part"], it["parts"]) for it in done}
        ]
        if rest:
            done += self._read(rest)
        return {
            "host": self.host,
            "dr_centre": self.item.dr_centre,
            "parts": turn["parts"],
            "is_late": turn["is_late"],
            "good": all(item["is_good"] for item in done),
            "compared": "ledger" if any(item["compared"] == "ledger" for item in done) else "source",
            "objects": sum(item["objects"] for item in done),
            "bytes": sum(item["bytes"] for item in done),
            "checks": [{"packs": item["packs"], "missing": item["missing"], "text": item["text"]} for item in done],
            "distrusted": [],
        }

    def _read(self, parts: Sequence[tuple[int, int]]) -> list[Body]:
        there, source = self._listing(self.centre), self._source()
        structure = self._structure(source, there)
        missing = set(structure.missing)
        wrong = self._wrong_config(source, there, structure)
        known: dict[str, bool] = {}
        found = []
        for turn, keys in turn_keys(there, parts).items():
            # Where sizes differ, only the content says which of the two is damaged.
            keys += [key for key in structure.doubtful if key not in keys and key != CONFIG]
            fresh = [there[key] for key in keys if key not in known]
            known |= dict.fromkeys(keys, True)
            damaged, gone = self._flaws(fresh, source, structure.compared)
            wrong |= damaged
            missing |= gone
            found.append((turn, [there[key].bytes for key in keys]))
        for key in set(structure.doubtful) - wrong - missing:
            self.world.say(f"{self._name}: {key} is whole here, but of another size at the source: check the source")
        # What is missing or damaged may be needed by any snapshot, so no part of this copy is good until it is back.
        return [self._record(turn, sizes, structure.compared, sorted(wrong), sorted(missing)) for turn, sizes in found]

    @property
    def _name(self) -> str:
        return f"{self.service.id}, copy of {self.host} at {self.item.dr_centre}"

    # -- what must be there --------------------------------------------------------------------------------------------

    def _listing(self, centre: DrCentre) -> dict[str, StoredObject]:
        """By key below the prefix, snapshots first: whatever a listed object needs is listed after it."""
        found: dict[str, StoredObject] = {}
        for kind in LIST_ORDER:
            for stored in self.world.store.objects(centre, f"{self.prefix}{kind}"):
                key = stored.key.removeprefix(self.prefix)
                if kind_of(key) == kind:
                    found[key] = stored
        return found

    def _source(self) -> dict[str, StoredObject] | None:
        try:
            return self._listing(centre_of(self.world, self.service))
        except UnreachableError as error:
            self.world.say(f"{self._name}: compared with the ledger alone, for the source cannot be asked: {error}")
            return None

    def _structure(self, source: Mapping[str, StoredObject] | None, there: dict[str, StoredObject]) -> Structure:
        """What is missing is looked for a second time, in another listing."""
        snapshots, before = self._snapshots(), self._missed_before() if source is None else set()
        structure = compare_structure(source, there, snapshots, before)
        if structure.missing:
            for key, item in self._listing(self.centre).items():
                there.setdefault(key, item)
            structure = compare_structure(source, there, snapshots, before)
        return structure

    def _snapshots(self) -> set[str]:
        """The snapshots of this repository that the ledger says have been copied. One of which nobody knows any more
        which host's it is counts for all."""
        found = set()
        for point in self.points:
            if self.host not in point.repositories:
                continue  # of the other site: after a failover each has repositories of its own
            for part in point.snapshots:
                host = self.service.stand_in(point.datasets[part.dataset]["host"], point.site)
                if len(point.repositories) == 1 or host not in point.repositories or host == self.host:
                    found.add(part.snapshot)
        return found

    def _missed_before(self) -> set[str]:
        """What checks have missed since the last one in which the source was compared."""
        missed: set[str] = set()
        for row in reversed(self.world.ledger.checks(self.service.id)):
            if (row.host, row.dr_centre) != (self.host, self.item.dr_centre):
                continue
            bodies = self._recorded(row.run)
            if any(body["compared"] == "source" for body in bodies):
                return missed | {key for body in bodies for key in body["missing"]}
            missed |= {key for body in bodies for key in body["missing"]}
        return missed

    def _wrong_config(
        self, source: Mapping[str, StoredObject] | None, there: Mapping[str, StoredObject], structure: Structure
    ) -> set[str]:
        """`config` is compared with the source's, which may have been written anew since the last copy."""
        if source is None or structure.compared == "ledger" or CONFIG not in source or CONFIG not in there:
            return set()
        until = newest_copied(source, {f"snapshots/{name}" for name in self._snapshots()})
        if until is None or source[CONFIG].stored_at > until:
            return set()
        try:
            own = self.world.store.read(centre_of(self.world, self.service), self.prefix + CONFIG)
        except UnreachableError:
            return set()  # its size is the same, which is all that the ledger could say
        return set() if own == self.world.store.read(self.centre, self.prefix + CONFIG) else {CONFIG}

    # -- what it is ----------------------------------------------------------------------------------------------------

    def _flaws(
        self, objects: Sequence[StoredObject], source: Collection[str] | None, compared: Compared
    ) -> tuple[set[str], set[str]]:
        """Which of these are damaged, and which have gone since they were listed: a copy may have removed those that
        went at the source long ago."""
        clock, total = self.world.clock, sum(item.bytes for item in objects)
        self.world.say(f"{self._name}: reading {len(objects)} objects, {show_size(total)}")
        read, told_at = 0, clock.monotonic()

        def on_read(item: StoredObject) -> None:
            nonlocal read, told_at
            read += item.bytes
            if clock.monotonic() - told_at > SAY_EVERY_SECONDS:
                told_at = clock.monotonic()
                self.world.say(f"{self._name}: {show_size(read)} of {show_size(total)}")

        flaws = self.world.store.find_flaws(self.centre, objects, rate=self.item.rate, on_read=on_read)
        named = {key.removeprefix(self.prefix): flaw for key, flaw in flaws.items()}
        damaged = {key for key, flaw in named.items() if flaw == "damaged"}
        gone = {key for key, flaw in named.items() if flaw == "gone"}
        return damaged, {key for key in gone if compared == "ledger" or source is None or key in source}

    def _recorded(self, run: str) -> list[Body]:
        return [
            event.body
            for event in self.world.ledger.events(run)
            if event.type == "check.recorded"
            and (event.body["host"], event.body["dr_centre"]) == (self.host, self.item.dr_centre)
            and "compared" in event.body
        ]

    def _record(
        self, turn: tuple[int, int], sizes: Sequence[int], compared: Compared, wrong: list[str], missing: list[str]
    ) -> Body:
        words = [f"{len(names)} {what}" for names, what in ((wrong, "damaged"), (missing, "missing")) if names]
        body: Body = {
            "service": self.service.id,
            "host": self.host,
            "dr_centre": self.item.dr_centre,
            "part": turn[0],
            "parts": turn[1],
            "is_good": not wrong and not missing,
            "doubted": False,
            "packs": wrong[:MOST_NAMES],
            "missing": missing[:MOST_NAMES],
            "text": ", ".join(words),
            "compared": compared,
            "objects": len(sizes),
            "bytes": sum(sizes),
        }
        self.world.ledger.append(self.run, "check.recorded", body)
        return body

    def damage(self, body: Body) -> IntegrityError:
        parts = []
        for what, key in (("damaged", "packs"), ("missing", "missing")):
            names = sorted({name for check in body["checks"] for name in check[key]})
            if names:
                more = f" and {len(names) - NAMES_TOLD} more" if len(names) > NAMES_TOLD else ""
                parts.append(f"{what}: {', '.join(names[:NAMES_TOLD])}{more}")
        text = f"the copy of {self.host} at {self.item.dr_centre} is not whole; {'; '.join(parts)}"
        again = f"drp backup copy {self.service.id}"
        hint = f"have its storage examined; remove what is damaged there, then copy again: {again}"
        return IntegrityError(text, where=f"{self.centre.endpoint}/{self.centre.bucket}/{self.prefix}", hint=hint)
