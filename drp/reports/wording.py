"""Durations, times and fixed texts as people read them. British spelling, simple words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from drp.domain.objectives import Verdict
from drp.domain.values import show_duration, show_measured
from drp.errors import UsageError

_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]  # not strftime's: those follow the machine's locale

NOT_MEASURED = "not measured"

VERDICT_MEANINGS = {
    Verdict.MET: "Every objective was met, and the recovered data was proved.",
    Verdict.MET_WITH_EXCEPTION: "Every objective was met, but with the exceptions that are listed.",
    Verdict.NOT_TESTED: "This was not tested.",
    Verdict.NOT_MEASURED: "Something that the verdict needs was not measured. What is missing never counts as met.",
    Verdict.ABORTED: "The run was stopped before its end. It proves nothing.",
    Verdict.NOT_MET: "At least one objective was not met, or the recovered data is not what it should be.",
}

VERDICT_SIGNS = {
    Verdict.MET: "✔",
    Verdict.MET_WITH_EXCEPTION: "✔*",
    Verdict.NOT_TESTED: "–",
    Verdict.NOT_MEASURED: "?",
    Verdict.ABORTED: "■",
    Verdict.NOT_MET: "✘",
}
"""Signs stand beside the words so that the verdict is not told by colour alone."""

MARK_MEANINGS = {
    "Tb": "Newest record in the recovered data",
    "T0": "Service could no longer be used",
    "T1": "Loss detected",
    "T2": "Recovery declared by a person",
    "T3": "First recovery step",
    "T4": "Technically up: all automatic checks pass",
    "T5": "Usable again, seen from outside",
}

PART_MEANINGS = {
    "detect": "until somebody or something noticed",
    "decide": "until recovery was declared",
    "mobilise": "until the first recovery step",
    "restore": "until technically up",
    "validate": "until proved usable from outside",
}

SOURCE_MEANINGS = {
    "automatic": "automatic",
    "human": "stated by a person",
    "simulated": "simulated",
}

STAGE_MEANINGS = {
    "unfence": "Open the old primary again, so that it can be looked at and restored to",
    "look": "Look what of the service lies at the old primary",
    "keep": "Keep what lies there, before anything replaces it",
    "stop": "Stop the service at the site that it leaves; nobody can write any more",
    "backup": "Back up what users wrote last",
    "restore": "Prove that the data is not there yet, restore it, compare it with the restore point",
    "activate": "Start the service",
    "verify": "Look whether the services run and the application answers on the host",
    "rehearse": "Prove that users could be sent to the recovery site; nothing is changed",
    "after-restore": "The workspace's own playbook after the restore",
    "after-activate": "The workspace's own playbook after the start",
    "after-verify": "The workspace's own playbook after the verification",
    "trial": "Use it at the recovery host, before users come: a bad restore point can still be turned down",
    "withdraw": "Only where no restore point proved good: stop the bad copy again; its data is kept",
    "stopped": "Make sure that nobody has started it again where it was",
    "fence": "Close the hosts that are left, so that they serve nobody, also when they come back",
    "cutover": "Send users to the other site",
    "usable": "Use it from outside, without a break",
    "protect": "Make the first backup at the new site",
    "close-again": "Only where the failback has failed: close the old primary again",
    "return": "Only where the move has failed: send users back",
    "reopen": "Only where the move has failed: start the service again where it was",
    "unisolate": "Connect the recovery hosts again, which were kept from production",
    "cleanup": "Remove what the exercise built, what a failback has left, or what a failed switchover had begun",
}

DEFINITIONS = (
    ("RTO", "Recovery time objective: the longest time a service may be unusable, counted from T0."),
    ("RTA", "Recovery time actual: T5 − T0. It never pauses. Ansible's run time is not RTA."),
    ("RPO", "Recovery point objective: the most data, as a span of time, that may be lost."),
    (
        "RPA",
        (
            "Recovery point actual: T0 − Tb. Tb is read from the recovered data (a sentinel: a time-stamped record "
            "that drp writes before each backup), never from the time of a backup job. Writes between the sentinel and "
            "the dump are recovered too, so RPA can overstate the loss by that time; it never understates it."
        ),
    ),
    ("MTPD", "Maximum tolerable period of disruption: the ceiling. Headroom is MTPD − RTA."),
    ("T4 − T2", "Technical recovery time after the declaration. It is not RTA."),
    ("T5 − T2", "Time from the declaration until usable. It is not RTA."),
    *((name, f"{meaning}.") for name, meaning in MARK_MEANINGS.items()),
    (
        "Uncertainty",
        (
            "How far the true moment can be from the printed one: the time between two attempts of the probe, what an "
            "attempt leaves open, and the difference of clocks where another one than the control node's tells the "
            "time. That of a figure is the sum of those of its two marks, and of what the control node's clock was set "
            "by in between. An unknown part makes the whole not measured."
        ),
    ),
    ("Sentinel", "A time-stamped record that drp writes into the data before each backup and looks for afterwards."),
    ("Restore point", "A consistent moment over all data of a service that has arrived at the DR centre."),
    *((verdict.replace("_", " "), meaning) for verdict, meaning in VERDICT_MEANINGS.items()),
)

LIMITS = (
    "A hash proves that a record did not change since it was written. It does not prove that the record was true.",
    (
        "Whoever controls the ledger could write the whole chain anew, and it would look whole. Keep the last hash of "
        "this report where drp's operators cannot change it: on signed paper, in the inspectorate's mailbox."
    ),
    (
        "Names and titles (organisation, services, agencies, owners, sites) come from the inventory as it was when the "
        "report was made. The chain does not protect them."
    ),
    (
        "Files are named with the SHA-256 that the ledger holds. This report does not contain the files: ask for them, "
        "and compare their hashes."
    ),
    (
        "Marks stated by a person are as good as that person's clock and memory. Marks of the probe are as good as the "
        "clock of the machine that it ran on."
    ),
)


_INVISIBLE = {
    number: "\N{REPLACEMENT CHARACTER}"
    for numbers in (
        range(9),
        range(11, 32),
        range(127, 160),
        range(0x200B, 0x2010),
        range(0x2028, 0x202F),
        range(0x2060, 0x2070),
        range(0xFEFF, 0xFF00),
        range(0xD800, 0xE000),
    )
    for number in numbers
}


def visible(text: str) -> str:
    """The text with control characters made visible: some turn the direction of writing, and could make `NOT MET`
    read as something else."""
    return text.translate(_INVISIBLE)


def spell(milliseconds: int) -> str:
    """A duration for people, as everywhere in drp."""
    return show_duration(timedelta(milliseconds=milliseconds))


def spell_measured(milliseconds: int) -> str:
    """A measured duration for people, rounded up as everywhere in drp."""
    return show_measured(timedelta(milliseconds=milliseconds))


def exact(milliseconds: int) -> str:
    """A duration to the millisecond, as `312.418 s`."""
    sign = "−" if milliseconds < 0 else ""
    seconds, rest = divmod(abs(milliseconds), 1000)
    return f"{sign}{seconds}.{rest:03d} s"


def percent(permille: int) -> str:
    """Thousandths as per cent, as in `41.7 %`."""
    sign = "−" if permille < 0 else ""
    return f"{sign}{abs(permille) // 10}.{abs(permille) % 10} %"


def byte_size(count: int) -> str:
    """A size for people, in powers of 1000: `14.2 MB`."""
    if count < 1000:
        return f"{count} B"
    size, unit = count * 10, 0
    while size >= 10_000 and unit < 5:
        size, unit = size // 1000, unit + 1
    return f"{size // 10}.{size % 10} {('B', 'kB', 'MB', 'GB', 'TB', 'PB')[unit]}"


class LocalTime:
    """Shows instants in one time zone, always with its name; times without a zone are what auditors refuse."""

    def __init__(self, time_zone: str) -> None:
        try:
            self._zone = ZoneInfo(time_zone)
        except (LookupError, OSError, ValueError) as error:
            raise UsageError(
                f"{time_zone!r} is no time zone", where="organisation.time_zone", hint="write one such as Asia/Jakarta"
            ) from error

    def zone(self, at: datetime) -> str:
        """The zone's name and offset at an instant: `WIB, UTC+07:00`."""
        local = at.astimezone(self._zone)
        name, offset = local.tzname() or "", local.strftime("%z")
        spelt = "UTC" if offset == "+0000" else f"UTC{offset[:3]}:{offset[3:5]}"
        return spelt if name.startswith(("+", "-", "UTC")) or not name else f"{name}, {spelt}"

    def short_zone(self, at: datetime) -> str:
        """The zone's name alone: `WIB`."""
        return self.zone(at).split(",")[0]

    def day(self, at: datetime) -> str:
        """`20 November 2026`"""
        local = at.astimezone(self._zone)
        return f"{local.day} {_MONTHS[local.month - 1]} {local.year}"

    def clock(self, at: datetime) -> str:
        """`14:00:00.123`"""
        return _clock(at.astimezone(self._zone))

    def full(self, at: datetime) -> str:
        """`20 November 2026, 14:00:00.123 WIB`"""
        return f"{self.day(at)}, {self.clock(at)} {self.short_zone(at)}"

    def minute(self, at: datetime) -> str:
        """`20 November 2026, 14:00 WIB`"""
        return f"{self.day(at)}, {at.astimezone(self._zone):%H:%M} {self.short_zone(at)}"


def utc_text(at: datetime) -> str:
    """`2026-11-20 07:00:00.123 UTC`"""
    moment = at.astimezone(UTC)
    return f"{moment:%Y-%m-%d} {_clock(moment)} UTC"


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"
