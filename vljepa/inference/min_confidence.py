"""Whether a minimum confidence can be asked for, before hours of embedding and not after."""

from __future__ import annotations

from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.errors import ConfigError


def check_probability(minimum: float) -> None:
    """Refuse a minimum confidence that is no probability.

    Raises:
        ConfigError: It is not between 0 and 1.
    """
    if not 0 <= minimum <= 1:
        raise ConfigError(f"a minimum confidence of {minimum} is not a probability.", fix="give a number from 0 to 1.")


def check_minimum(model: VLJEPA, minimum: float, *, answers: bool) -> None:
    """Check that a minimum confidence can be asked of a model's Y-Decoder, for captions or for answers.

    Raises:
        ConfigError: It is no probability, or the decoder was not fitted to say how sure it is.
    """
    check_probability(minimum)
    if model.y_decoder is None or minimum == 0:
        return
    choice = model.y_decoder.config.choice
    if (choice.answer.confidence if answers else choice.confidence) is None:
        raise ConfigError(
            "a minimum confidence was asked for, and this Y-Decoder does not say how sure it is.",
            fix="fit it with recipes/mini/choice.py, or leave the minimum out.",
        )
