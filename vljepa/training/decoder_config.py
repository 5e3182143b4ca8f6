"""What a decoder's recipe leaves open, asked of the model whose embeddings it reads."""

from __future__ import annotations

from typing import Any

from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import CALIBRATED_AT, YDecoderConfig
from vljepa.errors import ConfigError

_NOISE_NORM = 1.0
"""Length of the noise on embeddings of texts, which have length 1, where no images say how far predictions lie from
their texts (docs/LOG.md: what images said of four encoders)."""


def fitted_config(config: YDecoderConfig, model: VLJEPA) -> YDecoderConfig:
    """The decoder's config for a model's text space, with nothing left open.

    Raises:
        ConfigError: It is for embeddings of another width.
    """
    width = model.config.embed_dim
    if config.embed_dim not in (None, width):
        raise ConfigError(
            f"decoder.embed_dim = {config.embed_dim}, the model's is {width}.", fix="leave decoder.embed_dim out."
        )
    changes: dict[str, Any] = {"embed_dim": width}
    temperature = model.config.calibration.temperature("classify", candidates=CALIBRATED_AT)
    for name in ("entities", "memory"):
        section = getattr(config, name)
        if section is not None and section.temperature is None:
            changes[name] = section.model_copy(update={"temperature": temperature})
    return config.model_copy(update=changes)


def default_noise(width: int) -> float:
    """Standard deviation per dimension of the noise on texts' embeddings without images."""
    return _NOISE_NORM / float(width) ** 0.5
