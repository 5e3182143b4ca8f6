"""Where a dual encoder puts images and where it puts texts: the two lie apart, in a cone each (the modality gap)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vljepa.configs import SideConfig
from vljepa.inference.embed import Embedder, Rows
from vljepa.inference.reading import OnBroken, Progress
from vljepa.processing.taxonomy import Taxonomy

LEAST = 8
"""Images from which on a mean is one."""


def measure_sides(
    embedder: Embedder, images: Sequence[Path], *, progress: Progress | None = None, on_broken: OnBroken | None = None
) -> tuple[SideConfig, SideConfig]:
    """Mean and standard deviation per dimension of the embeddings of images, and of the names of ImageNet's classes.

    Args:
        embedder: A dual encoder as a model.
        images: Any images of the kind that it will see; at least `LEAST` are needed for a mean.
        progress: As of `Embedder.embedded`.
        on_broken: As of `Embedder.embedded`.
    """
    seen = [batch.rows for batch in embedder.embedded(images, progress=progress, on_broken=on_broken)]
    rows = np.concatenate(seen) if seen else embedder.texts([])
    return _side(rows), _side(embedder.names(Taxonomy.of("imagenet-1k").names()))


def _side(rows_ND: Rows) -> SideConfig:
    return SideConfig(mean=rows_ND.mean(0).round(6).tolist(), std=rows_ND.std(0).round(6).tolist())
