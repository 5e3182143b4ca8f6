"""Data sets of Hugging Face, saved on disk by `save_to_disk` or by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vljepa.data.formats.conversations import turns_of
from vljepa.data.formats.registry import Format, Found, Numbered
from vljepa.data.hf_datasets import HUB, open_dataset
from vljepa.data.stored import Cell

_AT_ONCE = 1000


def recognises(place: Path, split: str | None) -> Found | None:
    """A folder that `save_to_disk` wrote; of one with splits the wanted one."""
    if (place / "state.json").is_file():
        return Found("dataset", place, split=split)
    if not (place / "dataset_dict.json").is_file():
        return None
    if split is not None and (place / split / "state.json").is_file():
        return Found("dataset", place / split, split=split, splits=(split,))
    return Found("dataset", place)


def is_hub(path: str) -> bool:
    """Whether a path names a dataset of the hub."""
    return path.startswith(HUB)


def find_on_hub(name: str, split: str | None) -> Found:
    """The dataset `hf:NAME:SPLIT`, or `hf:NAME` with a split of its own."""
    if split is None or ":" in name.removeprefix(HUB):
        return Found("dataset", name, split=split)
    return Found("dataset", f"{name}:{split}", split=split, splits=(split,))


def dataset_rows(place: Found) -> Numbered:
    """Rows of a dataset, with their numbers from 1: class labels by their names, images as `Cell`s.

    Raises:
        DataError: As `open_dataset`.
    """
    from datasets import ClassLabel, Image

    name = str(place.place)
    found = open_dataset(name)
    stored = [column for column, feature in found.features.items() if isinstance(feature, Image)]
    labels = {column: feature for column, feature in found.features.items() if isinstance(feature, ClassLabel)}
    plain = [column for column in found.column_names if column not in stored]
    number = 0
    for start in range(0, len(found), _AT_ONCE):
        rows = range(start, min(start + _AT_ONCE, len(found)))
        columns = found.select(rows).select_columns(plain)[:] if plain else {}
        for index in range(len(rows)):
            number += 1
            row = {column: values[index] for column, values in columns.items()}
            row |= {column: _label(feature, row[column]) for column, feature in labels.items()}
            cells = {column: Cell(name, column, number - 1) for column in stored}
            yield from ((number, item) for item in turns_of(row | cells))


def _label(feature: Any, value: Any) -> str | None:
    """Name of a class; None for the -1 with which `datasets` says that there is no label."""
    return str(feature.int2str(value)) if isinstance(value, int) and value >= 0 else None


DATASET = Format("dataset", recognises, dataset_rows)
