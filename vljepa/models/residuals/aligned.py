"""A dual encoder's own embedding of the image, which a learned part moves: an image-text model from the first step."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vljepa.configs import AlignedConfig
from vljepa.errors import ConfigError
from vljepa.models.residuals.protocol import Ablation, Residual
from vljepa.models.types import Latents, Tokens
from vljepa.models.x_encoder import XEncoder
from vljepa.models.y_encoder import YEncoder


class Aligned(Residual):
    """normalise(v + g * f): v the encoder's embedding of the image, f the learned part as it is, g its gate.

    With g = 0 the prediction is v to the last bit, so that a model without training is the dual encoder itself.

    Args:
        config: Where the gate begins.
        x_encoder: A dual encoder's vision tower.
        y_encoder: Its text tower.
        embed_dim: D of the shared space.

    Raises:
        ConfigError: The towers share no space, or another than the model's.
    """

    def __init__(self, config: AlignedConfig, *, x_encoder: XEncoder, y_encoder: YEncoder, embed_dim: int) -> None:
        super().__init__()
        self.config = config
        if x_encoder.pooled_width is None or not {x_encoder.pooled_width} == {y_encoder.width, embed_dim}:
            raise ConfigError(
                f"residual 'aligned' needs one space: {x_encoder.config.part} embeds images in "
                f"{x_encoder.pooled_width or 'none'}, {y_encoder.config.part} texts in {y_encoder.width}, and "
                f"embed_dim is {embed_dim}.",
                fix="name the same dual encoder twice, such as open_clip:ViT-B-32/laion2b_s34b_b79k, and its width.",
            )

    def features(self, latents: Latents) -> Tensor:
        """The encoder's own embedding, fp32 [B, D], unit norm."""
        assert latents.pooled_BD is not None, "the X-Encoder gives no embedding of the whole image"
        return F.normalize(latents.pooled_BD.float(), dim=-1)

    def new_gate(self, *, state_width: int, vision_width: int) -> nn.Module:
        """Two numbers, with a question and without, which begin where the config says."""
        del state_width, vision_width
        return AskedGate(self.config.gate)

    def add(
        self,
        learned_BD: Tensor,
        features_BE: Tensor,
        *,
        gate: Callable[[], Tensor],
        project: Callable[[Tensor], Tensor],
        ablate: Ablation | None = None,
    ) -> Tensor:
        """See `Residual`."""
        del project
        if ablate == "residual":
            return F.normalize(learned_BD.float(), dim=-1)
        if ablate == "learned":
            return features_BE
        moved_BD = features_BE + gate() * learned_BD.float()
        # Not `normalize`: a quotient of equal norms is 1, and nothing is rounded where nothing was added.
        return moved_BD / (moved_BD.norm(dim=-1, keepdim=True) / features_BE.norm(dim=-1, keepdim=True))


class AskedGate(nn.Module):
    """Two learned numbers: for samples without a question, and for samples with one.

    A training on questions alone leaves the first at 0, so that without a question the prediction stays, to the last
    bit, the dual encoder's own embedding.

    Args:
        start: Their first value.
    """

    def __init__(self, start: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.full((2,), start))

    @property
    def is_shut(self) -> bool:
        """Whether nothing is ever added: the model is the dual encoder."""
        return not bool(self.value.any())

    def forward(self, state: Tensor, latents: Latents, query: Tokens | None = None) -> Tensor:
        """Gate [B, 1], fp32."""
        del latents
        asked_B = query.mask_BL.any(1).long() if query is not None else state.new_zeros(len(state), dtype=torch.long)
        return self.value.float()[asked_B].unsqueeze(1)
