"""What looks wrong with data that can be read all the same: said by `vljepa data check`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vljepa.configs.run import DataConfig
from vljepa.data.formats.walking import folders_in
from vljepa.data.records import Visual
from vljepa.data.skips import exceeds
from vljepa.data.sources import SourceRows

_REFUSED = "more {what} are unusable than data.max_skipped allows by default: training would refuse them"


def notes_on(rows: SourceRows, broken: Mapping[Visual, str], *, opened: int) -> list[str]:
    """Sentences on what a user may not have meant.

    Args:
        rows: Of a source.
        broken: Its images that cannot be read.
        opened: Images that were tried.
    """
    notes = []
    if broken and _over_budget(len(broken), opened):
        notes.append(_REFUSED.format(what="images"))
    if rows.skipped and _over_budget(len(rows.skipped), rows.tried):
        notes.append(_REFUSED.format(what="rows"))
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
        notes.append(f"images are not where the rows say, but in {str(folder)!r}: give it with --root")
    return notes


def _over_budget(count: int, total: int) -> bool:
    return exceeds(count, total=total, tolerated=DataConfig.model_fields["max_skipped"].default)


def _elsewhere(broken: Mapping[Visual, str]) -> Path | None:
    """A folder in that of the rows' images that holds the first one that is missing."""
    missing = next((visual for visual in broken if isinstance(visual, Path) and not visual.exists()), None)
    if missing is None or not missing.parent.is_dir():
        return None
    near = [*folders_in(missing.parent), *folders_in(missing.parent.parent)]
    return next((folder for folder in near if (folder / missing.name).is_file()), None)
