"""Vision models of transformers, and the preprocessing that their files ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from vljepa.backends.pixels import fitting
from vljepa.backends.protocols import Seen
from vljepa.backends.text_layers import architecture
from vljepa.backends.weights import transformers_state
from vljepa.configs import PartSpec
from vljepa.errors import PartError

_RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""By Pillow's numbers, which the files hold."""
_IMAGE_FILE, _VIDEO_FILE, _PROCESSOR_FILE = (
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "processor_config.json",
)


class TransformersVision(nn.Module):
    """Vision models of `transformers`: V-JEPA 2, SigLIP 2, DINOv3, CLIP and their kind, with or without classifier."""

    pooled_width: int | None = None

    def __init__(self, spec: PartSpec) -> None:
        super().__init__()
        from transformers import AutoModel, AutoModelForImageClassification, AutoModelForVideoClassification

        config, head = vision_config(spec)
        self.joint_frames = config.model_type == "vjepa2"
        self.tubelet = tubelet(config)
        classes = {"image": AutoModelForImageClassification, "video": AutoModelForVideoClassification}
        try:
            self.model = classes.get(head, AutoModel).from_config(config, dtype=torch.float32)
        except (ValueError, KeyError) as error:
            raise PartError(
                f"{spec} is of type {config.model_type!r}, of which transformers has no vision model by itself.",
                fix="name a vision model, such as transformers:google/siglip2-base-patch16-224.",
            ) from error
        if "pixel_values" not in type(self.model).main_input_name:
            raise PartError(f"{spec} is no vision model.", fix="use a vision model as the X-Encoder.")
        if self.joint_frames and hasattr(self.model, "predictor"):
            # V-JEPA 2's own predictor estimates masked patches: half the compute, and nothing that is wanted here.
            self.model.predictor = None
        pooler = getattr(self.model, "pooler", None)
        if not head and pooler is not None and any(True for _ in pooler.parameters()):
            self.model.pooler = None  # tokens are wanted, and many checkpoints have no weights for it
        self.num_classes = int(config.num_labels) if head else 0
        self.width = token_width(spec, config)
        self._patch = square_patch(config)

    def forward(self, pixels: Tensor) -> Seen:
        """See `VisionTower`."""
        arguments = {"pixel_values_videos" if self.joint_frames else "pixel_values": pixels}
        if self.num_classes == 0:
            extra = {"skip_predictor": True} if self.joint_frames else {}
            return Seen(as_tokens(self.model(**arguments, **extra).last_hidden_state))
        caught: dict[str, Tensor] = {}
        hook = self.model.base_model.register_forward_hook(
            lambda _module, _inputs, output: caught.update(tokens=output.last_hidden_state)
        )
        try:
            logits = self.model(**arguments).logits
        finally:
            hook.remove()
        return Seen(as_tokens(caught["tokens"]), logits)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """See `VisionTower`."""
        return height // self._patch, width // self._patch

    def read(self, folder: Path) -> dict[str, Tensor]:
        """See `VisionTower`."""
        return transformers_state(type(self.model), folder, self.model.config)


def vision_config(spec: PartSpec) -> tuple[Any, str]:
    """Transformers' config of a part's vision model, and the head that its classifier has: `image`, `video` or none.

    Raises:
        PartError: An unknown type, or one that takes no plain image.
    """
    assert spec.config is not None
    raw = dict(spec.config.get("vision_config", spec.config))
    config = architecture(spec, raw)
    if config.model_type == "siglip2_vision_model":
        raise PartError(
            f"{spec} is a NaFlex model: it takes patches of every aspect ratio, and vljepa gives it square images.",
            fix="take its sibling of fixed size, such as transformers:google/siglip2-base-patch16-224.",
        )
    name = (spec.config.get("architectures") or [""])[0]
    head = {"ForImageClassification": "image", "ForVideoClassification": "video"}
    return config, next((kind for ending, kind in head.items() if name.endswith(ending)), "")


def tubelet(config: Any) -> int:
    """Frames that become one step in time."""
    return int(config.tubelet_size) if config.model_type == "vjepa2" else 1


