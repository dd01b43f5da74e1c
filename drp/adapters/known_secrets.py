"""What a workspace holds secret, so that nothing that drp starts can have it written down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from typing import Any

from pydantic import BaseModel

from drp.adapters.secrets import WorkspaceSecrets
from drp.domain.inventory import City
from drp.domain.secret import SecretReference
from drp.errors import DrpError


class KnownSecrets:
    """The secrets that a workspace names; read anew each time, for they may have been changed meanwhile.

    Of a person's command for a secret only what drp has read before is known: it may ask for a token, or take long.
    """

    def __init__(self, city: City, secrets: WorkspaceSecrets) -> None:
        self.city, self.secrets = city, secrets

    @cached_property
    def references(self) -> list[SecretReference]:
        """Looked for when the first playbook is started: in a large city that takes longer than most commands."""
        return [reference for reference in set(_references_of(self.city)) if reference.command is None]

    def __call__(self) -> list[str]:
        found = list(self.secrets.told_by_commands)
        for reference in self.references:
            with suppress(DrpError):  # what cannot be read here cannot be printed by what drp starts either
                found.append(self.secrets.read(reference, "what must not be written down"))
        return found


def _references_of(value: Any) -> Iterator[SecretReference]:
    """All that a declaration refers to, but for the names of keys, which are no secrets."""
    if isinstance(value, SecretReference):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            if name != "access_key_id":
                yield from _references_of(getattr(value, name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from _references_of(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _references_of(item)
