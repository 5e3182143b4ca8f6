"""COCO captions: `images`, and `annotations` with their captions; a row per image with all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vljepa.data.formats.registry import Fault, Found, Item
from vljepa.errors import DataError


def recognises(content: Any) -> bool:
    """Whether a JSON file's content is COCO's."""
    return isinstance(content, dict) and {"images", "annotations"} <= content.keys()


def coco_rows(content: Any, found: Found) -> Iterator[Item]:
    """Rows of COCO captions; images without a caption are passed over, as COCO's own test images are.

    Raises:
        DataError: A part is missing.
    """
    texts: dict[Any, list[Any]] = {}
    try:
        for one in content["annotations"]:
            texts.setdefault(one["image_id"], []).append(one["caption"])
        for image in content["images"]:
            name, identity = image["file_name"], image["id"]
            if identity in texts:
                yield {"image": name, "text": texts[identity], "source_id": str(identity)}
            else:
                yield Fault("images without a caption", counts=False)
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{str(found.place)!r} is not COCO captions: {error} is missing or of another kind.",
            fix="images have `id` and `file_name`, annotations `image_id` and `caption`.",
        ) from error
