"""What a config leaves open is asked of the backends, which read the models' own files; what it says, wins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vljepa.backends.files import part_config, part_folder
from vljepa.backends.registry import backend_of
from vljepa.configs import ImageConfig, PartSpec, VLJEPAConfig, XEncoderConfig, YEncoderConfig

COMMON: dict[str, Any] = {
    "size": (224, 224),
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "resize": "squash",
    "interpolation": "bicubic",
}
"""Of random parts, whose configs do not say; the statistics are ImageNet's."""
_RESIZE_FIELDS = ("resize_to", "resampler", "rounding", "fill")


def resolve_preferences(config: VLJEPAConfig) -> VLJEPAConfig:
    """Copy of a model's config in which nothing is left to ask; itself, when nothing is.

    Raises:
        PartError: A part's files are not to be had, or do not say what is asked.
    """
    x, y = config.x_encoder, config.y_encoder
    if x.image.is_resolved and x.min_frames is not None and y.is_resolved:
        return config
    resolved = config.model_copy(deep=True)
    resolved.x_encoder, resolved.y_encoder = resolve_vision(x), resolve_text(y)
    return resolved


def resolve_vision(config: XEncoderConfig) -> XEncoderConfig:
    """How the encoder wants to see, and its least frames."""
    part = _with_config(config.part)
    image = config.image
    if not image.is_resolved:
        image = _merged(image, backend_of(part).image(part, _folder(part)))
    frames = config.min_frames or backend_of(part).least_frames(part)
    return config.model_copy(update={"image": image, "min_frames": frames})


def resolve_text(config: YEncoderConfig) -> YEncoderConfig:
    """Pooling, dense heads, prompt and length of the encoder."""
    if config.is_resolved:
        return config
    part = _with_config(config.part)
    facts = backend_of(part).text(part, _folder(part))
    asked = {
        "pooling": facts.pooling,
        "dense": list(facts.dense),
        "prefix": facts.prefix,
        "max_tokens": facts.max_tokens,
    }
    return config.model_copy(update={name: one for name, one in asked.items() if getattr(config, name) is None})


def _merged(user: ImageConfig, asked: dict[str, Any]) -> ImageConfig:
    """The user's overrides over what the files ask for; a rule of resizing is taken whole or not at all."""
    asked = {**COMMON, **asked}
    stated = user.model_dump(exclude_unset=True, exclude_none=True)
    if "resize" in stated:
        asked = {name: one for name, one in asked.items() if name not in _RESIZE_FIELDS}
    elif "size" in stated and asked.get("resize_to") is not None:  # another size keeps the share that is cut off
        asked["resize_to"] = round(asked["resize_to"] * min(stated["size"]) / min(asked["size"]))
    return ImageConfig.model_validate({**asked, **stated})


def _with_config(part: PartSpec) -> PartSpec:
    return part if part.config is not None else part.model_copy(update={"config": part_config(part)})


def _folder(part: PartSpec) -> Path | None:
    return None if part.source == "random" else part_folder(part)
