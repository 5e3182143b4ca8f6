"""ConSE and its ridge regression: the baselines that learn nothing from pictures.

Shapes: N pictures, K labels of the X-Encoder's classifier, E width of the Y-Encoder.
Source: Norouzi et al., arXiv 1312.5650.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

TOP_K = 10
PSEUDO_TOP_K = 50


def conse(logits_NK: Tensor, labels_KE: Tensor, *, temperature: float = 1.0, top_k: int = TOP_K) -> Tensor:
    """The probable labels' embeddings, weighted and renormalised over the best `top_k`: [N, E], not unit norm."""
    top, index = (logits_NK / temperature).softmax(-1).topk(min(top_k, logits_NK.shape[1]), dim=-1)
    weights = top / top.sum(-1, keepdim=True)
    # As one product: gathering 50 embeddings for each of 24,000 captions would take 2 GB.
    return torch.zeros_like(logits_NK).scatter(-1, index, weights) @ labels_KE[: logits_NK.shape[1]]


@dataclass(frozen=True)
class Ridge:
    """Affine map fitted in closed form.

    Args:
        weight_EE: Applied to a centred row from the right.
        mean_in_E: Mean of the inputs of the fit.
        mean_out_E: Mean of its outputs.
    """

    weight_EE: Tensor
    mean_in_E: Tensor
    mean_out_E: Tensor

    def __call__(self, rows_NE: Tensor) -> Tensor:
        """Map rows, [N, E]."""
        return (rows_NE - self.mean_in_E) @ self.weight_EE + self.mean_out_E


def fit_ridge(inputs_NE: Tensor, outputs_NE: Tensor, *, penalty: float) -> Ridge:
    """Least squares with `penalty` times the mean variance of the inputs on the diagonal."""
    mean_in_E, mean_out_E = inputs_NE.mean(0), outputs_NE.mean(0)
    centred_NE = (inputs_NE - mean_in_E).double()
    covariance_EE = centred_NE.T @ centred_NE / len(inputs_NE)
    cross_EE = centred_NE.T @ (outputs_NE - mean_out_E).double() / len(inputs_NE)
    ridge_EE = covariance_EE + penalty * covariance_EE.diagonal().mean() * torch.eye(len(covariance_EE)).double()
    return Ridge(torch.linalg.solve(ridge_EE, cross_EE).float(), mean_in_E, mean_out_E)


@dataclass(frozen=True)
class CaptionPairs:
    """Captions of the same pictures, and what they look like through the classifier's labels.

    Args:
        cosines_NK: Cosine of each caption to each label.
        others_NE: Mean embedding of the other captions of its picture, unit norm.
    """

    cosines_NK: Tensor
    others_NE: Tensor

    @classmethod
    def of(cls, groups: Sequence[Sequence[str]], embedded_NE: Tensor, labels_KE: Tensor) -> CaptionPairs:
        """From the captions by picture and their embeddings, in the order of the groups."""
        sizes = torch.tensor([len(group) for group in groups])
        owner_N = torch.arange(len(groups)).repeat_interleave(sizes)
        sums = torch.zeros(len(groups), embedded_NE.shape[1]).index_add_(0, owner_N, embedded_NE)
        others = F.normalize(sums[owner_N] - embedded_NE, dim=-1)
        return cls(embedded_NE @ F.normalize(labels_KE, dim=-1).T, others)

    def ridge(self, labels_KE: Tensor, *, sharpness: float, penalty: float) -> Ridge:
        """Ridge from a caption's pseudo label distribution, softmax(cosine / sharpness), to the other captions."""
        pseudo_NE = conse(self.cosines_NK, labels_KE, temperature=sharpness, top_k=PSEUDO_TOP_K)
        return fit_ridge(pseudo_NE, self.others_NE, penalty=penalty)
