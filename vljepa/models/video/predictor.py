"""The narrow predictor of V-JEPA: latents of what is seen, and where to predict, to latents of what is hidden."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vljepa.backends.video_layers import Grid, Positioned, fresh
from vljepa.configs.v_jepa import LatentPredictorConfig, Positions


class LatentPredictor(nn.Module):
    """Layers over context tokens and mask tokens, each at its own place.

    Args:
        config: Its sizes.
        positions: As of the encoder.
        seen_width: Size of a context token, all levels together.
        asked_width: Size of what is predicted of a token, all levels together.
        levels: How many levels there are; more than one go in through an MLP.
        context: Whether visible tokens are predicted too, by a projection of their own.
    """

    def __init__(
        self,
        config: LatentPredictorConfig,
        *,
        positions: Positions,
        seen_width: int,
        asked_width: int,
        levels: int = 1,
        context: bool = False,
    ) -> None:
        super().__init__()
        embed = [nn.Linear(seen_width, config.width)]
        if levels > 1:
            embed.append(nn.Linear(config.width, config.width))
        self.embed = nn.ModuleList(embed)
        self.mask_tokens = nn.Parameter(torch.zeros(config.mask_tokens, config.width))
        self.body = Positioned(config, positions=positions)
        self.proj = nn.Linear(config.width, asked_width)
        self.context_proj = nn.Linear(config.width, asked_width) if context else None
        for linear in (*embed, self.proj, self.context_proj):
            if linear is not None:
                fresh(linear)

    def forward(
        self, context_BND: Tensor, seen_BN: Tensor, asked_BM: Tensor, *, grid: Grid, mask: int
    ) -> tuple[Tensor, Tensor | None]:
        """What is predicted of the asked tokens, [B, M, asked_width], and of the seen ones where that is learned too.

        Args:
            context_BND: Latents of the seen tokens, levels side by side.
            seen_BN: Their numbers in the grid.
            asked_BM: Numbers of the tokens that are asked for.
            grid: Of the clip.
            mask: Number of the mask, which chooses the mask token.
        """
        tokens_BND = self.embed[0](context_BND)
        for linear in list(self.embed)[1:]:
            tokens_BND = linear(nn.functional.gelu(tokens_BND))
        token_D = self.mask_tokens[mask % len(self.mask_tokens)].to(tokens_BND.dtype)
        masked_BMD = token_D.expand(*asked_BM.shape, -1)
        count = seen_BN.shape[1]
        [states_BLD] = self.body(torch.cat([tokens_BND, masked_BMD], 1), torch.cat([seen_BN, asked_BM], 1), grid=grid)
        asked = self.proj(states_BLD[:, count:])
        return asked, None if self.context_proj is None else self.context_proj(states_BLD[:, :count])
