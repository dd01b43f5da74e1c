"""Puts a printed runbook into words: which sections, tables and commands it has, in one of two languages."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from drp.domain.impact.things import Thing, title_of
from drp.domain.model import LocalisedText
from drp.domain.protection.gaps import backup_of
from drp.domain.registers import Person
from drp.domain.runbooks.by_hand import Block, HandRecovery, Language
from drp.domain.runbooks.paper import Paper, PaperService, PaperStep
from drp.domain.runbooks.services import persons_of
from drp.domain.runbooks.steps import (
    AnyStep,
    ApprovalStep,
    CommandStep,
    ManualStep,
    NotificationStep,
    PlaybookStep,
    TrafficStep,
    WaitStep,
)
from drp.domain.secret import SecretReference
from drp.domain.service import Contact, Service
from drp.reports.runbook_model import (
    Bullets,
    Code,
    Element,
    Paragraph,
    RunbookDocument,
    Section,
    Step,
    Steps,
    Table,
)
from drp.reports.runbook_words import (
    CHOOSE,
    LEVELS,
    OPERATIONS,
    PURPOSES,
    ROLES,
    RUN_KINDS,
    SITES,
    STAGES,
    STEP_KINDS,
    local,
    minutes,
    moment,
    number_of,
    say,
)

_COMMANDS: dict[str, str] = {"failover": "failover", "switchover": "switchover", "failback": "failback"}
"""What drp has a command for; the other operations are typed as the last part of the paper says."""


def build(paper: Paper, language: Language) -> RunbookDocument:
    """The whole document."""
    writing = _Writing(paper, language)
    runbook, which = paper.runbook, number_of(language)
    zone = paper.city.workspace.organisation.time_zone
    return RunbookDocument(
        language=language,
        organisation=paper.city.workspace.organisation.name,
        kind=writing.word("runbook"),
        title=local(runbook.title, language),
        control=(
            (writing.word("file"), f"runbooks/{runbook.id}.yaml"),
            (writing.word("level"), LEVELS[runbook.kind][which]),
            (writing.word("operation"), OPERATIONS[runbook.operation][which]),
            (writing.word("printed"), f"{moment(paper.printed_at, zone, language)}, drp {paper.version}"),
        ),
        sections=tuple(writing.sections()),
        labels={name: writing.word(name) for name in ("step", "minutes", "start", "end", "initials")},
        footer=writing.word("footer"),
    )


class _Writing:
    def __init__(self, paper: Paper, language: Language) -> None:
        self.paper, self.language, self.which = paper, language, number_of(language)
        self.city, self.runbook = paper.city, paper.runbook
        self.number = 0

    def word(self, name: str, *values: str) -> str:
        return say(self.language, name, *values)

    def text(self, text: LocalisedText) -> str:
        return local(text, self.language)

    def sections(self) -> Iterator[Section]:
        runbook = self.runbook
        yield self._section("purpose", Paragraph(self.text(runbook.purpose)), Paragraph(self.word("valid"), "note"))
        if runbook.when is not None:
            yield self._section("when", Paragraph(self.text(runbook.when)))
        yield self._section("who", *self._people())
        if runbook.preconditions:
            items = tuple(self.text(item) for item in runbook.preconditions)
            yield self._section("preconditions", Bullets(items, boxes=True))
        if runbook.stop_conditions:
            yield self._section("stop", Bullets(tuple(self.text(item) for item in runbook.stop_conditions)))
        yield from self._struck()
        yield self._section("order", *self._order())
        yield self._section("steps", *self._steps(clean_up=False), apart=True)
        if runbook.criteria:
            items = tuple(self.text(item) for item in runbook.criteria)
            yield self._section("criteria", Bullets(items, boxes=True))
        if any(step.is_clean_up for step in self.paper.steps):
            yield self._section("clean_up", *self._steps(clean_up=True))
        yield from self._by_hand()

    def _section(self, title: str, *elements: Element, level: int = 2, apart: bool = False) -> Section:
        return Section(self.word(title), level, elements, apart)

    # -- people ------------------------------------------------------------------------------------------------------

    def _people(self) -> Iterator[Element]:
        rows = [*self._rows("declares", self.runbook.declared_by)]
        for name in self.runbook.approved_by:
            rows += self._rows("approves", (name,))
        told = {*self.runbook.declared_by, *self.runbook.approved_by}
        steps = [step for step in self.runbook.all_steps if isinstance(step, ManualStep | ApprovalStep)]
        for name in dict.fromkeys(name for step in steps for name in step.who):
            if name not in told:
                rows += self._rows("takes_part", (name,))
        head = tuple(self.word(name) for name in ("part", "name", "position", "contact", "stand_in"))
        yield Table("", head, tuple(rows))

    def _rows(self, part: str, names: Sequence[str]) -> Iterator[tuple[str, ...]]:
        found = persons_of(self.city, names)
        what = self.word(part)
        roles = [ROLES[name][self.which] for name in names if name in ROLES]
        if part == "takes_part" and roles:
            what = roles[0][0].upper() + roles[0][1:]
        if not found:
            yield what, f"({self.word('nobody')}) ______________", "", "", ""
        for number, person in enumerate(found):
            yield (
                what if not number else "",
                person.name,
                person.position or "",
                person.contact or "______________",
                self._stand_in(person),
            )

    def _stand_in(self, person: Person) -> str:
        deputy = self.city.people.people.get(person.deputy) if person.deputy else None
        return "______________" if deputy is None else ", ".join(filter(None, (deputy.name, deputy.contact)))

    def _owner(self, contact: Contact | None) -> str:
        if contact is None:
            return self.word("none")
        if contact.person is None:
            return ", ".join(filter(None, (contact.name, contact.contact)))
        person = self.city.people.people.get(contact.person)
        return contact.person if person is None else ", ".join(filter(None, (person.name, person.contact)))

    def _who(self, names: Sequence[str]) -> str:
        return ", ".join(ROLES[name][self.which] if name in ROLES else self._person(name) for name in names)

    def _person(self, name: str) -> str:
        person = self.city.people.people.get(name)
        return name if person is None else person.name

    # -- what is lost ------------------------------------------------------------------------------------------------

    def _struck(self) -> Iterator[Section]:
        """Who is cut off by the loss that this is printed for, and which lines should stand in."""
        impact = self.paper.impact
        if impact is None:
            return
        elements: list[Element] = [Paragraph(", ".join(self._thing(thing) for thing in impact.named))]
        agencies, places = self.city.workspace.agencies, self.city.network.locations
        offices = tuple(
            (places[cut.location].title, ", ".join(agencies[name].title for name in cut.agencies))
            for cut in impact.cut_off.values()
        )
        if offices:
            elements.append(Table(self.word("cut_off"), (self.word("office"), self.word("agencies")), offices))
        lines = tuple(
            (line.link, line.backup, f"{line.last_test}" if line.last_test else self.word("never_tested"))
            for line in impact.backup_lines
        )
        if lines:
            head = (self.word("line"), self.word("backup_line"), self.word("last_test"))
            elements.append(Table(self.word("stand_in_lines"), head, lines))
        yield self._section("struck", *elements)

    def _thing(self, thing: Thing) -> str:
        title = title_of(self.city, thing)
        return f"{title} ({thing.key})" if title else thing.key

    # -- services ----------------------------------------------------------------------------------------------------

    def _order(self) -> Iterator[Element]:
        recovered = [item for item in self.paper.services if item.hand is not None]
        if not self.paper.services:
            yield Paragraph(self.word("no_services"))
            return
        if recovered:
            yield Paragraph(self.word("order_text"))
            head = (self.word("wave"), self.word("service"), "RTO", "RPO", "MTPD")
            rest = tuple(self.word(name) for name in ("needs", "hosts", "owner"))
            yield Table("", (*head, *rest), tuple(self._service_row(item) for item in recovered))
        lost = [item for item in self.paper.services if item.hand is None]
        if lost:
            rows = tuple((self._title(item.service), "; ".join(item.obstacles)) for item in lost)
            yield Table(self.word("unrecovered"), (self.word("service"), self.word("why")), rows)
        fallbacks = [
            (self._title(name), fallback.procedure, minutes(fallback.workable_for, self.language))
            for item in self.paper.services
            if (fallback := self.city.services[name := item.service].manual_fallback) is not None
        ]
        if fallbacks:
            words = (self.word("service"), self.word("fallback"), self.word("fallback_for"))
            yield Table("", words, tuple(fallbacks))

    def _title(self, name: str) -> str:
        return f"{self.text(self.city.services[name].title)} ({name})"

    def _service_row(self, item: PaperService) -> tuple[str, ...]:
        service, goals = self.city.services[item.service], item.objectives
        nothing = self.word("none")
        times: tuple[str, ...] = (
            (nothing, nothing, nothing)
            if goals is None
            else (
                minutes(goals.rto, self.language),
                minutes(goals.rpo, self.language),
                minutes(goals.mtpd, self.language) if goals.mtpd else self.word("none"),
            )
        )
        pairs = [(host, service.recovers_on[host]) for host in service.runs_on]
        ways = [f"{there} → {here}" if self._goes_home else f"{here} → {there}" for here, there in pairs]
        needs = ", ".join(service.depends_on) or self.word("none")
        return (str(item.wave), self._title(item.service), *times, needs, "; ".join(ways), self._owner(service.owner))

    @property
    def _goes_home(self) -> bool:
        return self.runbook.operation == "failback"

    # -- steps -------------------------------------------------------------------------------------------------------

    def _steps(self, *, clean_up: bool) -> Iterator[Element]:
        lines = [step for step in self.paper.steps if step.is_clean_up == clean_up]
        if not clean_up:
            yield Paragraph(self.word("steps_text"))
            if any(step.stage for step in lines):
                yield Paragraph(self.word("steps_machine"))
            verb = _COMMANDS.get(self.runbook.operation)
            names = [item.service for item in self.paper.services if item.hand is not None]
            if verb and names:
                few = " ".join(names) if len(names) <= 6 else ""
                command = f"drp {verb} {few}".strip() + f" --runbook {self.runbook.id} --by NAME --reason TEXT"
                command += " --approved-by NAME" * bool(self.runbook.approved_by)
                command += " --before TIME" * (self.runbook.restore_points == "before-a-moment")
                yield Paragraph(f"{self.word('start_with')}: {command}")
            elif names and not verb:
                yield Paragraph(self.word("no_command"), "note")
        yield Steps(tuple(self._step(step) for step in lines))

    def _step(self, line: PaperStep) -> Step:
        self.number += 1
        expected = minutes(line.expected, self.language)
        if line.step is None:
            title = STAGES[line.stage or "usable"][self.which]
            return Step(self.number, title, (self.word("by_drp"),), "", expected, by_people=False)
        step = line.step
        who = step.who if isinstance(step, ManualStep | ApprovalStep) else ()
        facts = [STEP_KINDS[step.kind][self.which]] if not who or isinstance(step, ApprovalStep) else []
        if who:
            facts.append(self.word("by", self._who(who)))
        if step.only:
            facts.append(self.word("only", ", ".join(RUN_KINDS[kind][self.which] for kind in step.only)))
        if step.each_service:
            facts.append(self.word("each"))
        if line.services:
            facts.append(self.word("of", ", ".join(line.services)))
        if not step.rerun:
            facts.append(self.word("once"))
        by_people = isinstance(step, ManualStep | ApprovalStep)
        return Step(self.number, self.text(step.title), tuple(facts), self._does(step), expected, by_people)

    def _does(self, step: AnyStep) -> str:
        match step:
            case ManualStep():
                return self.text(step.instructions)
            case ApprovalStep():
                return self.text(step.question)
            case WaitStep():
                return self.word("wait", minutes(step.duration, self.language))
            case PlaybookStep():
                return self.word("playbook", step.playbook, ", ".join(step.hosts) or self.word("recovery_hosts"))
            case CommandStep():
                return self.word("command", step.host, shlex.join(step.argv))
            case NotificationStep():
                return self.word("notify", self.text(step.text))
            case TrafficStep():
                whose = ", ".join(step.services) or self.word("all_services")
                return self.word("traffic", SITES[step.to][self.which], whose)

    # -- by hand -----------------------------------------------------------------------------------------------------

    def _by_hand(self) -> Iterator[Section]:
        hands = [item for item in self.paper.services if item.hand is not None]
        if not hands or self.runbook.operation == "none":
            return
        heed = Paragraph(self.word("by_hand_primary"), "note")
        yield self._section("by_hand", Paragraph(self.word("by_hand_text")), heed, apart=True)
        for item in hands:
            assert item.hand is not None, "those without were left out"
            yield Section(self._title(item.service), 3, tuple(self._commands(item, item.hand)), apart=True)

    def _commands(self, item: PaperService, hand: HandRecovery) -> Iterator[Element]:
        service = self.city.services[item.service]
        yield Table(self.word("repositories"), ("", ""), tuple(self._where(item, service, hand)))
        shown = ""
        for block in hand.blocks:
            if block.purpose == "choose" and shown != "choose":
                yield Paragraph(self._choice(service))
            shown = block.purpose
            yield self._code(block, service)
        if hand.left_out:
            yield Paragraph(self.word("left_out", ", ".join(hand.left_out)), "note")

    def _choice(self, service: Service) -> str:
        parts = sum(len(dataset.procedure(service.id)["parts"]) for dataset in service.datasets)
        return CHOOSE[self.runbook.restore_points][self.which].format(parts=parts)

    def _code(self, block: Block, service: Service) -> Code:
        target = service.stand_in(service.runs_on[0], "primary" if self._goes_home else "recovery")
        title = PURPOSES[block.purpose][self.which].format(host=block.reached or target, dataset=block.dataset)
        return Code(block.host or self.word("anywhere"), title, block.commands)

    def _where(self, item: PaperService, service: Service, hand: HandRecovery) -> Iterator[tuple[str, str]]:
        for repository in hand.repositories:
            yield f"{self.word('repository')} {self.word('repository_of').lower()} {repository.host}", repository.url
            for copy in repository.copies:
                yield self.word("copies"), copy
        settings = backup_of(service)
        yield self.word("password"), self._secret(settings.password)
        centre = self.city.workspace.dr_centres[settings.dr_centre]
        for target, programs in hand.programs:
            keys = centre.host_keys.get(target, centre)
            yield self.word("keys"), f"{self._secret(keys.access_key_id)}; {self._secret(keys.secret_access_key)}"
            yield f"{self.word('programs')} {target}", ", ".join(programs)
        yield self.word("ssh_key"), self.word("secret_file", self.city.workspace.ssh.private_key)
        yield self.word("sealed"), "______________________________"
        zone = self.city.workspace.organisation.time_zone
        newest = (
            self.word("none_yet")
            if item.newest is None
            else f"run:{item.newest.id} ({moment(item.newest.sentinel_at, zone, self.language)})"
        )
        yield self.word("newest"), newest

    def _secret(self, reference: SecretReference) -> str:
        """Where a secret is kept; never the secret."""
        if reference.file is not None:
            return self.word("secret_file", reference.file)
        if reference.env is not None:
            return self.word("secret_env", reference.env)
        if reference.credential is not None:
            return self.word("secret_credential", reference.credential)
        return self.word("secret_command", shlex.join(reference.command or ()))
