"""The X-Encoder: a frozen vision model of any library, behind one protocol."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from vljepa.backends import backend_of
from vljepa.backends.protocols import Seen
from vljepa.backends.weights import load_exactly
from vljepa.configs import XEncoderConfig
from vljepa.errors import PartError
from vljepa.models.layers.pooling import pool_grid
from vljepa.models.types import Latents


class Encodes(Protocol):
    """What has an X-Encoder: a model, or the encoder alone; it is an `nn.Module`."""

    x_encoder: XEncoder

    def encode_vision(self, pixels_BTCHW: Tensor) -> Latents:
        """Frames to latents."""
        ...

    def eval(self) -> Any:
        """Without dropout."""
        ...


class EncoderAlone(nn.Module):
    """An X-Encoder without a model around it.

    Args:
        x_encoder: It.
    """

    def __init__(self, x_encoder: XEncoder) -> None:
        super().__init__()
        self.x_encoder = x_encoder

    def encode_vision(self, pixels_BTCHW: Tensor) -> Latents:
        """Frames to latents."""
        latents: Latents = self.x_encoder(pixels_BTCHW)
        return latents


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
        self.runtime: Callable[[Tensor], Seen] | None = None
        """What runs instead of `backend`, where something does; it is no module."""
        self._least = config.min_frames or int(self.backend.tubelet)
        self.requires_grad_(False)
        self.eval()

    @property
    def width(self) -> int:
        """Size of a visual token."""
        return int(self.backend.width)

    @property
    def pooled_width(self) -> int | None:
        """Size of a dual encoder's own embedding of the whole image; None for an encoder that has none."""
        width: int | None = self.backend.pooled_width
        return width

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
    def forward(self, pixels_BTCHW: Tensor) -> Latents:
        """Encode clips (an image is T = 1); frames keep their order.

        Args:
            pixels_BTCHW: Normalised pixels.

        Returns:
            Tokens [B, N, D] with N growing with T, a full mask, and the classifier's logits and the dual encoder's own
            embedding, averaged over frames.
        """
        if pixels_BTCHW.ndim != 5:
            raise PartError(
                f"pixel_values have shape {tuple(pixels_BTCHW.shape)}, expected [B, T, C, H, W].",
                fix="add the frame axis: an image is a clip of one frame.",
            )
        pixels_BTCHW = _fill_frames(pixels_BTCHW, self._filled(pixels_BTCHW.shape[1]))
        pixels_BTCHW = pixels_BTCHW.to(next(self.backend.parameters()).dtype)  # of a model that was made narrower
        batch, frames = pixels_BTCHW.shape[:2]
        joint = self.backend.joint_frames
        run = self.runtime or self.backend
        seen = run(pixels_BTCHW if joint else pixels_BTCHW.flatten(0, 1))
        tokens_BND = seen.tokens
        if self.config.pool_grid is not None:
            tokens_BND = self._pool(tokens_BND, pixels_BTCHW)
        tokens_BND = tokens_BND.reshape(batch, -1, tokens_BND.shape[-1])
        logits, pooled = (
            one if one is None or joint else one.unflatten(0, (batch, frames)).mean(1)
            for one in (seen.logits, seen.pooled)
        )
        mask_BN = torch.ones(tokens_BND.shape[:2], dtype=torch.bool, device=tokens_BND.device)
        return Latents(tokens_BND, mask_BN, logits_BK=logits, pooled_BD=pooled, steps=self.steps(frames))

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
