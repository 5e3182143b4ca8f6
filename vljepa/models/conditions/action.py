"""What is done at each step in time, as tokens before the tokens of that step (V-JEPA 2-AC, arXiv 2506.09985)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ActionCondition(nn.Module):
    """A linear map from an action to a token, and one from the state of what acts to another.

    Args:
        action_width: Numbers of an action, A.
        width: Size of the Predictor's tokens.
        state_width: Numbers of a state, S; None without states.
    """

    def __init__(self, action_width: int, *, width: int, state_width: int | None = None) -> None:
        super().__init__()
        self.projection = nn.Linear(action_width, width)
        self.state_projection = None if state_width is None else nn.Linear(state_width, width)

    def forward(
        self, tokens_BND: Tensor, mask_BN: Tensor, actions_BTA: Tensor, states_BTS: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Tokens [B, T * (1 + n), D] and their mask: each step's action, its state where there is one, its n tokens.

        Args:
            tokens_BND: Tokens of T steps, n each.
            mask_BN: True where a token is real.
            actions_BTA: Action at each step.
            states_BTS: State at each step, where it was made for states.
        """
        steps = actions_BTA.shape[1]
        told = [self.projection(actions_BTA.to(self.projection.weight.dtype))]
        if self.state_projection is not None:
            assert states_BTS is not None
            told.append(self.state_projection(states_BTS.to(self.state_projection.weight.dtype)))
        told_BTkD = torch.stack(told, dim=2).to(tokens_BND.dtype)
        mask_BTn = mask_BN.unflatten(1, (steps, -1))
        tokens = torch.cat([told_BTkD, tokens_BND.unflatten(1, (steps, -1))], dim=2).flatten(1, 2)
        told_mask_BTk = mask_BTn.any(2, keepdim=True).expand(-1, -1, len(told))
        return tokens, torch.cat([told_mask_BTk, mask_BTn], dim=2).flatten(1, 2)

    def without(self, hidden_BLD: Tensor, *, steps: int) -> Tensor:
        """Hidden states of the steps' own tokens, [B, N, D]."""
        told = 1 if self.state_projection is None else 2
        return hidden_BLD.unflatten(1, (steps, -1))[:, :, told:].flatten(1, 2)
