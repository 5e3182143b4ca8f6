"""Multi-block masks: which tokens of a clip are seen, and which are asked for (arXiv 2404.08471, section 3.2).

Shapes: B clips, K masks, T x H x W = N tokens of a clip.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vljepa.configs.v_jepa import MaskConfig

LEFT_OUT, SEEN, ASKED = 0, 1, 2
"""What a token is in a mask."""
_TRIES = 100
"""Draws of a clip's blocks until some of it is left to be seen."""


def draw_roles(masks: Sequence[MaskConfig], *, grid: tuple[int, int, int], clips: int, seed: Sequence[int]) -> Tensor:
    """What every token is in every mask: uint8 [B, K, N], a pure function of its arguments.

    Blocks hide their places in all frames. All clips have blocks of one size, at places of their own. So that rows of
    one mask can be gathered into a rectangle, tokens are left out at random where a clip has more of a role than the
    clip with the fewest: of any time, where cutting lists at the end would always drop the last frames.

    Args:
        masks: Blocks, K of them.
        grid: T, H, W.
        clips: B.
        seed: Integers, such as the run's seed and the step.
    """
    return torch.stack([_roles(mask, grid=grid, clips=clips, seed=[*seed, k]) for k, mask in enumerate(masks)], dim=1)


def ids_of(roles_BN: Tensor, role: int) -> Tensor:
    """Numbers of the tokens with a role, ascending, [B, n]; every row has equally many."""
    return (roles_BN == role).nonzero()[:, 1].view(len(roles_BN), -1)


def distance_to_asked(roles_BN: Tensor, *, grid: tuple[int, int, int]) -> Tensor:
    """Distance in tokens of every seen token to the nearest that is asked for, [B, n], in the order of `ids_of`."""
    axes = [torch.arange(size, device=roles_BN.device) for size in grid]
    places_N3 = torch.cartesian_prod(*axes).float()
    seen_Bn3, asked_Bm3 = places_N3[ids_of(roles_BN, SEEN)], places_N3[ids_of(roles_BN, ASKED)]
    return torch.cdist(seen_Bn3, asked_Bm3).amin(-1)


def _roles(mask: MaskConfig, *, grid: tuple[int, int, int], clips: int, seed: Sequence[int]) -> Tensor:
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence(list(seed))))
    steps, height, width = grid
    block = _block(mask, height, width, random)
    hidden_BHW = np.stack([_hidden(mask.blocks, block, (height, width), random) for _ in range(clips)])
    asked_BN = np.repeat(hidden_BHW.reshape(clips, 1, -1), steps, axis=1).reshape(clips, -1)
    roles_BN = np.full(asked_BN.shape, LEFT_OUT, dtype=np.uint8)
    for role, having_BN in ((SEEN, ~asked_BN), (ASKED, asked_BN)):
        kept = int(having_BN.sum(1).min())
        order_BN = np.where(having_BN, random.random(having_BN.shape), 2.0).argsort(axis=1)
        np.put_along_axis(roles_BN, order_BN[:, :kept], role, axis=1)
    return torch.from_numpy(roles_BN)


def _block(mask: MaskConfig, height: int, width: int, random: np.random.Generator) -> tuple[int, int]:
    """Rows and columns of this step's blocks: never the whole frame."""
    area, aspect = int(height * width * mask.scale), float(random.uniform(*mask.aspect))
    rows = min(height, max(1, round(math.sqrt(area * aspect))))
    columns = min(width, max(1, round(math.sqrt(area / aspect))))
    return (rows, columns - 1) if (rows, columns) == (height, width) and columns > 1 else (rows, columns)


def _hidden(
    blocks: int, block: tuple[int, int], frame: tuple[int, int], random: np.random.Generator
) -> NDArray[np.bool_]:
    """Places of a frame that the union of blocks hides; drawn anew while it hides everything."""
    (rows, columns), (height, width) = block, frame
    hidden_HW = np.zeros(frame, dtype=bool)
    for _ in range(_TRIES):
        hidden_HW[:] = False
        for top, left in zip(
            random.integers(0, height - rows + 1, blocks), random.integers(0, width - columns + 1, blocks), strict=True
        ):
            hidden_HW[top : top + rows, left : left + columns] = True
        if not hidden_HW.all():
            return hidden_HW
    hidden_HW.flat[random.integers(hidden_HW.size)] = False  # blocks that always cover the frame
    return hidden_HW
