"""The printed runbook: golden Markdown in both languages; HTML has the same; nothing is left untranslated."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import click
import pytest

from drp.adapters.inventory import load_city
from drp.cli import drp
from drp.domain.inventory import City
from drp.domain.model import LocalisedText
from drp.domain.protection.gaps import gaps_of
from drp.domain.recovery.plan import STAGES
from drp.domain.registers import Role
from drp.domain.runbooks.by_hand import Language, Purpose, recovery_by_hand
from drp.domain.runbooks.model import ExerciseLevel, Operation, RestorePoints, Runbook
from drp.domain.runbooks.paper import Paper, PaperService, objectives_for, paper_steps, recovery_sequence
from drp.domain.runbooks.steps import RunKind
from drp.reports import render_pdf, runbook_document, runbook_html, runbook_markdown, runbook_words
from drp.reports.runbook_model import Code
from tests.fakes.city import make_city, runbook_record, service_record

REPOSITORY = Path(__file__).parents[3]
GOLDEN = REPOSITORY / "tests/golden"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
SHIPPED = sorted(path.stem for path in (REPOSITORY / "runbooks").glob("*.yaml"))


def paper_of(city: City, runbook: Runbook, names: tuple[str, ...], language: Language) -> Paper:
    services = [
        PaperService(
            service=name,
            wave=wave,
            objectives=objectives_for(city, name),
            hand=recovery_by_hand(
                city,
                city.services[name],
                to="primary" if runbook.operation == "failback" else "recovery",
                ca_pem=CERTIFICATE,
                newest=None,
                language=language,
            ),
            obstacles=(),
            newest=None,
        )
        for name, wave in recovery_sequence(city, names)
    ]
    return Paper(
        city=city,
        runbook=runbook,
        services=tuple(services),
        steps=paper_steps(runbook, city, names, {}),
        printed_at=datetime(2026, 11, 25, 12, 0, tzinfo=UTC),
        version="0.1.0",
    )


@pytest.fixture(scope="module")
def bogor() -> City:
    return load_city(REPOSITORY, REPOSITORY / "runbooks")


@pytest.mark.parametrize("language", get_args(Language))
def test_the_paper_is_the_one_that_was_read_and_found_good(bogor: City, language: Language) -> None:
    """Renew it by `drp runbook render` after reading what has changed."""
    paper = paper_of(bogor, bogor.runbooks["site-loss"], ("pengaduan", "sim-egov"), language)
    text = runbook_markdown.render(runbook_document.build(paper, language))
    golden = GOLDEN / f"runbook-{language}.md"
    assert text == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("language", get_args(Language))
@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_runbook_is_printed_with_all_its_steps(bogor: City, name: str, language: Language) -> None:
    runbook = bogor.runbooks[name]
    document = runbook_document.build(paper_of(bogor, runbook, ("pengaduan",), language), language)
    text = " ".join(html.unescape(re.sub("<[^>]*>", "", runbook_html.render(document))).split())

    def said(value: LocalisedText | None) -> bool:
        return value is None or " ".join((value.en if language == "en" else value.id).split()) in text

    for value in (runbook.title, runbook.purpose, runbook.when, *runbook.preconditions, *runbook.criteria):
        assert said(value), value
    for value in (*runbook.stop_conditions, *(step.title for step in runbook.all_steps)):
        assert said(value), value
    for step in runbook.all_steps:
        assert said(getattr(step, "instructions", None)), step
        assert said(getattr(step, "question", None)), step
    numbers = [step.number for section in document.sections for part in section.elements for step in _steps(part)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= len(runbook.all_steps)


def _steps(part: Any) -> tuple[Any, ...]:
    return tuple(getattr(part, "steps", ()))


def test_shipped_runbooks_are_ten_and_for_any_city(bogor: City) -> None:
    assert set(SHIPPED) == {
        *("site-loss", "single-service", "database-corruption", "ransomware", "dr-centre-loss"),
        *("line-cut", "power-loss", "key-person-absent", "planned-switchover", "failback"),
    }
    for name in SHIPPED:
        runbook = bogor.runbooks[name]
        assert runbook.steps, name
        assert runbook.when, name
        assert all((runbook.criteria, runbook.stop_conditions, runbook.preconditions)), name
        roles = {*get_args(Role)}
        who = {
            *runbook.declared_by,
            *runbook.approved_by,
            *(n for s in runbook.all_steps for n in getattr(s, "who", ())),
        }
        assert who <= roles, "a shipped runbook can name no person"
        assert not runbook.services
        assert all(step.title.en != step.title.id for step in runbook.all_steps), name


def test_runbooks_name_only_commands_that_there_are(bogor: City) -> None:
    texts = [text for name in SHIPPED for text in re.findall(r"[^\n]+", bogor.runbooks[name].model_dump_json())]
    named = set(re.findall(r"drp ([a-z-]+) ([a-z]+)", " ".join(texts)))
    assert ("backup", "run") in named
    for first, second in named:
        command = drp.get_command(click.Context(drp), first)
        if isinstance(command, click.Group):
            assert second in command.commands, f"drp {first} {second}"


def test_every_fixed_word_is_there_in_both_languages() -> None:
    for word, (english, indonesian) in runbook_words.WORDS.items():
        assert all((english, indonesian)), word
        assert english.count("{}") == indonesian.count("{}"), word
    for words, keys in (
        (runbook_words.STAGES, STAGES),
        (runbook_words.ROLES, get_args(Role)),
        (runbook_words.LEVELS, get_args(ExerciseLevel)),
        (runbook_words.OPERATIONS, get_args(Operation)),
        (runbook_words.RUN_KINDS, get_args(RunKind)),
        (runbook_words.PURPOSES, get_args(Purpose)),
        (runbook_words.CHOOSE, get_args(RestorePoints)),
    ):
        assert set(words) == set(keys)


def test_html_has_the_same_commands_as_markdown_and_escapes_what_is_hostile() -> None:
    evil = "<script>alert(1)</script> `x` | *y*"
    record = service_record("pengaduan", title={"en": evil, "id": evil}, depends_on=[])
    record["datasets"].append(
        {"id": "odd", "type": "files", "host": "pengaduan-1", "paths": ["/srv/a'b $(reboot) `x`"]}
    )
    city = make_city(record)
    runbook = Runbook.model_validate(runbook_record() | {"title": {"en": evil, "id": evil}})
    document = runbook_document.build(paper_of(city, runbook, ("pengaduan",), "en"), "en")
    page, text = runbook_html.render(document), runbook_markdown.render(document)
    assert "<script>" not in page
    assert "<script>" not in text.replace("\\<script\\>", "")
    commands = [part.commands for section in document.sections for part in section.elements if isinstance(part, Code)]
    shown = [html.unescape(block) for block in re.findall(r"<pre[^>]*>(.*?)</pre>", page, re.DOTALL)]
    assert shown == commands
    fenced = re.findall(r'^(`{3,})sh title="[^"]*"\n(.*?)^\1$', text, re.DOTALL | re.MULTILINE)
    assert [block.rstrip("\n") for _, block in fenced] == commands
    assert any("'/srv/a'\"'\"'b $(reboot) `x`'" in block for block in commands), "the shell takes a path by the letter"


def test_a_pdf_is_made_of_the_page(bogor: City) -> None:
    document = runbook_document.build(paper_of(bogor, bogor.runbooks["site-loss"], ("pengaduan",), "en"), "en")
    assert render_pdf.render(runbook_html.render(document)).startswith(b"%PDF-")


def test_every_service_of_the_city_that_can_be_recovered_has_commands(bogor: City) -> None:
    tiers = bogor.workspace.tiers
    for service in bogor.services.values():
        if gaps_of(service, "recovery", bogor.hosts, tiers):
            continue
        hand = recovery_by_hand(bogor, service, to="recovery", ca_pem="", newest=None, language="en")
        purposes = [block.purpose for block in hand.blocks]
        assert {"reach", "prepare", "choose", "restore", "start", "outside"} <= set(purposes), service.id
        assert {block.dataset for block in hand.blocks if block.dataset} == {item.id for item in service.datasets}
        assert not any("drp:" in block.commands for block in hand.blocks), "drp's own programs are not there"
        assert any("ca_certificate" in item for item in hand.left_out), "the missing certificate is told"


def test_the_way_back_goes_from_the_recovery_hosts_repository_to_the_primary_host(bogor: City) -> None:
    hand = recovery_by_hand(bogor, bogor.services["pengaduan"], to="primary", ca_pem="", newest=None, language="id")
    assert [item.host for item in hand.repositories] == ["drc-app-1"]
    assert hand.blocks[0].commands == "ssh root@198.18.1.10"
    assert {block.host for block in hand.blocks} == {None, "balaikota-app-1"}
