"""Files that samples come in: what each is, and its rows.

Every format gives rows as dictionaries; formats that have no columns of their own give the usual ones (`image`, `text`,
`query`, `source_id`), so that nothing has to be mapped. A picture in a row is a path as text, or a `Stored` one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vljepa.data.formats.annotations import answers_beside, json_rows
from vljepa.data.formats.datasets import HUB as HUB
from vljepa.data.formats.datasets import dataset_rows, is_dataset
from vljepa.data.formats.folders import class_rows, is_class_folder
from vljepa.data.formats.names import guess_columns
from vljepa.data.formats.tables import TABLES, table_rows
from vljepa.data.formats.tars import tar_rows
from vljepa.errors import DataError

CAPTION_FILES = ("captions.csv", "captions.jsonl")
DATA_FILES = (".csv", ".jsonl", ".tsv", ".parquet", ".json")
HELD_OUT = ("validation", "valid", "val")
"""Names of validation data: of a file beside the training data, or of a folder beside `train`."""
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:|\|")

Row = dict[str, Any]


def find_data(path: str | Path) -> tuple[str, Path | str]:
    """What kind of data is at `path`, and the file or folder that really holds it.

    Args:
        path: A file; a folder with a captions file or one other data file, of tars, of pictures in a folder per class,
            or of a saved data set; or `hf:NAME:SPLIT` for a data set of the hub.

    Returns:
        The kind, such as `csv` or `tars`, and the place.

    Raises:
        DataError: There is nothing, nothing that is known, or something that can be read only once.
    """
    if str(path).startswith(HUB):
        return "dataset", str(path)
    stream, path = is_stream(str(path)), Path(path)
    if path.is_dir():
        return _find_in_folder(path)
    if not path.is_file() and (stream or path.exists()):
        raise DataError(
            f"{str(path)!r} is a stream, read once and in its own order: a run could not go on where it stopped.",
            fix="download it and give the folder; only data.train takes an address, https://host/{000..123}.tar.",
        )
    if not path.is_file():
        raise DataError(f"there is no source {str(path)!r}.", fix="check `path` and `data.root`.")
    if path.suffix in TABLES:
        return path.suffix[1:], path
    if path.suffix == ".json":
        return "json", path
    if path.suffix == ".tar":
        return "tars", path
    raise DataError(
        f"{str(path)!r} is of no known kind.",
        fix=f"give {', '.join(TABLES)}, .json, .tar, a folder, or {HUB}NAME:SPLIT.",
    )


def is_stream(path: str) -> bool:
    """Whether a path looks like an address or a command, such as `s3://`, `https://` or `pipe:`."""
    return not path.startswith(HUB) and _SCHEME.match(path) is not None


def rows_of(kind: str, place: Path | str) -> Iterator[tuple[int, Row]]:
    """Rows of what `find_data` found, with their numbers from 1.

    Raises:
        DataError: It cannot be read, or is not what it looks like.
    """
    if kind == "dataset":
        return dataset_rows(str(place))
    place = Path(place)
    if kind == "tars":
        return tar_rows(place)
    if kind == "classes":
        return class_rows(place)
    if kind == "json":
        return json_rows(place)
    return table_rows(place)


def _find_in_folder(path: Path) -> tuple[str, Path | str]:
    found = [path / name for name in CAPTION_FILES if (path / name).is_file()]
    if len(found) == 1:
        return found[0].suffix[1:], found[0]
    if found:
        raise DataError(
            f"the folder {str(path)!r} holds two captions files.", fix=f"keep one of {' or '.join(CAPTION_FILES)}."
        )
    if is_dataset(path):
        return "dataset", path
    if any(path.glob("*.tar")):
        return "tars", path
    files, classes = _data_files(path), is_class_folder(path)
    if len(files) == 1 and (not classes or _has_samples(files[0])):  # `images` beside a table is no class
        return find_data(files[0])
    if classes:
        return "classes", path
    if files:
        raise DataError(
            f"the folder {str(path)!r} holds several data files: {', '.join(file.name for file in files)}.",
            fix="name one of them.",
        )
    parts = [folder.name for folder in sorted(path.iterdir()) if folder.is_dir() and is_class_folder(folder)]
    raise DataError(
        f"the folder {str(path)!r} holds no captions file, tars, data set, or pictures in a folder per class.",
        fix=f"name one of its parts: {', '.join(parts)}."
        if parts
        else f"write {' or '.join(CAPTION_FILES)} with the columns image and text.",
    )


def _has_samples(file: Path) -> bool:
    """Whether rows of a file have a picture and a text; a list of names beside folders of classes has not."""
    try:
        first = next(rows_of(*find_data(file)), None)
    except DataError:
        return False
    columns = guess_columns(first[1]) if first is not None else {}
    return "text" in columns and ("image" in columns or "video" in columns)


def _data_files(folder: Path) -> list[Path]:
    """Tables and annotations of a folder, without validation data and without the answers that belong to questions."""
    files = [file for file in sorted(folder.iterdir()) if file.suffix in DATA_FILES and file.is_file()]
    answers = {answers_beside(file) for file in files}
    return [file for file in files if file.stem not in HELD_OUT and file not in answers]
