"""Y-Encoders: text to a feature of the backbone, and on into the shared space."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from vljepa.configs import PartSpec, YEncoderConfig
from vljepa.errors import ConfigError, PartError
from vljepa.models.pooling import pool_text
from vljepa.models.text_backbone import TransformersText
from vljepa.models.weights import load_exactly, safetensors_state
from vljepa.models.x_encoder import build_open_clip


class OpenClipText(nn.Module):
    """Text towers of open_clip; their own pooling is the only one they have."""

    def __init__(self, spec: PartSpec) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(spec.seed)
            self.model = build_open_clip(spec)
        # The vision tower is another part's business; CLIP keeps its text tower spread over the top module.
        self.model.visual = None
        # So is the temperature between the towers, whose parameters are 0-d: FSDP refuses those.
        self.model.logit_scale = None
        self.model.logit_bias = None
        self.spec = spec
        assert spec.config is not None
        self.width = int(spec.config["model_cfg"]["embed_dim"])

    def encode_pooled(self, ids_BL: Tensor) -> Tensor:
        """Text features [B, width], not normalised."""
        features: Tensor = self.model.encode_text(ids_BL)
        return features

    def load_pretrained(self, folder: Path) -> None:
        """Load the tower's weights from the two-tower model's file."""
        load_exactly(self.model, safetensors_state(folder), part=str(self.spec), folder=folder)


class YEncoder(nn.Module):
    """Text encoder and head.

    Args:
        config: Backbone, pooling and head.
        embed_dim: D of the shared space.
    """

    def __init__(self, config: YEncoderConfig, *, embed_dim: int) -> None:
        super().__init__()
        self.config = config
        self.backbone: Any
        if config.part.backend == "transformers":
            self.backbone = TransformersText(config.part, keep_pooler=config.pooling == "pooler")
        elif config.part.backend == "open_clip":
            if config.pooling != "pooler":
                raise ConfigError(
                    f"y_encoder.pooling = {config.pooling!r}, but open_clip's text towers pool by themselves.",
                    fix="set y_encoder.pooling=pooler.",
                )
            self.backbone = OpenClipText(config.part)
        else:
            raise PartError(
                f"{config.part} is no text encoder: timm has vision models only.", fix="use transformers: or open_clip:"
            )
        self.backbone.requires_grad_(config.trainable)
        width = self.backbone.width
        if config.head == "identity" and width != embed_dim:
            raise ConfigError(
                f"y_encoder.head = 'identity' needs embed_dim = {width}, got {embed_dim}.",
                fix=f"set embed_dim={width} or y_encoder.head=linear.",
            )
        self.head: nn.Module = nn.Linear(width, embed_dim) if config.head == "linear" else nn.Identity()

    @property
    def width(self) -> int:
        """E, size of a feature before the head."""
        return int(self.backbone.width)

    def train(self, mode: bool = True) -> Self:
        """A frozen backbone stays in eval mode: no dropout on targets."""
        super().train(mode)
        if not self.config.trainable:
            self.backbone.eval()
        return self

    def features(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Pooled backbone output [B, E]: what a cache may keep while the backbone is frozen."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.config.trainable):
            if isinstance(self.backbone, OpenClipText):
                return self.backbone.encode_pooled(ids_BL)
            output = self.backbone.encode(ids_BL, mask_BL)
            if self.config.pooling == "pooler":
                pooled: Tensor = output.pooler_output
                return pooled
            return pool_text(output.last_hidden_state, mask_BL, how=self.config.pooling)
