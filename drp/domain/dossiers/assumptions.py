"""What nobody has confirmed yet: every record of a city that is marked `assumed`, whatever register it stands in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel

from drp.domain.findings import HOSTS, RUNBOOK, SERVICE, Location, Record
from drp.domain.inventory import City

EVERYTHING = "*"
"""Stands for all keys of a record."""

_ONE_FILE_EACH = {"services": SERVICE, "runbooks": RUNBOOK}


@dataclass(frozen=True, slots=True)
class Assumption:
    """A record whose `keys` somebody filled in plausibly. `path` names it within its file for people: a list's items
    by their id. `source` is what the record says about where the rest of it comes from."""

    record: Record
    location: Location
    path: tuple[str, ...]
    keys: tuple[str, ...]
    source: str | None

    @property
    def everything(self) -> bool:
        return self.keys == (EVERYTHING,)


def assumptions_of(city: City) -> list[Assumption]:
    """All of them, in the order of the city's fields. A register that is added to `City` is found by itself: its
    records are models with a field `assumed`."""
    return [found for whole in _records(city) for found in _within(*whole)]


def _records(city: City) -> Iterator[tuple[Record, Location, tuple[str, ...], BaseModel]]:
    """Each file's record with where it begins. A field that is one model is one file's, by the field's name."""
    for name in type(city).model_fields:
        value = getattr(city, name)
        if isinstance(value, BaseModel):
            yield Record(name), (), (), value
        elif name == HOSTS:
            for host, model in value.items():
                yield Record(HOSTS), ("host", host), (host,), model
        else:
            for key, model in value.items():
                yield Record(_ONE_FILE_EACH[name], key), (), (), model


@cache
def _fields_to_look_into(model: type[BaseModel]) -> tuple[tuple[str, str], ...]:
    """The fields of a model, with their names in files, in which a record may stand that can be assumed. A city has
    thousands of records, and most fields of each hold none."""
    return tuple(
        (name, info.alias or name)
        for name, info in model.model_fields.items()
        if any("assumed" in inner.model_fields or _fields_to_look_into(inner) for inner in _models_in(info.annotation))
    )


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation names, such as those of `dict[str, Site] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _within(record: Record, location: Location, path: tuple[str, ...], value: Any) -> Iterator[Assumption]:
    if isinstance(value, BaseModel):
        assumed = getattr(value, "assumed", ())
        if assumed:
            keys = (EVERYTHING,) if assumed is True else tuple(assumed)
            yield Assumption(record, location, path, keys, getattr(value, "source", None))
        inner: Iterator[tuple[str | int, str, Any]] = (
            (key, key, getattr(value, name)) for name, key in _fields_to_look_into(type(value))
        )
    elif isinstance(value, Mapping):
        inner = ((key, str(key), item) for key, item in value.items())
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        inner = ((position, getattr(item, "id", str(position + 1)), item) for position, item in enumerate(value))
    else:
        return
    for key, word, item in inner:
        if isinstance(item, BaseModel | Mapping | list | tuple):
            yield from _within(record, (*location, key), (*path, word), item)
