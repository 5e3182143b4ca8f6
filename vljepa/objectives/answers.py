"""Cross-entropy over the training answers: what a contrast within a batch cannot teach.

Shapes: B samples of the batch, A answers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

NO_ANSWER = -1


def answer_softmax(logits_BA: Tensor, answer_ids_B: Tensor) -> Tensor:
    """Mean negative log-likelihood of each sample's own answer among all answers.

    In-batch InfoNCE with masked duplicates sees a frequent answer as often as a right one than as a wrong one, so it
    learns nothing of its frequency and little of answers that are not in the batch; this sees all of them in each step.

    Args:
        logits_BA: logit_scale * cosine to every answer, plus what is known of the answer beforehand.
        answer_ids_B: Number of the right answer; NO_ANSWER for samples that are no question, which do not count.

    Returns:
        A scalar in float32 or float64; 0, with a graph, where no sample has an answer.

    Example:
        >>> float(answer_softmax(torch.tensor([[9.0, 0.0], [0.0, 0.0]]), torch.tensor([0, NO_ANSWER]))) < 1e-3
        True
    """
    with torch.autocast(logits_BA.device.type, enabled=False):
        logits_BA = logits_BA.to(torch.promote_types(logits_BA.dtype, torch.float32))
        total = F.cross_entropy(logits_BA, answer_ids_B, ignore_index=NO_ANSWER, reduction="sum")
        return total / (answer_ids_B != NO_ANSWER).sum().clamp(min=1)
