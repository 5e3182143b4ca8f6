"""World models of single-vector latents on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from vljepa.checkpoint.saved_world import read_config
from vljepa.checkpoint.tensors import read_tensors, write_tensors
from vljepa.configs import EBJEPAConfig, validate
from vljepa.errors import CheckpointError
from vljepa.models.layers.sharded import load_tensors
from vljepa.models.video.vector_world import VectorWorld
from vljepa.parts.saved import CONFIG_FILE, WEIGHTS_FILE

MODEL_TYPE = "eb_jepa"


def write_vector_world(config: Mapping[str, Any], state: Mapping[str, Tensor], folder: Path) -> None:
    """Write a model as `read_vector_world` reads it.

    Args:
        config: Its `EBJEPAConfig` as plain data.
        state: Its tensors.
        folder: Made if need be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    about = {"model_type": MODEL_TYPE, **config}
    (folder / CONFIG_FILE).write_text(json.dumps(about, indent=2), encoding="utf-8")
    write_tensors(state, folder / WEIGHTS_FILE)


def read_vector_world(folder: str | Path) -> VectorWorld:
    """A trained model, in eval mode.

    Raises:
        CheckpointError: There is none.
    """
    raw = read_config(Path(folder), MODEL_TYPE)
    model = VectorWorld(validate(EBJEPAConfig, raw, where=str(Path(folder) / CONFIG_FILE)))
    read_into(model, Path(folder))
    return model.eval()


def read_into(model: VectorWorld, folder: Path) -> None:
    """Fill a model from a folder.

    Raises:
        CheckpointError: It is of another model.
    """
    if read_config(folder, MODEL_TYPE) != json.loads(model.config.model_dump_json()):
        raise CheckpointError(f"{str(folder)!r} holds a model with another config.", fix="choose another train.output.")
    load_tensors(model, read_tensors(folder / WEIGHTS_FILE, fix="save the model again."))
