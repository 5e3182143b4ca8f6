"""Sources of samples: rows of any known format, made into records and checked."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vljepa.configs import ClipView, PictureView, SourceConfig, StillView, TextView
from vljepa.data.cells import is_missing, text_in, texts_in
from vljepa.data.formats import HUB, Fault, Found, Row, find_data, is_stream, is_there, rows_of
from vljepa.data.formats.text_files import text_lines
from vljepa.data.paths import path_under
from vljepa.data.records import Clip, Record, Still, Visual
from vljepa.data.skips import check_skipped, name_skipped
from vljepa.data.stored import Stored
from vljepa.errors import DataError, FileWarning
from vljepa.parts.saved import captions_file
from vljepa.processing.image_sequence import frame_files
from vljepa.processing.unicode_text import unicode_fault

Texts = Literal["required", "optional"]
"""Whether every row has to have a target text: whether the method predicts one."""
_CLIP_VIEW = "set `view: {name: clip, frames: 8}`"
SPLIT = "split"
"""Column that says which split a row is of."""


@dataclass(frozen=True)
class SourceRows:
    """What a source holds.

    Args:
        found: Where the rows come from.
        records: One per usable row, in file order.
        skipped: Reason per row that is not usable, by its number.
        passed_over: How often rows are of another kind or split than what is read, by what they are.
        splits: How often each value stands in a column `split`.
        columns: Those of the first row.
    """

    found: Found
    records: list[Record]
    skipped: dict[str, str]
    passed_over: Counter[str]
    splits: Counter[str]
    columns: list[str]

    @property
    def tried(self) -> int:
        """Rows that are of the kind that is read."""
        return len(self.records) + len(self.skipped)


class _UnusableError(Exception):
    """A row that no sample can be made of; says why."""


def load_source(
    source: SourceConfig,
    *,
    root: str | Path = ".",
    images: bool = True,
    texts: Texts = "required",
    max_skipped: float = 0.01,
) -> list[Record]:
    """Read all rows of a source; those without a usable text are left out, and a `FileWarning` names them.

    `vljepa.data.formats` knows what files may be. `text` and `candidates` may be lists: as they are where the format
    has lists, in CSV written as JSON (`["a cat", "a kitten"]`). Images and videos are not opened here.

    Args:
        source: What to read.
        root: Folder that `source.path` and `source.root` are relative to.
        images: Whether rows must have an image; without, only their texts and ids are read.
        texts: Whether rows must have a text, which the method decides; `optional` also reads those without one.
        max_skipped: Share of rows without a usable text that is tolerated.

    Returns:
        One record per usable row, in file order.

    Raises:
        DataError: The file or a column is missing, a row does not fit, too many have no usable text, or an image's
            path leaves the root.
    """
    rows = read_source(source, root=root, images=images, texts=texts)
    check_skipped(rows.skipped, total=rows.tried, tolerated=max_skipped, what=f"rows of {rows.found.place}")
    if rows.skipped:
        message = (
            f"skipped {len(rows.skipped)} of {rows.tried} rows of {rows.found.place}: {name_skipped(rows.skipped)}"
        )
        warnings.warn(message, FileWarning, stacklevel=1)  # of this line, so that a run says it once
    return rows.records


def read_source(
    source: SourceConfig, *, root: str | Path = ".", images: bool = True, texts: Texts = "required"
) -> SourceRows:
    """As `load_source`, with all that is not usable told instead of refused.

    Raises:
        DataError: As `load_source`, but for rows without a usable text, of which there may be any number but all.
    """
    found = _find(source, root=Path(root), images=images)
    folder = _root(source, found.place, root=Path(root))
    seen = images and not isinstance(source.view, TextView)
    rows = SourceRows(found, [], {}, Counter(), Counter(), [])
    candidates = _candidates_of(source, root=Path(root))
    lacking: DataError | None = None
    for number, row in rows_of(found):
        where, name = f"{found.place}, row {number}", f"row {number}"
        if isinstance(row, Fault):
            if row.counts:
                rows.skipped[name] = row.reason
            else:
                rows.passed_over[row.reason] += 1
            if row.split is not None:
                rows.splits[row.split] += 1
            continue
        rows.columns.extend(map(str, row) if not rows.columns else ())
        if SPLIT in row:
            rows.splits[str(row[SPLIT])] += 1
        if source.split is not None and not _is_of_split(source.split, row, found):
            rows.passed_over[f"rows of another split than {source.split!r}"] += 1
            continue
        missing = _missing_column(source, row, where, images=seen, texts=texts)
        if missing is not None:
            lacking = lacking or missing
            rows.skipped[name] = missing.message.partition(": ")[2].partition(";")[0]
            continue
        try:
            record = _record(source, row, candidates, root=folder, images=seen, texts=texts, where=where)
            rows.records.append(record)
        except _UnusableError as error:
            rows.skipped[name] = str(error)
    if not rows.records:
        raise lacking or _nothing_in(rows)
    return rows


def _nothing_in(rows: SourceRows) -> DataError:
    what = ""
    if rows.skipped:
        what = f" that can be used: {name_skipped(rows.skipped)}"
    elif rows.passed_over:
        what = f" of what is read: {', '.join(rows.passed_over)}"
    return DataError(
        f"{str(rows.found.place)!r} has no rows{what}.", fix="put at least one sample in, or remove the source."
    )


def _is_of_split(split: str, row: Row, found: Found) -> bool:
    if SPLIT in row and not found.splits:
        return str(row[SPLIT]) == split
    if not found.splits:
        raise DataError(
            f"{str(found.place)!r} has no splits, and {split!r} is asked for.",
            fix="leave `split` out, or give the rows a column `split`.",
        )
    return True


def source_path(source: SourceConfig, root: str | Path) -> str | Path:
    """Where a source is: under the root, unless it is an address, a name of the hub, or `mini:captions`."""
    named = Path(root) / source.path
    model = source.path.removesuffix(":captions")
    if model != source.path and not named.exists():
        return captions_file(model)
    return source.path if source.path.startswith(HUB) or (is_stream(source.path) and not is_there(named)) else named


def _find(source: SourceConfig, *, root: Path, images: bool) -> Found:
    found = find_data(source_path(source, root), split=source.split)
    if found.kind == "txt" and images:
        raise DataError(
            f"{str(found.place)!r} holds texts and no images.",
            fix="give a file with an image and a text in each row; a .txt may have a header line with their names.",
        )
    return found


def _candidates_of(source: SourceConfig, *, root: Path) -> tuple[str, ...]:
    """Candidates of all rows: a list, or a file with one per line."""
    if source.candidates is None or isinstance(source.candidates, list):
        return tuple(source.candidates or ())
    file = root / source.candidates
    if not file.is_file():
        raise DataError(f"there is no file of candidates {str(file)!r}.", fix="check `candidates` of the source.")
    with text_lines(file) as lines:
        return tuple(text for line in lines if (text := line.strip()))


def _root(source: SourceConfig, file: Path | str, *, root: Path) -> Path:
    """Folder that the rows' paths are relative to."""
    if source.root is not None:
        return (root / source.root).resolve()
    if isinstance(file, str):
        return root.resolve()
    return (file if file.is_dir() else file.parent).resolve()


