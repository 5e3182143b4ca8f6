"""X-Encoders: frozen vision models of three libraries behind one protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from vljepa.configs import PartSpec, XEncoderConfig
from vljepa.errors import PartError
from vljepa.models.outputs import VisionTokens
from vljepa.models.pooling import pool_grid
from vljepa.models.weights import load_exactly, safetensors_state, transformers_state


class VisionBackend(Protocol):
    """What the house asks of a vision library.

    Attributes:
        width: Size of a token.
        num_classes: Classes of its own classifier, 0 without one.
        joint_frames: True for video encoders that attend across frames.
        tubelet: Frames that become one step in time.
        model: The library's own module.
    """

    width: int
    num_classes: int
    joint_frames: bool
    tubelet: int
    model: nn.Module

    def read(self, folder: Path) -> dict[str, Tensor]:
        """Tensors of `model` from the files of its library."""
        ...

    def __call__(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        """Tokens [B, N, D] and logits [B, K] or None, from [B, C, H, W] (or [B, T, C, H, W] with joint frames)."""
        ...

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the spatial tokens of one frame, which come last."""
        ...


class TransformersVision(nn.Module):
    """Vision models of `transformers`: V-JEPA 2, SigLIP 2, DINOv3, CLIP and their kind, with or without classifier."""

    def __init__(self, spec: PartSpec) -> None:
        super().__init__()
        from transformers import (
            AutoConfig,
            AutoModel,
            AutoModelForImageClassification,
            AutoModelForVideoClassification,
        )

        assert spec.config is not None
        architecture = (spec.config.get("architectures") or [""])[0]
        raw = dict(spec.config.get("vision_config", spec.config))
        config = AutoConfig.for_model(**raw)
        self.joint_frames = config.model_type == "vjepa2"
        self.tubelet = int(config.tubelet_size) if self.joint_frames else 1
        if architecture.endswith("ForImageClassification"):
            self.model = AutoModelForImageClassification.from_config(config, dtype=torch.float32)
        elif architecture.endswith("ForVideoClassification"):
            self.model = AutoModelForVideoClassification.from_config(config, dtype=torch.float32)
        else:
            self.model = AutoModel.from_config(config, dtype=torch.float32)
        if self.joint_frames and hasattr(self.model, "predictor"):
            # V-JEPA 2's own predictor guesses masked patches: half the compute, and nothing that is wanted here.
            self.model.predictor = None
        self.num_classes = int(config.num_labels) if architecture.endswith("Classification") else 0
        self.width = int(config.hidden_size)
        self._patch = _square_patch(config)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        """See `VisionBackend`."""
        arguments = {"pixel_values_videos" if self.joint_frames else "pixel_values": pixels}
        if self.num_classes == 0:
            extra = {"skip_predictor": True} if self.joint_frames else {}
            return self.model(**arguments, **extra).last_hidden_state, None
        caught: dict[str, Tensor] = {}
        hook = self.model.base_model.register_forward_hook(
            lambda _module, _inputs, output: caught.update(tokens=output.last_hidden_state)
        )
        try:
            logits = self.model(**arguments).logits
        finally:
            hook.remove()
        return caught["tokens"], logits

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """See `VisionBackend`."""
        return height // self._patch, width // self._patch

    def read(self, folder: Path) -> dict[str, Tensor]:
        """See `VisionBackend`."""
        return transformers_state(type(self.model), folder, self.model.config)


