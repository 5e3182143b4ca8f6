"""The different frames of all streams, made from the pictures and encoded once, kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from eval.core.console import log
from eval.tasks.made.streams import VIEWS, Frame
from vljepa.inference.embed import Embedder

SIDE = 256
THUMBNAIL = 32
ZOOM = 0.75
CHUNK = 256


class Frames:
    """Embeddings and small grey images of frames.

    Args:
        rows: Embedding of each frame [F, D], unit norm.
        grey: Grey levels of each frame, [F, THUMBNAIL, THUMBNAIL], 0 to 1.
        places: Row of each frame.
    """

    def __init__(self, rows: np.ndarray, grey: np.ndarray, places: dict[Frame, int]) -> None:
        self.rows, self.grey, self.places = rows, grey, places

    def numbers(self, frames: Sequence[Frame]) -> np.ndarray:
        """Row numbers of a stream's frames, [T]."""
        return np.array([self.places[frame] for frame in frames])


def encode_frames(wanted: Iterable[Frame], *, pictures: Sequence[Path], embedder: Embedder, cache: Path) -> Frames:
    """Make and encode every frame, or read them from the cache of the same frames, pictures and model."""
    frames = sorted(set(wanted))
    contents = [hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest() for path in pictures]
    key = json.dumps([contents, frames, embedder.model.fingerprint(), SIDE, ZOOM])
    file = cache / f"{hashlib.blake2b(key.encode(), digest_size=8).hexdigest()}.npz"
    if file.is_file():
        with np.load(file) as kept:
            return Frames(kept["rows"], kept["grey"], {frame: place for place, frame in enumerate(frames)})
    rows, grey = [], []
    opened = [Image.open(path).convert("RGBA") for path in pictures]
    for start in range(0, len(frames), CHUNK):
        made = [render(frame, opened) for frame in frames[start : start + CHUNK]]
        rows.append(embedder.images(made))
        grey += [np.asarray(one.convert("L").resize((THUMBNAIL, THUMBNAIL)), dtype=np.float32) / 255 for one in made]
        log(f"encoded {min(start + CHUNK, len(frames))} of {len(frames)} frames")
    cache.mkdir(parents=True, exist_ok=True)
    half = file.with_suffix(".part.npz")
    np.savez(half, rows=np.concatenate(rows), grey=np.stack(grey))
    half.replace(file)
    return Frames(np.concatenate(rows), np.stack(grey), {frame: place for place, frame in enumerate(frames)})


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
