"""`drp validate` on the shipped cities after damage of all kinds: valid or refused, at once, and never a traceback."""

from __future__ import annotations

import copy
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drp.adapters.yaml_file import YamlFile, read_yaml
from tests.fakes.command import run
from tests.fakes.yaml_texts import damaged

REPOSITORY = Path(__file__).parents[3]
CITIES = {"bogor": REPOSITORY, "cirebon": REPOSITORY / "inventories" / "cirebon"}
FILES = ("drp.yaml", "inventories/*.yaml", "inventories/services/*.yaml", "runbooks/*.yaml")
SECONDS = 2.0
MOST_FILES = 3

SLOW = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@dataclass(frozen=True)
class Copy:
    """A copy of a city that may be damaged."""

    folder: Path
    texts: dict[str, str]
    values: dict[str, Any]

    def validate(self, changes: dict[str, str]) -> None:
        """Damage these files, look, and mend them."""
        for name, text in changes.items():
            (self.folder / name).write_bytes(text.encode("utf-8", "surrogatepass"))
        started = time.process_time()
        try:
            done = run("-w", self.folder, "validate")
        finally:
            seconds = time.process_time() - started
            for name in changes:
                (self.folder / name).write_text(self.texts[name], encoding="utf-8")
        assert done.code in (0, 10)
        assert seconds < SECONDS
        if done.code == 10:
            assert "nothing was started" in done.err
            assert any(f"{line.split(':')[0]}" in self.texts for line in done.err.splitlines()), done.err
        else:
            assert "valid: " in done.out


@pytest.fixture(scope="module", params=CITIES)
def city(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Copy:
    source, folder = CITIES[request.param], tmp_path_factory.mktemp(request.param)
    texts: dict[str, str] = {}
    values: dict[str, Any] = {}
    for pattern in FILES:
        for path in sorted(source.glob(pattern)):
            name = str(path.relative_to(source))
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / name)
            file = read_yaml(path, name)
            assert isinstance(file, YamlFile), file
            texts[name], values[name] = path.read_text(encoding="utf-8"), file.value
    assert run("-w", folder, "validate").code == 0
    assert len(texts) > 15
    return Copy(folder, texts, values)


@settings(SLOW, max_examples=25)
@given(data=st.data())
def test_damaged_text_is_valid_or_refused(city: Copy, data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(city.texts)), min_size=1, max_size=MOST_FILES, unique=True))
    city.validate({name: data.draw(damaged(st.just(city.texts[name])), label=name) for name in names})


OTHER_VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, 0, -1, 5, 1.5, 10**30, 2**64, 1e300, "", " ", "a", "no", "5m", "0s", "99999d", "1GB", "0kbit/s"),
        *("2026-02-30", "2026-11-20", "9999-12-31", "0001-01-01", "100%", "192.0.2.1", "../..", "$(id)", "{{ a }}"),
        *(
            "pajak",
            "diskominfo",
            "drc",
            "kritis",
            "balaikota",
            "x" * 3_000,
            "\x1b[2J",
            "a\nb",
            "é",
            "\u202e",
            "*",
            "every 1m",
        ),
        *(
            [],
            {},
            [[]],
            [{}],
            {"a": {}},
            [None],
            [1, "a"],
            {"en": "a"},
            {"": ""},
            {"schema": 1},
            {"<<": {"a": 1}},
            ["a"] * 60,
        ),
    ]
)


@settings(SLOW, max_examples=45)
@given(data=st.data())
def test_damaged_values_are_valid_or_refused(city: Copy, data: st.DataObject) -> None:
    """Random nodes deleted, doubled, renamed, exchanged, or of another type; the files stay correct YAML."""
    names = data.draw(st.lists(st.sampled_from(sorted(city.values)), min_size=1, max_size=MOST_FILES, unique=True))
    changes: dict[str, str] = {}
    for name in names:
        value = copy.deepcopy(city.values[name])
        for _ in range(data.draw(st.integers(1, 3))):
            value = mutated(value, data)
        changes[name] = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    city.validate(changes)


def mutated(value: Any, data: st.DataObject) -> Any:
    """The value with one node of it changed."""
    places = [place for place in nodes(value) if place]
    if not places:
        return data.draw(OTHER_VALUES)
    *above, last = data.draw(st.sampled_from(places))
    holder = value
    for word in above:
        holder = holder[word]
    kind = data.draw(st.sampled_from(("delete", "replace", "replace", "exchange", "double", "wrap")))
    if kind == "delete":
        del holder[last]
    elif kind == "replace":
        holder[last] = copy.deepcopy(data.draw(OTHER_VALUES))
    elif kind == "wrap":
        holder[last] = data.draw(st.sampled_from(([holder[last]], {"a": holder[last]}, str(holder[last]))))
    elif kind == "exchange":
        other = value
        for word in data.draw(st.sampled_from(places)):
            other = other[word]
        holder[last] = copy.deepcopy(other)
    elif isinstance(holder, list):
        holder.insert(0, copy.deepcopy(holder[last]))
    else:
        holder[data.draw(st.sampled_from(("a", "extra", f"{last}-2", "", "schema", "id")))] = copy.deepcopy(
            holder[last]
        )
    return value


def nodes(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all values in a value."""
    yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from nodes(inner, (*place, key))