def image_fields(part: PartSpec, folder: Path) -> dict[str, Any]:
    """Fields of `ImageConfig` as the folder's image or video processor has them.

    Raises:
        PartError: There is none, or it has steps that `ImageConfig` cannot express.
    """
    processor, is_video = _processor(part, folder)
    fields: dict[str, Any] = {
        "mean": tuple(processor.image_mean) if processor.do_normalize else (0.0, 0.0, 0.0),
        "std": tuple(processor.image_std) if processor.do_normalize else (1.0, 1.0, 1.0),
        "interpolation": _RESAMPLE.get(int(processor.resample), "bicubic"),
        **_resize_rule(part, processor),
    }

    def library(image: Image.Image) -> Tensor:
        if is_video:
            pixels = processor(videos=[[image]], return_tensors="pt")["pixel_values_videos"][0, 0]
        else:
            pixels = processor(images=image, return_tensors="pt")["pixel_values"][0]
        assert isinstance(pixels, Tensor)
        return pixels

    return fitting(fields, library=library, part=str(part))


def _processor(part: PartSpec, folder: Path) -> tuple[Any, bool]:
    """Transformers' own processor from the folder, and whether it takes videos."""
    from transformers import AutoImageProcessor, AutoVideoProcessor

    is_video = (folder / _VIDEO_FILE).is_file() and not (folder / _IMAGE_FILE).is_file()
    if not is_video and not any((folder / name).is_file() for name in (_IMAGE_FILE, _PROCESSOR_FILE)):
        raise PartError(
            f"{folder} has no {_IMAGE_FILE}: how {part} wants to see is not known.",
            fix="put that file there, or set x_encoder.image: size, mean, std, resize and interpolation.",
        )
    try:
        return (AutoVideoProcessor if is_video else AutoImageProcessor).from_pretrained(folder), is_video
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise PartError(
            f"the preprocessing of {part} is not readable: {str(error).splitlines()[0]}",
            fix="set x_encoder.image: size, mean, std, resize and interpolation.",
        ) from error


def _resize_rule(part: PartSpec, processor: Any) -> dict[str, Any]:
    size, crop = _sizes(processor.size), _sizes(getattr(processor, "crop_size", None))
    cropped = bool(getattr(processor, "do_center_crop", False)) and crop is not None
    fraction = getattr(processor, "crop_pct", None)
    short = size.get("shortest_edge") if size else None
    if size is None or not processor.do_resize:
        raise _unknown(part, f"no fixed size ({processor.size})")
    if short is not None and fraction is not None and not cropped:  # ConvNeXt: cut below 384 pixels, squashed above
        if short >= 384:
            return {"size": (short, short), "resize": "squash"}
        return {"size": (short, short), "resize": "shortest_edge", "resize_to": int(short / fraction)}
    if short is not None and cropped and size.get("longest_edge") is None:
        assert crop is not None
        return {"size": (crop["height"], crop["width"]), "resize": "shortest_edge", "resize_to": short}
    if {"height", "width"} <= size.keys():
        height, width = size["height"], size["width"]
        if not cropped:
            return {"size": (height, width), "resize": "squash"}
        assert crop is not None
        if height == width:
            return {"size": (crop["height"], crop["width"]), "resize": "squash", "resize_to": height}
    raise _unknown(part, f"the size {size}" + (f" and the crop {crop}" if cropped else ""))


def _sizes(raw: Any) -> dict[str, int] | None:
    """A size of transformers, in any of its forms, as what is stated of it."""
    if raw is None:
        return None
    if isinstance(raw, int):
        return {"height": raw, "width": raw}
    return {key: int(value) for key, value in dict(raw).items() if value is not None}


def _unknown(part: PartSpec, what: str) -> PartError:
    return PartError(
        f"the preprocessing of {part} has {what}, which vljepa does not know.",
        fix="set x_encoder.image: size, mean, std, resize and interpolation.",
    )


def as_tokens(features: Tensor) -> Tensor:
    """Tokens [B, N, D]; a feature map [B, D, H, W] becomes tokens row by row."""
    return features.flatten(2).transpose(1, 2) if features.ndim == 4 else features


def token_width(spec: PartSpec, config: Any) -> int:
    """Size of a token, as the config states it.

    Raises:
        PartError: It does not.
    """
    width = getattr(config, "hidden_size", None) or (getattr(config, "hidden_sizes", None) or [None])[-1]
    if width is None:
        raise PartError(
            f"{spec} ({config.model_type}) does not state how wide its tokens are.",
            fix="take it from timm, as timm:NAME, or another vision model.",
        )
    return int(width)


def square_patch(config: Any) -> int:
    """Pixels of a patch's side; 32, the reduction of most convolutional models, where the config states none."""
    patch = getattr(config, "patch_size", 32)
    return int(patch[0] if isinstance(patch, list | tuple) else patch)
