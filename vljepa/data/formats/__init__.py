"""Files that samples come in: what each is, and its rows.

Every format is registered here, and says by itself what it recognises; the first that does wins. It gives rows as
dictionaries; formats that have no columns of their own give the usual ones (`image`, `text`, `query`, `source_id`), so
that nothing has to be mapped. An image in a row is a path as text, or a `Stored` one.
"""

from __future__ import annotations

import re
from pathlib import Path

from vljepa.data.formats.classes import CLASSES
from vljepa.data.formats.datasets import DATASET, find_on_hub
from vljepa.data.formats.delimited import CSV, TSV
from vljepa.data.formats.flickr import FLICKR
from vljepa.data.formats.folder_tables import CAPTIONS, SPLIT_FOLDERS, TABLE, captions_in
from vljepa.data.formats.folder_tables import DATA_FILES as DATA_FILES
from vljepa.data.formats.json_files import JSON
from vljepa.data.formats.json_lines import JSON_LINES
from vljepa.data.formats.parquet import PARQUET
from vljepa.data.formats.parts import PARTS
from vljepa.data.formats.registry import Fault as Fault
from vljepa.data.formats.registry import Found as Found
from vljepa.data.formats.registry import Item as Item
from vljepa.data.formats.registry import Row as Row
from vljepa.data.formats.registry import first_row as first_row
from vljepa.data.formats.registry import recognise, register
from vljepa.data.formats.registry import rows_of as rows_of
from vljepa.data.formats.registry import sound_rows as sound_rows
from vljepa.data.formats.sidecars import SIDECARS
from vljepa.data.formats.tars import TARS
from vljepa.data.formats.text_rows import TEXT_LINES
from vljepa.data.formats.walking import HELD_OUT as HELD_OUT
from vljepa.data.formats.walking import folders_in
from vljepa.data.hf_datasets import HUB as HUB
from vljepa.errors import DataError

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:|\|")

register(FLICKR, CSV, TSV, JSON_LINES, PARQUET, JSON, TEXT_LINES)
register(CAPTIONS, DATASET, TARS, PARTS, TABLE, SPLIT_FOLDERS, SIDECARS, CLASSES)


def find_data(path: str | Path, *, split: str | None = None) -> Found:
    """What kind of data is at `path`, the file or folder that really holds it, and what there is passed over.

    Args:
        path: A file; a folder with a captions file or one other data file, of tars, of numbered parts of a table, of
            images with their texts beside them or in a folder per class, of splits, or of a saved dataset; or
            `hf:NAME:SPLIT` for a dataset of the hub.
        split: Which split, where there are several; by default that for training.

    Raises:
        DataError: There is nothing, nothing that is known, or something that can be read only once.
    """
    if str(path).startswith(HUB):
        return find_on_hub(str(path), split)
    stream, path = is_stream(str(path)), Path(path)
    found = recognise(path, split)
    if found is not None:
        return found
    if path.is_dir():
        raise _unknown_folder(path)
    if stream or (path.exists() and not path.is_file()):
        raise DataError(
            f"{str(path)!r} is a stream, read once and in its own order: a run could not go on where it stopped.",
            fix="download it and give the folder; only data.train takes an address, https://host/{000..123}.tar.",
        )
    if not path.is_file():
        raise DataError(f"there is no source {str(path)!r}.", fix="check `path` and `data.root`.")
    if path.suffix.lower() == ".zip":
        raise DataError(f"{str(path)!r} is a zip.", fix="unpack it, and give the folder.")
    raise DataError(
        f"{str(path)!r} is of no known kind.",
        fix=f"give {', '.join(DATA_FILES)}, .txt, .tar, a folder, or {HUB}NAME:SPLIT.",
    )


def is_there(path: Path) -> bool:
    """Whether there is a file or folder, or a file of a pattern, such as `data/train-*.parquet`."""
    return path.exists() or ("*" in path.name and any(path.parent.glob(path.name)))


def has_captions(folder: Path) -> bool:
    """Whether a folder holds a captions file, though perhaps one that cannot be read."""
    return folder.is_dir() and bool(captions_in(folder))


def is_stream(path: str) -> bool:
    """Whether a path looks like an address or a command, such as `s3://`, `https://` or `pipe:`."""
    return not path.startswith(HUB) and _SCHEME.match(path) is not None


def _unknown_folder(path: Path) -> DataError:
    parts = []
    for folder in folders_in(path):
        try:
            if recognise(folder) is not None:
                parts.append(folder.name)
        except DataError:
            continue
    fix = "write captions.csv or captions.jsonl with the columns image and text."
    if parts:
        fix = f"name one of its parts: {', '.join(parts)}."
    elif any(path.glob("*.zip")):
        fix = "unpack the zip in it; what it holds is not looked at."
    return DataError(
        f"the folder {str(path)!r} holds no captions file, tars, dataset, or images in a folder per class.", fix=fix
    )
