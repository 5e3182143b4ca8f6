"""Y-Encoders: text to a feature of the backbone, and on into the shared space."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn

from vljepa.backends import backend_of
from vljepa.backends.resolve import resolve_text
from vljepa.configs import YEncoderConfig
from vljepa.errors import ConfigError


class YEncoder(nn.Module):
    """Text encoder and head.

    Args:
        config: Backbone, pooling and head.
        embed_dim: D of the shared space.
    """

    def __init__(self, config: YEncoderConfig, *, embed_dim: int) -> None:
        super().__init__()
        self.config = config = resolve_text(config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.part.seed)
            backbone: Any = backend_of(config.part).text_tower(config)
        self.backbone = backbone
        self.backbone.requires_grad_(self._trained)
        width = self.backbone.width
        if config.head == "identity" and width != embed_dim:
            raise ConfigError(
                f"y_encoder.head = 'identity' needs embed_dim = {width}, got {embed_dim}.",
                fix=f"set embed_dim={width} or y_encoder.head=linear.",
            )
        self.head: nn.Module = nn.Linear(width, embed_dim) if config.head == "linear" else nn.Identity()

    @property
    def _trained(self) -> bool:
        return self.config.target == "trained"

    @property
    def width(self) -> int:
        """E, size of a feature before the head."""
        return int(self.backbone.width)

    def train(self, mode: bool = True) -> Self:
        """A frozen backbone stays in eval mode: no dropout on targets."""
        super().train(mode)
        if not self._trained:
            self.backbone.eval()
        return self

    def features(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Pooled backbone output [B, E]: what a cache may keep while the backbone is frozen."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self._trained):
            features: Tensor = self.backbone.features(ids_BL, mask_BL)
            return features
