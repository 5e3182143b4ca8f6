"""The X-Encoder: a frozen vision model of any library, behind one protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from vljepa.backends import backend_of
from vljepa.backends.weights import load_exactly
from vljepa.configs import XEncoderConfig
from vljepa.errors import PartError
from vljepa.models.outputs import VisionTokens
from vljepa.models.pooling import pool_grid


class XEncoder(nn.Module):
    """The frozen X-Encoder: frames to visual tokens. Always in eval mode, never with gradients.

    Args:
        config: Which encoder, what it sees, and how its tokens are pooled.
    """

    def __init__(self, config: XEncoderConfig) -> None:
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.part.seed)
            self.backend: Any = backend_of(config.part).vision_tower(config.part)
        self._least = config.min_frames or int(self.backend.tubelet)
        self.requires_grad_(False)
        self.eval()

    @property
    def width(self) -> int:
        """Size of a visual token."""
        return int(self.backend.width)

    @property
    def num_classes(self) -> int:
        """Classes of the encoder's own classifier, 0 without one."""
        return int(self.backend.num_classes)

    def steps(self, frames: int) -> int:
        """Steps in time that the tokens of a clip of so many frames are made of."""
        return self._filled(frames) // int(self.backend.tubelet)

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode: a frozen encoder must not move its batch-norm statistics."""
        del mode
        return super().train(False)

    @torch.no_grad()
    def forward(self, pixels_BTCHW: Tensor) -> VisionTokens:
        """Encode clips (an image is T = 1); frames keep their order.

        Args:
            pixels_BTCHW: Normalised pixels.

        Returns:
            Tokens [B, N, D] with N growing with T, a full mask, and the classifier's logits, averaged over frames.
        """
        if pixels_BTCHW.ndim != 5:
            raise PartError(
                f"pixel_values have shape {tuple(pixels_BTCHW.shape)}, expected [B, T, C, H, W].",
                fix="add the frame axis: an image is a clip of one frame.",
            )
        pixels_BTCHW = _fill_frames(pixels_BTCHW, self._filled(pixels_BTCHW.shape[1]))
        pixels_BTCHW = pixels_BTCHW.to(next(self.backend.parameters()).dtype)  # of a model that was made narrower
        batch, frames = pixels_BTCHW.shape[:2]
        if self.backend.joint_frames:
            tokens_BND, logits = self.backend(pixels_BTCHW)
        else:
            tokens_BND, logits = self.backend(pixels_BTCHW.flatten(0, 1))
        if self.config.pool_grid is not None:
            tokens_BND = self._pool(tokens_BND, pixels_BTCHW)
        tokens_BND = tokens_BND.reshape(batch, -1, tokens_BND.shape[-1])
        if logits is not None and not self.backend.joint_frames:
            logits = logits.unflatten(0, (batch, frames)).mean(1)
        mask_BN = torch.ones(tokens_BND.shape[:2], dtype=torch.bool, device=tokens_BND.device)
        return VisionTokens(tokens_BND, mask_BN, logits, self.steps(frames))

    def load_pretrained(self, folder: Path) -> None:
        """Load the part's weights; every tensor of the encoder must be there."""
        load_exactly(self.backend.model, self.backend.read(folder), part=str(self.config.part), folder=folder)

    def _filled(self, frames: int) -> int:
        """Frames after the last one has been repeated: enough of them, and whole tubelets."""
        tubelet = int(self.backend.tubelet)
        return -(-max(frames, self._least) // tubelet) * tubelet

    def _pool(self, tokens: Tensor, pixels_BTCHW: Tensor) -> Tensor:
        height, width = self.backend.grid(*pixels_BTCHW.shape[-2:])
        side = self.config.pool_grid
        assert side is not None
        if self.backend.joint_frames:
            steps = tokens.shape[1] // (height * width)
            per_step = tokens.unflatten(1, (steps, height * width)).flatten(0, 1)
            return pool_grid(per_step, height=height, width=width, side=side).unflatten(0, (-1, steps)).flatten(1, 2)
        return pool_grid(tokens, height=height, width=width, side=side)


def _fill_frames(pixels_BTCHW: Tensor, frames: int) -> Tensor:
    """Repeat the last frame until there are as many."""
    lacking = frames - pixels_BTCHW.shape[1]
    if lacking == 0:
        return pixels_BTCHW
    return torch.cat([pixels_BTCHW, pixels_BTCHW[:, -1:].expand(-1, lacking, -1, -1, -1)], dim=1)
