"""Reading a part's weights through the library that wrote them, and loading them without a gap."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vljepa.backends.protocols import Contrast
from vljepa.errors import PartError

_POOLER = re.compile(r"(^|\.)pooler\.")


def transformers_state(cls: Any, folder: Path, config: Any, *, pooler: bool = False) -> dict[str, Tensor]:
    """Tensors of a transformers class in fp32; the class itself maps old names, prefixes and shards.

    Args:
        cls: The class.
        folder: Its files.
        config: Its config.
        pooler: Whether the pooler's weights are wanted; otherwise they may lack.

    Raises:
        PartError: A tensor of the class is not in the files (transformers would fill it with random numbers).
    """
    with _no_progress_bar():
        model, info = cls.from_pretrained(
            folder, config=config, dtype=torch.float32, output_loading_info=True, use_safetensors=True
        )
    missing = sorted(key for key in info["missing_keys"] if pooler or not _POOLER.search(key))
    if missing:
        raise _lacks(cls.__name__, folder, missing)
    state: dict[str, Tensor] = model.state_dict()
    return state


def safetensors_state(folder: Path, *, prefix: str = "", prefer: str = "") -> dict[str, Tensor]:
    """Tensors of the *.safetensors in `folder` whose name starts with `prefix`, which is taken off.

    Args:
        folder: The files.
        prefix: Of the tensors.
        prefer: Where files begin like this, the others are left alone.
    """
    return {key.removeprefix(prefix): one for key, one in _tensors(folder, prefer) if key.startswith(prefix)}


def _tensors(folder: Path, prefer: str, *, named: tuple[str, ...] | None = None) -> Iterator[tuple[str, Tensor]]:
    """Tensors of the files by name; of `named` ones, by the last part of their names, nothing else is read."""
    from safetensors import safe_open

    files = sorted(folder.glob("*.safetensors"))
    files = [file for file in files if file.name.startswith(prefer)] or files
    if not files:
        raise PartError(f"{str(folder)!r} holds no *.safetensors.", fix="point at a folder with weights.")
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118, the file is no mapping
                if named is None or key.rpartition(".")[2] in named:
                    yield key, tensors.get_tensor(key)


def read_contrast(folder: Path, *, prefer: str = "") -> Contrast | None:
    """Scale and bias of a dual encoder from its *.safetensors; None where there is no scale.

    Args:
        folder: The files.
        prefer: As for `safetensors_state`.
    """
    wanted = _tensors(folder, prefer, named=("logit_scale", "logit_bias"))
    state = {name.rpartition(".")[2]: one for name, one in wanted}
    if "logit_scale" not in state:
        return None
    bias = state.get("logit_bias")
    return Contrast(scale=math.exp(float(state["logit_scale"])), bias=None if bias is None else float(bias))


def load_exactly(module: nn.Module, state: dict[str, Tensor], *, part: str, folder: Path) -> None:
    """Fill every tensor of `module` from `state`; extra tensors are left, a missing one is an error."""
    own = module.state_dict()
    missing = sorted(own.keys() - state.keys())
    if missing:
        raise _lacks(part, folder, missing)
    module.load_state_dict({key: state[key] for key in own})


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Keep transformers' own loading bar off the terminal: parts load in a second."""
    from transformers.utils import logging

    was_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            logging.enable_progress_bar()


def _lacks(part: str, folder: Path, missing: list[str]) -> PartError:
    return PartError(
        f"{part}: the weights in {str(folder)!r} lack {len(missing)} tensors, first {missing[0]!r}.",
        fix="check that the folder holds this architecture.",
    )
