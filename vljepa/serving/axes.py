"""Shorter embeddings: along the axes in which the embeddings of the names of many things differ most.

Cutting an embedding after its first numbers keeps what these happen to hold. Turning the space first, so that its first
axes are the principal ones of the names of ImageNet's 1,000 classes, keeps more and needs nothing but the model
(docs/serve.md has the numbers). It is a rotation: at full width no cosine would change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vljepa.inference.embed import Rows
from vljepa.processing.taxonomy import Taxonomy


def principal_axes(embed: Callable[[Sequence[str]], Rows]) -> NDArray[np.float64]:
    """The axes [D, D], one a column, that with the largest share of the names' embeddings first.

    Args:
        embed: From texts to rows [N, D] of unit length.
    """
    rows_ND = embed(Taxonomy.of("imagenet-1k").names()).astype(np.float64)
    _, axes_DD = np.linalg.eigh(rows_ND.T @ rows_ND)
    axes_DD = axes_DD[:, ::-1]
    # An axis has no direction of its own. The mean of the names gives it one that does not hang on the machine.
    directions: NDArray[np.float64] = np.where(rows_ND.mean(0) @ axes_DD < 0, -1.0, 1.0)
    return axes_DD * directions


def shortened(rows: Rows, axes_DD: NDArray[np.float64], dimensions: int) -> Rows:
    """Rows [N, dimensions] along the first axes, of unit length."""
    short = rows.astype(np.float64) @ axes_DD[:, :dimensions]
    lengths = np.linalg.norm(short, axis=1, keepdims=True)
    return np.asarray(short / np.maximum(lengths, np.finfo(np.float32).tiny), dtype=np.float32)
