"""Symmetric InfoNCE with several positives: the loss of the paper, in the space of embeddings.

Shapes: B samples of the batch, D width of the shared space, R rows of a tile.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vljepa.objectives.positives import Positives


def infonce(
    prediction_BD: Tensor,
    target_BD: Tensor,
    *,
    logit_scale: Tensor,
    positives: Positives | None = None,
    tile: int | None = None,
) -> Tensor:
    r"""Bidirectional InfoNCE with in-batch negatives.

    With S = logit_scale * prediction @ target^T and P(i) the positives of sample i,

        loss = 1/(2B) sum_i [ LSE_j S_ij - mean_{j in P(i)} S_ij  +  LSE_j S_ji - mean_{j in P(i)} S_ji ]

    which is CLIP's loss when every sample has only itself as a positive, and SupCon's outer form (arXiv 2004.11362,
    eq. 2: the mean over positives stands outside the logarithm) when it has more. Positives stay in the denominator.
    Source: VL-JEPA (arXiv 2512.10942), section 2, with the bidirectional loss of arXiv 1807.03748 and 2103.00020.

    Logits and softmax are computed in float32 (float64 for float64 inputs), also under autocast: at a temperature of
    0.01 bf16 logits are wrong by 0.4.

    Args:
        prediction_BD: Predicted embeddings, unit norm.
        target_BD: Embeddings of the true texts, unit norm, in the same order.
        logit_scale: 1 / temperature (not its logarithm), shape (1,).
        positives: Which targets are right for which predictions. None means each sample its own.
        tile: Rows of S that exist at a time. None computes S whole: 6 B^2 D operations and several B x B matrices.
            With a tile, memory grows with tile x B, and S is computed once more for the gradients: 8 B^2 D.

    Returns:
        The loss, a scalar in float32 or float64. The tiled one has first derivatives only.

    Example:
        >>> eye = torch.eye(4)
        >>> float(infonce(eye, eye, logit_scale=torch.tensor([100.0]))) < 1e-6
        True
    """
    assert prediction_BD.shape == target_BD.shape, (prediction_BD.shape, target_BD.shape)
    with torch.autocast(device_type=prediction_BD.device.type, enabled=False):
        dtype = torch.promote_types(prediction_BD.dtype, torch.float32)
        inputs = (prediction_BD.to(dtype), target_BD.to(dtype), logit_scale.to(dtype))
        if tile is None:
            return _dense(*inputs, positives)
        assert tile >= 1, tile
        loss: Tensor = _Tiled.apply(*inputs, positives, tile)
        return loss


def _dense(prediction_BD: Tensor, target_BD: Tensor, logit_scale: Tensor, positives: Positives | None) -> Tensor:
    logits_BB = logit_scale * (prediction_BD @ target_BD.T)
    if positives is None:
        rows_B = columns_B = logits_BB.diagonal()
    else:
        weights_BB = positives.mask().to(logits_BB.dtype)
        matched_BB = logits_BB * weights_BB
        rows_B = matched_BB.sum(dim=1) / weights_BB.sum(dim=1)
        columns_B = matched_BB.sum(dim=0) / weights_BB.sum(dim=0)
    losses_B = (logits_BB.logsumexp(dim=1) - rows_B) + (logits_BB.logsumexp(dim=0) - columns_B)
    return losses_B.mean() / 2


class _Tiled(torch.autograd.Function):
    """The same from tiles of rows: a sweep stores the log-sum-exps of rows and columns, a second one has gradients.

    With them, d loss / d S_ij = (softmax of row i + softmax of column j - M_ij (1/|P(i)| + 1/|P(j)|)) / (2B), in which
    M is the mask of positives: every entry of S is needed once per sweep, and for both directions. What has a factor
    in common is multiplied by it in [B, D]; what has the size of a tile is made once and written over, since new memory
    costs more time than the arithmetic on it.
    """

    @staticmethod
    def forward(
        ctx: Any, prediction_BD: Tensor, target_BD: Tensor, logit_scale: Tensor, positives: Positives | None, tile: int
    ) -> Tensor:
        rows_lse_B, columns_lse_B = prediction_BD.new_empty(len(target_BD)), prediction_BD.new_empty(len(target_BD))
        columns_lse_B.fill_(-torch.inf)
        matched_rows_B, matched_columns_B, counts_B = (torch.zeros_like(rows_lse_B) for _ in range(3))
        for rows, logits_RB, spare_RB in _tiles(target_BD, tile):
            torch.mm(prediction_BD[rows] * logit_scale, target_BD.T, out=logits_RB)
            if positives is None:
                counts_B[rows] = 1
                matched_rows_B[rows] = matched_columns_B[rows] = logits_RB.diagonal(offset=rows.start)
            else:
                mask_RB = positives.mask(rows)
                counts_B[rows] = mask_RB.sum(dim=1, dtype=counts_B.dtype)
                torch.mul(logits_RB, mask_RB, out=spare_RB)
                matched_rows_B[rows] = spare_RB.sum(dim=1)
                matched_columns_B += spare_RB.sum(dim=0)
            rows_lse_B[rows] = _logsumexp(logits_RB, dim=1, spare=spare_RB)
            columns_lse_B = torch.logaddexp(columns_lse_B, _logsumexp(logits_RB, dim=0, spare=spare_RB))
        ctx.save_for_backward(prediction_BD, target_BD, logit_scale, rows_lse_B, columns_lse_B, counts_B)
        ctx.positives, ctx.tile = positives, tile
        losses_B = rows_lse_B + columns_lse_B - (matched_rows_B + matched_columns_B) / counts_B
        return losses_B.mean() / 2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        prediction_BD, target_BD, logit_scale, rows_lse_B, columns_lse_B, counts_B = ctx.saved_tensors
        to_prediction_BD, to_target_BD = torch.empty_like(prediction_BD), torch.zeros_like(target_BD)
        to_scale = torch.zeros_like(logit_scale)
        for rows, logits_RB, slope_RB in _tiles(target_BD, ctx.tile):
            torch.mm(prediction_BD[rows] * logit_scale, target_BD.T, out=logits_RB)
            torch.sub(logits_RB, rows_lse_B[rows, None], out=slope_RB).exp_()
            slope_RB += logits_RB.sub_(columns_lse_B).exp_()
            if ctx.positives is None:
                slope_RB.diagonal(offset=rows.start).sub_(2)
            else:
                shares_RB = torch.add(1 / counts_B[rows, None], 1 / counts_B, out=logits_RB)
                slope_RB -= shares_RB.mul_(ctx.positives.mask(rows))
            torch.mm(slope_RB, target_BD, out=to_prediction_BD[rows])
            to_target_BD.addmm_(slope_RB.T, prediction_BD[rows])
            # sum_ij slope_ij cosine_ij, from what is there already
            to_scale += (prediction_BD[rows] * to_prediction_BD[rows]).sum()
        outer = outer / (2 * len(target_BD))
        factor = outer * logit_scale
        return to_prediction_BD.mul_(factor), to_target_BD.mul_(factor), outer * to_scale, None, None


def _tiles(side_BD: Tensor, size: int) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Rows of each tile, and two [R, B] tensors to compute in: the same memory each time."""
    count = len(side_BD)
    first, second = (side_BD.new_empty(min(size, count), count) for _ in range(2))
    for start in range(0, count, size):
        rows = slice(start, min(start + size, count))
        yield rows, first[: rows.stop - start], second[: rows.stop - start]


def _logsumexp(logits_RB: Tensor, *, dim: int, spare: Tensor) -> Tensor:
    """As torch's, computed in memory that is there."""
    highest = logits_RB.amax(dim=dim, keepdim=True)
    return torch.sub(logits_RB, highest, out=spare).exp_().sum(dim=dim).log_() + highest.squeeze(dim)
