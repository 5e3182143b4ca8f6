"""The one way in which evaluations embed: the product's `Embedder`, encoding once and asking many.

Everything that the evaluations know of the model's latents is in this file.

Shapes: N (image, query) pairs, T frames of a clip, D width of the shared space, E of pooled features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress, TaskID
from torch import Tensor

from eval.core.console import CONSOLE
from vljepa.backends.pooling import masked_mean
from vljepa.data.images import open_still
from vljepa.data.records import Clip
from vljepa.data.stored import Stored
from vljepa.errors import ConfigError, ImageError
from vljepa.inference.clips import VisualReader
from vljepa.inference.embed import Embedder
from vljepa.models.types import Latents

NAMED = 20
Rows: TypeAlias = NDArray[np.float32]
Seen: TypeAlias = Path | Stored | tuple[Path, ...]
"""An image, a video, an image inside a larger file, or images that make one clip."""
_Item = TypeVar("_Item")


def visual(file: Path, *, frames: int) -> Path | Clip:
    """What is looked for in the training data: an image, or a video of which so many frames are seen."""
    return file if frames == 1 else Clip(file, start=0.0, end=None, frames=frames)


def clip_frames(embedder: Embedder) -> int:
    """Frames of a clip, for suites that show encoded frames in other orders.

    Raises:
        ConfigError: The model knows no clips, or encodes their frames jointly.
    """
    clips = embedder.model.config.predictor.clips
    if clips is None or embedder.model.x_encoder.backend.joint_frames:
        raise ConfigError("this suite needs a model of clips that encodes frame by frame.", fix="use --model mini.")
    return clips.frames


class FileEmbedder:
    """Embeds files as `classify`, `ask` and `index` do: `Embedder` reads them, and refuses what it refuses.

    Args:
        embedder: The model and its processor.
        frames: Frames of a video, one of each equal part; 1 for images.

    Raises:
        ConfigError: `frames` is more than 1, and the model has learned from images, or more than its places in time.
    """

    def __init__(self, embedder: Embedder, *, frames: int = 1) -> None:
        self.embedder = embedder
        self._read = embedder.read
        if frames > 1:
            self._read = VisualReader(embedder.processor, clips=embedder.model.config.clips, frames=frames)
        self.unreadable: dict[str, str] = {}
        """Reason for each file that could not be read: left out, never replaced."""

    def embed(self, files: Sequence[Seen]) -> Rows:
        """Predicted embeddings under the model's caption prompt, [N, D]; rows of NaN for the unreadable."""
        return self.ask([(one, "") for one in files])

    def ask(self, pairs: Sequence[tuple[Any, str]]) -> Rows:
        """Predicted embeddings under a query each; an empty one is the model's caption prompt."""
        return self.answered(pairs)[0]

    def answered(self, pairs: Sequence[tuple[Any, str]]) -> tuple[Rows, Rows | None]:
        """The same, and what the X-Encoder's own classifier says of each pair's file, [N, K], where it has one.

        Every file is read and encoded once, however many questions there are about it.
        """
        places: dict[Seen, list[int]] = {}
        for place, (one, _) in enumerate(pairs):
            places.setdefault(one, []).append(place)
        rows_ND = np.full((len(pairs), self.embedder.model.config.embed_dim), np.nan, dtype=np.float32)
        classes_NK: Rows | None = None
        with Progress(console=CONSOLE, transient=True) as bar, ThreadPoolExecutor(4) as pool:
            task = bar.add_task("embedding", total=len(places))
            for files in chunks(list(places), self.embedder.batch_size):
                read = [(file, pixels) for file, pixels in zip(files, pool.map(self._pixels, files), strict=True)
                        if pixels is not None]  # fmt: skip
                asked = [(number, place) for number, (file, _) in enumerate(read) for place in places[file]]
                if read:
                    where = [place for _, place in asked]
                    rows_ND[where], known = self.embedder.answered(
                        [pixels for _, pixels in read], [(number, pairs[place][1]) for number, place in asked]
                    )
                    if known is not None:
                        if classes_NK is None:
                            classes_NK = np.zeros((len(pairs), known.shape[1]), dtype=np.float32)
                        classes_NK[where] = known[[number for number, _ in asked]]
                bar.advance(TaskID(task), len(files))
        return rows_ND, classes_NK

    def report(self) -> dict[str, object]:
        """How many files could not be read, and the first of them."""
        return {"count": len(self.unreadable), "first": dict(list(self.unreadable.items())[:NAMED])}

    def _pixels(self, one: Seen) -> Tensor | None:
        """Pixels [1, T, C, H, W]."""
        try:
            if isinstance(one, tuple):
                return self._read.together(one)
            if isinstance(one, Path):
                return self._read(one)
            return self._read(open_still(one, max_pixels=max_pixels(self.embedder)))
        except ImageError as error:
            self.unreadable[str(one)] = error.message
            return None


