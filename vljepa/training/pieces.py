"""A group's batch in pieces: chunks of GradCache, and samples of like length, so that few are padded to the longest.

The order of the samples is another one then, and no loss depends on it: positives are found by ids, which go along.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vljepa.methods.protocol import Rows
from vljepa.models.types import Batch


def split(batch: Batch, count: int, *, lengths_B: Tensor | None = None) -> list[Batch]:
    """Samples of a batch in pieces of about equal size.

    Args:
        batch: Of B samples.
        count: Of pieces, at most B.
        lengths_B: By which the samples are sorted; None leaves them in order.
    """
    if count == 1:
        return [batch]
    order_B = torch.arange(batch.size) if lengths_B is None else lengths_B.argsort(stable=True)
    return [batch.choose(rows) for rows in order_B.tensor_split(count)]


def join(pieces: Sequence[Rows]) -> Rows:
    """Rows of all pieces, in their order."""
    return {name: torch.cat([piece[name] for piece in pieces]) for name in pieces[0]}
