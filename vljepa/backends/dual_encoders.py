"""Dual encoders of transformers: both towers project into one space, and a scale and a bias make logits of cosines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vljepa.backends.protocols import Seen
from vljepa.backends.text_layers import architecture, text_model
from vljepa.backends.transformers_vision import as_tokens, square_patch, token_width, vision_config
from vljepa.backends.weights import load_exactly, transformers_state
from vljepa.configs import PartSpec

_READ_PADDING = ("siglip", "siglip2")
"""Those that were trained without an attention mask and read their last position, whatever it holds."""


def is_dual(part: PartSpec) -> bool:
    """Whether the part is a dual encoder: one config over a text and a vision tower, projected into one space."""
    raw = part.config or {}
    return "text_config" in raw and "vision_config" in raw and hasattr(_auto_class(part), "get_text_features")


def reads_padding(part: PartSpec) -> bool:
    """Whether its text tower reads the positions after a text."""
    return (part.config or {}).get("model_type") in _READ_PADDING


class DualText(nn.Module):
    """Text tower of a dual encoder (CLIP, SigLIP and their kind): features in the space it shares with images."""

    def __init__(self, spec: PartSpec) -> None:
        super().__init__()
        self.spec = spec
        self.model = _whole(spec)
        _drop(self.model, "vision_model", "visual_projection")
        text, projection = self.model.config.text_config, getattr(self.model, "text_projection", None)
        self.width = int(projection.out_features if projection is not None else _projected(text))

    def features(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """See `TextTower`."""
        mask = None if reads_padding(self.spec) else mask_BL.long()
        output = self.model.get_text_features(input_ids=ids_BL, attention_mask=mask)
        features: Tensor = output if isinstance(output, Tensor) else output.pooler_output
        return features

    def load_pretrained(self, folder: Path) -> None:
        """See `TextTower`."""
        state = transformers_state(type(self.model), folder, self.model.config)
        load_exactly(self.model, state, part=str(self.spec), folder=folder)


class DualVision(nn.Module):
    """Vision tower of a dual encoder: its tokens, and its embedding in the space that it shares with texts."""

    joint_frames = False
    tubelet = 1
    num_classes = 0

    def __init__(self, spec: PartSpec) -> None:
        super().__init__()
        config, _ = vision_config(spec)
        self.model = _whole(spec)
        _drop(self.model, "text_model", "text_projection")
        self.width = token_width(spec, config)
        projection = getattr(self.model, "visual_projection", None)
        self.pooled_width: int | None = int(self.width if projection is None else projection.out_features)
        self._patch = square_patch(config)

    def forward(self, pixels: Tensor) -> Seen:
        """See `VisionTower`."""
        output = self.model.get_image_features(pixel_values=pixels)
        return Seen(as_tokens(output.last_hidden_state), pooled=output.pooler_output)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """See `VisionTower`."""
        return height // self._patch, width // self._patch

    def read(self, folder: Path) -> dict[str, Tensor]:
        """See `VisionTower`."""
        return transformers_state(type(self.model), folder, self.model.config)


def _whole(spec: PartSpec) -> Any:
    assert spec.config is not None
    return text_model(spec, architecture(spec, spec.config))


def _drop(model: Any, *names: str) -> None:
    """The other tower is another part's business, and 0-d parameters are refused by FSDP."""
    for name in (*names, "logit_scale", "logit_bias"):
        if hasattr(model, name):
            setattr(model, name, None)


def _auto_class(part: PartSpec) -> Any:
    from transformers import MODEL_MAPPING

    try:
        return MODEL_MAPPING[type(architecture(part, part.config or {}))]
    except KeyError:
        return None


def _projected(text: Any) -> int:
    return int(getattr(text, "projection_size", None) or text.hidden_size)
