"""Karpathy's splits of COCO and Flickr (`dataset_coco.json`): images with their sentences, each in a split."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from vljepa.data.formats.registry import Fault, Found, Item
from vljepa.errors import DataError

_REST = "restval"
"""What is left of COCO's validation images; everyone trains on it."""


def recognises(content: Any) -> bool:
    """Whether a JSON file's content is Karpathy's."""
    images = content.get("images") if isinstance(content, dict) else None
    return isinstance(images, list) and bool(images) and isinstance(images[0], dict) and "sentences" in images[0]


def karpathy_rows(content: Any, found: Found) -> Iterator[Item]:
    """A row per image of the wanted split; by default those for training, `restval` included.

    Raises:
        DataError: A part is missing, or there is no such split.
    """
    wanted = found.split or "train"
    try:
        splits = dict.fromkeys(map(_split, content["images"]))
        if wanted not in splits:
            raise DataError(
                f"{str(found.place)!r} has no split {wanted!r}.", fix=f"set `split` to one of {', '.join(splits)}."
            )
        for image in content["images"]:
            split = _split(image)
            if split == wanted:
                yield _row(image)
            else:
                yield Fault(f"images of the split {split}", counts=False, split=split)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{str(found.place)!r} is not Karpathy's: {error} is missing or of another kind.",
            fix="images have `filename`, `sentences` with `raw`, and `split`.",
        ) from error


def _split(image: dict[str, Any]) -> str:
    split = str(image.get("split") or "train")
    return "train" if split == _REST else split


def _row(image: dict[str, Any]) -> Item:
    name = PurePosixPath(image.get("filepath") or "", image["filename"])
    texts = [sentence["raw"] for sentence in image["sentences"]]
    identity = image.get("cocoid", image.get("imgid"))
    return {"image": str(name), "text": texts, "split": _split(image)} | (
        {} if identity is None else {"source_id": str(identity)}
    )
