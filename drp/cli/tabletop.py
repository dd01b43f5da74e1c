"""drp drill run --tabletop: the conversation at the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from drp.errors import CancelledError

if TYPE_CHECKING:
    from drp.domain.runbooks.tabletop import Tabletop, Walked
    from drp.ports import World
    from drp.workflows.tabletop import TalkEnd

LONGEST_REMARK = 2000

_WORDS: dict[Literal["en", "id"], dict[str, str]] = {
    "en": {
        "anyone": "anyone",
        "expected": "expected",
        "begun": "begun before the interruption; its clock went on",
        "begin": "Enter begins it, s skips it",
        "finish": "Enter when done, p if it did not work out",
        "who": "Who did it",
        "remark": "Remark",
    },
    "id": {
        "anyone": "siapa saja",
        "expected": "perkiraan",
        "begun": "sudah dimulai sebelum terputus; waktunya terus berjalan",
        "begin": "Enter untuk mulai, s untuk melewati",
        "finish": "Enter bila selesai, p bila tidak berhasil",
        "who": "Siapa yang mengerjakan",
        "remark": "Catatan",
    },
}


class Terminal:
    """Implements `workflows.tabletop.Facilitator`. The end of the input, or Ctrl-C, breaks off."""

    def __init__(self, world: World, leader: str, language: Literal["en", "id"]) -> None:
        self.world, self.leader, self.words = world, leader, _WORDS[language]

    def begin(self, walked: Walked, number: int, count: int) -> bool:
        from drp.cli.common import print_wrapped
        from drp.domain.runbooks.services import persons_of
        from drp.domain.values import show_duration

        step = walked.step
        click.echo()
        print_wrapped(f"{number}/{count}  {step.title}")
        people = ", ".join(person.name for person in persons_of(self.world.city, step.who)) or ", ".join(step.who)
        expected = show_duration(step.expected) if step.expected else "?"
        print_wrapped(f"{people or self.words['anyone']}; {self.words['expected']}: {expected}", indent="     ")
        for paragraph in step.text.splitlines():
            print_wrapped(paragraph, indent="     ")
        if walked.started_at is not None:
            click.echo(f"     ({self.words['begun']})")
            return True
        return _ask(f"     {self.words['begin']}", ("", "s")) == ""

    def finish(self) -> TalkEnd:
        from drp.workflows.tabletop import TalkEnd

        answer = _ask(f"     {self.words['finish']}", ("", "p"))
        by = _read(f"     {self.words['who']}", default=self.leader)
        return TalkEnd("problem" if answer == "p" else "done", by, _read(f"     {self.words['remark']}", default=""))


def _ask(question: str, allowed: tuple[str, ...]) -> str:
    while True:
        answer = _read(question, default="").strip().lower()
        if answer in allowed:
            return answer


def _read(question: str, default: str) -> str:
    try:
        answer: str = click.prompt(question, default=default, show_default=bool(default), type=str)
    except click.Abort:
        raise CancelledError("the tabletop was broken off") from None
    kept = "".join(char if char.isprintable() else " " for char in answer).strip()
    return kept.encode("utf-8", "replace").decode()[:LONGEST_REMARK]


def finish(tabletop: Tabletop, *, as_json: bool) -> int:
    """Print how a tabletop went, and give its exit code: nothing was recovered, so nothing is proved."""
    from drp.cli.common import print_json, print_table
    from drp.domain.values import milliseconds, show_duration
    from drp.errors import ExitCode

    if as_json:
        steps = [
            {
                "step": walked.step.id,
                "outcome": walked.outcome,
                "expected_ms": None if walked.step.expected is None else milliseconds(walked.step.expected),
                "took_ms": None if walked.took is None else milliseconds(walked.took),
                "by": walked.by,
                "remark": walked.remark,
            }
            for walked in tabletop.steps
        ]
        print_json({"run": tabletop.run, "runbook": tabletop.runbook, "verdict": "NOT_TESTED", "steps": steps})
        return int(ExitCode.NOT_MET)
    rows = [
        [
            walked.step.title,
            show_duration(walked.step.expected) if walked.step.expected else "",
            (show_duration(walked.took) + (" (longer)" if walked.over else "")) if walked.took is not None else "",
            walked.outcome or "",
            walked.by,
            walked.remark,
        ]
        for walked in tabletop.steps
    ]
    click.echo()
    print_table(tabletop.run, ["step", "expected", "took", "outcome", "who", "remark"], rows)
    problems = sum(walked.outcome != "done" for walked in tabletop.steps)
    took = tabletop.closed_at - tabletop.opened_at if tabletop.closed_at else None
    click.echo(
        f"{len(rows)} steps, {problems} with a problem or skipped" + (f", {show_duration(took)}" if took else "")
    )
    click.echo("verdict: NOT_TESTED: people talked it through; nothing was recovered")
    return int(ExitCode.NOT_MET)
