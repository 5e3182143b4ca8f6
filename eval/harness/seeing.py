"""Pictures and clips in, embeddings out: under one prompt or under a question each, with whatever is unreadable named.

Shapes: N (picture, query) pairs, T frames of a clip, D width of the shared space.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress, TaskID

from eval.command import CONSOLE
from vljepa.data.pictures import open_picture
from vljepa.data.records import Clip
from vljepa.data.stored import Stored
from vljepa.errors import ConfigError, ImageError
from vljepa.inference.clips import VisualReader
from vljepa.inference.embed import Embedder

QUERIES = 64
NAMED = 20

One = TypeVar("One")

Seen: TypeAlias = Path | Stored | tuple[Path, ...]
"""A picture, a video, a picture inside a larger file, or pictures that make one clip."""


def visual(file: Path, *, frames: int) -> Path | Clip:
    """What is looked for in the training data: a picture, or a video of which so many frames are seen."""
    return file if frames == 1 else Clip(file, start=0.0, end=None, frames=frames)


def clip_frames(embedder: Embedder) -> int:
    """Frames of a clip, for suites that show encoded frames in other orders.

    Raises:
        ConfigError: The model knows no clips, or encodes their frames jointly.
    """
    clips = embedder.model.config.predictor.clips
    if clips is None or embedder.model.x_encoder.backend.joint_frames:
        raise ConfigError(
            "this suite needs a model of clips that encodes frame by frame.", fix="use --model mini-video."
        )
    return clips.frames


class Eyes:
    """A model that looks at files as `classify`, `ask` and `index` do: `Embedder` reads them, and refuses what it does.

    Args:
        embedder: The model and its processor.
        frames: Frames of a video, one of each equal part; 1 for pictures.

    Raises:
        ConfigError: `frames` is more than 1, and the model has learned from pictures, or more than its places in time.
    """

    def __init__(self, embedder: Embedder, *, frames: int = 1) -> None:
        self.embedder = embedder
        self._read = embedder.read
        if frames > 1:
            self._read = VisualReader(embedder.processor, clips=embedder.model.config.predictor.clips, frames=frames)
        self.unreadable: dict[str, str] = {}
        """Reason for each file that could not be read: left out, never replaced."""

    def look(self, seen: Sequence[Seen]) -> NDArray[np.float32]:
        """Predicted embeddings under the model's caption prompt, [N, D]; rows of NaN for the unreadable."""
        return self.ask([(one, "") for one in seen])

    def ask(self, pairs: Sequence[tuple[Seen, str]]) -> NDArray[np.float32]:
        """Predicted embeddings under a query each; an empty one is the model's caption prompt.

        Every picture is read and encoded once, however many questions there are about it.
        """
        places: dict[Seen, list[int]] = {}
        for place, (one, _) in enumerate(pairs):
            places.setdefault(one, []).append(place)
        rows_ND = np.full((len(pairs), self.embedder.model.config.embed_dim), np.nan, dtype=np.float32)
        with Progress(console=CONSOLE, transient=True) as bar, ThreadPoolExecutor(4) as pool:
            task = bar.add_task("looking", total=len(places))
            for some in _chunks(list(places), self.embedder.batch_size):
                self._batch(some, places, pairs, rows_ND, pool)
                bar.advance(TaskID(task), len(some))
        return rows_ND

    def report(self) -> dict[str, object]:
        """How many files could not be read, and the first of them."""
        return {"count": len(self.unreadable), "first": dict(list(self.unreadable.items())[:NAMED])}

    def _batch(
        self,
        some: Sequence[Seen],
        places: dict[Seen, list[int]],
        pairs: Sequence[tuple[Seen, str]],
        rows_ND: NDArray[np.float32],
        pool: ThreadPoolExecutor,
    ) -> None:
        read = [(one, pixels) for one, pixels in zip(some, pool.map(self._pixels, some), strict=True)
                if pixels is not None]  # fmt: skip
        if not read:
            return
        wanted = [(number, place) for number, (one, _) in enumerate(read) for place in places[one]]
        rows_ND[[place for _, place in wanted]] = self.embedder.asked(
            [pixels for _, pixels in read], [(number, pairs[place][1]) for number, place in wanted]
        )

    def _pixels(self, one: Seen) -> torch.Tensor | None:
        """Pixels [1, T, C, H, W]."""
        try:
            if isinstance(one, tuple):
                return self._read.together(one)
            if isinstance(one, Path):
                return self._read(one)
            limit = self.embedder.processor.config.x_encoder.image.max_pixels
            return self._read(open_picture(one, max_pixels=limit))
        except ImageError as error:
            self.unreadable[str(one)] = error.message
            return None


def _chunks(items: Sequence[One], size: int) -> Iterator[Sequence[One]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def readable(rows_ND: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which rows are of files that could be read, [N]."""
    kept: NDArray[np.bool_] = ~np.isnan(rows_ND).any(axis=1)
    return kept
