"""Tensors in safetensors files, and into modules, with one sentence for each thing that goes wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from vljepa.errors import CheckpointError


def write_tensors(tensors: Mapping[str, Tensor], path: Path, *, dtype: torch.dtype | None = None) -> None:
    """Write tensors of any device, contiguous and apart; `dtype` narrows floating ones for shipping."""
    from safetensors.torch import save_file

    ready = {name: _narrow(one, dtype).detach().cpu().contiguous().clone() for name, one in tensors.items()}
    # One entry, since safetensors writes several in any order: equal weights are to be equal files.
    save_file(ready, path, metadata={"format": "pt"})


def read_tensors(path: Path, *, fix: str) -> dict[str, Tensor]:
    """Tensors of a file.

    Args:
        path: The file.
        fix: What a person does about one that cannot be read.

    Raises:
        CheckpointError: It is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{str(path)!r} is not readable: {error}.", fix=fix) from error


def fill(module: nn.Module, tensors: Mapping[str, Tensor], *, what: str) -> None:
    """Fill some of a module's tensors.

    Args:
        module: The module.
        tensors: By its names.
        what: What they are, for the error.

    Raises:
        CheckpointError: One has another shape.
    """
    try:
        module.load_state_dict(dict(tensors), strict=False)
    except RuntimeError as error:
        raise CheckpointError(
            f"{what} have other shapes than the config says: {error}.",
            fix="use the config.json that was saved with them.",
        ) from error


def _narrow(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    return tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor
