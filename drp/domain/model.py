"""The base of everything that is read from a file."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from drp.domain.values import Text


class Model(BaseModel):
    """Frozen, and nothing unknown is let in."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


def _assumed(value: Any) -> Any:
    if isinstance(value, bool):
        return ("*",) if value else ()
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise ValueError("write true, or a list of the keys that were assumed, such as [runs_on, datasets]")


Assumed = Annotated[tuple[str, ...], BeforeValidator(_assumed, json_schema_input_type=bool | list[str])]
"""Which keys of a record nobody has confirmed yet: `true` for all of them, or a list. Read as `("*",)` or the list."""


class Declared(Model):
    """A record that comes from a document or from a person, and says which.

    `source` names where it stands. What the source does not say and somebody filled in plausibly is `assumed`, until
    its owner confirms it.
    """

    assumed: Assumed = ()
    source: Text | None = None


class LocalisedText(Model):
    en: Text
    id: Text