class EncodedImages:
    """Images whose encoding is kept, to ask any number of models with the same X-Encoder about them.

    Args:
        embedder: Whose X-Encoder encodes.
        files: The images; all must be readable.
    """

    def __init__(self, embedder: Embedder, files: Sequence[Path]) -> None:
        self._embedder = embedder
        self._places: dict[Path, int] = {}
        parts = []
        for part in chunks(list(dict.fromkeys(files)), embedder.batch_size):
            self._places |= {file: len(self._places) + place for place, file in enumerate(part)}
            parts.append(embedder.encode([embedder.read(file) for file in part]))
        self._vision = joined(parts)

    def ask(self, pairs: Sequence[tuple[Any, str]], *, embedder: Embedder | None = None) -> Rows:
        """Predicted embeddings [N, D] of (file, query) pairs, by this or another model."""
        model = embedder or self._embedder
        rows = [model.texts([])]
        for part in chunks(pairs, 64):
            vision = self._vision.choose([self._places[file] for file, _ in part]).to(model.device)
            rows.append(model.ask(vision, [(number, query) for number, (_, query) in enumerate(part)]))
        return np.concatenate(rows)

    def features(self, files: Sequence[Any]) -> Rows:
        """What the frozen X-Encoder has of each image, [N, E]: mean visual token, and classifier outputs."""
        vision = self._vision.choose([self._places[file] for file in files])
        parts = [masked_mean(vision.tokens_BND, vision.mask_BN)]
        parts += [] if vision.logits_BK is None else [vision.logits_BK]
        features: Rows = torch.cat(parts, dim=1).float().cpu().numpy()
        return features


class EncodedFrames:
    """Clips whose frames are encoded once, and shown to the Predictor in any order.

    Args:
        embedder: The model.
        files: The clips.
        frames: Frames of each, T.
        end: Seconds at which they end; None for all of them.
    """

    def __init__(self, embedder: Embedder, files: Sequence[Path], *, frames: int, end: float | None = None) -> None:
        from vljepa.processing.video import even_shares, read_clip

        self.embedder, self.frames = embedder, frames
        self.places = {file: place for place, file in enumerate(files)}
        parts, limit = [], max_pixels(embedder)
        for file in files:
            pixels = embedder.processor.frames(read_clip(file, shares=even_shares(frames), end=end, max_pixels=limit))
            parts.append(embedder.encode([pixels.unsqueeze(1)]))  # as images
        self._frames = joined(parts)

    def ask(self, questions: Sequence[Any], order: Any) -> Rows:
        """Predicted embeddings [N, D] with the frames in this order, [T], or in one for each clip, [clips, T].

        A frame may be there several times. Questions have `image`, the clip, and `query`.
        """
        orders_CT = np.broadcast_to(np.asarray(order), (len(self.places), self.frames))
        rows = [self.embedder.texts([])]
        for part in chunks(questions, 64):
            clips = [self.places[one.image] for one in part]
            frames = [int(clip * self.frames + frame) for clip in clips for frame in orders_CT[clip]]
            vision = as_clips(self._frames.choose(frames), steps=self.frames)
            rows.append(self.embedder.ask(vision, [(number, one.query) for number, one in enumerate(part)]))
        return np.concatenate(rows)


def joined(parts: Sequence[Latents]) -> Latents:
    """Rows of equally long encodings below each other."""
    logits = [one.logits_BK for one in parts if one.logits_BK is not None]
    pooled = [one.pooled_BD for one in parts if one.pooled_BD is not None]
    return Latents(
        torch.cat([one.tokens_BND for one in parts]),
        torch.cat([one.mask_BN for one in parts]),
        logits_BK=torch.cat(logits) if logits else None,
        pooled_BD=torch.cat(pooled) if pooled else None,
        steps=parts[0].steps,
    )


def as_clips(frames: Latents, *, steps: int) -> Latents:
    """Encoded images, `steps` after each other making one clip."""
    logits, pooled = (
        None if one is None else one.unflatten(0, (-1, steps)).mean(1) for one in (frames.logits_BK, frames.pooled_BD)
    )
    tokens, mask = (one.unflatten(0, (-1, steps)).flatten(1, 2) for one in (frames.tokens_BND, frames.mask_BN))
    return Latents(tokens, mask, logits_BK=logits, pooled_BD=pooled, steps=steps)


def max_pixels(embedder: Embedder) -> int:
    """Largest image that the model opens."""
    return embedder.processor.config.x_encoder.image.max_pixels


def chunks(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    """Parts of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def readable(rows_ND: Rows) -> NDArray[np.bool_]:
    """Which rows are of files that could be read, [N]."""
    return np.asarray(~np.isnan(rows_ND).any(axis=1))
