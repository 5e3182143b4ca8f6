"""Adapters and the model that they adapt, as one model."""

from __future__ import annotations

from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.errors import ConfigError


def merge(model: VLJEPA) -> VLJEPA:
    """A model without adapters that says what `model` says: their updates are added to its matrices.

    Args:
        model: As `VLJEPA.from_pretrained` loads a folder of adapters; it is used up.

    Returns:
        A new model, in eval mode; outputs are equal within rounding. With an adapted Y-Encoder, or a head that was
        trained, its text space has another hash than the base's.

    Raises:
        ConfigError: The model has no adapters.
    """
    if model.adapters is None:
        raise ConfigError("the model has no adapters to merge.", fix="leave --merge out.")
    decoder, model.y_decoder = model.y_decoder, None
    state = model.adapters.merged_state()
    merged = VLJEPA(model.config)
    merged.load_state_dict(state)
    merged.tokenizers = model.tokenizers
    if decoder is not None and decoder.config.text_space == merged.text_space_hash():
        merged.y_decoder = decoder
    return merged.eval()
