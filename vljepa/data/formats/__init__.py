"""Files that samples come in: what each is, and its rows.

Every format gives rows as dictionaries; formats that have no columns of their own give the usual ones (`image`, `text`,
`query`, `source_id`), so that nothing has to be mapped. A picture in a row is a path as text, or a `Stored` one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vljepa.data.formats.annotations import json_rows
from vljepa.data.formats.datasets import HUB as HUB
from vljepa.data.formats.datasets import dataset_rows, is_dataset
from vljepa.data.formats.folders import class_rows, is_class_folder
from vljepa.data.formats.tables import TABLES, table_rows
from vljepa.data.formats.tars import tar_rows
from vljepa.errors import DataError

CAPTION_FILES = ("captions.csv", "captions.jsonl")

Row = dict[str, Any]


def find_data(path: str | Path) -> tuple[str, Path | str]:
    """What kind of data is at `path`, and the file or folder that really holds it.

    Args:
        path: A file; a folder with a captions file, of tars, of pictures in a folder per class, or of a saved data
            set; or `hf:NAME:SPLIT` for a data set of the hub.

    Returns:
        The kind, such as `csv` or `tars`, and the place.

    Raises:
        DataError: There is nothing, or nothing that is known.
    """
    if str(path).startswith(HUB):
        return "dataset", str(path)
    path = Path(path)
    if path.is_dir():
        return _find_in_folder(path)
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


def _find_in_folder(path: Path) -> tuple[str, Path]:
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
    if is_class_folder(path):
        return "classes", path
    raise DataError(
        f"the folder {str(path)!r} holds no captions file, tars, data set, or pictures in a folder per class.",
        fix=f"write {' or '.join(CAPTION_FILES)} with the columns image and text.",
    )
