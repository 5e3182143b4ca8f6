"""Which pairs of a batch belong together, so that duplicates are not punished as negatives."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Positives:
    """Positives of a batch: the same (image, query), or the same normalised target text.

    Two captions of one image are both right, and so is the answer "yes" of another sample. The same image under
    *another* query stays a negative: telling those apart is what makes the Predictor read its query.

    Args:
        pair_ids_B: Integer per sample, equal exactly for equal (source_id, query).
        text_ids_B: Integer per sample, equal exactly for equal normalised targets.
    """

    pair_ids_B: Tensor
    text_ids_B: Tensor

    def mask(self, rows: slice = slice(None)) -> Tensor:
        """Boolean [R, B]: which samples are right for some of them. Symmetric, with the diagonal set.

        Example:
            >>> import torch
            >>> Positives(torch.tensor([7, 7, 8]), torch.tensor([1, 2, 1])).mask().int().tolist()
            [[1, 1, 1], [1, 1, 0], [1, 0, 1]]
        """
        same_pair_RB = self.pair_ids_B[rows, None] == self.pair_ids_B[None, :]
        same_text_RB = self.text_ids_B[rows, None] == self.text_ids_B[None, :]
        return same_pair_RB.logical_or_(same_text_RB)
