"""A model's X-Encoder run by onnxruntime instead of torch: the same embeddings, sooner on a CPU.

Everything else stays with torch, so that questions, clips, texts and words are what they were; the text encoder of
`mini` is no quicker in onnxruntime. The file is written on its first use and kept in the cache folder, by the hash of
its weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vljepa.backends.protocols import Seen
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.errors import ConfigError
from vljepa.inference.onnx_file import OPSET, open_session, require_onnx, write_onnx
from vljepa.parts.store import cache_home

BACKENDS = ("torch", "onnx")


def check_backend(name: str) -> None:
    """Refuse a name that is no backend.

    Raises:
        ConfigError: It is none of `BACKENDS`, or its extra is not installed.
    """
    if name not in BACKENDS:
        raise ConfigError(f"there is no backend {name!r}.", fix=f"use {' or '.join(BACKENDS)}.")
    if name == "onnx":
        require_onnx()


def run_on_onnx(model: VLJEPA) -> None:
    """Let onnxruntime run the X-Encoder of a model, from now on.

    Args:
        model: On the CPU, in float32.

    Raises:
        ConfigError: The X-Encoder sees frames jointly, or the model is on a GPU or narrowed.
    """
    first = next(model.parameters())
    if first.device.type != "cpu" or first.dtype != torch.float32:
        raise ConfigError("the backend 'onnx' runs on the CPU in float32.", fix="leave --device and --dtype out.")
    if model.x_encoder.backend.joint_frames:
        raise ConfigError(
            f"{model.config.x_encoder.part} sees frames jointly, and the backend 'onnx' is for image encoders.",
            fix="use the backend torch.",
        )
    model.x_encoder.runtime = _Vision(model)


class _Vision:
    """The vision module: pixels [B, 3, H, W] to what it sees."""

    def __init__(self, model: VLJEPA) -> None:
        self._tower = model.x_encoder.backend
        self._name = str(model.config.x_encoder.part)
        self._size = model.config.x_encoder.image.size
        self._session: Any = None
        self._fields: list[str] = []

    def __call__(self, pixels: Tensor) -> Seen:
        if self._session is None:
            self._start()
        found = self._session.run(None, {"pixels": pixels.contiguous().numpy()})
        return Seen(**{name: torch.from_numpy(one) for name, one in zip(self._fields, found, strict=True)})

    def _start(self) -> None:
        assert self._size is not None
        pixels = torch.zeros(2, 3, *self._size)
        tower = _Fields(self._tower)
        self._fields = tower.fields(pixels)
        file = _cached(
            tower, {"pixels": pixels}, outputs=self._fields, dynamic={"pixels": {0: "batch"}}, about=self._name
        )
        self._session = open_session(file)


class _Fields(nn.Module):
    """A vision module whose result is a plain tuple of what it has."""

    def __init__(self, tower: Any) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return tuple(one for one in self.tower(pixels) if one is not None)

    @torch.inference_mode()
    def fields(self, pixels: Tensor) -> list[str]:
        """Names of what it has."""
        return [name for name, one in self.tower(pixels)._asdict().items() if one is not None]


def _cached(
    module: nn.Module,
    arguments: Mapping[str, Tensor],
    *,
    outputs: list[str],
    dynamic: Mapping[str, Mapping[int, str]],
    about: str,
) -> Path:
    """The module's file in the cache folder, written where it is not there."""
    shapes = {name: tuple(one.shape) for name, one in arguments.items()}
    hashed = hashlib.sha256(repr((about, shapes, dynamic, OPSET, torch.__version__)).encode())
    for name, tensor in sorted(module.state_dict().items()):
        hashed.update(name.encode())
        hashed.update(tensor.detach().contiguous().numpy().tobytes())
    file = cache_home() / "onnx" / f"{hashed.hexdigest()[:24]}.onnx"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_onnx(module.eval(), arguments, file, outputs=outputs, dynamic=dynamic)
    return file
