"""A dual encoder by its name as the start of a VL-JEPA: `aligned:BACKEND:NAME`, or `aligned:FOLDER`.

Both towers are the library's, frozen; the residual is the encoder's own embedding of the image, and the Predictor's
part is added to it with a gate that is 0. So every score is the dual encoder's, until something is learned on top.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from vljepa.backends.files import part_folder, resolve_part
from vljepa.backends.protocols import VisionTower
from vljepa.backends.registry import backend_of
from vljepa.backends.resolve import resolve_preferences
from vljepa.configs import AlignedConfig, PairConfig, PartSpec, VLJEPAConfig, validate
from vljepa.configs.part import ALIGNED
from vljepa.errors import ConfigError, PartError
from vljepa.parts.saved import read_config, saved_folder

TEMPLATE = "a photo of a {}."
"""Of class names, where a user gives none; CLIP's and open_clip's first."""
SCRATCH: dict[str, Any] = {
    "part": {
        "backend": "transformers",
        "name": "scratch",
        "source": "random",
        "config": {"model_type": "bert", "vocab_size": 259, "hidden_size": 256, "num_hidden_layers": 2,
                   "num_attention_heads": 4, "intermediate_size": 1024, "max_position_embeddings": 1024},
    },
    "max_query_tokens": 256,
}  # fmt: skip
"""A Predictor without files: it reads bytes, and says nothing until it is trained."""
_SPARE = 8
"""Positions of class and register tokens."""


def is_aligned(name: str | Path) -> bool:
    """Whether a model is named as a dual encoder.

    Example:
        >>> is_aligned("aligned:transformers:google/siglip2-base-patch16-224"), is_aligned("mini")
        (True, False)
    """
    return str(name).startswith(ALIGNED)


def dual_encoder(name: str) -> PartSpec:
    """The part behind a name.

    Args:
        name: `aligned:BACKEND:NAME`, as a part is named, or `aligned:FOLDER`, whose files say the library.

    Raises:
        ConfigError: It is no such name.
        PartError: The folder is not there, or is of no library that is known.
    """
    given = name.removeprefix(ALIGNED)
    if is_folder(given):
        folder = Path(given).expanduser().absolute()  # of any spelling, which the shorthand would cut at @ and #
        return PartSpec(backend=_library_of(folder), name=str(folder), source="folder")
    return validate(PartSpec, given, where=repr(name))


def aligned_config(name: str, *, predictor: str | None = None) -> VLJEPAConfig:
    """Config of a dual encoder as a VL-JEPA, with nothing left to ask.

    Args:
        name: As of `dual_encoder`.
        predictor: Part whose layers the Predictor starts from; None is a small one from scratch.

    Raises:
        ConfigError: `name` or `predictor` is no name of a part.
        PartError: The part cannot be had, or is no dual encoder.
    """
    part = resolve_part(dual_encoder(name))
    backend, folder = backend_of(part), part_folder(part)
    contrast = backend.contrast(part, folder)
    if contrast is None:
        raise PartError(
            f"{part} is no dual encoder: it does not embed images and texts in one space.",
            fix="name one, such as aligned:transformers:google/siglip2-base-patch16-224.",
        )
    with torch.device("meta"):
        tower = backend.vision_tower(part)
    temperature = 1 / contrast.scale
    pair = None if contrast.bias is None else PairConfig(scale=contrast.scale, bias=contrast.bias)
    raw = {
        "x_encoder": {"part": part.model_dump()},
        "predictor": SCRATCH if predictor is None else {"part": predictor, "max_query_tokens": 128, "dropout": 0.1},
        "y_encoder": {"part": part.model_dump(), "head": "identity"},
        "residual": AlignedConfig().model_dump(),
        "embed_dim": tower.pooled_width,
        "init_temperature": temperature,
        "max_logit_scale": max(100.0, contrast.scale),
        "prompts": {"classification": TEMPLATE},
        "calibration": {"classify": temperature, "ask": temperature, "pair": pair},
    }
    config = resolve_preferences(validate(VLJEPAConfig, raw, where=repr(name)))
    _make_room(config, tower)
    return config


def _make_room(config: VLJEPAConfig, tower: VisionTower) -> None:
    """Pool the patches where they and a question have no place in the Predictor, and cut long questions.

    The encoder's own embedding is not touched by it.
    """
    part = config.predictor.part
    if part.source == "random":
        places = int((part.config or {})["max_position_embeddings"])
    else:
        places = backend_of(part).text(resolve_part(part), part_folder(part)).max_tokens
    size = config.x_encoder.image.size
    assert size is not None
    height, width = tower.grid(*size)
    config.predictor.max_query_tokens = min(config.predictor.max_query_tokens, places // 2)
    left = max(1, places - config.predictor.max_query_tokens - _SPARE)
    if height * width > left:
        config.x_encoder.pool_grid = math.isqrt(left)


def config_of(name: str) -> VLJEPAConfig:
    """Config of a model as `VLJEPA.from_pretrained` takes its name.

    Raises:
        CheckpointError: There is no such model.
        PartError: As `aligned_config`.
    """
    return aligned_config(name) if is_aligned(name) else read_config(saved_folder(name))


def refuse_revision(name: str | Path, revision: str | None) -> None:
    """A dual encoder's revision stands in its name.

    Raises:
        ConfigError: One is given beside it.
    """
    if revision is not None:
        raise ConfigError(f"revision = {revision!r} beside {str(name)!r}.", fix=f"write {name}@{revision}.")


def is_folder(given: str) -> bool:
    """Whether what comes after `aligned:` is a path: it starts as one, or there is such a folder."""
    return given[:1] in ("/", ".", "~") or Path(given).is_dir()


def _library_of(folder: Path) -> str:
    """The library that a local folder's files are of: open_clip where it has weights of its own, else transformers."""
    if not folder.is_dir():
        raise PartError(f"there is no folder {str(folder)!r}.", fix="check the path.")
    own = (folder / "open_clip_config.json").is_file()
    theirs = (folder / "config.json").is_file()
    if own and (any(folder.glob("open_clip_*.safetensors")) or not theirs):
        return "open_clip"
    if theirs:
        return "transformers"
    raise ConfigError(
        f"{str(folder)!r} has neither open_clip_config.json nor config.json.",
        fix="point at the folder of a dual encoder of open_clip or transformers.",
    )
