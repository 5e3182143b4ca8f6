"""Symmetric InfoNCE with several positives: the loss of the paper, in the space of embeddings.

Shapes: B samples of the batch, D width of the shared space.
"""

from __future__ import annotations

import torch
from torch import Tensor


def infonce(
    prediction_BD: Tensor, target_BD: Tensor, *, logit_scale: Tensor, positives_BB: Tensor | None = None
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
        positives_BB: Boolean; `positives_BB[i, j]` says that target j is right for prediction i. The diagonal must be
            set. None means the diagonal alone.

    Returns:
        The loss, a scalar in float32 or float64.

    Example:
        >>> eye = torch.eye(4)
        >>> float(infonce(eye, eye, logit_scale=torch.tensor([100.0]))) < 1e-6
        True
    """
    assert prediction_BD.shape == target_BD.shape, (prediction_BD.shape, target_BD.shape)
    with torch.autocast(device_type=prediction_BD.device.type, enabled=False):
        dtype = torch.promote_types(prediction_BD.dtype, torch.float32)
        logits_BB = logit_scale.to(dtype) * (prediction_BD.to(dtype) @ target_BD.to(dtype).T)
        if positives_BB is None:
            rows_B = columns_B = logits_BB.diagonal()
        else:
            assert bool(positives_BB.diagonal().all()), "a sample must be its own positive"
            weights_BB = positives_BB.to(dtype)
            matched_BB = logits_BB * weights_BB
            rows_B = matched_BB.sum(dim=1) / weights_BB.sum(dim=1)
            columns_B = matched_BB.sum(dim=0) / weights_BB.sum(dim=0)
        losses_B = (logits_BB.logsumexp(dim=1) - rows_B) + (logits_BB.logsumexp(dim=0) - columns_B)
        return losses_B.mean() / 2
