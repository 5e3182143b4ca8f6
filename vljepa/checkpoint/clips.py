"""A trained model of images that is given a sense of time, to be trained on clips."""

from __future__ import annotations

from collections.abc import Iterable

from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import ClipsConfig, VLJEPAConfig
from vljepa.errors import ConfigError
from vljepa.models.by_steps import BySteps


def with_clips(model: VLJEPA, clips: ClipsConfig) -> VLJEPA:
    """The same model with a sense of time that has yet to be learned: the same weights, and places of zero.

    A Predictor of clips' own begins as a copy of that of images.

    Raises:
        ConfigError: It has a sense of time already.
    """
    if model.config.predictor.clips is not None:
        raise ConfigError(
            "the model in `start` has clips already.", fix="remove `clips`: its own places are trained further."
        )
    raw = model.config.model_dump(mode="json")
    raw["predictor"]["clips"] = clips.model_dump()
    longer = VLJEPA(VLJEPAConfig.model_validate(raw))
    longer.y_decoder, longer.tokenizers = model.y_decoder, model.tokenizers
    known = {place: tensor for name, tensor in model.state_dict().items() for place in longer.places_of(name)}
    missing, unexpected = longer.load_state_dict(known, strict=False)
    assert all(".clip_" in name for name in missing), missing
    assert not unexpected, unexpected
    return longer.train(model.training)


def trains_clips_alone(model: VLJEPA, frames: Iterable[int]) -> bool:
    """Whether training on clips of so many frames leaves what is predicted of images as it is.

    Args:
        model: With a Predictor of its own for clips, or not.
        frames: Of each source; some encoders make one step in time of two.
    """
    return isinstance(model.predictor, BySteps) and all(model.x_encoder.steps(one) > 1 for one in frames)


def freeze_images(model: VLJEPA) -> None:
    """Freeze what predicts images. `model.trained` stays what it was: all of it is saved."""
    assert isinstance(model.predictor, BySteps)
    for module in (model.predictor.image, model.residual, model.y_encoder):
        if module is not None:
            module.requires_grad_(False)
