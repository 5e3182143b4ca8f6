"""EB-JEPA's world model: one vector for a frame, and a recurrent predictor of the next one under an action.

    frame ─> encoder ─LayerNorm─> latents ─┐
                                           ├─> GRU ─LayerNorm─> latents of the next frame ─> ...
    action ────────────────────────────────┘

Source: arXiv 2602.03604, section on action-conditioned models; the encoder ends in a spatial softmax here (arXiv
1504.00702), which learns where things are in far fewer steps. Shapes: T steps, D width, A numbers of an action.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vljepa.configs import EBJEPAConfig
from vljepa.errors import DataError
from vljepa.models.types import Batch

CHANGE_SCALE = 10.0
"""What the inverse dynamics multiplies a step's change of latents by: it is small beside the latents themselves."""


class SpatialSoftmax(nn.Module):
    """Where each map is strongest: its expected place, from -1 to 1, under a softmax over all places."""

    def forward(self, maps_BKHW: Tensor) -> Tensor:
        """Places [B, 2 K]: of all maps x, then y."""
        height, width = maps_BKHW.shape[-2:]
        share_BKHW = maps_BKHW.float().flatten(2).softmax(-1).unflatten(-1, (height, width))
        x_W, y_H = (torch.linspace(-1, 1, one, device=maps_BKHW.device) for one in (width, height))
        return torch.cat([share_BKHW.sum(2) @ x_W, share_BKHW.sum(3) @ y_H], dim=1)


class FrameEncoder(nn.Module):
    """Convolutions, places of keypoints, and two linear layers.

    Args:
        config: Its sizes.
    """

    def __init__(self, config: EBJEPAConfig) -> None:
        super().__init__()
        first, second, third = config.channels
        self.maps = nn.Sequential(
            nn.Conv2d(3, first, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(second, third, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(third, config.keypoints, 1),
        )
        self.places = SpatialSoftmax()
        self.head = nn.Sequential(
            nn.Linear(2 * config.keypoints, 4 * config.keypoints),
            nn.GELU(),
            nn.Linear(4 * config.keypoints, config.width),
        )

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """Latents before the LayerNorm, [B, D]."""
        found: Tensor = self.head(self.places(self.maps(pixels_BCHW)))
        return found


class VectorWorld(nn.Module):
    """An encoder, a predictor whose state is the latents, and the inverse dynamics that are used in training alone.

    Args:
        config: What it is made of.
    """

    def __init__(self, config: EBJEPAConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = FrameEncoder(config).requires_grad_(not config.freeze_encoder)
        self.norm = nn.LayerNorm(config.width, elementwise_affine=False)
        self.predictor = nn.Sequential(
            nn.Linear(config.width + config.action_width, config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, config.width),
        )
        self.inverse_dynamics = nn.Sequential(
            nn.Linear(2 * config.width, 256), nn.GELU(), nn.Linear(256, config.action_width)
        )

    def frames(self, images: list[NDArray[Any]]) -> Tensor:
        """Pixels [T, 3, H, W] from -1 to 1 of frames [H, W, 3] of bytes.

        Raises:
            DataError: They are of another size.
        """
        side = self.config.side
        shape = images[0].shape
        if shape != (side, side, 3):
            raise DataError(
                f"frames are {list(shape)}, the model is for {[side, side, 3]}.", fix="set model.side, or scale them."
            )
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1

    def encode(self, pixels_BTCHW: Tensor) -> Tensor:
        """Latents [B, T, D] of frames, each seen by itself."""
        found: Tensor = self.norm(self.encoder(pixels_BTCHW.flatten(0, 1)).float())
        return found.unflatten(0, pixels_BTCHW.shape[:2])

    def rollout(self, first_BD: Tensor, actions_BTA: Tensor) -> Tensor:
        """Latents [B, T, D] of the frames that actions lead to, each predicted from the one predicted before."""
        path, state_BD = [], first_BD
        for action_BA in actions_BTA.unbind(1):
            change_BD = self.predictor(torch.cat([state_BD, action_BA], dim=-1))
            state_BD = self.norm(state_BD + change_BD)
            path.append(state_BD)
        return torch.stack(path, dim=1)

    def actions_between(self, latents_BTD: Tensor) -> Tensor:
        """Actions [B, T - 1, A] as they are read from latents and the next ones."""
        before, after = latents_BTD[:, :-1], latents_BTD[:, 1:]
        found: Tensor = self.inverse_dynamics(torch.cat([before, CHANGE_SCALE * (after - before)], dim=-1))
        return found

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Of every trajectory `latents` [B, T + 1, D], `predicted` [B, T, D], and the actions `read` and `done`."""
        assert batch.pixels_BTCHW is not None
        assert batch.actions_BTA is not None
        latents = self.encode(batch.pixels_BTCHW)
        predicted = self.rollout(latents[:, 0], batch.actions_BTA)
        return {
            "latents": latents,
            "predicted": predicted,
            "read": self.actions_between(latents),
            "done": batch.actions_BTA,
        }
