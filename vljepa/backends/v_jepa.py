"""Encoders that `method: v_jepa` has trained, as X-Encoders: `v_jepa:FOLDER`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from torch import Tensor, nn

from vljepa.backends.protocols import Seen, TextFacts, TextTower, Tokenizer, VisionTower
from vljepa.backends.video_layers import VideoEncoder
from vljepa.backends.weights import safetensors_state
from vljepa.configs import PartSpec, YEncoderConfig, validate
from vljepa.configs.v_jepa import VJEPAConfig
from vljepa.errors import PartError
from vljepa.parts.saved import CONFIG_FILE, WEIGHTS_FILE


class OwnVideo(nn.Module):
    """The teacher of a saved V-JEPA, or its encoder where it has no teacher."""

    joint_frames = True
    pooled_width = None
    num_classes = 0

    def __init__(self, part: PartSpec) -> None:
        super().__init__()
        config = saved_v_jepa(part.config, where=str(part))
        self.model = VideoEncoder(config.encoder)
        self.width, self.tubelet = config.encoder.width, config.encoder.tubelet
        self._prefix = "teacher.encoder." if config.target.name == "teacher" else "encoder."
        self._patch = config.encoder.patch

    def forward(self, pixels: Tensor) -> Seen:
        """See `VisionTower`."""
        return Seen(self.model(pixels)[-1])

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """See `VisionTower`."""
        return height // self._patch, width // self._patch

    def read(self, folder: Path) -> dict[str, Tensor]:
        """See `VisionTower`."""
        return safetensors_state(folder, prefix=self._prefix)


class VJepaBackend:
    """See `Backend`."""

    config_file = CONFIG_FILE
    tokenizer_files = ()
    fixed_length = False
    files = (CONFIG_FILE, WEIGHTS_FILE)

    def repository(self, name: str) -> str:
        """Hub id: `owner/name`."""
        if "/" not in name:
            raise PartError(f"{name!r} is no repository.", fix="write v_jepa:./FOLDER, or v_jepa:OWNER/NAME.")
        return name

    def image(self, part: PartSpec, folder: Path | None) -> dict[str, Any]:
        """As the model was trained."""
        del folder
        return saved_v_jepa(part.config, where=str(part)).image.model_dump(exclude_none=True)

    def least_frames(self, part: PartSpec) -> int:
        """One tubelet."""
        return saved_v_jepa(part.config, where=str(part)).encoder.tubelet

    def vision_tower(self, part: PartSpec) -> VisionTower:
        """See `Backend`."""
        return OwnVideo(part)

    def contrast(self, part: PartSpec, folder: Path | None) -> None:
        """It is no dual encoder."""
        del part, folder

    def text(self, part: PartSpec, folder: Path | None) -> TextFacts:
        """It is no text encoder."""
        del folder
        _refuse(part)

    def text_tower(self, config: YEncoderConfig) -> TextTower:
        """It is no text encoder."""
        _refuse(config.part)

    def tokenizer(self, part: PartSpec, folder: Path | None) -> Tokenizer:
        """It is no text encoder."""
        del folder
        _refuse(part)


def saved_v_jepa(raw: dict[str, Any] | None, *, where: str) -> VJEPAConfig:
    """Config of a saved V-JEPA from its config.json.

    Raises:
        PartError: It is of another model.
        ConfigError: It says what no model of this version understands.
    """
    if raw is None or raw.get("model_type") != "v_jepa":
        kind = None if raw is None else raw.get("model_type")
        raise PartError(
            f"{where} is no V-JEPA that vljepa has trained (its model_type is {kind!r}).",
            fix="name a folder of `vljepa train` with method v_jepa; released V-JEPA 2 weights are transformers:NAME.",
        )
    return validate(VJEPAConfig, {key: one for key, one in raw.items() if key != "model_type"}, where=where)


def _refuse(part: PartSpec) -> NoReturn:
    raise PartError(f"{part} is no text encoder.", fix="use transformers: or open_clip:")
