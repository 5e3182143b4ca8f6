"""Which tokens are asked for: one learned token stands where the context is hidden (V-JEPA, arXiv 2404.08471)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MaskCondition(nn.Module):
    """A learned token in the place of every hidden one; the backbone's positions say which place that is.

    Args:
        width: Size of the Predictor's tokens.
    """

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.token_D = nn.Parameter(torch.zeros(width))
        nn.init.trunc_normal_(self.token_D, std=0.02)

    def forward(self, tokens_BND: Tensor, asked_BN: Tensor) -> Tensor:
        """Tokens [B, N, D] without a trace of those that are asked for."""
        return torch.where(asked_BN.unsqueeze(-1), self.token_D.to(tokens_BND.dtype), tokens_BND)
