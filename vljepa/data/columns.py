"""The source of a recipe for a stranger's table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vljepa.configs import ClipView, ColumnsConfig, PictureView, SourceConfig
from vljepa.data.formats import HUB, Found, first_row
from vljepa.data.formats.names import guess_columns
from vljepa.data.shards import is_shards
from vljepa.errors import DataError


def columns_of(found: Found, *, needed: Sequence[str]) -> dict[str, str]:
    """Meaning to column of what `find_data` found, guessed from its first row.

    Args:
        found: As `find_data` gives it.
        needed: Meanings that there must be; a `video` will do for an `image`.

    Raises:
        DataError: No rows, or no column for something that is needed.
    """
    place = found.place
    row = first_row(found)
    if row is None:
        raise DataError(f"{str(place)!r} has no rows that can be used.", fix="put at least one sample in.")
    columns = guess_columns(row)
    for meaning in needed:
        if meaning not in columns and not (meaning == "image" and "video" in columns):
            raise DataError(
                f"no column of {str(place)!r} looks like the {meaning}; the columns are {', '.join(map(str, row))}.",
                fix=f"name it {meaning!r}, or map it with `columns` in a recipe.",
            )
    return columns


def source_of(
    name: str,
    path: str,
    found: Found,
    *,
    columns: Mapping[str, str],
    root: Path | None,
    frames: int,
    candidates: list[str] | None = None,
) -> SourceConfig:
    """Source of a recipe for data with these columns.

    Args:
        name: Of the source; `held_out` with candidates is validated by accuracy.
        path: As the user wrote it.
        found: As `find_data` gives it.
        columns: Meaning to column.
        root: Folder that paths of images are relative to; by default the data's own.
        frames: Of a clip, where the rows have videos.
        candidates: That all rows choose from.
    """
    plain = ColumnsConfig()
    mapped = {meaning: column for meaning, column in columns.items() if getattr(plain, meaning) != column}
    return SourceConfig(
        name=name,
        path=path if path.startswith(HUB) or is_shards(path) else str(Path(found.place).resolve()),
        split=None if found.splits else found.split,
        root=None if root is None else str(root.resolve()),
        columns=ColumnsConfig.model_validate(mapped),
        view=ClipView(frames=frames) if "video" in columns and "image" not in columns else PictureView(),
        task="vqa" if name == "held_out" and ("candidates" in columns or candidates) else "retrieval",
        candidates=candidates,
    )
