"""timm: vision models, and the preprocessing that their `pretrained_cfg` asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from vljepa.backends.pixels import fitting
from vljepa.backends.protocols import Seen, TextFacts, TextTower, Tokenizer, VisionTower
from vljepa.backends.weights import safetensors_state
from vljepa.configs import PartSpec, YEncoderConfig
from vljepa.errors import PartError
from vljepa.parts.folders import read_object


class TimmVision(nn.Module):
    """Any timm model: a feature map becomes tokens row by row, a ViT's tokens stay as they are."""

    joint_frames = False
    tubelet = 1
    pooled_width = None

    def __init__(self, spec: PartSpec) -> None:
        super().__init__()
        import timm

        assert spec.config is not None
        arguments = dict(spec.config.get("model_args", {}))
        arguments["num_classes"] = spec.config.get("num_classes", 1000)
        if spec.config.get("global_pool") is not None:
            arguments.setdefault("global_pool", spec.config["global_pool"])
        self.model = timm.create_model(spec.config["architecture"], pretrained=False, **arguments)
        # Convolutions run a fifth faster on a CPU in this layout, and no slower elsewhere.
        self.model.to(memory_format=torch.channels_last)
        self.width = int(self.model.num_features)
        self.num_classes = int(self.model.num_classes)
        self._channels_last = getattr(self.model, "output_fmt", "NCHW") == "NHWC"  # Swin and its kind
        self._reduction = int(self.model.feature_info[-1]["reduction"])

    def forward(self, pixels: Tensor) -> Seen:
        """See `VisionTower`."""
        features = self.model.forward_features(pixels)
        logits = self.model.forward_head(features) if self.num_classes else None
        if features.ndim == 4:
            features = features.flatten(1, 2) if self._channels_last else features.flatten(2).transpose(1, 2)
        return Seen(features, logits)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """See `VisionTower`."""
        return -(-height // self._reduction), -(-width // self._reduction)

    def read(self, folder: Path) -> dict[str, Tensor]:
        """See `VisionTower`."""
        return safetensors_state(folder)


class TimmBackend:
    """See `Backend`."""

    config_file = "config.json"
    tokenizer_files = ()
    fixed_length = False
    files = ("config.json", "model*.safetensors", "model.safetensors.index.json")

    def repository(self, name: str) -> str:
        """Hub id: `owner/name` as it is, timm's own names with or without a tag through its registry."""
        if "/" in name:
            return name
        import timm

        try:
            known = timm.get_pretrained_cfg(name, allow_unregistered=False)
        except (RuntimeError, ValueError) as error:
            raise PartError(
                f"timm has no pretrained model {name!r}.",
                fix="take a name of timm.list_models(pretrained=True), or a repository as owner/name.",
            ) from error
        if known is None or not known.hf_hub_id:
            raise PartError(f"timm names no repository for {name!r}.", fix="take another tag, or owner/name.")
        return str(known.hf_hub_id)

    def image(self, part: PartSpec, folder: Path | None) -> dict[str, Any]:
        """From `pretrained_cfg` in config.json, or what timm itself has for the architecture."""
        from timm.data import create_transform, resolve_data_config

        raw = read_object(part, folder / self.config_file) if folder is not None else (part.config or {})
        own = raw.get("pretrained_cfg") or _registered(raw["architecture"])
        wanted = resolve_data_config({}, pretrained_cfg=own)
        (height, width), fraction = wanted["input_size"][-2:], wanted["crop_pct"]
        interpolation = "bilinear" if wanted["interpolation"] == "random" else wanted["interpolation"]
        fields: dict[str, Any] = {
            "size": (height, width),
            "mean": tuple(wanted["mean"]),
            "std": tuple(wanted["std"]),
            "interpolation": interpolation,
            "resize": {"center": "shortest_edge", "squash": "squash", "border": "pad"}[wanted["crop_mode"]],
            "resize_to": None if fraction == 1 else int(height // fraction),
        }
        library = create_transform(**wanted, is_training=False)
        return fitting(fields, library=library, part=str(part))

    def least_frames(self, part: PartSpec) -> int:
        """One: every model sees images."""
        del part
        return 1

    def vision_tower(self, part: PartSpec) -> VisionTower:
        """See `Backend`."""
        return TimmVision(part)

    def contrast(self, part: PartSpec, folder: Path | None) -> None:
        """None is a dual encoder."""
        del part, folder

    def text(self, part: PartSpec, folder: Path | None) -> TextFacts:
        """None is a text encoder."""
        del folder
        _refuse(part)

    def text_tower(self, config: YEncoderConfig) -> TextTower:
        """None is a text encoder."""
        _refuse(config.part)

    def tokenizer(self, part: PartSpec, folder: Path | None) -> Tokenizer:
        """None is a text encoder."""
        del folder
        _refuse(part)


def _registered(architecture: str) -> dict[str, Any]:
    import timm

    known = timm.get_pretrained_cfg(architecture)
    return known.to_dict() if known is not None else {}


def _refuse(part: PartSpec) -> NoReturn:
    raise PartError(f"{part} is no text encoder: timm has vision models only.", fix="use transformers: or open_clip:")
