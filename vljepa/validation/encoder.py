"""The model as validation sees it: records and texts in, embeddings out, in batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from vljepa.data.images import ImageReader
from vljepa.data.progress import track
from vljepa.data.records import Visual, frames_of
from vljepa.data.text_features import TextFeatures
from vljepa.models.jepa import JEPA
from vljepa.models.types import Batch
from vljepa.processing.processor import VLJEPAProcessor

BATCH = 128
"""Texts, or frames of images and clips, that are encoded at a time; of a longer clip all frames go together."""


class Encoder:
    """Embeds images under a query, and texts.

    Args:
        model: Put into eval mode by the caller.
        processor: Of the model.
        images: Where images or their features come from.
        texts: Features of all texts that will be asked for, when the Y-Encoder is frozen.
    """

    def __init__(
        self,
        model: JEPA,
        processor: VLJEPAProcessor,
        *,
        images: ImageReader,
        texts: TextFeatures | None = None,
    ) -> None:
        self.model = model
        self.processor = processor
        self.images = images
        self.text_features = texts
        self.pause: Callable[[], None] = lambda: None
        """Called before every batch: where a run may be stopped. All processes encode the same batches."""

    @torch.no_grad()
    def predictions(
        self, pairs: Sequence[tuple[Visual, str]], *, view: int = 0, progress: str = ""
    ) -> NDArray[np.float32]:
        """Predicted embeddings [N, D] of (image, query) pairs from one stored view; all images are readable.

        Long work is given the name `progress` and shows a bar.
        """
        rows = [
            self.model.predict(self.model.latents_of(batch), batch.query).float().cpu().numpy()
            for batch in self._batches(pairs, view=view, progress=progress)
        ]
        return np.concatenate(rows)

    @torch.no_grad()
    def seen(self, pairs: Sequence[tuple[Visual, str]]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Predictions [N, D], and what the X-Encoder's own classifier says of the images, [N, K], if it has one."""
        residual = self.model.residual
        rows: list[NDArray[np.float32]] = []
        classes: list[NDArray[np.float32]] = []
        for batch in self._batches(pairs):
            latents = self.model.latents_of(batch)
            rows.append(self.model.predict(latents, batch.query).float().cpu().numpy())
            if residual is not None and residual.class_features() is not None:
                known = residual.class_probabilities(latents)
                classes += [] if known is None else [known.cpu().numpy()]
        return np.concatenate(rows), np.concatenate(classes) if classes else None

    @torch.no_grad()
    def class_rows(self) -> NDArray[np.float32] | None:
        """Embeddings [K, D] of the names of its classes; None without one."""
        classes_KD = self.model.class_embeddings()
        return None if classes_KD is None else classes_KD.cpu().numpy()

    def _batches(self, pairs: Sequence[tuple[Visual, str]], *, view: int = 0, progress: str = "") -> Iterator[Batch]:
        size = max(1, BATCH // max((frames_of(visual) for visual, _ in pairs), default=1))
        starts: Iterable[int] = range(0, len(pairs), size)
        if progress:
            starts = track(starts, what=progress, total=math.ceil(len(pairs) / size))
        for start in starts:
            self.pause()
            chunk = pairs[start : start + size]
            read = self.images.read([(path, view) for path, _ in chunk])
            assert not read.skipped, read.skipped
            queries = [query for _, query in chunk]
            yield Batch(
                pixels_BTCHW=read.pixels_BTCHW,
                latents=read.latents,
                query=self.processor.queries(queries) if any(queries) else None,
            ).to(self.model.log_scale.device)

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings [M, D] of texts."""
        rows: list[NDArray[np.float32]] = []
        device = self.model.log_scale.device
        for start in range(0, len(texts), BATCH):
            self.pause()
            chunk = texts[start : start + BATCH]
            if self.text_features is not None:
                embedded_BD = self.model.project_text(self.text_features.read(chunk).to(device))
            else:
                embedded_BD = self.model.encode_text(self.processor.targets(chunk).to(device))
            rows.append(embedded_BD.float().cpu().numpy())
        return np.concatenate(rows)
