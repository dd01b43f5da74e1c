"""Takes secrets out of what is written down: a playbook may print what it was given, or what it has read itself."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Iterable
from typing import Any

SHORTEST = 6
"""What is shorter stands in too many words to be taken out of them."""
REDACTED = "(secret)"


class Redactor:
    """Knows some secrets, in the ways in which programs write them: as they are, within JSON, in a URL, in base64."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms: set[str] = set()
        for secret in secrets:
            for text in {secret, *secret.splitlines()}:
                if len(text) >= SHORTEST:
                    forms |= _forms_of(text)
        self.forms = sorted(forms, key=len, reverse=True)  # a secret that another one holds must not break that one up

    def text(self, text: str) -> str:
        for form in self.forms:
            text = text.replace(form, REDACTED)
        return text

    def value(self, value: Any) -> Any:
        """The same for all texts within a value as JSON has them."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(name)): self.value(item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in value]
        return value


def _forms_of(text: str) -> set[str]:
    within_json = json.dumps(text)[1:-1]
    return {
        text,
        within_json,
        json.dumps(text, ensure_ascii=False)[1:-1],
        json.dumps(within_json)[1:-1],  # JSON that stands in a text of other JSON
        urllib.parse.quote(text, safe=""),
        urllib.parse.quote_plus(text),
        base64.b64encode(text.encode()).decode().rstrip("="),
    }
