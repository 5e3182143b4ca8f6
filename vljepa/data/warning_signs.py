"""What looks wrong with data that can be read all the same: said by `vljepa data check`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vljepa.data.formats.walking import folders_in
from vljepa.data.records import Visual
from vljepa.data.sources import SourceRows


def notes_on(rows: SourceRows, broken: Mapping[Visual, str]) -> list[str]:
    """Sentences on what a user may not have meant.

    Args:
        rows: Of a source.
        broken: Its pictures that cannot be read.
    """
    notes = []
    texts = {text for record in rows.records for text in record.texts}
    if not any(record.query for record in rows.records):
        if all(text.lstrip("-").isdecimal() for text in texts):
            notes.append("all texts are numbers: are these class numbers, whose names are in another file?")
        elif len(texts) == 1 and len(rows.records) > 1:
            notes.append(f"all rows have the same text, {next(iter(texts))!r}: nothing can be learned from it")
    if len(rows.splits) > 1 and not rows.passed_over and not rows.found.splits:
        counted = ", ".join(f"{name} {count:,}" for name, count in rows.splits.items())
        notes.append(f"the column 'split' has {counted}, and all are read: choose one with --split")
    folder = _elsewhere(broken)
    if folder is not None:
        notes.append(f"pictures are not where the rows say, but in {str(folder)!r}: give it with --root")
    return notes


def _elsewhere(broken: Mapping[Visual, str]) -> Path | None:
    """A folder in that of the rows' pictures that holds the first one that is missing."""
    missing = next((visual for visual in broken if isinstance(visual, Path) and not visual.exists()), None)
    if missing is None or not missing.parent.is_dir():
        return None
    return next((folder for folder in folders_in(missing.parent) if (folder / missing.name).is_file()), None)
