"""What `vljepa data check` found, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class DataReport:
    """What `check_data` found.

    Args:
        place: The file or folder that holds the rows, or the address of shards.
        shards: Number of shards behind an address, of which the first was fetched and is what is reported; else None.
        kind: Of the data, such as `csv`, `json`, `tars`, `dataset` or `classes`.
        split: Which split is read, where there are several.
        columns: Meaning to column, as guessed.
        unused: Columns that are not read.
        passed_over: What is not read, and why, with its number.
        skipped: Reason per row that has no usable text.
        rows: Number of rows that can be used.
        images: Number of different images or clips that are named.
        texts: Number of different texts.
        queries: Number of rows with a question.
        samples: A first, a middle and the last row, as they are understood.
        same_images: Images whose very content stands under another name already.
        same_rows: Rows that say what an earlier one says.
        broken: Reason per image or clip that cannot be read.
        opened: Images and clips that were tried.
        validation: The validation data, if there is any.
        overlap: Validation images whose content is among those opened here.
        same_ids: Other validation images whose `source_id` is among the rows; bare numbers do not count, since every
            file may count its images from 0.
        blind: Accuracy on the validation questions, or on a fifth of the images where there are none, that needs no
            image; empty without questions.
        source: Entry of `data.train` in a recipe.
        command: Command that trains on it.
        notes: What looks wrong though it can be read.
    """

    place: str
    shards: int | None
    kind: str
    split: str | None
    columns: dict[str, str]
    unused: list[str]
    passed_over: list[str]
    skipped: dict[str, str]
    rows: int
    images: int
    texts: int
    queries: int
    samples: list[dict[str, Any]]
    same_images: int
    same_rows: int
    broken: dict[str, str]
    opened: int
    validation: str | None
    overlap: int | None
    same_ids: int | None
    blind: dict[str, float]
    source: dict[str, Any]
    command: str
    notes: list[str]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
