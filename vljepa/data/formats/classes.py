"""A folder of images per class: the folder's name is what is on them."""

from __future__ import annotations

import os
from pathlib import Path

from vljepa.data.formats.registry import Format, Found, Numbered
from vljepa.data.formats.walking import (
    SPLITS,
    folders_in,
    has_images,
    images_below,
    images_in,
    is_image_name,
    left_behind,
    names_in,
)
from vljepa.errors import DataError

_CONTAINERS = SPLITS | {
    "images",
    "image",
    "imgs",
    "img",
    "pictures",
    "photos",
    "data",
    "jpegimages",
    "flicker8k_dataset",
}
"""Names that say where images are and not what is on them."""


def recognises(place: Path, split: str | None) -> Found | None:
    """A folder whose folders hold images, and are not all called `train`, `images` or the like."""
    if not place.is_dir():
        return None
    classes = [folder for folder in folders_in(place) if has_images(folder)]
    if not classes:
        return None
    _refuse_texts_elsewhere(place, classes)
    names = [folder.name for folder in classes]
    if all(name.lower() in _CONTAINERS for name in names):
        raise DataError(
            f"the images of {str(place)!r} lie in {', '.join(names)}, which are no classes, and no table says what "
            "is on them.",
            fix="put a folder per class, a captions.csv (image,text), or a .txt beside each image.",
        )
    return Found("classes", place, split=split, passed_over=tuple(_passed_over(place, classes)))


def class_rows(found: Found) -> Numbered:
    """A row per image, by folder and name: `red_apple/1.jpg` shows "red apple"."""
    number = 0
    for folder in folders_in(found.path):
        for image in images_in(folder):
            number += 1
            text = folder.name.replace("_", " ").replace("-", " ")
            yield number, {"image": str(image.relative_to(found.path)), "text": text}


def _refuse_texts_elsewhere(place: Path, classes: list[Path]) -> None:
    """Texts that are called like the images, but lie beside the images' folder, would be passed over."""
    named = [name for name in names_in(place) if name.lower().endswith(".txt")]
    stems = {
        os.path.splitext(name)[0] for folder in classes if named for name in names_in(folder) if is_image_name(name)
    }
    texts = [name for name in named if os.path.splitext(name)[0] in stems]
    if texts:
        raise DataError(
            f"{str(place / texts[0])!r} is called like an image, and lies beside the folder of the images.",
            fix="put each text beside its image, or write a captions.csv.",
        )


def _passed_over(place: Path, classes: list[Path]) -> list[str]:
    passed = left_behind(place)
    bare = sum(1 for _ in images_in(place))
    if bare:
        passed.append(f"{bare} images in no folder: of no class")
    deep = sum(1 for folder in folders_in(place) for one in folders_in(folder) for _ in images_below(one))
    if deep:
        passed.append(f"{deep} images in folders of classes' folders")
    others = sum(not is_image_name(name) for folder in classes for name in names_in(folder))
    if others:
        passed.append(f"{others} files in the classes' folders that are no images")
    return passed


CLASSES = Format("classes", recognises, class_rows)
