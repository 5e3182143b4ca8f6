"""Train-test contamination: images by bytes and as near duplicates (perceptual hash), identities, and texts.

Found are copies that were saved again, scaled, squashed or re-encoded. Not found are copies that were cropped, mirrored
or turned, other photos of the same thing, and texts in other words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from vljepa.data.columns import columns_of, source_of
from vljepa.data.fingerprints import FLAT, NEAR_BITS, NEAR_COLOUR, Fingerprint, equal, fingerprints, near
from vljepa.data.formats import HUB, find_data, has_captions
from vljepa.data.formats.walking import images_below
from vljepa.data.records import Record, Visual
from vljepa.data.sources import load_source
from vljepa.errors import DataError
from vljepa.processing.text import normalise_text

EXAMPLES = 5

Key = TypeVar("Key")


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """What `find_overlap` found. Every count is of different things of the test set that training has too.

    Args:
        exact: Images with the same bytes, and clips of the same video, at whatever times.
        near: Other images that look the same.
        source_id: Identities that the data gives its images. Ids that are only a path, a text or a bare number do not
            count: every file may count its images from 0.
        text: Texts in their normal form; under a question, the question and the answer together.
        test: How many `images`, `source_ids` and `texts` the test set has.
        train: How many training has.
        unreadable: Images that could not be opened, and so were not compared, of `test` and of `train`.
        examples: The first few of each, as (test, train) pairs.
    """

    exact: int
    near: int
    source_id: int
    text: int
    test: dict[str, int]
    train: dict[str, int]
    unreadable: dict[str, int]
    examples: dict[str, list[tuple[str, str]]]

    @property
    def found(self) -> bool:
        """Whether anything is in both."""
        return any(self.counts().values())

    def counts(self) -> dict[str, int]:
        """`exact`, `near`, `source_id` and `text`: what a reported result says."""
        return {"exact": self.exact, "near": self.near, "source_id": self.source_id, "text": self.text}

    def as_dict(self) -> dict[str, Any]:
        """For JSON, with the rules that near images were found by."""
        return asdict(self) | {"rules": {"near_bits": NEAR_BITS, "near_colour": NEAR_COLOUR, "flat": FLAT}}


class TrainingSet:
    """Training data that several test sets are compared with; its images are opened once.

    Args:
        records: Of all sources; rows without an image, and images without texts, are welcome.

    Raises:
        DataError: ImageHash is not installed.

    Example:
        >>> training = TrainingSet(read_records("train.jsonl"))  # doctest: +SKIP
        >>> training.overlap(read_records("test.jsonl")).counts()  # doctest: +SKIP
        {'exact': 0, 'near': 2, 'source_id': 0, 'text': 17}
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._set = _Set(records)

    def overlap(self, test: Iterable[Record]) -> Overlap:
        """Compare a test set with it.

        Raises:
            DataError: ImageHash is not installed.
        """
        train, held_out = self._set, _Set(test)
        same = equal(held_out.prints, train.prints)
        alike = near(held_out.prints, train.prints)
        pairs: dict[str, list[tuple[str, str]]] = {"exact": [], "near": []}
        for visual, equal_one, near_one in zip(held_out.visuals, same, alike, strict=True):
            if equal_one >= 0:
                pairs["exact"].append((str(visual), str(train.visuals[equal_one])))
            elif near_one >= 0:
                pairs["near"].append((str(visual), str(train.visuals[near_one])))
        pairs["source_id"] = _shared(held_out.source_ids, train.source_ids)
        pairs["text"] = _shared(held_out.texts, train.texts)
        return Overlap(
            exact=len(pairs["exact"]),
            near=len(pairs["near"]),
            source_id=len(pairs["source_id"]),
            text=len(pairs["text"]),
            test=held_out.sizes(),
            train=train.sizes(),
            unreadable={"test": len(held_out.unreadable), "train": len(train.unreadable)},
            examples={name: found[:EXAMPLES] for name, found in pairs.items()},
        )


def find_overlap(train: Iterable[Record], test: Iterable[Record]) -> Overlap:
    """Compare two sets of rows; `TrainingSet` compares one training set with several.

    Raises:
        DataError: ImageHash is not installed.
    """
    return TrainingSet(train).overlap(test)


def read_records(path: str, *, root: Path | None = None) -> list[Record]:
    """Rows of data of any kind: as training reads them, but images need no text, and texts no image.

    Args:
        path: As of a source in a recipe, or a folder with images anywhere below; where folders are classes, their
            names are no texts, since training and test share them by design.
        root: Folder that paths of images are relative to; by default the data's own.

    Raises:
        DataError: No data, of no known kind, without a text column, or with a row that does not fit.
    """
    try:
        found = find_data(path)
    except DataError:
        if path.startswith(HUB) or has_captions(Path(path)) or not (bare := _images_below(Path(path))):
            raise
        return bare
    if found.kind == "classes":
        return _images_below(found.path)
    columns = columns_of(found, needed=("text",))
    source = source_of("overlap", path, found, columns=columns, root=root, frames=1)
    return load_source(source, images="image" in columns or "video" in columns)


class _Set:
    """Different images, identities and texts of some rows."""

    def __init__(self, records: Iterable[Record]) -> None:
        named: dict[Visual, None] = {}
        self.source_ids: dict[str, str] = {}
        self.texts: dict[tuple[str, str], str] = {}
        for record in records:
            if record.image is not None:
                named[record.image] = None
            if record.source_id and not record.numbered and record.source_id not in (str(record.image), *record.texts):
                self.source_ids[record.source_id] = record.source_id
            for text in record.texts:
                shown = f"{record.query} {text}" if record.query else text
                self.texts.setdefault((normalise_text(record.query), normalise_text(text)), shown)
        seen, self.unreadable = fingerprints(list(named)) if named else ({}, {})
        self.visuals: Sequence[Visual] = [visual for visual in named if visual in seen]
        self.prints: Sequence[Fingerprint] = [seen[visual] for visual in self.visuals]

    def sizes(self) -> dict[str, int]:
        images = len(self.visuals) + len(self.unreadable)
        return {"images": images, "source_ids": len(self.source_ids), "texts": len(self.texts)}


def _shared(ours: Mapping[Key, str], theirs: Mapping[Key, str]) -> list[tuple[str, str]]:
    return [(shown, theirs[key]) for key, shown in ours.items() if key in theirs]


def _images_below(folder: Path) -> list[Record]:
    return [Record(file.resolve(), ()) for file in images_below(folder)] if folder.is_dir() else []