class OpenClipVision(nn.Module):
    """Vision towers of open_clip; tokens are the last block's, after the tower's final norm."""

    joint_frames = False
    tubelet = 1
    num_classes = 0

    def __init__(self, spec: PartSpec) -> None:
        super().__init__()
        self.model = build_open_clip(spec).visual
        size = getattr(self.model, "image_size", (224, 224))
        height, width = size if isinstance(size, tuple) else (size, size)
        with torch.no_grad():
            map_BDHW = self._map(torch.zeros(1, 3, height, width))
        self.width = int(map_BDHW.shape[1])
        self._stride = (height // map_BDHW.shape[2], width // map_BDHW.shape[3])

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        """See `VisionBackend`."""
        return self._map(pixels).flatten(2).transpose(1, 2), None

    def _map(self, pixels: Tensor) -> Tensor:
        out = self.model.forward_intermediates(
            pixels, indices=1, normalize_intermediates=True, intermediates_only=True, output_fmt="NCHW"
        )
        last: Tensor = out["image_intermediates"][-1]
        return last

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """See `VisionBackend`."""
        return height // self._stride[0], width // self._stride[1]

    def read(self, folder: Path) -> dict[str, Tensor]:
        """See `VisionBackend`."""
        return safetensors_state(folder, prefix="visual.")


class TimmVision(nn.Module):
    """Any timm model: a feature map becomes tokens row by row, a ViT's tokens stay as they are."""

    joint_frames = False
    tubelet = 1

    def __init__(self, spec: PartSpec) -> None:
        super().__init__()
        import timm

        assert spec.config is not None
        arguments = dict(spec.config.get("model_args", {}))
        arguments["num_classes"] = spec.config.get("num_classes", 1000)
        self.model = timm.create_model(spec.config["architecture"], pretrained=False, **arguments)
        # Convolutions run a fifth faster on a CPU in this layout, and no slower elsewhere.
        self.model.to(memory_format=torch.channels_last)
        self.width = int(self.model.num_features)
        self.num_classes = int(self.model.num_classes)
        self._channels_last = getattr(self.model, "output_fmt", "NCHW") == "NHWC"  # Swin and its kind
        self._reduction = int(self.model.feature_info[-1]["reduction"])

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        """See `VisionBackend`."""
        features = self.model.forward_features(pixels)
        logits = self.model.forward_head(features) if self.num_classes else None
        if features.ndim == 4:
            features = features.flatten(1, 2) if self._channels_last else features.flatten(2).transpose(1, 2)
        return features, logits

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """See `VisionBackend`."""
        return -(-height // self._reduction), -(-width // self._reduction)

    def read(self, folder: Path) -> dict[str, Tensor]:
        """See `VisionBackend`."""
        return safetensors_state(folder)


_BACKENDS: dict[str, type[nn.Module]] = {
    "transformers": TransformersVision,
    "open_clip": OpenClipVision,
    "timm": TimmVision,
}


class XEncoder(nn.Module):
    """The frozen X-Encoder: frames to visual tokens. Always in eval mode, never with gradients.

    Args:
        config: Which encoder, what it sees, and how its tokens are pooled.
    """

    def __init__(self, config: XEncoderConfig) -> None:
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.part.seed)
            self.backend: Any = _BACKENDS[config.part.backend](config.part)
        self.requires_grad_(False)
        self.eval()

    @property
    def width(self) -> int:
        """Size of a visual token."""
        return int(self.backend.width)

    @property
    def num_classes(self) -> int:
        """Classes of the encoder's own classifier, 0 without one."""
        return int(self.backend.num_classes)

    def steps(self, frames: int) -> int:
        """Steps in time that the tokens of a clip of so many frames are made of."""
        return max(frames, self.config.min_frames) // int(self.backend.tubelet)

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode: a frozen encoder must not move its batch-norm statistics."""
        del mode
        return super().train(False)

    @torch.no_grad()
    def forward(self, pixels_BTCHW: Tensor) -> VisionTokens:
        """Encode clips (an image is T = 1); frames keep their order.

        Args:
            pixels_BTCHW: Normalised pixels.

        Returns:
            Tokens [B, N, D] with N growing with T, a full mask, and the classifier's logits, averaged over frames.
        """
        if pixels_BTCHW.ndim != 5:
            raise PartError(
                f"pixel_values have shape {tuple(pixels_BTCHW.shape)}, expected [B, T, C, H, W].",
                fix="add the frame axis: an image is a clip of one frame.",
            )
        pixels_BTCHW = _fill_frames(pixels_BTCHW, self.config.min_frames)
        batch, frames = pixels_BTCHW.shape[:2]
        if self.backend.joint_frames:
            tokens_BND, logits = self.backend(pixels_BTCHW)
        else:
            tokens_BND, logits = self.backend(pixels_BTCHW.flatten(0, 1))
        if self.config.pool_grid is not None:
            tokens_BND = self._pool(tokens_BND, pixels_BTCHW)
        tokens_BND = tokens_BND.reshape(batch, -1, tokens_BND.shape[-1])
        if logits is not None and not self.backend.joint_frames:
            logits = logits.unflatten(0, (batch, frames)).mean(1)
        mask_BN = torch.ones(tokens_BND.shape[:2], dtype=torch.bool, device=tokens_BND.device)
        return VisionTokens(tokens_BND, mask_BN, logits, self.steps(frames))

    def load_pretrained(self, folder: Path) -> None:
        """Load the part's weights; every tensor of the encoder must be there."""
        load_exactly(self.backend.model, self.backend.read(folder), part=str(self.config.part), folder=folder)

    def _pool(self, tokens: Tensor, pixels_BTCHW: Tensor) -> Tensor:
        height, width = self.backend.grid(*pixels_BTCHW.shape[-2:])
        side = self.config.pool_grid
        assert side is not None
        if self.backend.joint_frames:
            steps = tokens.shape[1] // (height * width)
            per_step = tokens.unflatten(1, (steps, height * width)).flatten(0, 1)
            return pool_grid(per_step, height=height, width=width, side=side).unflatten(0, (-1, steps)).flatten(1, 2)
        return pool_grid(tokens, height=height, width=width, side=side)


def build_open_clip(spec: PartSpec) -> Any:
    """Two-tower model of open_clip from `config["model_cfg"]`, as in a repository's open_clip_config.json."""
    import open_clip

    assert spec.config is not None
    model_cfg = dict(spec.config["model_cfg"])
    custom = model_cfg.pop("custom_text", False) or "hf_model_name" in model_cfg["text_cfg"]
    return (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**model_cfg)


def _fill_frames(pixels_BTCHW: Tensor, least: int) -> Tensor:
    """Repeat the last frame until the encoder has as many as it needs."""
    lacking = least - pixels_BTCHW.shape[1]
    if lacking <= 0:
        return pixels_BTCHW
    return torch.cat([pixels_BTCHW, pixels_BTCHW[:, -1:].expand(-1, lacking, -1, -1, -1)], dim=1)


def _square_patch(config: Any) -> int:
    patch = getattr(config, "patch_size", 32)
    return int(patch[0] if isinstance(patch, list | tuple) else patch)
