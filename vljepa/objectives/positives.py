"""Which pairs of a batch belong together, so that duplicates are not punished as negatives."""

from __future__ import annotations

from torch import Tensor


def positive_mask(pair_ids_B: Tensor, text_ids_B: Tensor) -> Tensor:
    """Positives of a batch: the same (picture, query), or the same normalised target text.

    Two captions of one picture are both right, and so is the answer "yes" of another sample. The same picture under
    *another* query stays a negative: telling those apart is what makes the Predictor read its query.

    Args:
        pair_ids_B: Integer per sample, equal exactly for equal (source_id, query).
        text_ids_B: Integer per sample, equal exactly for equal normalised targets.

    Returns:
        Boolean [B, B], symmetric, with the diagonal set.

    Example:
        >>> import torch
        >>> positive_mask(torch.tensor([7, 7, 8]), torch.tensor([1, 2, 1])).int().tolist()
        [[1, 1, 1], [1, 1, 0], [1, 0, 1]]
    """
    same_pair_BB = pair_ids_B[:, None] == pair_ids_B[None, :]
    same_text_BB = text_ids_B[:, None] == text_ids_B[None, :]
    return same_pair_BB | same_text_BB
