"""The pairwise sigmoid loss: every pair is a yes-or-no question of its own.

Shapes: B samples of the batch, D width of the shared space.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vljepa.objectives.positives import Positives


def sigmoid_loss(
    prediction_BD: Tensor,
    target_BD: Tensor,
    *,
    logit_scale: Tensor,
    logit_bias: Tensor,
    positives: Positives | None = None,
) -> Tensor:
    """SigLIP's loss with several positives (arXiv 2303.15343, eq. 1).

    -1/B sum_ij log sigmoid(z_ij (logit_scale * cosine_ij + logit_bias)) with z = 1 for positives and -1 for the rest.

    Logits are float32 (float64 for float64 inputs), also under autocast.

    Args:
        prediction_BD: Predicted embeddings, unit norm.
        target_BD: Embeddings of the true texts, unit norm, in the same order.
        logit_scale: 1 / temperature, shape (1,).
        logit_bias: Shape (1,); -10 is a good start, since nearly all pairs are negatives.
        positives: Which targets are right for which predictions. None means each sample its own.

    Returns:
        The loss, a scalar in float32 or float64.

    Example:
        >>> eye = torch.eye(4)
        >>> scale, bias = torch.tensor([40.0]), torch.tensor([-20.0])
        >>> float(sigmoid_loss(eye, eye, logit_scale=scale, logit_bias=bias)) < 1e-6
        True
    """
    assert prediction_BD.shape == target_BD.shape, (prediction_BD.shape, target_BD.shape)
    with torch.autocast(device_type=prediction_BD.device.type, enabled=False):
        dtype = torch.promote_types(prediction_BD.dtype, torch.float32)
        logits_BB = logit_scale.to(dtype) * (prediction_BD.to(dtype) @ target_BD.to(dtype).T) + logit_bias.to(dtype)
        eye_BB = torch.eye(len(target_BD), dtype=torch.bool, device=target_BD.device)
        right_BB = eye_BB if positives is None else positives.mask()
        return -F.logsigmoid(torch.where(right_BB, logits_BB, -logits_BB)).sum() / len(target_BD)
