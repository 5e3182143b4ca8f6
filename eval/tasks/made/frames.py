"""The different frames of all streams, made from the pictures and encoded once, kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

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
    """Unit-norm embeddings [F, D] of frames, their grey levels [F, THUMBNAIL, THUMBNAIL], and the row of each frame."""

    rows: np.ndarray
    grey: np.ndarray
    places: dict[Frame, int]

    def watched(self, stream: Stream) -> Watched:
        """A stream with its frames' embeddings and grey levels."""
        numbers = np.array([self.places[frame] for frame in stream.frames])
        return Watched(stream, self.rows[numbers], self.grey[numbers])


def held_out(data: Path, source: str, split: str, *, style: str | None = None) -> list[Captioned]:
    """Pictures of a split that streams may show; none of them is a training picture."""
    known = {one.source_id for one in read_captions(data, source, "train")}
    pictures = [one for one in read_captions(data, source, split) if style in (None, one.style)]
    assert not known & {one.source_id for one in pictures}, "streams show held-out pictures only"
    return pictures


def encode_frames(
    streams: Iterable[Stream], *, pictures: Sequence[Captioned], embedder: Embedder, cache: Path
) -> Frames:
    """Make and encode every frame, or read them from the cache of the same frames, pictures and model."""
    frames = sorted({frame for stream in streams for frame in stream.frames})
    places = {frame: place for place, frame in enumerate(frames)}
    contents = [hashlib.blake2b(one.path.read_bytes(), digest_size=8).hexdigest() for one in pictures]
    key = json.dumps([contents, frames, embedder.model.fingerprint(), SIDE, ZOOM])
    file = cache / f"{hashlib.blake2b(key.encode(), digest_size=8).hexdigest()}.npz"
    if not file.is_file():
        rows, grey = [], []
        opened = [Image.open(one.path).convert("RGBA") for one in pictures]
        for start in range(0, len(frames), CHUNK):
            made = [render(frame, opened) for frame in frames[start : start + CHUNK]]
            rows.append(embedder.images(made))
            small = [one.convert("L").resize((THUMBNAIL, THUMBNAIL)) for one in made]
            grey += [np.asarray(one, dtype=np.float32) / 255 for one in small]
            log(f"encoded {min(start + CHUNK, len(frames))} of {len(frames)} frames")
        cache.mkdir(parents=True, exist_ok=True)
        half = file.with_suffix(".part.npz")
        np.savez(half, rows=np.concatenate(rows), grey=np.stack(grey))
        half.replace(file)
    with np.load(file) as kept:
        return Frames(kept["rows"], kept["grey"], places)


def render(frame: Frame, pictures: Sequence[Image.Image]) -> Image.Image:
    """Pixels of a frame, RGB."""
    image = view(pictures[frame.picture], frame.view, seed=frame.picture)
    if frame.other < 0:
        return image
    return Image.blend(image, view(pictures[frame.other], 0, seed=frame.other), frame.alpha)


def view(picture: Image.Image, number: int, *, seed: int) -> Image.Image:
    """View `number` of a picture's path: from the whole square to a seeded part of it, in equal steps."""
    side = min(picture.size)
    left, top = (picture.width - side) / 2, (picture.height - side) / 2
    along = number / (VIEWS - 1)
    aim_x, aim_y = np.random.default_rng([7, seed]).random(2)
    size = side * (1 - along * (1 - ZOOM))
    box = (left + aim_x * (side - size), top + aim_y * (side - size))
    cut = picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=(*box, box[0] + size, box[1] + size))
    return Image.alpha_composite(Image.new("RGBA", cut.size, "white"), cut).convert("RGB")
