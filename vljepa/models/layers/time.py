"""Time in the Predictor: which step of a clip a visual token belongs to, and what changes from step to step."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vljepa.configs import ClipsConfig
from vljepa.errors import ConfigError
from vljepa.models.layers.pooling import pool_grid

CHANGE_WIDTH = 64
"""To which each place is narrowed; 1,280 features of four places would be learned by heart."""


class ClipPlaces(nn.Module):
    """A learned encoding of a token's place in time, zero at first, the same for all tokens of one step.

    The first row is a clip's first step and the last row its last, however many it has; between them the rows are
    interpolated. So a clip that is sampled more densely keeps its meaning, and an image has no time.

    Args:
        config: How many places there are.
        width: Size of a token.
    """

    def __init__(self, config: ClipsConfig, *, width: int) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.zeros(config.max_frames, width))

    def forward(self, tokens_BND: Tensor, *, steps: int) -> Tensor:
        """Tokens with their places, [B, N, D]; a single step comes back as it is.

        Raises:
            ConfigError: More steps than places.
        """
        if steps == 1:
            return tokens_BND
        most = len(self.places)
        if steps > most:
            raise ConfigError(
                f"the clip has {steps} steps in time, the Predictor has places for {most}.",
                fix="take fewer frames, or train with a larger predictor.clips.max_frames.",
            )
        places_TD = F.interpolate(self.places.T.unsqueeze(0), size=steps, mode="linear", align_corners=True)[0].T
        placed = tokens_BND.unflatten(1, (steps, -1)) + places_TD.to(tokens_BND.dtype).unsqueeze(1)
        return placed.flatten(1, 2)


class ClipChanges(nn.Module):
    """What changes in time, as tokens of their own: the cosines of what is seen over the steps, a token each.

    The mean over time, k = 0, is left out: what stays is in the tokens of the steps. Every place of a frame is narrowed
    by the same projection, and all places together are projected to a token; that is zero at first. In between, the
    query weighs them (FiLM, arXiv 1709.07871): "which way does it go?" and "which side came first?" are read from the
    same change with opposite signs, which attention to words takes long to find.

    Args:
        count: Cosines, k = 1 to `count`.
        places: Tokens of one step.
        vision_width: Size of a visual token.
        width: Size of the Predictor's tokens.
    """

    def __init__(self, count: int, *, places: int, vision_width: int, width: int) -> None:
        super().__init__()
        self.count = count
        self.narrow = nn.Linear(vision_width, CHANGE_WIDTH, bias=False)
        self.together = nn.Linear(places * CHANGE_WIDTH, width, bias=False)
        self.weigh = nn.Linear(width, places * CHANGE_WIDTH)
        for parameter in (self.together.weight, self.weigh.weight, self.weigh.bias):
            nn.init.zeros_(parameter)

    def forward(
        self, tokens_BND: Tensor, mask_BN: Tensor, *, steps: int, query_BD: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Tokens [B, count, width] and their mask: whether all steps are real.

        Args:
            tokens_BND: Visual tokens of a clip.
            mask_BN: True where a token is real.
            steps: Steps in time.
            query_BD: Mean word embedding of the query; zeros are no query.
        """
        cosines_KT = temporal_cosines(self.count, steps=steps).to(tokens_BND)
        places_BKND = torch.einsum("kt,btnd->bknd", cosines_KT, tokens_BND.unflatten(1, (steps, -1)))
        narrow_BKD = self.narrow(places_BKND).flatten(2)
        if query_BD is None:
            query_BD = narrow_BKD.new_zeros(len(narrow_BKD), self.weigh.in_features)
        weights_BD = 1 + self.weigh(F.layer_norm(query_BD, query_BD.shape[-1:]))
        changes_BKD = self.together(narrow_BKD * weights_BD.unsqueeze(1))
        return changes_BKD, mask_BN.all(1, keepdim=True).expand(-1, self.count)


def temporal_cosines(count: int, *, steps: int) -> Tensor:
    """Rows k = 1 to `count` of the orthonormal DCT-II over `steps`, [count, steps]."""
    k_K1 = torch.arange(1, count + 1, dtype=torch.float32).unsqueeze(1)
    middles_T = torch.arange(steps, dtype=torch.float32) + 0.5
    return math.sqrt(2 / steps) * torch.cos(math.pi * k_K1 * middles_T / steps)


def pool_steps(tokens_BND: Tensor, mask_BN: Tensor, *, steps: int, side: int) -> tuple[Tensor, Tensor]:
    """Average the square grid of each step's tokens to a smaller one of `side` x `side`; tokens and mask [B, N']."""
    per_step = tokens_BND.unflatten(1, (steps, -1)).flatten(0, 1)
    height = round(per_step.shape[1] ** 0.5)
    assert height * height == per_step.shape[1], per_step.shape
    pooled = pool_grid(per_step, height=height, width=height, side=side).unflatten(0, (-1, steps)).flatten(1, 2)
    # A step is seen whole or not at all.
    return pooled, mask_BN.unflatten(1, (steps, -1))[..., :1].expand(-1, -1, side * side).flatten(1, 2)
