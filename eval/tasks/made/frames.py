"""The different frames of all streams, made from the images and encoded once, kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from eval.core.console import log
from eval.core.prepared import Captioned, read_captions
from eval.tasks.made.methods import Watched
from eval.tasks.made.streams import VIEWS, Frame, Stream
from vljepa.inference.embed import Embedder

SIDE = 256
THUMBNAIL = 32
ZOOM = 0.75
CHUNK = 256


class Frames(NamedTuple):
    """Unit-norm embeddings [F, D] of frames, their grey levels [F, THUMBNAIL, THUMBNAIL], and the row of each frame.

    `classes` is what the X-Encoder's own classifier says of them, [F, K], where there is one.
    """

    rows: np.ndarray
    grey: np.ndarray
    places: dict[Frame, int]
    classes: np.ndarray | None = None

    def watched(self, stream: Stream) -> Watched:
        """A stream with its frames' embeddings and grey levels."""
        numbers = np.array([self.places[frame] for frame in stream.frames])
        classes = None if self.classes is None else self.classes[numbers].astype(np.float32)
        return Watched(stream, self.rows[numbers], self.grey[numbers], classes)


def held_out(data: Path, source: str, split: str, *, style: str | None = None) -> list[Captioned]:
    """Images of a split that streams may show; none of them is a training image."""
    known = {one.source_id for one in read_captions(data, source, "train")}
    images = [one for one in read_captions(data, source, split) if style in (None, one.style)]
    assert not known & {one.source_id for one in images}, "streams show held-out images only"
    return images


def encode_frames(streams: Iterable[Stream], *, images: Sequence[Captioned], embedder: Embedder, cache: Path) -> Frames:
    """Make and encode every frame, or read them from the cache of the same frames, images and model."""
    frames = sorted({frame for stream in streams for frame in stream.frames})
    places = {frame: place for place, frame in enumerate(frames)}
    contents = [hashlib.blake2b(one.path.read_bytes(), digest_size=8).hexdigest() for one in images]
    key = json.dumps([contents, frames, embedder.model.fingerprint(), SIDE, ZOOM, "classes"])
    file = cache / f"{hashlib.blake2b(key.encode(), digest_size=8).hexdigest()}.npz"
    if not file.is_file():
        rows, grey, classes = [], [], []
        opened = [Image.open(one.path).convert("RGBA") for one in images]
        for start in range(0, len(frames), CHUNK):
            made = [render(frame, opened) for frame in frames[start : start + CHUNK]]
            for batch in embedder.embedded(made):
                rows.append(batch.rows)
                classes += [] if batch.classes is None else [batch.classes.astype(np.float16)]
            small = [one.convert("L").resize((THUMBNAIL, THUMBNAIL)) for one in made]
            grey += [np.asarray(one, dtype=np.float32) / 255 for one in small]
            log(f"encoded {min(start + CHUNK, len(frames))} of {len(frames)} frames")
        cache.mkdir(parents=True, exist_ok=True)
        half = file.with_suffix(".part.npz")
        arrays: dict[str, Any] = {"rows": np.concatenate(rows), "grey": np.stack(grey)}
        arrays |= {"classes": np.concatenate(classes)} if classes else {}
        np.savez(half, allow_pickle=False, **arrays)
        half.replace(file)
    with np.load(file) as kept:
        return Frames(kept["rows"], kept["grey"], places, kept.get("classes"))


def render(frame: Frame, images: Sequence[Image.Image]) -> Image.Image:
    """Pixels of a frame, RGB."""
    image = view(images[frame.image], frame.view, seed=frame.image)
    if frame.other < 0:
        return image
    return Image.blend(image, view(images[frame.other], 0, seed=frame.other), frame.alpha)


def view(image: Image.Image, number: int, *, seed: int) -> Image.Image:
    """View `number` of an image's path: from the whole square to a seeded part of it, in equal steps."""
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    along = number / (VIEWS - 1)
    aim_x, aim_y = np.random.default_rng([7, seed]).random(2)
    size = side * (1 - along * (1 - ZOOM))
    box = (left + aim_x * (side - size), top + aim_y * (side - size))
    cut = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=(*box, box[0] + size, box[1] + size))
    return Image.alpha_composite(Image.new("RGBA", cut.size, "white"), cut).convert("RGB")
