"""Writes JSON Schemas of a workspace's files, so that an editor completes and checks them while they are written."""

from __future__ import annotations

import json
import os.path
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from drp.adapters.inventory import REGISTERS, RUNBOOKS_FOLDER, SERVICES_FOLDER, WORKSPACE_FILE
from drp.domain.inventory import Workspace
from drp.domain.runbooks.model import Runbook
from drp.domain.service import Service
from drp.domain.values import write_duration
from drp.errors import DrpError

KINDS: dict[str, tuple[str, type[BaseModel]]] = {
    "drp": (WORKSPACE_FILE, Workspace),
    "service": (f"{SERVICES_FOLDER}/*.yaml", Service),
    **REGISTERS,
    "runbook": (f"{RUNBOOKS_FOLDER}/*.yaml", Runbook),
}
"""For each kind of file: which files of a workspace are of it, and the model that reads them."""


@dataclass(frozen=True, slots=True)
class WrittenSchema:
    """A schema's file, the files of the workspace that it is for, and how these name it, from where they are."""

    path: Path
    files: str
    reference: str


class _Generator(GenerateJsonSchema):
    """Says no less than the models: a key that is no allowed name is refused, as every unknown key is. Defaults are
    told as they would be written, and only where there is something to write."""

    schema_dialect = "https://json-schema.org/draft/2020-12/schema"

    def dict_schema(self, schema: Any) -> dict[str, Any]:
        made = super().dict_schema(schema)
        if "patternProperties" in made:
            made["additionalProperties"] = False
        return made

    def default_schema(self, schema: Any) -> dict[str, Any]:
        made = super().default_schema(schema)
        default = schema.get("default")
        if isinstance(default, timedelta):
            made["default"] = write_duration(default)
        elif isinstance(default, BaseModel) or not default:
            made.pop("default", None)
        return made

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - the signature is pydantic's
        return False


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of what the model reads."""
    schema = model.model_json_schema(by_alias=True, schema_generator=_Generator)
    return {"$schema": _Generator.schema_dialect, **schema}


def write_schemas(workspace: Path, folder: Path) -> list[WrittenSchema]:
    """Write a schema for each kind of file into a folder, named from the workspace on; replaces older ones."""
    target = workspace / folder
    written = []
    try:
        target.mkdir(parents=True, exist_ok=True)
        for kind, (files, model) in KINDS.items():
            path = target / f"{kind}.schema.json"
            path.write_text(json.dumps(schema_of(model), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            reference = os.path.relpath(path, workspace / PurePosixPath(files).parent)
            written.append(WrittenSchema(path, files, reference))
    except OSError as error:
        hint = "choose a folder that you may write to"
        raise DrpError(f"the schemas cannot be written: {error.strerror}", where=str(target), hint=hint) from error
    return written
