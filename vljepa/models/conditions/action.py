"""What is done at each step in time, as a token before the tokens of that step (V-JEPA 2-AC, arXiv 2506.09985)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ActionCondition(nn.Module):
    """A linear map from an action (or an action and a state, joined) to a token.

    Args:
        action_width: Numbers of an action, A.
        width: Size of the Predictor's tokens.
    """

    def __init__(self, action_width: int, *, width: int) -> None:
        super().__init__()
        self.projection = nn.Linear(action_width, width)

    def forward(self, tokens_BND: Tensor, mask_BN: Tensor, actions_BTA: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [B, T * (1 + n), D] and their mask: each step's action, then its n tokens.

        Args:
            tokens_BND: Tokens of T steps, n each.
            mask_BN: True where a token is real.
            actions_BTA: Action at each step.
        """
        steps = actions_BTA.shape[1]
        actions_BT1D = self.projection(actions_BTA.to(self.projection.weight.dtype)).unsqueeze(2).to(tokens_BND.dtype)
        mask_BTn = mask_BN.unflatten(1, (steps, -1))
        tokens = torch.cat([actions_BT1D, tokens_BND.unflatten(1, (steps, -1))], dim=2).flatten(1, 2)
        return tokens, torch.cat([mask_BTn.any(2, keepdim=True), mask_BTn], dim=2).flatten(1, 2)

    @staticmethod
    def without(hidden_BLD: Tensor, *, steps: int) -> Tensor:
        """Hidden states of the steps' own tokens, [B, N, D]."""
        return hidden_BLD.unflatten(1, (steps, -1))[:, :, 1:].flatten(1, 2)
