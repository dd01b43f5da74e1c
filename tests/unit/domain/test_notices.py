"""Who is told what, and when: once for each change, nothing lost, nothing told of what nobody knows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from drp.domain.backups.record import Notice
from drp.domain.backups.settings import Notifications
from drp.domain.inventory import Tier
from drp.domain.protection.notices import DIGEST, Message, Moment, State, decide, most_critical_services
from drp.domain.protection.problems import Problem

MIDNIGHT = datetime(2026, 11, 20, 17, 0, tzinfo=UTC)  # in Jakarta
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SERVICES = ("absensi", "pengaduan", "siap")
QUIET = {"start": "21:00", "end": "06:00"}


def settings(**changes: Any) -> Notifications:
    return Notifications.model_validate({"urls": [{"env": "X"}]} | changes)


def problem(name: str) -> Problem:
    service, kind = name.split("/", 1)
    return Problem(service, kind, "", f"{kind} is wrong", None, f"mend {kind}")


@dataclass
class Office:
    """People who are told things, and a ledger that remembers what they were told."""

    settings: Notifications = field(default_factory=settings)
    now: datetime = MIDNIGHT + 10 * HOUR
    known: dict[str, Notice] = field(default_factory=dict)
    told: list[Message] = field(default_factory=list)
    most_critical: tuple[str, ...] = ()

    def look(self, *names: str, reached: bool = True, minutes: int = 1) -> list[Message]:
        """Time goes on, and these are the problems now; gives what people got to hear."""
        self.now += minutes * MINUTE
        outcome = decide(
            [problem(name) for name in names],
            SERVICES,
            self.known,
            self.settings,
            Moment(self.now, "Asia/Jakarta"),
            self.most_critical,
        )
        self.known |= {notice.key: notice for notice in outcome.noticed}
        for message in outcome.messages if reached else ():
            self.known |= {notice.key: notice for notice in message.told}
            self.told.append(message)
        return list(outcome.messages) if reached else []


def test_a_problem_is_told_once_and_its_end_once() -> None:
    office = Office()
    (message,) = office.look("siap/rpo")
    assert message.title == "drp: siap: 1 wrong"
    assert message.body == "siap: rpo is wrong. Since 2026-11-21 10:01 WIB.\nNext: mend rpo"
    assert message.is_bad
    assert office.look("siap/rpo") == []
    (message,) = office.look()
    assert message.body == "siap: the breach of its RPO is over. It had begun 2026-11-21 10:01 WIB."
    assert not message.is_bad
    assert office.look() == []
    assert len(office.look("siap/rpo")) == 1, "the next time is a new problem"


def test_all_of_a_moment_is_one_message() -> None:
    office = Office()
    office.look("siap/rpo")
    (message,) = office.look("absensi/failed", "pengaduan/missed")
    assert message.title == "drp: 3 services: 2 wrong, 1 over"


def test_very_many_problems_are_counted() -> None:
    office = Office()
    (message,) = office.look(*(f"service-{number:02}/rpo" for number in range(100)))
    assert message.body.startswith(
        "100 services (service-00, service-01, service-02, service-03, service-04, …): rpo is"
    )
    assert len(message.told) == 100
    (message,) = office.look()
    assert message.body.endswith("… and 60 more: drp backup status")
    assert len(message.told) == 100


def test_who_could_not_be_reached_is_told_later() -> None:
    office = Office()
    assert office.look("siap/rpo", reached=False) == []
    assert office.known["siap/rpo"].told_at is None
    (message,) = office.look("siap/rpo")
    assert "10:01" in message.body, "since when it was first seen"
    office.look(reached=False)
    assert office.known["siap/rpo"].state == State.ENDED
    assert len(office.look()) == 1


def test_quiet_hours_hold_back_and_lose_nothing() -> None:
    office = Office(settings(quiet=QUIET), now=MIDNIGHT)
    assert office.look("siap/failed", "absensi/failed") == []
    assert office.look("siap/failed") == []
    (message,) = office.look("siap/failed", minutes=6 * 60)
    assert message.title == "drp: 2 services: 1 wrong, 1 over"
    assert "absensi: its backups no longer fail. It began 2026-11-21 00:01 WIB and nobody was told before." in (
        message.body
    )


def test_a_breach_of_the_most_critical_services_is_told_at_night() -> None:
    office = Office(settings(quiet=QUIET), now=MIDNIGHT, most_critical=("siap",))
    (message,) = office.look("siap/rpo", "siap/failed", "absensi/rpo")
    assert [notice.key for notice in message.told] == ["siap/rpo"]
    assert office.look("siap/failed", "absensi/rpo") == [], "its end can wait"
    (message,) = office.look("siap/failed", "absensi/rpo", minutes=6 * 60)
    assert message.title == "drp: 2 services: 2 wrong, 1 over"


def test_what_is_back_before_its_end_was_told_is_nothing_new() -> None:
    office = Office(settings(quiet=QUIET), now=MIDNIGHT - 4 * HOUR)
    office.look("siap/rpo")
    assert office.look(minutes=4 * 60) == []
    assert office.look("siap/rpo") == []
    assert office.look("siap/rpo", minutes=8 * 60) == []


def test_a_service_that_is_gone_is_not_called_well() -> None:
    office = Office()
    office.look("dihapus/rpo")
    (message,) = office.look()
    assert "nobody looks after it" in message.body


def test_the_digest_comes_once_a_day_at_its_time() -> None:
    office = Office(settings(digest="07:30"), now=MIDNIGHT + 7 * HOUR)
    assert office.look() == []
    (message,) = office.look(minutes=30)
    assert message.title == "drp: 3 services backed up, none with trouble"
    assert message.body == "Nothing is wrong."
    assert office.look(minutes=600) == []
    (_, digest) = office.look("siap/rpo", minutes=24 * 60)
    assert digest.body == "siap: rpo is wrong"
    assert office.look("siap/rpo") == []


def test_a_digest_that_reached_nobody_is_sent_again() -> None:
    office = Office(settings(digest="07:30"), now=MIDNIGHT + 8 * HOUR)
    office.look(reached=False)
    assert DIGEST not in office.known
    assert len(office.look()) == 1


def test_the_most_critical_services_are_those_of_the_tier_that_is_back_first() -> None:
    tiers = {
        "penting": Tier.model_validate({"rto": "4h", "rpo": "1h"}),
        "kritis": Tier.model_validate({"rto": "1h", "rpo": "15m"}),
    }
    names = {"siap": "kritis", "absensi": "penting", "pengaduan": None}
    assert most_critical_services(tiers, names) == {"siap"}
    assert most_critical_services({"kritis": tiers["kritis"]}, names) == set()


KEYS = ("siap/rpo", "siap/failed", "absensi/missed")
looks = st.lists(
    st.tuples(st.sets(st.sampled_from(KEYS)), st.booleans(), st.integers(min_value=1, max_value=500)), max_size=40
)


@given(looks, st.booleans(), st.booleans())
def test_whatever_happens_people_hear_of_each_change_once(
    story: list[tuple[set[str], bool, int]], has_quiet: bool, has_digest: bool
) -> None:
    """People know a problem, or they do not. What they hear changes that each time; in the end they know all."""
    office = Office(settings(quiet=QUIET if has_quiet else None, digest="07:30" if has_digest else None), now=MIDNIGHT)
    office.most_critical = ("siap",)
    known: set[str] = set()
    seen: set[str] = set()
    heard_of: set[str] = set()

    def hear(messages: list[Message]) -> None:
        for message in messages:
            for notice in message.told:
                if notice.key == DIGEST:
                    continue
                if notice.state == State.WRONG:
                    assert notice.key not in known, "told twice"
                    known.add(notice.key)
                else:
                    assert notice.key in known or "nobody was told before" in message.body
                    known.discard(notice.key)
                heard_of.add(notice.key)

    last: set[str] = set()
    for names, reached, minutes in story:
        hear(office.look(*names, reached=reached, minutes=minutes))
        seen |= names
        last = names
    office.now = office.now.replace(hour=5)  # noon in Jakarta: nothing is quiet
    hear(office.look(*last, minutes=24 * 60))
    assert known == last
    assert heard_of == seen, "nothing is lost"
    assert [message for message in office.look(*last, minutes=1) if message.told[0].key != DIGEST] == []
    digests = [notice.since for message in office.told for notice in message.told if notice.key == DIGEST]
    assert len(digests) == len(set(digests)), "one a day"


@given(looks)
def test_a_state_is_only_written_where_it_changes(story: list[tuple[set[str], bool, int]]) -> None:
    office = Office()
    for names, reached, minutes in story:
        office.look(*names, reached=reached, minutes=minutes)
        again = decide(
            [problem(name) for name in names], SERVICES, office.known, office.settings, Moment(office.now, "UTC")
        )
        assert again.noticed == ()
        assert all(not reached for _ in again.messages)
