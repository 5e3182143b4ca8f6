"""Sources of samples: rows of any known format, made into records and checked."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from vljepa.configs import SourceConfig
from vljepa.data.formats import HUB, find_data, is_stream, rows_of
from vljepa.data.paths import path_under
from vljepa.data.records import Clip, Record, Still, Visual
from vljepa.data.stored import Stored
from vljepa.errors import DataError
from vljepa.processing.picture_sequence import frame_files


def load_source(source: SourceConfig, *, root: str | Path = ".", pictures: bool = True) -> list[Record]:
    """Read all rows of a source.

    `vljepa.data.formats` knows what files may be. `text` and `candidates` may be lists: as they are where the format
    has lists, in CSV written as JSON (`["a cat", "a kitten"]`). Pictures and videos are not opened here.

    Args:
        source: What to read.
        root: Folder that `source.path` and `source.root` are relative to.
        pictures: Whether rows must have a picture; without, only their texts and ids are read.

    Returns:
        One record per row, in file order.

    Raises:
        DataError: The file or a column is missing, a row does not fit, or a picture's path leaves the root.
    """
    named: str | Path = Path(root) / source.path
    if source.path.startswith(HUB) or (is_stream(source.path) and not Path(named).exists()):
        named = source.path
    kind, file = _find(named, pictures=pictures)
    folder = _root(source, file, root=Path(root))
    records: list[Record] = []
    for number, row in rows_of(kind, file):
        where = f"{file}, row {number}"
        seen = pictures and source.text_only is None
        _check_columns(source, row, where, pictures=seen)
        records.append(_record(source, row, root=folder, pictures=seen, where=where))
    if not records:
        raise DataError(f"{str(file)!r} has no rows.", fix="put at least one sample in, or remove the source.")
    return records


def _find(path: str | Path, *, pictures: bool) -> tuple[str, Path | str]:
    kind, place = find_data(path)
    if kind == "txt" and pictures:
        raise DataError(
            f"{str(place)!r} holds texts and no pictures.", fix="give a file with a picture and a text in each row."
        )
    return kind, place


def _root(source: SourceConfig, file: Path | str, *, root: Path) -> Path:
    """Folder that the rows' paths are relative to."""
    if source.root is not None:
        return (root / source.root).resolve()
    if isinstance(file, str):
        return root.resolve()
    return (file if file.is_dir() else file.parent).resolve()


def _check_columns(source: SourceConfig, row: dict[str, Any], where: str, *, pictures: bool) -> None:
    columns = source.columns
    seen = columns.video if source.videos else columns.image
    needed = [seen, columns.text] if pictures else [columns.text]
    if source.task == "vqa":
        needed.append(columns.candidates)
    for name in needed:
        if name not in row:
            present = ", ".join(str(key) for key in row)
            videos = name == columns.image and columns.video in row and not source.still
            raise DataError(
                f"{where}: there is no column {name!r}; the columns are {present}.",
                fix=f"{'set `frames`' if videos else 'map it in `columns`'} of the source {source.name!r}.",
            )


def _record(source: SourceConfig, row: dict[str, Any], *, root: Path, pictures: bool, where: str) -> Record:
    columns = source.columns
    texts = _texts(row[columns.text], where=where, column=columns.text)
    candidates = _texts(row.get(columns.candidates), where=where, column=columns.candidates)
    if not texts:
        raise DataError(f"{where}: the column {columns.text!r} is empty.", fix="write a text, or remove the row.")
    if source.text_only is not None and len(texts) < 2:
        raise DataError(
            f"{where}: a row of text alone needs two texts, one to see and one to predict.",
            fix=f"give a list in {columns.text!r}.",
        )
    if source.task == "vqa":
        _check_candidates(candidates, texts[0], where=where)
    image = _visual(source, row, root=root, where=where) if pictures else None
    identity = row.get(columns.source_id)
    if identity in (None, ""):
        identity = image or _named_picture(source, row, root=root, where=where) or texts[0]
    return Record(
        image=image,
        texts=texts,
        query=str(row.get(columns.query) or "").strip(),
        source_id=str(identity),
        candidates=candidates,
        type=str(row.get(columns.type) or ""),
        source=source.name,
    )


def _named_picture(source: SourceConfig, row: dict[str, Any], *, root: Path, where: str) -> Visual | None:
    """Picture that a row of texts says it belongs to: its identity is the same where the picture itself is read."""
    try:
        return _visual(source, row, root=root, where=where)
    except (DataError, KeyError):
        return None


def _visual(source: SourceConfig, row: dict[str, Any], *, root: Path, where: str) -> Visual:
    columns = source.columns
    if not source.videos:
        picture = row[columns.image]
        if not isinstance(picture, Stored):
            picture = path_under(root, str(picture or ""), where=where)
        return picture if source.frames is None else Still(picture, frames=source.frames)
    assert source.frames is not None
    path = path_under(root, str(row[columns.video] or ""), where=where)
    if path.is_dir():
        try:
            frames = frame_files(path)
        except OSError as error:
            raise DataError(f"{where}: cannot read {str(path)!r}: {error.strerror}.", fix="mend the folder.") from error
        for frame in frames:  # links in it may not lead outside either
            path_under(root, str(frame.relative_to(root)), where=where)
    start = _seconds(row.get(columns.start), where=where, column=columns.start)
    end = _seconds(row.get(columns.end), where=where, column=columns.end)
    if end is not None and end <= (start or 0.0):
        raise DataError(f"{where}: the clip ends at {end:g} s, where it starts or before.", fix="mend the row.")
    backwards = row.get(columns.backwards) in (True, "true", "True", 1, "1")
    return Clip(path, start=start or 0.0, end=end, frames=source.frames, backwards=backwards)


def _seconds(value: Any, *, where: str, column: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise DataError(f"{where}: {column!r} = {value!r} is not a number of seconds.", fix="mend the row.")
    return seconds


def _texts(value: Any, *, where: str, column: str) -> tuple[str, ...]:
    """A text, a list of texts, or a list written as JSON inside a CSV cell."""
    if value is None:
        return ()
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            value = [value]  # a caption may begin with a bracket
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(entry, str | int | float) for entry in values):
        raise DataError(f"{where}: {column!r} = {value!r} is neither a text nor a list of texts.", fix="mend the row.")
    return tuple(str(entry).strip() for entry in values if str(entry).strip())


def _check_candidates(candidates: tuple[str, ...], answer: str, *, where: str) -> None:
    if answer not in candidates:
        raise DataError(
            f"{where}: the answer {answer!r} is not among the {len(candidates)} candidates.", fix="add it to them."
        )
    if len(set(candidates)) < len(candidates):
        raise DataError(f"{where}: candidates are repeated; a tie would count as wrong.", fix="list each one once.")