def _missing_column(source: SourceConfig, row: Row, where: str, *, images: bool, texts: Texts) -> DataError | None:
    columns = source.columns
    seen = columns.video if isinstance(source.view, ClipView) else columns.image
    needed = ([seen] if images else []) + ([columns.text] if texts == "required" else [])
    if source.task == "vqa" and source.candidates is None:
        needed.append(columns.candidates)
    for name in needed:
        if name not in row:
            present = ", ".join(str(key) for key in row)
            videos = name == columns.image and columns.video in row and isinstance(source.view, PictureView)
            return DataError(
                f"{where}: there is no column {name!r}; the columns are {present}.",
                fix=f"{_CLIP_VIEW if videos else 'map it in `columns`'} of the source {source.name!r}.",
            )
    return None


def _record(
    source: SourceConfig,
    row: Row,
    candidates: tuple[str, ...],
    *,
    root: Path,
    images: bool,
    texts: Texts,
    where: str,
) -> Record:
    columns = source.columns
    right = _texts(row, columns.text)
    candidates = _texts(row, columns.candidates) or candidates
    if not right and texts == "required":
        raise _UnusableError(f"the column {columns.text!r} is empty")
    if isinstance(source.view, TextView) and len(right) < 2:
        raise DataError(
            f"{where}: a row of text alone needs two texts, one to see and one to predict.",
            fix=f"give a list in {columns.text!r}.",
        )
    if source.task == "vqa":
        _check_candidates(candidates, right[0] if right else "", where=where)
    image = _visual(source, row, root=root, where=where) if images else None
    identity = row.get(columns.source_id)
    if is_missing(identity):
        identity = image or _named_image(source, row, root=root, where=where) or "".join(right[:1])
    return Record(
        image=image,
        texts=right,
        query=_text(row, columns.query),
        source_id=str(identity),
        candidates=candidates,
        type=_text(row, columns.type),
        source=source.name,
    )


def _texts(row: Row, column: str) -> tuple[str, ...]:
    try:
        return texts_in(row.get(column))
    except ValueError as error:
        raise _UnusableError(f"{column!r} {error}") from error


def _text(row: Row, column: str) -> str:
    text = text_in(row.get(column))
    fault = unicode_fault(text)
    if fault is not None:
        raise _UnusableError(f"{column!r} = {text!a} {fault}")
    return text


def _named_image(source: SourceConfig, row: Row, *, root: Path, where: str) -> Visual | None:
    """Image that a row of texts says it belongs to: its identity is the same where the image itself is read."""
    try:
        return _visual(source, row, root=root, where=where)
    except (DataError, KeyError, _UnusableError):
        return None


def _visual(source: SourceConfig, row: Row, *, root: Path, where: str) -> Visual:
    columns = source.columns
    if not isinstance(source.view, ClipView):
        image = row[columns.image]
        if not isinstance(image, Stored):
            image = path_under(root, _path(image, columns.image), where=where)
        return Still(image, frames=source.frames) if isinstance(source.view, StillView) else image
    path = path_under(root, _path(row[columns.video], columns.video), where=where)
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
    if is_missing(value):
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise DataError(f"{where}: {column!r} = {value!r} is not a number of seconds.", fix="mend the row.")
    return seconds


def _path(value: Any, column: str) -> str:
    if is_missing(value):
        raise _UnusableError(f"{column!r} = {value!r} is not a path")
    return str(value)


def _check_candidates(candidates: tuple[str, ...], answer: str, *, where: str) -> None:
    if answer not in candidates:
        raise DataError(
            f"{where}: the answer {answer!r} is not among the {len(candidates)} candidates.", fix="add it to them."
        )
    if len(set(candidates)) < len(candidates):
        raise DataError(f"{where}: candidates are repeated; a tie would count as wrong.", fix="list each one once.")
