"""What the encoder knows already, added to what the Predictor has learned."""

from __future__ import annotations

from vljepa.configs import AlignedConfig, LabelPriorConfig
from vljepa.models.residuals.aligned import Aligned, AskedGate
from vljepa.models.residuals.label_prior import LabelPrior, PriorGate
from vljepa.models.residuals.protocol import Ablation, Residual
from vljepa.models.x_encoder import XEncoder
from vljepa.models.y_encoder import YEncoder

__all__ = ["Ablation", "Aligned", "AskedGate", "LabelPrior", "PriorGate", "Residual", "build_residual"]


def build_residual(
    config: LabelPriorConfig | AlignedConfig | None, *, x_encoder: XEncoder, y_encoder: YEncoder, embed_dim: int
) -> Residual | None:
    """The residual that a model's config names; None for none.

    Raises:
        ConfigError: The encoders do not know what it adds.
    """
    if config is None:
        return None
    if isinstance(config, LabelPriorConfig):
        return LabelPrior(config, x_encoder=x_encoder, y_encoder=y_encoder)
    return Aligned(config, x_encoder=x_encoder, y_encoder=y_encoder, embed_dim=embed_dim)
