"""From many tokens of a frame to fewer."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def pool_grid(tokens_BND: Tensor, *, height: int, width: int, side: int) -> Tensor:
    """Average-pool the last height x width tokens (prefix tokens are dropped) to a side x side grid."""
    grid_BND = tokens_BND[:, -height * width :]
    map_BDHW = grid_BND.transpose(1, 2).unflatten(2, (height, width))
    return F.adaptive_avg_pool2d(map_BDHW, side).flatten(2).transpose(1, 2)
