"""Folders that hold one table, and folders with a folder per split: the place of the rows is further in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vljepa.data.formats.names import guess_columns
from vljepa.data.formats.registry import Format, Found, choose_split, first_row, recognise, rows_of
from vljepa.data.formats.text_files import plain_stem, plain_suffix
from vljepa.data.formats.vqa import answers_beside
from vljepa.data.formats.walking import HELD_OUT, SPLITS, folders_in, has_images, names_in
from vljepa.errors import DataError

CAPTION_FILES = ("captions.csv", "captions.jsonl")
DATA_FILES = (".csv", ".jsonl", ".tsv", ".parquet", ".json", ".ndjson")
_STEMS = ("captions", "metadata")
"""Of files that are taken whatever lies beside them; `metadata` is that of Hugging Face's imagefolder."""
_DEFAULT = "default"
"""What the hub calls the only configuration of a dataset."""
_CAPTIONS = (*DATA_FILES, ".txt")


def captions_in(folder: Path) -> list[Path]:
    """Captions files of a folder: `captions` or `metadata`, in upper or lower case, compressed or not."""
    files = (folder / name for name in names_in(folder))
    return [file for file in files if plain_suffix(file) in _CAPTIONS and plain_stem(file) in _STEMS]


def recognises_captions(place: Path, split: str | None) -> Found | None:
    """A folder with a captions file."""
    files = captions_in(place) if place.is_dir() else []
    if len(files) > 1:
        raise DataError(
            f"the folder {str(place)!r} holds two captions files: {', '.join(file.name for file in files)}.",
            fix="name one of them.",
        )
    found = recognise(files[0], split) if files else None
    return None if found is None else found.passing(*_beside(place, files[0]))


def recognises_table(place: Path, split: str | None) -> Found | None:
    """A folder with one other table, or with one per split; beside folders of classes only if it has samples."""
    files = _tables(place) if place.is_dir() else []
    if not files:
        return None
    classes = any(has_images(folder) for folder in folders_in(place))
    if classes:  # `images` beside a table is no class, and a list of classes no table
        files = [file for file in files if _has_samples(file)]
    if len(files) > 1 and all(plain_stem(file) in SPLITS for file in files):
        splits = tuple(plain_stem(file) for file in files)
        chosen = choose_split(splits, split, where=place)
        whole = recognise(files[splits.index(chosen)])
        assert whole is not None
        return replace(whole, split=chosen, splits=splits).passing(*_beside(place, files[splits.index(chosen)]))
    if len(files) > 1 and not classes:
        raise DataError(
            f"the folder {str(place)!r} holds several data files: {', '.join(file.name for file in files)}.",
            fix="name one of them.",
        )
    found = recognise(files[0], split) if len(files) == 1 else None
    return None if found is None else found.passing(*_beside(place, files[0]))


def recognises_splits(place: Path, split: str | None) -> Found | None:
    """A folder whose folders are splits, `train` and others, or hold a captions file each.

    Where the hub has made Parquet of a dataset they lie one level down: `default/train/0000.parquet`.
    """
    if not place.is_dir():
        return None
    folders = folders_in(place)
    parts = [folder for folder in folders if folder.name.lower() in SPLITS or captions_in(folder)]
    sound = [folder for folder in parts if _is_data(folder)]
    if not sound:
        return recognises_splits(place / _DEFAULT, split)
    names = tuple(folder.name for folder in sound)
    chosen = choose_split(names, split, where=place)
    found = recognise(place / chosen)
    assert found is not None
    others = [f"{folder.name}: another part" for folder in folders if folder.name != chosen]
    return replace(found, split=chosen, splits=names).passing(*others)


def _is_data(folder: Path) -> bool:
    """Whether a folder is data by itself; one with several tables is, though which is meant cannot be told."""
    try:
        return recognise(folder) is not None
    except DataError:
        return bool(captions_in(folder))


def _tables(folder: Path) -> list[Path]:
    """Tables and annotations of a folder, without validation data and without the answers that belong to questions."""
    named = (folder / name for name in names_in(folder))
    files = [file for file in named if plain_suffix(file) in DATA_FILES or _is_text_table(file)]
    answers = {answers_beside(file) for file in files}
    return [file for file in files if plain_stem(file) not in HELD_OUT and file not in answers]


def _is_text_table(file: Path) -> bool:
    """Whether a .txt or .token file is a table, such as Flickr's, and not lines of text."""
    if plain_suffix(file) not in (".txt", ".token"):
        return False
    found = recognise(file)
    return found is not None and found.kind != "txt"


def _has_samples(file: Path) -> bool:
    """Whether rows of a file have an image and a text; a list of names beside folders of classes has not."""
    found = recognise(file)
    try:
        columns = guess_columns((first_row(found) if found is not None else None) or {})
    except DataError:
        return False
    return "text" in columns and ("image" in columns or "video" in columns)


def _beside(folder: Path, taken: Path) -> list[str]:
    """Other tables of a folder: which are not read, though somebody may think so."""
    files = [*captions_in(folder), *_tables(folder)]
    packed = [folder / name for name in names_in(folder) if name.lower().endswith((".zip", ".tar"))]
    return [f"{file.name}: not read" for file in dict.fromkeys([*files, *packed]) if file != taken]


CAPTIONS = Format("captions", recognises_captions, rows_of)
TABLE = Format("table", recognises_table, rows_of)
SPLIT_FOLDERS = Format("splits", recognises_splits, rows_of)
