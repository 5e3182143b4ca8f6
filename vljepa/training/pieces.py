"""A group's batch in pieces: chunks of GradCache, and rows of like length, so that few are padded to the longest.

The order of the rows is another one then, and no loss depends on it: positives are found by ids, which go along.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

Tensors = Mapping[str, Tensor]


def split(batch: Tensors, count: int, *, texts: Sequence[str] = ()) -> list[dict[str, Tensor]]:
    """Rows of a batch in pieces of about equal size.

    Args:
        batch: Tensors [B, ...]; one without rows goes into every piece.
        count: Of pieces, at most B.
        texts: Texts, of `query` and `target`, by whose length together the rows are sorted; in each piece they are cut
            to its longest. None of them leaves the rows in order.
    """
    if count == 1:
        return [dict(batch)]
    masks = [batch[f"{text}_mask"] for text in texts if f"{text}_mask" in batch]
    order_B = torch.arange(len(batch["pair_ids"]))
    if masks:
        order_B = torch.stack([mask_BL.sum(1) for mask_BL in masks]).sum(0).argsort(stable=True)
    pieces = []
    for rows in order_B.tensor_split(count):
        piece = {name: tensor[rows] if tensor.ndim > 0 else tensor for name, tensor in batch.items()}
        for text in texts:
            if f"{text}_mask" in piece:
                longest = int(piece[f"{text}_mask"].sum(1).max())
                for name in (f"{text}_ids", f"{text}_mask"):
                    piece[name] = piece[name][:, :longest]
        pieces.append(piece)
    return pieces


def join(pieces: Sequence[Tensors]) -> dict[str, Tensor]:
    """Rows of all pieces, in their order, of those tensors that have rows."""
    return {name: torch.cat([piece[name] for piece in pieces]) for name in pieces[0] if pieces[0][name].ndim > 0}
