"""The files of a new workspace."""

from __future__ import annotations

from pathlib import Path

from drp.errors import DrpError

TEMPLATES = Path(__file__).parent / "templates"


def write_template(folder: Path) -> list[Path]:
    """Copy the template files that FOLDER does not have yet; gives those that were written."""
    written = []
    try:
        for source in sorted(path for path in TEMPLATES.rglob("*") if path.is_file()):
            relative = source.relative_to(TEMPLATES)
            target = folder / (".gitignore" if relative.name == "gitignore" else relative)
            if target.exists():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
            written.append(target)
    except OSError as error:
        hint = "choose a folder that you may write to"
        raise DrpError(f"the workspace cannot be written: {error.strerror}", where=str(folder), hint=hint) from error
    return written
