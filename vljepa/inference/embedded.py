"""What embedding gives: rows of the shared space, and what is known beside them.

Shapes: b images of a batch, D width of the shared space, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vljepa.processing.processor import ImageInput

Rows: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """A batch of images, embedded.

    Args:
        images: Those that could be read, b of them.
        rows: Predicted embeddings [b, D], float32, of unit length.
        classes: What the X-Encoder's own classifier says, [b, K] probabilities; None without one.
    """

    images: list[ImageInput]
    rows: Rows
    classes: Rows | None
