"""Images and clips with a label each: a folder per class, or any data that has a text in each row."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from vljepa.configs import ClipView, PictureView, SourceConfig
from vljepa.data.formats import Fault, find_data, rows_of
from vljepa.data.formats.walking import SPLITS, folders_in, is_image_name, names_in
from vljepa.data.records import Clip, Still, Visual
from vljepa.data.sources import load_source
from vljepa.errors import DataError
from vljepa.processing.file_types import VIDEO_SUFFIXES
from vljepa.processing.image_sequence import is_animation

_ROWS_LOOKED_AT = 20


@dataclass(frozen=True, slots=True)
class Labelled:
    """What is seen, and what it is.

    Args:
        visual: The image or clip.
        label: Its class.
    """

    visual: Visual
    label: str


def read_labelled(path: str | Path, *, frames: int) -> list[Labelled]:
    """All images or clips of a place with their labels; nothing is opened but animated images.

    Args:
        path: A folder with a folder of images or videos for each class; or data as of a source, whose first text is the
            label, with a column `image` or `video`.
        frames: Frames of a clip. Images among clips are shown as clips in which nothing moves.

    Raises:
        DataError: There is nothing, or fewer than two classes.
    """
    place = Path(path).expanduser()
    classes = _class_folders(place)
    found = _of_folders(classes, frames=frames) if classes else _of_table(place, frames=frames)
    labels = {one.label for one in found}
    if len(labels) < 2:
        raise DataError(
            f"{str(path)!r} has {len(found)} images or clips of {len(labels)} class{'es' if not labels else ''}.",
            fix="give a folder with a folder per class, or a table with a column `text` of at least two labels.",
        )
    return found


def _class_folders(place: Path) -> list[Path]:
    """Folders that hold images or videos; none where there is a table beside them."""
    if not place.is_dir():
        return []
    folders = [folder for folder in folders_in(place) if any(_is_seen(name) for name in names_in(folder))]
    if any(
        not _is_seen(name) for name in names_in(place) if name.lower().endswith((".csv", ".tsv", ".jsonl", ".parquet"))
    ):
        return []
    if not folders and any(folders_in(folder) for folder in folders_in(place)):
        inner = [folder.name for folder in folders_in(place)]
        if all(name.lower() in SPLITS for name in inner):
            raise DataError(
                f"{str(place)!r} holds splits ({', '.join(inner)}), not classes.",
                fix=f"give {str(place / inner[0])!r}, and the others as --validation and --test.",
            )
    return folders


def _is_seen(name: str) -> bool:
    return is_image_name(name) or Path(name).suffix.lower() in VIDEO_SUFFIXES


def _of_folders(classes: list[Path], *, frames: int) -> list[Labelled]:
    files = [(folder / name, folder.name) for folder in classes for name in names_in(folder) if _is_seen(name)]
    moving = [not is_image_name(file.name) or is_animation(file) for file, _ in files]
    found = []
    for (file, label), moves in zip(files, moving, strict=True):
        visual: Visual = file.absolute()
        if moves:
            visual = Clip(file.absolute(), start=0.0, end=None, frames=frames)
        elif any(moving):
            visual = Still(file.absolute(), frames)
        found.append(Labelled(visual, label))
    return found


def _of_table(place: Path, *, frames: int) -> list[Labelled]:
    if not place.exists():
        raise DataError(f"there is no {str(place)!r}.", fix="check the path.")
    first = (row for _, row in islice(rows_of(find_data(place)), _ROWS_LOOKED_AT) if not isinstance(row, Fault))
    has_videos = any("video" in row for row in first)
    view = ClipView(frames=frames) if has_videos else PictureView()
    records = load_source(SourceConfig(name="labels", path=str(place), view=view), root=".")
    return [Labelled(record.image, record.texts[0]) for record in records if record.image is not None]
